"""A read-ahead cache of calls with their recordings, for walks over call folders.

It owns which calls are kept. It must not know what a folder shows. A program that lists one call's folder lists the
next one, so one statement reads a call together with those that follow it. A write empties the cache, so that nothing
in it is older than the rows.
"""

import sqlite3
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from cffs.catalog.rows import CALL_COLUMNS, RECORDING_COLUMNS, CallRow, RecordingRow, call_row, recording_row

#: Joined rows read together: first few, so that a walk costs one statement for a hundred folders and a single `ls` half
#: a millisecond; then many, for a call that has more recordings than that. A call whose recordings are cut off by the
#: limit is not kept.
_ROWS = (128, 1000)
#: Calls kept, about a kilobyte each: enough that a few walks at a time do not evict each other's.
_KEPT = 1024


class Beside(Enum):
    """Which calls stand beside a call where its folder is listed: a program that opens one opens the next."""

    CAMPAIGN = "c.campaign_id = f.campaign_id AND "
    MONTH = "c.month IS f.month AND "
    ALL = ""


#: In the order of an index: sorting the rows costs as much as reading them.
_AHEAD = {
    beside: f"{CALL_COLUMNS}, {RECORDING_COLUMNS} FROM calls f CROSS JOIN calls c"
    f" LEFT JOIN recordings r ON r.call_id = c.id WHERE f.id = ?1 AND {beside.value}c.seq >= f.seq"
    " ORDER BY c.seq LIMIT ?2"
    for beside in Beside
}
_CALL_COLUMNS = len(CallRow._fields)


@dataclass(frozen=True, slots=True)
class CallFolder:
    """A call and its known recordings, in the order in which they became known."""

    call: CallRow
    recordings: list[RecordingRow] = field(default_factory=list)


class CallCache:
    """The calls that were read ahead. No method is a checkpoint."""

    def __init__(self) -> None:
        self._kept: dict[int, CallFolder] = {}

    def get(self, call_id: int) -> CallFolder | None:
        """The call with its recordings, where it is kept."""
        return self._kept.get(call_id)

    def clear(self) -> None:
        """Drop everything, since rows have changed."""
        self._kept.clear()

    def read(self, reading: sqlite3.Connection, call_id: int, beside: Beside) -> list[RecordingRow]:
        """Keep the call and the next ones beside it; returns their recordings. A call that does not exist is not kept,
        nor one that has more recordings than one read may return."""
        rows, is_cut = self._rows(reading, call_id, beside)
        recordings: list[RecordingRow] = []
        for ident, joined in groupby(rows, key=itemgetter(1)):
            first, *others = joined
            found = [] if first[_CALL_COLUMNS] is None else [recording_row(*first[_CALL_COLUMNS:])]
            if others:
                found += [recording_row(*row[_CALL_COLUMNS:]) for row in others]
                found.sort(key=attrgetter("seq"))
            self._kept[ident] = CallFolder(call_row(*first[:_CALL_COLUMNS]), found)
            recordings += found
        if is_cut:
            del self._kept[rows[-1][1]]
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return recordings

    def _rows(self, reading: sqlite3.Connection, call_id: int, beside: Beside) -> tuple[list[tuple[Any, ...]], bool]:
        """The joined rows, and whether the recordings of the last call may have been cut off."""
        rows: list[tuple[Any, ...]] = []
        for limit in _ROWS:
            rows = reading.execute(_AHEAD[beside], (call_id, limit)).fetchall()
            if len(rows) < limit:
                return rows, False
            if rows[-1][1] != call_id:
                break
        return rows, True
