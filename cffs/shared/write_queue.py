"""What is to be written to the shared server, in order and in the background.

A reader never waits for the server: what the queue has no room for is not written, and then another machine fetches it
once more. What belongs together stays in order, so that a block is there before it is shown, and shown before its lease
ends. It owns the queue. It must not know what is written.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from cffs.core.background import Background
from cffs.core.units import MIB

#: What may wait: the blocks of a second on a gigabit link would be fifteen times as much, and memory is counted nowhere
#: else for it.
MOST_QUEUED_NBYTES: Final = 8 * MIB
#: A bound on what takes no memory worth counting.
_MOST_QUEUED: Final = 4096

Write = Callable[[], Awaitable[object]]


class WriteQueue:
    """The queue of one server; a task writes while there is anything. No method is a checkpoint."""

    def __init__(self, background: Background, *, is_up: Callable[[], bool]) -> None:
        self._background = background
        self._is_up = is_up
        self._queue: deque[tuple[int, Write]] = deque()
        self._queued_nbytes = 0
        #: True while anything is to be written.
        self.is_writing = False
        #: How much was not written for want of room.
        self.dropped = 0

    def add(self, write: Write, *, nbytes: int = 0) -> bool:
        """Have `write` awaited after all that waits; False where there is no room, or no server. It raises nothing."""
        if not self._is_up():
            return False
        if self._queued_nbytes + nbytes > MOST_QUEUED_NBYTES or len(self._queue) >= _MOST_QUEUED:
            self.dropped += 1
            return False
        self._queue.append((nbytes, write))
        self._queued_nbytes += nbytes
        if not self.is_writing:
            self.is_writing = True
            self._background.start(self._write_all)
        return True

    async def _write_all(self) -> None:
        """Always a checkpoint where the server is asked; cancelled, what is queued is lost."""
        try:
            while self._queue:
                nbytes, write = self._queue.popleft()
                try:
                    await write()
                finally:
                    self._queued_nbytes -= nbytes
        finally:
            self.is_writing = False
