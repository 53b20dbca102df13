"""How many requests are on the wire at once; one without progress for a second no longer counts.

It must not know what a request is. A plain CapacityLimiter would let a few hung bodies stop every healthy one
(contract, section 2: `--connections`); httpcore's own queue costs time with each waiter (perf.md, section 2).
`callfire/transport` owns one for bodies and one for metadata.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

#: Contract, section 2: a connection without progress for 1 s no longer counts.
STALLED_SECONDS = 1.0
#: Stalled ones still hold a socket each; from so many on even they count.
MAX_SLOTS = 64


class Slot:
    """One place on the wire; whoever holds it says when bytes moved."""

    __slots__ = ("progress_at",)

    def __init__(self, now: float) -> None:
        self.progress_at = now

    def progressed(self) -> None:
        """Bytes moved just now."""
        self.progress_at = trio.current_time()


class Gate:
    """At most `limit` requests that make progress, at most MAX_SLOTS (or `limit`) in all; first come, first served.

    Its set of slots is owned by itself; every change is without an await.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: set[Slot] = set()
        self._turn = trio.Lock()  # trio's lock is fair: the head of the queue alone looks at the slots
        self._left = trio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Hold a slot. Always a checkpoint; if cancelled while waiting, nothing is held."""
        async with self._turn:
            while (wait_seconds := self._seconds_to_wait()) > 0:
                with trio.move_on_after(wait_seconds):
                    await self._left.wait()
            slot = Slot(trio.current_time())
            self._slots.add(slot)
        try:
            yield slot
        finally:
            self._slots.discard(slot)
            self._left.set()
            self._left = trio.Event()

    def _seconds_to_wait(self) -> float:
        """0.0 where there is room now, else the time until a slot may count as stalled."""
        if len(self._slots) >= max(self._limit, MAX_SLOTS):
            return STALLED_SECONDS
        now = trio.current_time()
        moving = [slot.progress_at for slot in self._slots if now - slot.progress_at < STALLED_SECONDS]
        if len(moving) < self._limit:
            return 0.0
        return max(min(moving) + STALLED_SECONDS - now, 0.001)  # never 0: a float's rounding must not spin
