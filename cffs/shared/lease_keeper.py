"""Keeping leases: they are renewed while a fetch moves, or waits to be written.

The machines that wait for a fetch take it for slow when its lease was not renewed for a second. On a busy machine
bytes that have come may wait for longer than that until they are written, and then each of the others would fetch them
once more. So one task renews the leases of all fetches of this machine. What has brought nothing new is not renewed: it
is slow.

Owns that task. It must not know what is fetched, nor the queue.
"""

from typing import Final

import trio

from cffs.core.background import Background
from cffs.shared.leases import FetchLease, Leases

#: A lease lasts five times as long, and is taken for slow after more than twice that.
_RENEW_SECONDS: Final = 0.4
#: What has come and was not written for so long is taken for lost.
_MOST_WAITING_SECONDS: Final = 15.0


class KeptLease:
    """A lease that is renewed until it is released. Its fetch owns it."""

    def __init__(self, lease: FetchLease) -> None:
        """It was taken just now."""
        self.lease = lease
        self.is_released = False
        self._reached = self._renewed = 0
        self._came_at: float | None = None

    def moved(self, reached: int) -> None:
        """The units before `reached` have come."""
        self._reached = reached

    def came(self) -> None:
        """All of it has come, and waits to be written."""
        self._reached, self._came_at = self.lease.stop, trio.current_time()

    def release(self) -> None:
        """It is given back, or left to end."""
        self.is_released = True

    def take_news(self) -> int | None:
        """How far to say that it has come; None where there is nothing to say."""
        is_waiting = self._came_at is not None and trio.current_time() - self._came_at < _MOST_WAITING_SECONDS
        if not is_waiting and self._reached == self._renewed:
            return None
        self._renewed = self._reached
        return self._reached


class LeaseKeeper:
    """The leases that this machine holds for its fetches. No method is a checkpoint."""

    def __init__(self, leases: Leases, background: Background) -> None:
        self._leases = leases
        self._background = background
        self._kept: list[KeptLease] = []

    def keep(self, lease: FetchLease) -> KeptLease:
        """Renew the lease from now on."""
        kept = KeptLease(lease)
        self._kept.append(kept)
        if len(self._kept) == 1:
            self._background.start(self._renew_all)
        return kept

    async def _renew_all(self) -> None:
        """Always a checkpoint; cancelled, the leases end by themselves. It raises nothing."""
        while self._kept:
            await trio.sleep(_RENEW_SECONDS)
            self._kept = [kept for kept in self._kept if not kept.is_released]
            news = [(kept, reached) for kept in self._kept if (reached := kept.take_news()) is not None]
            async with trio.open_nursery() as nursery:  # all of them travel together
                for kept, reached in news:
                    nursery.start_soon(self._leases.renew, kept.lease, reached)
