"""Connections are few: who may use one now. Demand before prefetch, first come first served within each.

It must not know what is received. `reader/receiving` claims one for each answer.
"""

from collections.abc import Callable

import trio

#: A connection that moved no byte for so long does not count any more: a dozen stalled ones stop nobody (contract 2).
STALLED_SECONDS = 1.0


class Claim:
    """One connection wanted or held. `is_demand` is asked each time a connection gets free."""

    __slots__ = ("granted", "is_demand", "key", "progress_at")

    def __init__(self, key: str, is_demand: Callable[[], bool]) -> None:
        self.key = key
        self.is_demand = is_demand
        self.granted = trio.Event()
        self.progress_at = 0.0

    def note_progress(self) -> None:
        """Bytes arrived."""
        self.progress_at = trio.current_time()


class ConnectionSlots:
    """At most `connections` claims that make progress, `per_object` of them on one object; owned by Objects."""

    def __init__(self, *, connections: int, per_object: int = 8) -> None:
        self._connections = connections
        self.per_object = min(per_object, connections)
        self._held: dict[Claim, None] = {}
        self._waiting: dict[Claim, None] = {}

    def is_contended(self, key: str) -> bool:
        """True when somebody waits for a connection that a holder on `key` could give."""
        return any(
            claim.key == key or self._count(claim.key) < self.per_object for claim in self._waiting if claim.is_demand()
        )

    async def acquire(self, claim: Claim) -> None:
        """Returns when `claim` holds a connection. A checkpoint only if it has to wait; cancelled, it holds none."""
        self._waiting[claim] = None
        self._admit()
        try:
            while not claim.granted.is_set():
                with trio.move_on_after(self._until_next_stall_seconds()):
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

    def _admit(self) -> None:
        for wants_demand in (True, False):
            for claim in [claim for claim in self._waiting if claim.is_demand() is wants_demand]:
                if self._count(None) >= self._connections:
                    return
                if self._count(claim.key) < self.per_object:
                    del self._waiting[claim]
                    self._held[claim] = None
                    claim.note_progress()
                    claim.granted.set()

    def _count(self, key: str | None) -> int:
        moving_since = trio.current_time() - STALLED_SECONDS
        return sum(1 for claim in self._held if claim.progress_at > moving_since and (key is None or claim.key == key))

    def _until_next_stall_seconds(self) -> float:
        now = trio.current_time()
        ages = [now - claim.progress_at for claim in self._held if now - claim.progress_at < STALLED_SECONDS]
        # never 0: a float's rounding must not spin
        return max(STALLED_SECONDS - max(ages), 0.001) if ages else STALLED_SECONDS
