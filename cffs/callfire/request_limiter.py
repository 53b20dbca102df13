"""A limiter for requests in which one without progress soon stops counting.

A plain CapacityLimiter would let a few requests that hang stop every healthy one, and httpcore's own queue costs time
with each waiter. Here a request counts while its bytes move, and for one second after the last of them.

The bound: however many objects hang, a healthy request waits one second until the first `limit` of them stop counting,
and then 30 ms for each 64 more (for each `limit` more where they hang after their head), as long as fewer than `most`
hang.

It owns slots and the queue for them. It must not know what a request is.
"""

import math
from collections.abc import Iterable
from typing import Generic, TypeVar

import trio

AnySlot = TypeVar("AnySlot", bound="Slot")

#: A request without progress for this long does not count: see
#: cffs/docs/semantics.md#one-failure-and-its-neighbours.
STALLED_SECONDS = 1.0
#: Where as many requests as may move are stalled, objects hang by the dozen. One more that does not move then counts
#: for this long only, and up to this many that have not moved yet may run whatever the limit is. Two hundred questions
#: about a hundred folders that hang are on the wire within a tenth of a second, and so is a healthy one queued after
#: them.
CROWDED_SECONDS = 0.03
CROWD = 64
#: A stalled request still holds a socket: from this many on, stalled ones count too. A process may have 1024
#: descriptors.
MAX_BODIES = 384
MAX_METADATA = 256


class Slot:
    """One place among the requests under way; its holder notes when bytes moved."""

    __slots__ = ("_progress_at", "has_moved")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now on, as a slot that has not moved yet."""
        self._progress_at = trio.current_time()
        self.has_moved = False

    def count_always(self) -> None:
        """Count until bytes move or `restart`: its holder waits for its own account, not for the service."""
        self._progress_at = math.inf

    def note_progress(self) -> None:
        """Note that bytes moved just now."""
        self._progress_at = trio.current_time()
        self.has_moved = True

    def counts_for(self, now: float, *, seconds: float) -> float:
        """For how many more seconds it counts if nothing moves, where a slot counts for `seconds`; 0 or less where it
        does not count now."""
        return seconds - (now - self._progress_at)


class SlotCount(Generic[AnySlot]):
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
        #: After how many seconds the next of them may stop counting; never 0, because a float's rounding must not make
        #: the waiter spin.
        soonest = min((lefts[slot] for slot in self.counting), default=STALLED_SECONDS)
        self.seconds = min(max(soonest, 0.001), STALLED_SECONDS)

    @property
    def is_full(self) -> bool:
        """True where one more must wait."""
        moved = sum(slot.has_moved for slot in self.counting)
        return moved >= self._limit or len(self.counting) >= self._most


class RequestLimiter:
    """At most `limit` requests that make progress, at most `most` in all; first come, first served.

    It alone changes its set of slots, never across an await.
    """

    def __init__(self, limit: int, *, most: int) -> None:
        self._limit = limit
        self._most = max(limit, most)
        self._slots: set[Slot] = set()
        self._queue = trio.Lock()  # trio's lock is fair: only the head of the queue looks at the slots
        self._slot_left = trio.Event()

    def enter_nowait(self) -> Slot | None:
        """A slot, held until `leave`; None where there is no room, or where others wait already."""
        return None if self._queue.locked() or self._seconds_to_wait() > 0 else self._new_slot()

    async def enter(self) -> Slot:
        """A slot, held until `leave`, once there is room. Always a checkpoint; if cancelled, nothing is held."""
        async with self._queue:
            while (wait_seconds := self._seconds_to_wait()) > 0:
                with trio.move_on_after(wait_seconds):
                    await self._slot_left.wait()
            return self._new_slot()

    def leave(self, slot: Slot) -> None:
        """Give the slot back; nothing where that was done before."""
        self._slots.discard(slot)
        if self._queue.locked():  # else there is no waiter to wake
            self._slot_left.set()
            self._slot_left = trio.Event()

    def rejoin(self, slot: Slot) -> None:
        """Have a slot count that was given back, also where there is no room: its holder stood aside for others."""
        slot.restart()
        self._slots.add(slot)

    def _new_slot(self) -> Slot:
        slot = Slot()
        self._slots.add(slot)
        return slot

    def _seconds_to_wait(self) -> float:
        """0.0 where there is room now, else the time until a slot may count as stalled."""
        if len(self._slots) < self._limit:
            return 0.0
        if len(self._slots) >= self._most:
            return STALLED_SECONDS
        count = SlotCount(self._slots, limit=self._limit, now=trio.current_time())
        return count.seconds if count.is_full else 0.0
