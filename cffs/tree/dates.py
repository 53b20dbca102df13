"""by-date/: recordings by the day they were made, in the zone of `--timezone`.

It owns which years, months and days are listed, and the offsets in a day. It must not know how files are named
(`tree/view_entries`). Any day of the calendar opens. What is listed comes from the index on time, so that nothing here
depends on how many recordings there are.
"""

from collections.abc import Iterator
from datetime import date
from typing import Literal

from cffs.catalog.rows import ListedRecording
from cffs.catalog.views import ViewRow
from cffs.core.errors import NotInTree
from cffs.core.listed_names import FIRST_DATED_MS, LAST_DATED_MS, is_dated
from cffs.core.times import date_folders, day_interval_ms, month_interval_ms, parse_day
from cffs.core.units import NS_PER_MS
from cffs.tree.contents import Entry
from cffs.tree.context import FIRST_ROW_OFFSET, Context, past
from cffs.tree.listing_lookup import know
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import DateNode, FixedNode, Kind, Node
from cffs.tree.size_hints import Form
from cffs.tree.view_entries import entries_after, resolver, with_files, zone_of

_MONTHS = 12
_DAYS = 31
#: An offset in a day is milliseconds since its start (27 bits), sequence number, one bit for the form: 62 bits in all.
_SEQ_BITS = 30
_SEQ_MASK = (1 << _SEQ_BITS) - 1


#: The kind of folder by how many names lead to it.
_KINDS: dict[int, Literal[Kind.YEAR, Kind.MONTH, Kind.DAY]] = {1: Kind.YEAR, 2: Kind.MONTH, 3: Kind.DAY}


def _folder(day: date, depth: int) -> DateNode:
    """The folder of the day's year (1), month (2) or itself (3)."""
    names = (f"{day.year:04}", f"{day.month:02}", f"{day.day:02}")
    return DateNode(names[:depth], _KINDS[depth])


def first_day_of(*names: str) -> date:
    """The first day in the folder that these names lead to. Raises NotInTree where no calendar has it."""
    day = parse_day("-".join((*names, "01", "01")[:3]))
    if day is None:
        raise NotInTree("no such day")
    return day


def resolve_folder(_context: Context, parent: FixedNode | DateNode, parts: Parts) -> Node:
    """Any year, month or day of the calendar."""
    (part,) = parts.values()
    names = (*parent.names, part) if isinstance(parent, DateNode) else (part,)
    return _folder(first_day_of(*names), len(names))


async def prepare(context: Context, _node: Node) -> None:
    """Have all recordings listed, since years and days are listed in order: without v2's first listing that takes
    one."""
    await know(context, "recordings")


def _next_day(context: Context, start_ms: int, stop_ms: int) -> date | None:
    """The first day with a recording in an interval."""
    found_ms = context.catalog.views.next_created_ms(max(start_ms, FIRST_DATED_MS))
    if found_ms is None or found_ms >= min(stop_ms, LAST_DATED_MS):
        return None
    return parse_day("-".join(date_folders(found_ms * NS_PER_MS, zone=zone_of(context))))


def _years(context: Context) -> Iterator[date]:
    start_ms = 0
    while (day := _next_day(context, start_ms, LAST_DATED_MS)) is not None:
        yield day.replace(month=1, day=1)
        start_ms = month_interval_ms(day.replace(month=_MONTHS, day=1), zone=zone_of(context))[1]


def years(context: Context, _node: Node, after: int) -> list[Entry]:
    """The years that have a recording."""
    return past([Entry(d.year, f"{d.year:04}", _folder(d, 1)) for d in _years(context)], after)


def months(context: Context, node: DateNode, after: int) -> list[Entry]:
    """The months of a year that have a recording."""
    year, zone = first_day_of(*node.names), zone_of(context)
    days = [year.replace(month=month) for month in range(1, _MONTHS + 1)]
    found = [day for day in days if _next_day(context, *month_interval_ms(day, zone=zone)) is not None]
    return past([Entry(day.month, f"{day.month:02}", _folder(day, 2)) for day in found], after)


def days(context: Context, node: DateNode, after: int) -> list[Entry]:
    """The days of a month that have a recording."""
    month, zone = first_day_of(*node.names), zone_of(context)
    spelt = (parse_day(f"{month.year:04}-{month.month:02}-{number:02}") for number in range(1, _DAYS + 1))
    found = [day for day in spelt if day and _next_day(context, *day_interval_ms(day, zone=zone)) is not None]
    return past([Entry(day.day, f"{day.day:02}", _folder(day, 3)) for day in found], after)


def interval_of(context: Context, node: DateNode) -> tuple[int, int]:
    """The interval of a day's folder, cut to the times that count as dates."""
    start_ms, stop_ms = day_interval_ms(first_day_of(*node.names), zone=zone_of(context))
    return max(start_ms, FIRST_DATED_MS), min(stop_ms, LAST_DATED_MS)


def files(context: Context, node: DateNode, after: int) -> list[Entry]:
    """The recordings of a day, by time."""
    start_ms, stop_ms = interval_of(context, node)

    def offset_of(row: ListedRecording) -> int:
        since_ms = (row.created_ms or start_ms) - start_ms
        return FIRST_ROW_OFFSET + ((since_ms << _SEQ_BITS | row.seq) << 1)

    def rows_after(at: int) -> list[ListedRecording]:
        key, slot = divmod(max(0, at - FIRST_ROW_OFFSET), 2)
        since_ms, seq = key >> _SEQ_BITS, key & _SEQ_MASK
        after_seq = seq if slot else max(0, seq - 1)
        return context.catalog.views.between(
            start_ms + since_ms, stop_ms, after_seq=after_seq, with_files=with_files(context)
        )

    return entries_after(context, after, rows_after, offset_of)


def _is_of_day(context: Context, node: DateNode, row: ViewRow) -> bool:
    created_ms = row.recording.created_ms
    start_ms, stop_ms = interval_of(context, node)
    return created_ms is not None and is_dated(created_ms) and start_ms <= created_ms < stop_ms


resolve_mp3 = resolver(Form.MP3, _is_of_day)
resolve_wav = resolver(Form.WAV, _is_of_day)
