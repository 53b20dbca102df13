"""The audio files of the views: how they are called, where they stand in their folder, which one a name stands for.

It must not know what brings a recording into a folder; each view says that.
`tree/dates`, `tree/views` and `tree/search` call it. A file is the same node here as under campaigns/.
"""

import re
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from cffs.catalog.views import ViewRow
from cffs.core.errors import RemoteObjectMissing
from cffs.core.ids import parse_id
from cffs.core.listed_names import UNKNOWN_NUMBER, is_dated, other_side
from cffs.core.times import file_stamp
from cffs.tree.audio import mp3_listed, wav_content
from cffs.tree.behaviour import Parts, Resolve
from cffs.tree.context import FIRST_ROW_OFFSET, Context, past, row_offset
from cffs.tree.hints import Form
from cffs.tree.listed import of_listing
from cffs.tree.nodes import Entry, Kind, Node
from cffs.tree.question import Question
from cffs.tree.recordings import mp3_node, shown_forms, wav_node, wavs_are_sure

_NS_A_MS = 1_000_000
#: `…_18000000003.mp3`, and with a cut stem `… ~18000000003.mp3`.
_ID = re.compile(r".*[_~]([1-9][0-9]{0,18})", re.ASCII | re.DOTALL)
_ENTRIES_A_ROW = row_offset(1, 0) - row_offset(0, 0)
_LAST_SLOT = 1

IsMember = Callable[[Context, Node, ViewRow], bool]


def zone_of(context: Context) -> ZoneInfo:
    """The zone that days and times of day are told in."""
    return context.catalog.zone


def stamp_of(context: Context, row: ViewRow) -> str:
    """When the recording was made, as titles begin."""
    created_ms = row.recording.created_ms
    if created_ms is None or not is_dated(created_ms):
        return "undated"
    return file_stamp(created_ms * _NS_A_MS, zone=zone_of(context))


def other_number(row: ViewRow) -> str:
    """The other side's number as the service spells it."""
    number = other_side(
        inbound=row.inbound,
        from_number=row.from_number,
        to_number=row.to_number,
        tried_number=row.recording.tried_number,
    )
    return number.strip() or UNKNOWN_NUMBER


def name_of(row: ViewRow, form: Form) -> str:
    """The name that every folder but its call's lists it under."""
    return f"{row.recording.listed}.{form}"


def files_of(context: Context, row: ViewRow) -> Iterator[tuple[Form, Node]]:
    """The forms of a recording that listings show; a WAV where v1 told of it or is known to have it."""
    forms = shown_forms(context)
    if Form.MP3 in forms:
        yield Form.MP3, mp3_node(row.recording)
    if Form.WAV in forms and (row.file_seq is not None or wavs_are_sure(context)):
        yield Form.WAV, wav_node(row.recording.id)


def entries_after(
    context: Context,
    after: int,
    rows_after: Callable[[int], list[ViewRow]],
    place_of: Callable[[ViewRow], int],
) -> list[Entry]:
    """The next entries past a place; [] only behind the last. `rows_after` gives rows whose second place lies past the
    one it is given, `place_of` a row's first place (the second is the next number)."""
    at = after
    while rows := rows_after(at):
        if found := past(entries_of(context, rows, place_of), after):
            return found
        at = last_place(rows, place_of)
    return []


def entries_of(context: Context, rows: list[ViewRow], place_of: Callable[[ViewRow], int]) -> list[Entry]:
    """The files of some rows, in their order."""
    entries = []
    for row in rows:
        for form, node in files_of(context, row):
            is_mp3 = form is Form.MP3
            content = mp3_listed(context, row.recording) if is_mp3 else wav_content(context, node)
            entries.append(Entry(place_of(row) + int(not is_mp3), name_of(row, form), node, content))
    return entries


def last_place(rows: list[ViewRow], place_of: Callable[[ViewRow], int]) -> int:
    """Behind all that some rows make."""
    return place_of(rows[-1]) + _LAST_SLOT


def row_place(row: ViewRow) -> int:
    """The first place of a row in a folder that is ordered by sequence number."""
    return row_offset(row.recording.seq, 0)


def seq_done(place: int) -> int:
    """The last sequence number whose places all lie at or before `place`."""
    seq, slot = divmod(max(0, place - FIRST_ROW_OFFSET), _ENTRIES_A_ROW)
    return seq if slot >= _LAST_SLOT else max(0, seq - 1)


def resolver(form: Form, is_member: IsMember) -> Resolve:
    """How `{name}.{form}` is found in a folder that holds what `is_member` says."""

    def resolve(context: Context, parent: Node, parts: Parts) -> Node | Question:
        name = f"{parts['name']}.{form}"
        found = _ID.fullmatch(parts["name"])
        recording_id = parse_id(found[1]) if found else None
        if recording_id is None:
            raise RemoteObjectMissing("no file of a view is called so")

        def known() -> ViewRow | None:
            row = context.catalog.views.recording(recording_id)
            return row if row and is_member(context, parent, row) and name_of(row, form) == name else None

        if form is Form.MP3:
            return of_listing(
                context, "recordings", known, lambda row: mp3_node(row.recording), Node(Kind.MP3, (recording_id,))
            )
        if context.account.v1 is None:
            raise RemoteObjectMissing("WAVs are v1's")
        node = wav_node(recording_id)
        listed = of_listing(context, "recordings", known, lambda _row: node, node)
        if isinstance(listed, Node) and _is_known_wav(context, node):
            return node

        async def ask() -> Node:
            if isinstance(listed, Question):
                await listed.ask()
            if not context.catalog.file(recording_id):
                await context.require_remote(wav_content(context, node))
            return node

        return Question(node, ask)

    return resolve


def _is_known_wav(context: Context, node: Node) -> bool:
    return context.catalog.file(int(node.args[0])) is not None or context.is_known(wav_content(context, node))
