"""Names for rows that were written by cffs 0.1, before rows had names.

It owns the one pass over such rows. It must not know the history of the tables. The document of each call is parsed
again, since the columns do not hold all that a name says.
"""

import json
import sqlite3

from cffs.catalog import display_names, view_index
from cffs.catalog.upserts import attempt_of
from cffs.core.errors import MalformedAnswer
from cffs.core.json_values import decode
from cffs.core.v2_parsers import parse_call
from cffs.core.values import Call

#: Calls read and written together.
_AT_ONCE = 1000
_CALLS = "SELECT seq, document FROM calls WHERE seq > ? AND document NOT NULL ORDER BY seq LIMIT ?"
_WITH_TIMES = ("campaigns", "calls", "recordings", "files", "media", "dynamic_files", "facts")


def fill(db: sqlite3.Connection) -> None:
    """Name every campaign, call and recording, and put each recording into the folders of its numbers and labels."""
    for table in _WITH_TIMES:
        db.execute(f"UPDATE {table} SET seen_ms = unixepoch() * 1000")  # nosec B608  # noqa: S608 - names of our own
    db.execute("UPDATE documents SET seen_ms = refreshed_ms")
    campaigns = db.execute("SELECT id, name FROM campaigns WHERE document NOT NULL ORDER BY seq").fetchall()
    for campaign_id, name in campaigns:
        display_names.name_campaign(db, campaign_id, json.loads(name))
    seq = 0
    while rows := db.execute(_CALLS, (seq, _AT_ONCE)).fetchall():
        for seq, document in rows:
            call = _read(document)
            if call is not None:
                _fill_call(db, seq, call)
    db.execute("DELETE FROM view_rows")
    for (call_id,) in db.execute("SELECT DISTINCT call_id FROM recordings").fetchall():
        view_index.place_call(db, call_id)
        display_names.complete_recordings(db, call_id)


def _read(document: bytes) -> Call | None:
    try:
        return parse_call(decode(document, what="a kept call"))
    except MalformedAnswer:  # of a version that accepted what this one refuses
        return None


def _fill_call(db: sqlite3.Connection, seq: int, call: Call) -> None:
    given = display_names.new_call(display_names.parts_of_call(call), call.id, display_names.zone_of(db))
    db.execute("UPDATE calls SET listed = ?, unsaid = ?, month = ? WHERE seq = ?", (*given, seq))
    attempts = [(*attempt_of(recording), recording.id, call.id) for recording in call.recordings or ()]
    db.executemany("UPDATE recordings SET to_number = ?, labels = ? WHERE id = ? AND call_id = ?", attempts)
