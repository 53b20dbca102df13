"""A call with its recordings in one read, its neighbours along with it: whoever lists one call's folder lists the next.

It must not know what a folder shows.
`catalog/store` asks it and drops everything at each write, so that what is kept here is never older than the rows.
"""

import sqlite3
from dataclasses import dataclass, field

from cffs.catalog.rows import CallRow, RecordingRow, call_row, recording_row

#: Calls read together: a walk of the tree then costs one statement a hundred folders, and a single `ls` half a
#: millisecond.
_CALLS = 64
#: Joined rows that one read may return; calls whose recordings are cut off by it are not kept.
_ROWS = 1000
#: Calls kept, so that a few walks at a time do not drive out each other's; about a kilobyte each.
_KEPT = 1024

_AHEAD = (
    "SELECT c.seq, c.id, c.campaign_id, c.created_ms, c.document, c.recordings_known, c.files_known,"
    " r.seq, r.id, r.call_id, r.campaign_id, r.name, r.stem, r.created_ms, r.hint_nbytes, r.seconds, r.state,"
    " r.document FROM (SELECT n.* FROM calls f CROSS JOIN calls n WHERE f.id = ?1 AND n.campaign_id = f.campaign_id"
    " AND n.seq >= f.seq ORDER BY n.seq LIMIT ?2) c LEFT JOIN recordings r ON r.call_id = c.id"
    " ORDER BY c.seq, r.seq LIMIT ?3"
)
_CALL_COLUMNS = 7


@dataclass(frozen=True, slots=True)
class CallFolder:
    """A call and its known recordings, in the order they were told."""

    call: CallRow
    recordings: list[RecordingRow] = field(default_factory=list)


class CallFolders:
    """What was read ahead. No method is a checkpoint."""

    def __init__(self) -> None:
        self._kept: dict[int, CallFolder] = {}

    def get(self, call_id: int) -> CallFolder | None:
        """The call's, where it was read."""
        return self._kept.get(call_id)

    def clear(self) -> None:
        """Rows have changed."""
        self._kept.clear()

    def read(self, reading: sqlite3.Connection, call_id: int) -> list[RecordingRow]:
        """Keep the call and the next ones; returns their recordings. Not kept is what there is not, and a call with
        more recordings than one read may return."""
        recordings: list[RecordingRow] = []
        rows = reading.execute(_AHEAD, (call_id, _CALLS, _ROWS)).fetchall()
        folder = None
        for row in rows:
            if folder is None or folder.call.id != row[1]:
                folder = self._kept[row[1]] = CallFolder(call_row(*row[:_CALL_COLUMNS]))
            if row[_CALL_COLUMNS] is not None:
                recordings.append(recording_row(*row[_CALL_COLUMNS:]))
                folder.recordings.append(recordings[-1])
        if folder is not None and len(rows) == _ROWS:
            del self._kept[folder.call.id]
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return recordings
