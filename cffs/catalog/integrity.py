"""Whether the file of a catalogue is whole: looked at before it is used, or behind the mount.

It must not know tables or rows.
`catalog/schema` asks before use, `catalog/store` behind it. Reading all of a file of a million calls takes seconds, and
minutes from a cold disk: nobody waits for that. What is found late is told to the next mount by a mark beside the file.
"""

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import trio

from cffs.core.errors import CatalogueDamaged

log = logging.getLogger(__name__)

#: 100,000 calls, 0.3 s.
LARGE_NBYTES = 256 * 2**20
#: Steps of SQLite's machine between two looks whether the mount still lives: a few milliseconds.
_LOOK_STEPS = 100_000

#: Troubles of the machine, or of our own statements, and not of the file: a catalogue that is locked or on a full disk
#: is not thrown away.
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
    """True for a file that is looked over behind the mount."""
    return path.stat().st_size > LARGE_NBYTES


def is_sound(connection: sqlite3.Connection) -> bool:
    """Whether SQLite finds the file whole. Raises sqlite3.Error."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(verdict == "ok")


def mark_of(path: Path) -> Path:
    """What lies beside a file that was found damaged."""
    return path.with_name(path.name + ".damaged")


def is_damage(problem: Exception) -> bool:
    """Whether reading rows failed by what is in the file, and not by the machine (a full disk, a locked file). What
    makes objects of rows fails with ValueError or KeyError where a text is none that was ever written."""
    if isinstance(problem, sqlite3.DatabaseError):
        code = getattr(problem, "sqlite_errorcode", 0) & _PRIMARY_CODE
        return code not in _NOT_DAMAGE and not isinstance(problem, sqlite3.ProgrammingError)
    return isinstance(problem, UNREADABLE)


def damaged(path: Path, problem: Exception) -> CatalogueDamaged:
    """What to raise where damage made rows of the file `path` unreadable; the next mount is told to set it aside."""
    if not mark_of(path).exists():
        with suppress(OSError):
            mark_of(path).touch(mode=0o600)
        log.error("catalogue damaged file=%s reason=%s; the next mount sets it aside", path, problem)
    return CatalogueDamaged("what is known of it is damaged; mount again, and it is asked anew")


async def look_over(path: Path) -> None:
    """Read the whole file in a thread; if it is damaged, log so and have the next mount set it aside. Always a
    checkpoint; cancelled, the thread is told to stop and not waited for. Raises OSError and sqlite3.OperationalError.
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
        raise  # a full or failing disk says nothing of the file
    except sqlite3.DatabaseError:
        return False
