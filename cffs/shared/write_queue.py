"""What is to be written to the shared server, in the background.

A reader never waits for the server: what the queue has no room for is not written, and then another machine fetches it
once more. What is of one object stays in order, so that a block is there before it is shown; several such lanes are
written at once, because the time of a write is mostly spent waiting. It owns the queue. It must not know what is
written.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from cffs.core.background import Background
from cffs.core.units import MIB

#: What may wait, beside the memory of the caches: 100 blocks, those of a few seconds on a slow line.
MOST_QUEUED_NBYTES: Final = 16 * MIB
#: A bound on what takes no memory worth counting.
_MOST_QUEUED: Final = 4096
#: Lanes that are written at the same time.
MOST_WRITERS: Final = 8

Write = Callable[[], Awaitable[object]]


class WriteQueue:
    """The queue of one server; tasks write while there is anything. No method is a checkpoint."""

    def __init__(self, background: Background, *, is_up: Callable[[], bool]) -> None:
        self._background = background
        self._is_up = is_up
        #: The writes of each lane; the lane that is written next is the first.
        self._lanes: dict[Hashable, deque[tuple[int, Write]]] = {}
        self._busy: set[Hashable] = set()
        self._writers = 0
        self._queued = 0
        self._queued_nbytes = 0
        #: How much was not written for want of room.
        self.dropped = 0

    @property
    def is_writing(self) -> bool:
        """True while anything is to be written."""
        return bool(self._writers)

    def add(self, lane: Hashable, write: Write, *, nbytes: int = 0) -> bool:
        """Have `write` awaited after all that waits in that lane; False where there is no room, or no server. It raises
        nothing."""
        if not self._is_up():
            return False
        if self._queued_nbytes + nbytes > MOST_QUEUED_NBYTES or self._queued >= _MOST_QUEUED:
            self.dropped += 1
            return False
        self._lanes.setdefault(lane, deque()).append((nbytes, write))
        self._queued += 1
        self._queued_nbytes += nbytes
        if self._writers < min(MOST_WRITERS, len(self._lanes)):
            self._writers += 1
            self._background.start(self._write_all)
        return True

    async def _write_all(self) -> None:
        """Always a checkpoint where the server is asked; cancelled, what is queued is lost."""
        try:
            while (lane := next((one for one in self._lanes if one not in self._busy), None)) is not None:
                await self._write_lane(lane)
        finally:
            self._writers -= 1

    async def _write_lane(self, lane: Hashable) -> None:
        self._busy.add(lane)
        try:
            while queued := self._lanes[lane]:
                nbytes, write = queued.popleft()
                try:
                    await write()
                finally:
                    self._queued -= 1
                    self._queued_nbytes -= nbytes
        finally:
            self._busy.discard(lane)
            del self._lanes[lane]
