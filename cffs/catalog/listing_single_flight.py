"""Single flight of a listing: one refresh in the background serves all who wait.

It owns whether the listing is running, how fresh it is, how it failed, and who is woken by its pages. It must not
know folders, operations or rows.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable

import trio

from cffs.core import demand
from cffs.core.background import Background
from cffs.core.errors import CffsError, OriginFault

log = logging.getLogger(__name__)

#: A listing that failed is not asked for again for this long, so that `ls` in a loop does not hammer a failing service.
#: It lies within the 5 s for which a passing fault may be remembered.
RETRY_SECONDS = 2.0


def age_seconds(listed_ms: int | None, *, now_ms: int) -> float | None:
    """How long ago the listing was taken; None where it never was, or where that lies in the future (the clock was set
    back)."""
    return None if listed_ms is None or listed_ms > now_ms else (now_ms - listed_ms) / 1000


#: How a listing is taken: asks and stores, page by page, and calls `progressed` after each. Raises what stops it.
TakeListing = Callable[["Listing"], Awaitable[None]]


class Listing:
    """One listing: whether it runs, when it was last taken (trio's time), whether whole, how it last failed.

    `take` asks and stores, and calls `progressed` after each page. `age_seconds` is how long ago an earlier mount took
    it whole, None where none did: a listing that is young enough for `ls` stays so after a remount.
    """

    def __init__(self, name: str, take: TakeListing, *, age_seconds: float | None = None) -> None:
        self.name = name
        #: True once a caller wants all of it, however large it is.
        self.is_wanted_whole = False
        self.failure: CffsError | None = None
        #: True where pages have come, but not the last: what is shown looks whole and is not.
        self.is_partial = False
        #: True where it stopped before its end, since all of it was not wanted, and was not taken whole since.
        self.is_stopped = False
        self._take = take
        self._running = False
        self._taken_at = None if age_seconds is None else trio.current_time() - age_seconds
        #: How long before this machine the oldest of its answers was asked for.
        self._oldest_seconds = 0.0
        self._failed_at: float | None = None
        self._progress = trio.Event()
        self._callers = demand.Callers()
        self._followers: dict[Hashable, Callable[[], Awaitable[None]]] = {}

    @property
    def running(self) -> bool:
        """True while pages are being taken."""
        return self._running

    def progressed(self) -> None:
        """Wake every task that waits for rows: a page was taken."""
        self.is_partial = True
        self._wake()

    def note_age(self, seconds: float) -> None:
        """Note that what it was given had been asked for so long ago, by another machine: it is as old as that."""
        self._oldest_seconds = max(self._oldest_seconds, seconds)

    def _wake(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    def refresh(self, background: Background, *, ttl_seconds: float) -> None:
        """Start to take it in the background, unless it runs, is younger than `ttl_seconds`, or has failed just now.
        What stopped before its end is not young for whatever wants all of it."""
        now = trio.current_time()
        is_enough = not (self.is_stopped and self.is_wanted_whole)
        fresh = is_enough and self._taken_at is not None and now - self._taken_at < ttl_seconds
        burnt = self._failed_at is not None and now - self._failed_at < RETRY_SECONDS
        if self._running or fresh or burnt:
            return
        self._running, self._oldest_seconds = True, 0.0
        background.start(self._run)

    def follow(self, key: Hashable, what: Callable[[], Awaitable[None]]) -> None:
        """Await `what` in the background once the listing ends without a failure; a later `what` of that key replaces
        it."""
        self._followers[key] = what

    async def wait_for_progress(self) -> None:
        """Return when a page was taken or the listing has ended; at once where it does not run. A checkpoint if it
        waits; cancelled, the listing goes on."""
        if self._running:
            await self._wait()

    async def wait_whole(self) -> None:
        """Return when the listing does not run any more: where all of it is wanted, it was taken whole or it failed. A
        checkpoint if it waits; cancelled, the listing goes on."""
        while self._running:
            await self._wait()

    async def _wait(self) -> None:
        caller = self._callers.enter()
        try:
            await self._progress.wait()
        finally:
            self._callers.leave(caller)

    async def _run(self) -> None:
        demand.begin(self._callers.is_demand)
        # Failed until it ends well: a bug in it must not look like an empty list, nor be run again at once
        failure: CffsError | None = OriginFault("the listing ended without an answer")
        try:
            await self._take(self)
            failure = None
        except CffsError as problem:
            failure = problem
            log.warning("listing failed name=%s reason=%s", self.name, problem)
        finally:
            now = trio.current_time()
            self._running = False
            self.failure = failure
            if failure is None:
                self._taken_at, self._failed_at, self.is_partial = now - self._oldest_seconds, None, False
            else:
                self._failed_at = now
            self._wake()
            followers, self._followers = self._followers, {}
        for what in followers.values() if failure is None else ():
            await what()
