"""Loop time: how long an answer is waited for, counted while this process runs.

A server is given a short time to answer. Where this process did not run meanwhile, or its loop was busy with other
tasks, the answer may have come long ago, and only has not been read. By the wall clock every deadline of such a moment
passes at once, and a server that answered in a millisecond would count as silent. So time is counted in slices: one
counts when the loop has come round after it, and counts no more however late that was. Within the loop's next round
the answer is read. While the loop is idle, loop time and wall time agree.

Owns that clock, and the limits by it. It must not know servers.
"""

from collections.abc import Awaitable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

#: The clock's slice: a call takes some three rounds of the loop, and ten slices are its deadline.
_SLICE_SECONDS: Final = 0.005
#: Rounds of the loop before a limit ends a block: in one a reply is read, in the next its call goes on.
_ROUNDS: Final = 3
#: Where the loop is so busy, or the clock stands, this many times the limit is the end by the wall clock.
_MOST_STRETCHED: Final = 10


class LoopClock:
    """The clock of one loop. It runs while something is limited by it, in the task that `run` is."""

    def __init__(self) -> None:
        """It stands until `run` is started."""
        self._slices = 0
        self._limits: dict[trio.CancelScope, int] = {}
        self._wanted = trio.Event()

    def now(self) -> float:
        """The loop time, in seconds."""
        return self._slices * _SLICE_SECONDS

    def after(self, seconds: float) -> int:
        """The slice that ends so long from now, or up to one before it: no limit is longer than it says."""
        return self._slices + round(seconds / _SLICE_SECONDS)

    def has_passed(self, due: int) -> bool:
        """Whether the slice `due` has ended."""
        return due <= self._slices

    def limit_at(self, due: int) -> trio.CancelScope:
        """A scope that is cancelled when the slice `due` ends."""
        left_seconds = max(0, due - self._slices) * _SLICE_SECONDS
        scope = trio.CancelScope(deadline=trio.current_time() + left_seconds * _MOST_STRETCHED)
        self._limits[scope] = due
        self._wanted.set()
        return scope

    async def run(self) -> None:
        """Count. Ends by cancellation alone; it raises nothing."""
        while True:
            self._wanted = trio.Event()
            if not self._limits:
                await self._wanted.wait()
            await trio.sleep(_SLICE_SECONDS)
            for _ in range(_ROUNDS):
                await trio.lowlevel.checkpoint()
            self._slices += 1
            for scope in [scope for scope, due in self._limits.items() if due <= self._slices]:
                del self._limits[scope]
                scope.cancel()  # nothing happens where its block is over


class Look:
    """The time in which several calls are made, one after the other. One task uses it."""

    def __init__(self, clock: LoopClock, seconds: float) -> None:
        """It begins now."""
        self._clock = clock
        self._due = clock.after(seconds)
        self._has_asked = False

    @property
    def is_late(self) -> bool:
        """True where its time went by."""
        return self._clock.has_passed(self._due)

    async def within(self, call: Awaitable[T]) -> T | None:
        """What the call returns, within the time of the look, else None. The first one has a deadline of its own, so
        that the server's breaker takes notice of it.

        A checkpoint where the call is one. It raises what the call does; after a cancellation the call is cancelled.
        """
        if not self._has_asked:
            self._has_asked = True
            return await call
        with self._clock.limit_at(self._due):
            return await call
        return None
