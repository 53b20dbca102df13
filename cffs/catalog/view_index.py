"""Index of the views: which recordings are in which by-number and by-label folder.

It owns the folders of the views and what is in each, which it keeps up to date as rows are written. It must not know
paths, nor what the files of a view are called.

A folder's name is given once and kept. A recording is in a folder once, even if both parties of its call have that
number.
"""

import json
import sqlite3
import zlib
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from cffs.core.listed_names import FIRST_DATED_MS, LAST_DATED_MS, is_dated
from cffs.core.names import encode_name, file_name
from cffs.core.probe_names import is_probe_name

NUMBERS = "number"
LABELS = "label"
#: A call with more labels than people give must not cost more than its page.
MAX_LABELS = 256


#: What decides in which folders the recordings of a call are: its two numbers, and its labels as JSON.
Memberships = tuple[str, str, str]


class Attempt(NamedTuple):
    """What puts a recording into more folders than those of its call: the number that was dialed in the attempt that it
    was made in, and the labels of that attempt as JSON."""

    to_number: str = ""
    labels: str = "[]"


def memberships(db: sqlite3.Connection, call_id: int) -> Memberships | None:
    """What decides in which folders the recordings of the call are; None where there is no such call."""
    found = db.execute("SELECT from_number, to_number, labels FROM calls WHERE id = ?", (call_id,)).fetchone()
    return None if found is None else (str(found[0]), str(found[1]), str(found[2]))


def place_call(db: sqlite3.Connection, call_id: int) -> None:
    """Put the known recordings of a call into its folders, and take them out of those that are no longer its
    folders."""
    of_call = memberships(db, call_id)
    for (seq,) in db.execute("SELECT seq FROM recordings WHERE call_id = ?", (call_id,)).fetchall():
        displace(db, seq)
        place_recording(db, seq, of_call)


def place_recording(db: sqlite3.Connection, seq: int, of_call: Memberships | None) -> None:
    """Put a recording that is in no folder into the folders of its call and of its own attempt."""
    created_ms, *attempt = db.execute(_PLACED, (seq,)).fetchone()
    wanted = folders(db, of_call, Attempt(*attempt))
    place_all(db, [(folder, seq, created_ms) for folder in wanted])


def displace(db: sqlite3.Connection, seq: int) -> None:
    """Take a recording out of every folder, while its row still has the time that it was listed with."""
    left = db.execute("SELECT folder FROM view_rows WHERE recording = ?", (seq,)).fetchall()
    db.execute("DELETE FROM view_rows WHERE recording = ?", (seq,))
    (created_ms,) = db.execute("SELECT created_ms FROM recordings WHERE seq = ?", (seq,)).fetchone() or (None,)
    db.executemany(_NEWEST_AGAIN, [(*folder, created_ms, FIRST_DATED_MS, LAST_DATED_MS) for folder in left])


_PLACED = "SELECT created_ms, to_number, labels FROM recordings WHERE seq = ?"
#: The search looks at all recordings of a folder, so it is made only where the one that left may have been the newest.
_NEWEST_AGAIN = (
    "UPDATE view_folders SET newest_ms = (SELECT max(r.created_ms) FROM view_rows v"
    " JOIN recordings r ON r.seq = v.recording WHERE v.folder = view_folders.seq"
    " AND r.created_ms >= ?3 AND r.created_ms < ?4) WHERE seq = ?1 AND newest_ms <= ?2"
)
_NEWER = "UPDATE view_folders SET newest_ms = ?2 WHERE seq = ?1 AND (newest_ms IS NULL OR newest_ms < ?2)"


def place_all(db: sqlite3.Connection, places: Sequence[tuple[int, int, int | None]]) -> None:
    """Put recordings into folders; each place is (folder, sequence number of the recording, when it was made)."""
    newest: dict[int, int] = {}
    for folder, _seq, created_ms in places:
        if created_ms is not None and is_dated(created_ms) and created_ms > newest.get(folder, 0):
            newest[folder] = created_ms
    db.executemany("INSERT OR IGNORE INTO view_rows (folder, recording) VALUES (?, ?)", [one[:2] for one in places])
    db.executemany(_NEWER, list(newest.items()))


def folders(
    db: sqlite3.Connection,
    of_call: Memberships | None,
    attempt: Attempt,
    *,
    known: dict[tuple[str, str], int] | None = None,
) -> list[int]:
    """The folders that a recording of that call and attempt belongs into; those that do not exist are made. `known`
    remembers them for the calls of one transaction."""
    from_number, to_number, labels = of_call or ("", "", "[]")
    wanted = [(NUMBERS, text) for text in (from_number, to_number, attempt.to_number) if text.strip()]
    for kept in (labels, attempt.labels):
        if kept != "[]":
            wanted += [(LABELS, text) for text in json.loads(kept)[:MAX_LABELS] if text.strip()]
    known = {} if known is None else known
    for folder in wanted:
        if folder not in known:
            known[folder] = _folder(db, *folder)
    return [known[folder] for folder in dict.fromkeys(wanted)]


def _folder(db: sqlite3.Connection, view: str, text: str) -> int:
    # JSON: a lone surrogate in a label could not be bound
    kept = encode_basestring_ascii(text)  # what json.dumps gives, in a tenth of its time
    found = db.execute("SELECT seq FROM view_folders WHERE view = ? AND text = ?", (view, kept)).fetchone()
    if found is not None:
        return int(found[0])

    def is_taken(name: str) -> bool:
        taken = db.execute("SELECT 1 FROM view_folders WHERE view = ? AND name = ?", (view, name)).fetchone()
        return is_probe_name(name) or taken is not None

    # Neither numbers nor labels have an id at the service: a checksum of the text is as stable as an id can be here
    name = file_name(encode_name(text), extension="", id=zlib.crc32(kept.encode("ascii")), taken=is_taken)
    done = db.execute("INSERT INTO view_folders (view, text, name) VALUES (?, ?, ?)", (view, kept, name))
    return int(done.lastrowid or 0)
