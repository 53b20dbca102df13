"""Which recordings belong into which folder of the views, kept beside the rows as they are written.

It must not know paths or what a view's files are called.
`catalog/writes` calls it inside its transactions, `catalog/schema` for rows that are older than the views.

A folder's name is given once and kept. A recording is in a folder once, whichever of the call's parties has its number.
"""

import json
import sqlite3
import zlib
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii

from cffs.core.junk import is_junk
from cffs.core.names import encode_name, file_name

NUMBERS = "number"
LABELS = "label"
#: A call with more labels than a person gives it must not cost more than its page.
MAX_LABELS = 256


#: What decides in which folders a call's recordings are: its two numbers, its labels as JSON.
Memberships = tuple[str, str, str]


def memberships(db: sqlite3.Connection, call_id: int) -> Memberships | None:
    """What decides in which folders the call's recordings are; None where there is no such call."""
    found = db.execute("SELECT from_number, to_number, labels FROM calls WHERE id = ?", (call_id,)).fetchone()
    return None if found is None else (str(found[0]), str(found[1]), str(found[2]))


def place_call(db: sqlite3.Connection, call_id: int) -> None:
    """Put the known recordings of a call into its folders, and out of those that are not its any more."""
    folders_of_call = folders(db, memberships(db, call_id))
    for (seq,) in db.execute("SELECT seq FROM recordings WHERE call_id = ?", (call_id,)).fetchall():
        db.execute("DELETE FROM view_rows WHERE recording = ?", (seq,))
        _place(db, seq, folders_of_call)


def place_recording(db: sqlite3.Connection, seq: int, call_id: int, *, of_call: Memberships | None = None) -> None:
    """The same for one recording that is in no folder yet; `of_call` is what is known of its call, if at hand."""
    _place(db, seq, folders(db, of_call or memberships(db, call_id)))


def name_campaign(db: sqlite3.Connection, campaign_id: int, name: str) -> None:
    """Give the campaign its name under by-name/, once."""
    named = db.execute("SELECT 1 FROM campaigns WHERE id = ? AND stem IS NOT NULL", (campaign_id,)).fetchone()
    if named is None:

        def is_taken(stem: str) -> bool:
            found = db.execute("SELECT 1 FROM campaigns WHERE stem = ?", (stem,)).fetchone()
            return is_junk(stem) or found is not None

        stem = file_name(encode_name(name), extension="", id=campaign_id, taken=is_taken)
        db.execute("UPDATE campaigns SET stem = ? WHERE id = ?", (stem, campaign_id))


def fill(db: sqlite3.Connection) -> None:
    """Do the same for every row there is."""
    for campaign_id, name in db.execute(
        "SELECT id, name FROM campaigns WHERE document NOT NULL ORDER BY seq"
    ).fetchall():
        name_campaign(db, campaign_id, json.loads(name))
    for (call_id,) in db.execute("SELECT DISTINCT call_id FROM recordings").fetchall():
        place_call(db, call_id)


def place_all(db: sqlite3.Connection, places: Sequence[tuple[int, int]]) -> None:
    """Put recordings into folders: (folder, sequence number of the recording) of each."""
    db.executemany("INSERT OR IGNORE INTO view_rows (folder, recording) VALUES (?, ?)", places)


def _place(db: sqlite3.Connection, seq: int, folders_of_call: list[int]) -> None:
    place_all(db, [(folder, seq) for folder in folders_of_call])


def folders(
    db: sqlite3.Connection, of_call: Memberships | None, *, known: dict[tuple[str, str], int] | None = None
) -> list[int]:
    """The folders that a call's recordings belong into, made where there are none yet. `known` remembers them for the
    calls of one transaction."""
    if of_call is None:
        return []
    from_number, to_number, labels = of_call
    wanted = [(NUMBERS, text) for text in (from_number, to_number) if text.strip()]
    if labels != "[]":
        wanted += [(LABELS, text) for text in json.loads(labels)[:MAX_LABELS] if text.strip()]
    known = {} if known is None else known
    for folder in wanted:
        if folder not in known:
            known[folder] = _folder(db, *folder)
    return [known[folder] for folder in wanted]


def _folder(db: sqlite3.Connection, view: str, text: str) -> int:
    # JSON: a lone surrogate in a label could not be bound
    kept = encode_basestring_ascii(text)  # what json.dumps gives, in a tenth of its time
    found = db.execute("SELECT seq FROM view_folders WHERE view = ? AND text = ?", (view, kept)).fetchone()
    if found is not None:
        return int(found[0])

    def is_taken(name: str) -> bool:
        taken = db.execute("SELECT 1 FROM view_folders WHERE view = ? AND name = ?", (view, name)).fetchone()
        return is_junk(name) or taken is not None

    # Neither numbers nor labels have an id at the service: the text's own checksum is as stable as it gets
    name = file_name(encode_name(text), extension="", id=zlib.crc32(kept.encode("ascii")), taken=is_taken)
    done = db.execute("INSERT INTO view_folders (view, text, name) VALUES (?, ?, ?)", (view, kept, name))
    return int(done.lastrowid or 0)
