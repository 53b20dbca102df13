"""How many requests are on the wire at once; one without progress for a second no longer counts.

It must not know what a request is. A plain CapacityLimiter would let a few hung bodies stop every healthy one
(contract, section 2: `--connections`); httpcore's own queue costs time with each waiter (perf.md, section 2).
`callfire/transport` owns one for bodies and one for metadata; `reader/connection_scheduler` counts its connections by
the same rule.

The bound: however many objects hang, a healthy request waits a second for the first `limit` of them to stop counting,
and then 30 ms for each 64 more (16, where they hang behind their head), as long as fewer than `most` hang.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import trio

AnySlot = TypeVar("AnySlot", bound="Slot")

#: Contract, section 2: a connection without progress for 1 s no longer counts.
STALLED_SECONDS = 1.0
#: Where as many as may move are stalled, objects hang by the dozen: one more that does not move counts for so long, and
#: so many that have not moved yet may, whatever the limit is. Two hundred questions about a hundred folders that hang
#: are on the wire within a tenth of a second then, and a healthy one behind them is on it too.
CROWDED_SECONDS = 0.03
CROWD = 64
#: Stalled ones still hold a socket each; from so many on even they count. A process may have 1024 descriptors.
MAX_BODIES = 384
MAX_METADATA = 256


class Slot:
    """One place on the wire; whoever holds it says when bytes moved."""

    __slots__ = ("_progress_at", "has_moved")

    def __init__(self) -> None:
        self.taken()

    def taken(self) -> None:
        """It is held from now on."""
        self._progress_at = trio.current_time()
        self.has_moved = False

    def progressed(self) -> None:
        """Bytes moved just now."""
        self._progress_at = trio.current_time()
        self.has_moved = True

    def counts_for(self, now: float, *, seconds: float) -> float:
        """For how many more seconds it counts if nothing moves and one counts for `seconds`; 0 or less where it does
        not count now."""
        return seconds - (now - self._progress_at)


class Count(Generic[AnySlot]):
    """Which slots count now, and whether there is room for one more."""

    def __init__(self, slots: Iterable[AnySlot], *, limit: int, now: float) -> None:
        held = list(slots)
        moving = [left for slot in held if (left := slot.counts_for(now, seconds=STALLED_SECONDS)) > 0]
        is_crowded = len(held) - len(moving) >= limit
        seconds = CROWDED_SECONDS if is_crowded else STALLED_SECONDS
        lefts = {slot: slot.counts_for(now, seconds=seconds) for slot in held}
        self._limit = limit
        self._most = max(limit, CROWD) if is_crowded else limit
        self.counting = [slot for slot in held if lefts[slot] > 0]
        #: In how many the next of them may stop to; never 0, for a float's rounding must not spin.
        self.seconds = max(min((lefts[slot] for slot in self.counting), default=STALLED_SECONDS), 0.001)

    @property
    def is_full(self) -> bool:
        """True where one more must wait."""
        moved = sum(slot.has_moved for slot in self.counting)
        return moved >= self._limit or len(self.counting) >= self._most


class RequestLimiter:
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
        count = Count(self._slots, limit=self._limit, now=trio.current_time())
        return count.seconds if count.is_full else 0.0
