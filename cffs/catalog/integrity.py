"""Integrity of a catalogue's file: checked before use, or while it is in use.

It owns what counts as damage, and the mark beside a damaged file. It must not know tables or rows. Reading all of a
file of a million calls takes seconds, and minutes from a cold disk, which no mount should wait for: a large file is
checked in a thread while it is used, and a mark beside it lets the next mount set it aside.
"""

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import trio

from cffs.core.errors import CatalogueDamaged

log = logging.getLogger(__name__)

#: 100,000 calls, which take 0.3 s to check.
LARGE_NBYTES = 256 * 2**20
#: Steps of SQLite's machine between two checks whether the mount still lives: a few milliseconds.
_LOOK_STEPS = 100_000

#: Troubles of the machine, or of our own statements, and not of the file: a catalogue that is locked, or on a full
#: disk, is not thrown away.
_NOT_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_CONSTRAINT,
    }
)
#: The primary code lies in the lowest byte of an extended one.
_PRIMARY_CODE = 0xFF
#: What reading a damaged row raises.
UNREADABLE = (sqlite3.DatabaseError, ValueError, KeyError)


def is_large(path: Path) -> bool:
    """True for a file that is checked while it is used."""
    return path.stat().st_size > LARGE_NBYTES


def is_sound(connection: sqlite3.Connection) -> bool:
    """True where SQLite finds the file whole. Raises sqlite3.Error."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(verdict == "ok")


def mark_of(path: Path) -> Path:
    """The path of the mark that lies beside a file that was found damaged."""
    return path.with_name(path.name + ".damaged")


def is_damage(problem: Exception) -> bool:
    """True where reading rows failed by what is in the file, and not by the machine (a full disk, a locked file). A
    text that was never written so raises ValueError or KeyError where it becomes a value."""
    if isinstance(problem, sqlite3.DatabaseError):
        code = getattr(problem, "sqlite_errorcode", 0) & _PRIMARY_CODE
        return code not in _NOT_DAMAGE and not isinstance(problem, sqlite3.ProgrammingError)
    return isinstance(problem, UNREADABLE)


def damaged(path: Path, problem: Exception) -> CatalogueDamaged:
    """What to raise where damage made rows of the file `path` unreadable. It also leaves the mark for the next
    mount."""
    if not mark_of(path).exists():
        with suppress(OSError):
            mark_of(path).touch(mode=0o600)
        log.error("catalogue damaged file=%s reason=%s; the next mount sets it aside", path, problem)
    return CatalogueDamaged("what is known of it is damaged; mount again, and it is asked for again")


async def look_over(path: Path) -> None:
    """Check the whole file in a thread. If it is damaged, log that and have the next mount set it aside.

    Always a checkpoint; cancelled, the thread is asked to stop and not waited for. Raises OSError and
    sqlite3.OperationalError.
    """
    is_unwanted = False

    def look() -> bool:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.set_progress_handler(lambda: is_unwanted, _LOOK_STEPS)
            return _verdict(connection)

    try:
        sound = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    except trio.Cancelled:
        is_unwanted = True
        raise
    if not sound:
        mark_of(path).touch(mode=0o600)
        log.error("catalogue damaged file=%s; the next mount sets it aside and asks the service again", path)


def _verdict(connection: sqlite3.Connection) -> bool:
    try:
        return is_sound(connection)
    except sqlite3.OperationalError:
        raise  # a full or failing disk says nothing about the file
    except sqlite3.DatabaseError:
        return False
