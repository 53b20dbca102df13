"""The catalogue's connections: one that reads inline on the loop, one that writes in a thread, a batch at a time.

It must not know tables.
`catalog/facts` and `catalog/store` read and write through it.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from cffs.catalog import schema
from cffs.core.errors import DeadlineExceeded

Row = TypeVar("Row")


class Database:
    """Two connections to one file: one loop, one reader, one writer thread. Raises OSError from the constructor."""

    def __init__(self, path: Path) -> None:
        schema.prepare(path)
        self._reading = schema.connect(path)
        self._writing = schema.connect(path)
        self._one_writer = trio.CapacityLimiter(1)
        self._is_closed = False

    async def aclose(self) -> None:
        """Close both connections, in the writer's turn: closing under a write that a background task left running
        would crash SQLite."""
        await trio.to_thread.run_sync(self._close, limiter=self._one_writer)
        self._reading.close()

    def _close(self) -> None:
        self._is_closed = True
        self._writing.close()

    def _one(self, make: Callable[..., Row], statement: str, *keys: object) -> Row | None:
        found = self._reading.execute(statement, keys).fetchone()
        return None if found is None else make(*found)

    def _all(self, make: Callable[..., Row], statement: str, *keys: object) -> list[Row]:
        return [make(*found) for found in self._reading.execute(statement, keys)]

    async def write(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        """Run `batch` in one transaction on the writer thread. Always a checkpoint.

        Cancelled before it starts, nothing happens; once started it is finished whole. Raises sqlite3.Error, after
        which nothing of the batch is visible, and DeadlineExceeded once the catalogue is closed.
        """
        await trio.to_thread.run_sync(self._in_transaction, batch, limiter=self._one_writer)

    def _in_transaction(self, batch: Callable[[sqlite3.Connection], None]) -> None:
        if self._is_closed:
            raise DeadlineExceeded("the catalogue is closed: the mount ends")
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            batch(self._writing)
            self._writing.execute("COMMIT")
        except BaseException:
            if self._writing.in_transaction:  # SQLite ends it itself where the disk is full
                self._writing.execute("ROLLBACK")
            raise
