"""Reads that may look at every row: in a thread, each with a connection of its own, so that the loop goes on.

It must not know what is asked. `catalog/store` owns the one instance.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import trio

from cffs.catalog import schema
from cffs.catalog.views import Views

Found = TypeVar("Found")

#: At a time; more searches of a million rows than that would only wait for each other's disk.
_READERS = 4
#: Steps of SQLite's machine between two looks whether anybody waits still: a few milliseconds.
_LOOK_STEPS = 100_000


class InThread:
    """Asks in threads. A connection costs a millisecond, which is nothing beside what is asked here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = trio.CapacityLimiter(_READERS)

    async def ask(self, question: Callable[[Views], Found], *, page_rows: int, is_lean: bool) -> Found:
        """What `question` returns of views that only it reads; see there for `page_rows` and `is_lean`.

        Always a checkpoint. Cancelled, the statement it is at is interrupted. Raises sqlite3.Error.
        """
        is_unwanted = False

        def work() -> Found:
            with closing(schema.connect(self._path)) as connection:
                # not interrupt(): that does nothing between two statements
                connection.set_progress_handler(lambda: is_unwanted, _LOOK_STEPS)
                return question(Views(connection, page_rows=page_rows, is_lean=is_lean, path=self._path))

        try:
            return await trio.to_thread.run_sync(work, limiter=self._readers, abandon_on_cancel=True)
        except trio.Cancelled:
            is_unwanted = True
            raise
