"""SQLite connections: one reads inline on the loop, one writes in a thread.

It owns the connections, the writer's queue, the threads of long reads, and what happens when the state folder fails. It
must not know tables.
"""

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import trio

from cffs.catalog import schema
from cffs.catalog.integrity import UNREADABLE, damaged, is_damage
from cffs.catalog.views import Views
from cffs.core.errors import DeadlineExceeded

Found = TypeVar("Found")

#: Long reads at a time: more searches of a million rows than this would only wait for each other's disk.
_READERS = 4
#: Steps of SQLite's machine between two checks whether the caller still waits: a few milliseconds.
_LOOK_STEPS = 100_000


class InThread:
    """Reads in threads. A connection costs a millisecond, which is nothing beside the reads that come this way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = trio.CapacityLimiter(_READERS)

    async def ask(self, question: Callable[[Views], Found], *, page_rows: int, is_lean: bool) -> Found:
        """Return what `question` returns of views of its own; `page_rows` and `is_lean` are those of `Views`.

        Always a checkpoint. Cancelled, the statement that is running is interrupted. Raises sqlite3.Error.
        """
        is_unwanted = False

        def work() -> Found:
            with closing(schema.connect(self._path)) as connection:
                # not interrupt(), which does nothing between two statements
                connection.set_progress_handler(lambda: is_unwanted, _LOOK_STEPS)
                return question(Views(connection, page_rows=page_rows, is_lean=is_lean, path=self._path))

        try:
            return await trio.to_thread.run_sync(work, limiter=self._readers, abandon_on_cancel=True)
        except trio.Cancelled:
            is_unwanted = True
            raise


Row = TypeVar("Row")
log = logging.getLogger(__name__)

#: What SQLite says of a state folder that is full, fails, or turned read-only. The low byte is the primary code.
_PRIMARY_CODE = 0xFF
_FOLDER_FAILS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
#: A folder in memory, where the machine has one.
_MEMORY = Path("/dev/shm")  # nosec B108  # noqa: S108 - a folder of ours is made in it, 0700, and removed at once


class Database:
    """Two connections to one file: a reader on the loop, and a writer in a thread. Raises OSError from the
    constructor."""

    def __init__(self, path: Path, *, timezone: str) -> None:
        schema.prepare(path, timezone=timezone)
        self._reading, self._writing = _pair(path)
        self._one_writer = trio.CapacityLimiter(1)
        self._is_closed = False
        self._has_moved = False
        self._moved_from: sqlite3.Connection | None = None
        self._path = path

    async def aclose(self) -> None:
        """Close both connections, in the writer's turn: to close under a write that a background task left running
        would crash SQLite. Always a checkpoint."""
        await trio.to_thread.run_sync(self._close, limiter=self._one_writer)
        self._reading.close()
        if self._moved_from is not None:
            self._moved_from.close()

    def _close(self) -> None:
        self._is_closed = True
        self._writing.close()

    def _one(self, make: Callable[..., Row], statement: str, *keys: object) -> Row | None:
        try:
            found = self._reading.execute(statement, keys).fetchone()
            return None if found is None else make(*found)
        except UNREADABLE as problem:
            if not is_damage(problem):
                raise
            raise damaged(self._path, problem) from problem

    def _all(self, make: Callable[..., Row], statement: str, *keys: object) -> list[Row]:
        try:
            return [make(*found) for found in self._reading.execute(statement, keys)]
        except UNREADABLE as problem:
            if not is_damage(problem):
                raise
            raise damaged(self._path, problem) from problem

    @contextmanager
    def _closed_where_it_fails(self) -> Iterator[None]:
        """Close the connections where what a constructor reads fails, since no caller can."""
        try:
            yield
        except BaseException:
            self._writing.close()
            self._reading.close()
            raise

    async def write(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        """Run `batch` in one transaction on the writer thread. Always a checkpoint.

        Cancelled before it starts, nothing happens; once started, it is finished. Raises sqlite3.Error, or
        CatalogueDamaged where the file is damaged, and nothing of the batch is visible then; DeadlineExceeded once the
        catalogue is closed. Where the state folder fails (a full disk), the catalogue moves into memory for the rest of
        the mount's life, and the batch with it.
        """
        await trio.to_thread.run_sync(self._in_transaction, batch, limiter=self._one_writer)

    def _in_transaction(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        if self._is_closed:
            raise DeadlineExceeded("the catalogue is closed: the mount ends")
        try:
            self._run(batch)
        except sqlite3.DatabaseError as problem:
            code = getattr(problem, "sqlite_errorcode", 0) & _PRIMARY_CODE
            if code in _CORRUPT:
                raise damaged(self._path, problem) from problem
            if self._has_moved or code not in _FOLDER_FAILS or not isinstance(problem, sqlite3.OperationalError):
                raise
            self._move(problem)
            self._run(batch)

    def _run(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            batch(self._writing)
            self._writing.execute("COMMIT")
        except BaseException:
            if self._writing.in_transaction:  # SQLite ends it itself where the disk is full
                self._writing.execute("ROLLBACK")
            raise

    def _move(self, problem: sqlite3.OperationalError) -> None:
        """Move both connections to an unlinked copy in memory. A statement that the loop is running ends on the old
        one."""
        folder = Path(tempfile.mkdtemp(prefix="cffs-", dir=_MEMORY if _MEMORY.is_dir() else None))
        try:
            path = folder / "catalog.sqlite"
            path.touch(mode=0o600)
            reading, writing = _pair(path, copy_of=self._writing)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._has_moved = True
        self._writing.close()
        self._moved_from = self._reading  # the loop may be in the middle of a statement on it
        self._writing, self._reading = writing, reading
        log.warning("catalogue kept in memory until the next mount: its folder fails reason=%s", problem)


def _pair(path: Path, *, copy_of: sqlite3.Connection | None = None) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open a connection that reads and one that writes, with all their files; neither stays open where one fails."""
    with ExitStack() as opened:
        writing = schema.connect(path)
        opened.callback(writing.close)
        # The journal that undoes one INSERT with a trigger would be a temporary file: a sixth of what a page costs
        writing.execute("PRAGMA temp_store = MEMORY")
        if copy_of is not None:
            copy_of.backup(writing)
        reading = schema.connect(path)
        opened.callback(reading.close)
        for connection in (writing, reading):
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        opened.pop_all()
    return reading, writing
