"""Which claim gets one of few connections: what a reader waits for, then age.

`cffs prefetch` reads, and counts as a reader here: ranked last, its reads would run out of time beside a long copy.

It owns the claims that hold a connection and those that wait for one. It must not know what is received.
"""

from collections import Counter
from collections.abc import Callable
from math import inf

import trio

from cffs.callfire.request_limiter import Slot, SlotCount
from cffs.core.wait_reasons import waits_for


class Claim(Slot):
    """One connection that is wanted or held. `has_waiters` is asked each time a connection becomes free:
    what a reader waits for goes first."""

    __slots__ = ("give_way", "has_waiters", "key", "woken")

    def __init__(
        self, key: str, has_waiters: Callable[[], bool], *, give_way: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__()
        self.key = key
        self.has_waiters = has_waiters
        #: Asked when another claim waits: True where this one will be released at once.
        self.give_way = give_way
        #: Set when the claim was given a connection, or is to look for one itself.
        self.woken = trio.Event()


class ConnectionScheduler:
    """At most `connections` claims that make progress, `per_object` of them on one object; owned by ObjectRegistry."""

    def __init__(self, *, connections: int, per_object: int = 8) -> None:
        self._connections = connections
        self.per_object = min(per_object, connections)
        self._held: dict[Claim, None] = {}
        self._waiting: dict[Claim, None] = {}
        self._watcher: Claim | None = None

    def is_contended(self, key: str) -> bool:
        """True when a claim that a reader waits for could have the connection of a holder on `key`."""
        demands = [claim.key for claim in self._waiting if claim.has_waiters()]
        if not demands:
            return False
        counting = Counter(claim.key for claim in self._counted().counting)
        return any(other == key or counting[other] < self.per_object for other in demands)

    async def acquire(self, claim: Claim) -> None:
        """Return when `claim` holds a connection. A checkpoint only if it has to wait; cancelled, it holds none."""
        if self._has_room(claim):
            self._hold(claim)
            return
        self._waiting[claim] = None
        any(held.give_way() for held in self._held)
        self._admit()
        try:
            with waits_for("a connection to be free"):
                while claim in self._waiting:
                    # one of the waiting claims watches the time for all: each of them would look at every connection
                    self._watcher = self._watcher or claim
                    is_watcher = self._watcher is claim
                    with trio.move_on_after(self._counted().seconds if is_watcher else inf):
                        await claim.woken.wait()
                    claim.woken = trio.Event()
                    if is_watcher:
                        self._admit()
        except BaseException:
            self.release(claim)
            raise
        finally:
            self._watch_on(claim)

    def _watch_on(self, claim: Claim) -> None:
        """Hand the watch over the time to another claim: this one waits no longer."""
        if self._watcher is claim:
            self._watcher = next(iter(self._waiting), None)
            if self._watcher is not None:
                self._watcher.woken.set()

    def release(self, claim: Claim) -> None:
        """Give a connection back, or stop waiting for it."""
        self._held.pop(claim, None)
        self._waiting.pop(claim, None)
        self._admit()

    def _has_room(self, claim: Claim) -> bool:
        """True where no claim waits and there is room even if all that is held counts: most claims need no more."""
        if self._waiting or len(self._held) >= self._connections:
            return False
        return sum(held.key == claim.key for held in self._held) < self.per_object

    def _hold(self, claim: Claim) -> None:
        self._held[claim] = None
        claim.restart()

    def _admit(self) -> None:
        if not self._waiting:
            return
        count = self._counted()
        of_object = Counter(claim.key for claim in count.counting)
        for wants_demand in (True, False):
            for claim in [claim for claim in self._waiting if claim.has_waiters() is wants_demand]:
                if count.is_full:
                    return
                if of_object[claim.key] < self.per_object:
                    del self._waiting[claim]
                    self._hold(claim)
                    count.counting.append(claim)
                    of_object[claim.key] += 1
                    claim.woken.set()

    def _counted(self) -> SlotCount[Claim]:
        return SlotCount(self._held, limit=self._connections, now=trio.current_time())
