"""Connections are few: who may use one now. Demand before prefetch, first come first served within each.

It must not know what is received. `reader/receiving` claims one for each answer.
"""

from collections import Counter
from collections.abc import Callable

import trio

from cffs.callfire.gate import STALLED_SECONDS, Slot, is_crowded
from cffs.core.waiting import waits_for


class Claim(Slot):
    """One connection wanted or held. `is_demand` is asked each time a connection gets free."""

    __slots__ = ("granted", "is_demand", "key")

    def __init__(self, key: str, is_demand: Callable[[], bool]) -> None:
        super().__init__()
        self.key = key
        self.is_demand = is_demand
        self.granted = trio.Event()


class ConnectionSlots:
    """At most `connections` claims that make progress, `per_object` of them on one object; owned by Objects."""

    def __init__(self, *, connections: int, per_object: int = 8) -> None:
        self._connections = connections
        self.per_object = min(per_object, connections)
        self._held: dict[Claim, None] = {}
        self._waiting: dict[Claim, None] = {}

    def is_contended(self, key: str) -> bool:
        """True when somebody waits for a connection that a holder on `key` could give."""
        demands = [claim.key for claim in self._waiting if claim.is_demand()]
        if not demands:
            return False
        counting, _ = self._counting()
        return any(other == key or counting[other] < self.per_object for other in demands)

    async def acquire(self, claim: Claim) -> None:
        """Returns when `claim` holds a connection. A checkpoint only if it has to wait; cancelled, it holds none."""
        if self._has_room(claim):
            self._hold(claim)
            return
        self._waiting[claim] = None
        self._admit()
        try:
            while not claim.granted.is_set():
                with waits_for("a connection to be free"), trio.move_on_after(self._counting()[1]):
                    await claim.granted.wait()
                self._admit()
        except BaseException:
            self.release(claim)
            raise

    def release(self, claim: Claim) -> None:
        """Gives it back, or stops waiting for it."""
        self._held.pop(claim, None)
        self._waiting.pop(claim, None)
        self._admit()

    def _has_room(self, claim: Claim) -> bool:
        """True where nobody waits and there is room even if all that is held counts: most claims need no more."""
        if self._waiting or len(self._held) >= self._connections:
            return False
        return sum(held.key == claim.key for held in self._held) < self.per_object

    def _hold(self, claim: Claim) -> None:
        self._held[claim] = None
        claim.progressed()

    def _admit(self) -> None:
        if not self._waiting:
            return
        counting, _ = self._counting()
        for wants_demand in (True, False):
            for claim in [claim for claim in self._waiting if claim.is_demand() is wants_demand]:
                if counting.total() >= self._connections:
                    return
                if counting[claim.key] < self.per_object:
                    del self._waiting[claim]
                    self._hold(claim)
                    counting[claim.key] += 1
                    claim.granted.set()

    def _counting(self) -> tuple[Counter[str], float]:
        """How many count on each object, and in how many seconds the next of them may stop to."""
        now, counting, seconds = trio.current_time(), Counter[str](), STALLED_SECONDS
        crowded = is_crowded(self._held, limit=self._connections, now=now)
        for claim in self._held:
            left = claim.counts_for(now, is_crowded=crowded)
            if left > 0:
                counting[claim.key] += 1
                seconds = min(seconds, left)
        return counting, max(seconds, 0.001)  # never 0: a float's rounding must not spin
