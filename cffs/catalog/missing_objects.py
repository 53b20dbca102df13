"""Objects that the service denies: a row goes after two denials an hour apart.

It owns the first denial of each object, and what is removed with a row. It must not know what is cached of the object.
Only 404 and 410 make a name disappear (`cffs/docs/semantics.md#lookup`).
"""

import re
import sqlite3
from collections.abc import Callable, Iterable

from cffs.catalog import view_index
from cffs.core.names import decode_name

#: A service that restores a backup, or one node of it that lags behind, says "not found" for minutes.
APART_MS = 3_600_000

_Leave = Callable[[sqlite3.Connection, tuple[str, ...]], None]


def note(db: sqlite3.Connection, key: str, *, now_ms: int) -> bool:
    """Note that the service has just denied the object; True where that removed its row. The first denial is
    remembered. Runs inside a transaction."""
    found = _found(db, key)
    if found is None:  # the row went meanwhile
        return False
    leave, parts = found
    first = db.execute("SELECT first_ms FROM absences WHERE key = ?", (key,)).fetchone()
    if first is None or first[0] > now_ms:  # the clock was set back: begin again
        db.execute("INSERT OR REPLACE INTO absences (key, first_ms) VALUES (?, ?)", (key, now_ms))
        return False
    if now_ms - first[0] < APART_MS:
        return False
    leave(db, parts)
    db.execute("DELETE FROM absences WHERE key = ?", (key,))
    db.execute("DELETE FROM facts WHERE object_key = ?", (key,))
    return True


def has_row(db: sqlite3.Connection, key: str) -> bool:
    """True where there is a row that may go. Denials of other keys are not remembered: a program that asks at random
    must not cost memory."""
    return _found(db, key) is not None


def forget(db: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Forget the denials of these objects: the service has them after all."""
    db.executemany("DELETE FROM absences WHERE key = ?", [(key,) for key in keys])


def _found(db: sqlite3.Connection, key: str) -> tuple[_Leave, tuple[str, ...]] | None:
    for pattern, exists, leave in _KINDS:
        match = pattern.fullmatch(key)
        if match is not None:
            parts = tuple(decode_name(part) for part in match.groups())
            return (leave, parts) if db.execute(exists, parts).fetchone() else None
    return None


def _recording_leaves(db: sqlite3.Connection, parts: tuple[str, ...]) -> None:
    _recordings_leave(db, "id = ?", parts)


def _recordings_leave(db: sqlite3.Connection, which: str, parts: tuple[str, ...]) -> None:
    # The condition is one of ours. `cffs watch` remembers sequence numbers, so that of a removed row is not given
    # again.
    rows = db.execute(f"SELECT seq, id FROM recordings WHERE {which}", parts).fetchall()  # nosec B608  # noqa: S608
    for seq, recording_id in rows:
        db.execute("UPDATE recordings_left SET seq = max(seq, ?)", (seq,))
        view_index.displace(db, seq)
        db.execute("DELETE FROM recordings WHERE seq = ?", (seq,))
        db.execute("DELETE FROM facts WHERE object_key = ?", (f"recording/{recording_id}.mp3",))


def _call_leaves(db: sqlite3.Connection, parts: tuple[str, ...]) -> None:
    _recordings_leave(db, "call_id = ?", parts)
    db.execute("DELETE FROM files WHERE call_id = ?", parts)
    db.execute("DELETE FROM calls WHERE id = ?", parts)


def _one(statement: str) -> _Leave:
    def leaves(db: sqlite3.Connection, parts: tuple[str, ...]) -> None:
        db.execute(statement, parts)

    return leaves


_DYNAMIC = "FROM dynamic_files WHERE hash = ? AND year = ? AND month = ? AND campaign = ? AND filename = ?"
#: Keys of objects, whether there is a row, and what is removed with it. Another form of an object (a media file as
#: another type, a clip of a recording) says nothing about it.
_KINDS: tuple[tuple[re.Pattern[str], str, _Leave], ...] = (
    (re.compile(r"recording/([0-9]+)\.mp3"), "SELECT 1 FROM recordings WHERE id = ?", _recording_leaves),
    (
        re.compile(r"recording/([0-9]+)\.wav"),
        "SELECT 1 FROM files WHERE id = ?",
        _one("DELETE FROM files WHERE id = ?"),
    ),
    (
        re.compile(r"media/([0-9]+)\.(\w+)"),
        "SELECT 1 FROM media WHERE id = ? AND extension = ?",
        _one("DELETE FROM media WHERE id = ? AND extension = ?"),
    ),
    (
        re.compile(r"dynamic/([^/]*)/([^/]*)/([^/]*)/([^/]*)/([^/]*)"),
        f"SELECT 1 {_DYNAMIC}",
        _one(f"DELETE {_DYNAMIC}"),
    ),
    (re.compile(r"call/([0-9]+)"), "SELECT 1 FROM calls WHERE id = ?", _call_leaves),
)
