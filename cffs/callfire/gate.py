"""How many requests are on the wire at once; one without progress for a second no longer counts.

It must not know what a request is. A plain CapacityLimiter would let a few hung bodies stop every healthy one
(contract, section 2: `--connections`); httpcore's own queue costs time with each waiter (perf.md, section 2).
`callfire/transport` owns one for bodies and one for metadata; `reader/slots` counts its connections by the same rule.

The bound: however many objects hang, a healthy request waits a second for the first `limit` of them to stop counting,
and then a tenth for each `limit` more, as long as fewer than `most` hang.
"""

from collections.abc import Iterable

import trio

#: Contract, section 2: a connection without progress for 1 s no longer counts.
STALLED_SECONDS = 1.0
#: Where as many as may move are stalled, objects hang by the dozen: one more without progress counts no longer.
CROWDED_SECONDS = 0.1
#: Stalled ones still hold a socket each; from so many on even they count. A process may have 1024 descriptors.
MAX_BODIES = 384
MAX_METADATA = 64


class Slot:
    """One place on the wire; whoever holds it says when bytes moved."""

    __slots__ = ("_progress_at",)

    def __init__(self) -> None:
        self._progress_at = trio.current_time()

    def progressed(self) -> None:
        """It was taken, or bytes moved, just now."""
        self._progress_at = trio.current_time()

    def is_stalled(self, now: float) -> bool:
        """True where nothing moved for so long that it does not count."""
        return now - self._progress_at >= STALLED_SECONDS

    def counts_for(self, now: float, *, is_crowded: bool) -> float:
        """For how many more seconds it counts if nothing moves; 0 or less where it does not count now."""
        return (CROWDED_SECONDS if is_crowded else STALLED_SECONDS) - (now - self._progress_at)


def is_crowded(slots: Iterable[Slot], *, limit: int, now: float) -> bool:
    """True where as many as may move do not."""
    return sum(slot.is_stalled(now) for slot in slots) >= limit


class Gate:
    """At most `limit` requests that make progress, at most `most` in all; first come, first served.

    Its set of slots is owned by itself; every change is without an await.
    """

    def __init__(self, limit: int, *, most: int) -> None:
        self._limit = limit
        self._most = max(limit, most)
        self._slots: set[Slot] = set()
        self._turn = trio.Lock()  # trio's lock is fair: the head of the queue alone looks at the slots
        self._left = trio.Event()

    def enter_now(self) -> Slot | None:
        """A slot, held until `leave`; None where there is no room, or others wait already."""
        return None if self._turn.locked() or self._seconds_to_wait() > 0 else self._taken()

    async def enter(self) -> Slot:
        """The same once there is one. Always a checkpoint; if cancelled, nothing is held."""
        async with self._turn:
            while (wait_seconds := self._seconds_to_wait()) > 0:
                with trio.move_on_after(wait_seconds):
                    await self._left.wait()
            return self._taken()

    def leave(self, slot: Slot) -> None:
        """It is off the wire. Nothing where it was left before."""
        self._slots.discard(slot)
        if self._turn.locked():  # else nobody waits
            self._left.set()
            self._left = trio.Event()

    def _taken(self) -> Slot:
        slot = Slot()
        self._slots.add(slot)
        return slot

    def _seconds_to_wait(self) -> float:
        """0.0 where there is room now, else the time until a slot may count as stalled."""
        if len(self._slots) < self._limit:
            return 0.0
        if len(self._slots) >= self._most:
            return STALLED_SECONDS
        now = trio.current_time()
        crowded = is_crowded(self._slots, limit=self._limit, now=now)
        counting = [left for slot in self._slots if (left := slot.counts_for(now, is_crowded=crowded)) > 0]
        return max(min(counting), 0.001) if len(counting) >= self._limit else 0.0  # a float's rounding must not spin
