"""A listing: one run at a time, progress, a time to live, a pause after failures."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from cffs.catalog.listing_single_flight import RETRY_SECONDS, Listing
from cffs.core import demand
from cffs.core.errors import CffsError, OriginFault, ServerFailure
from tests.catalog.factories import CountingBackground

TTL = 60.0


class Taker:
    """Takes `pages` pages, a second each, then ends as `outcome` says."""

    def __init__(self, *, pages: int = 3, outcome: BaseException | None = None) -> None:
        self.pages, self.outcome, self.runs = pages, outcome, 0

    async def __call__(self, listing: Listing) -> None:
        self.runs += 1
        for _ in range(self.pages):
            await trio.sleep(1)
            listing.progressed()
        if self.outcome is not None:
            raise self.outcome


Make = Callable[[Callable[[Listing], Awaitable[None]]], Callable[[], Listing]]


@pytest.fixture
async def made(background: CountingBackground) -> Make:
    """A maker of refreshed listings."""

    def make(take: Callable[[Listing], Awaitable[None]]) -> Callable[[], Listing]:
        listing = Listing("calls", take)

        def refreshed() -> Listing:
            listing.refresh(background, ttl_seconds=TTL)
            return listing

        return refreshed

    return make


async def test_single_run(autojump_clock: MockClock, made: Make) -> None:
    """However often it is asked for while it runs, it runs once."""
    taker = Taker()
    refreshed = made(taker)
    for _ in range(10):
        refreshed()
        await trio.sleep(0.2)
    await refreshed().wait_whole()
    assert taker.runs == 1


async def test_progress_page_by_page(autojump_clock: MockClock, made: Make) -> None:
    """A waiting task wakes at every page, and at once where nothing runs."""
    listing = made(Taker(pages=3))()
    times = []
    while listing.running:
        await listing.wait_for_progress()
        times.append(trio.current_time())
    assert [round(at - times[0]) for at in times] == [0, 1, 2]
    await listing.wait_for_progress()
    await listing.wait_whole()


async def test_kept_for_its_time(autojump_clock: MockClock, made: Make) -> None:
    """Once taken whole, it is not taken again before its time to live is over, and then once."""
    taker = Taker(pages=0)
    refreshed = made(taker)
    await refreshed().wait_whole()
    await trio.sleep(TTL - 1)
    await refreshed().wait_whole()
    assert taker.runs == 1
    await trio.sleep(2)
    await refreshed().wait_whole()
    assert taker.runs == 2


async def test_failure_backs_off(autojump_clock: MockClock, made: Make, announced: list[str]) -> None:
    """A failure is kept, not asked for again for a moment (under 5 s), then asked for again, and forgotten on
    success."""
    announced.append("listing failed")
    taker = Taker(pages=1, outcome=ServerFailure(500, "x"))
    refreshed = made(taker)
    await refreshed().wait_whole()
    for _ in range(50):
        assert refreshed().failure is taker.outcome
        assert not refreshed().running
    assert taker.runs == 1
    taker.outcome = None
    await trio.sleep(RETRY_SECONDS)
    await refreshed().wait_whole()
    assert taker.runs == 2
    assert refreshed().failure is None
    assert RETRY_SECONDS < 5


async def test_bug_backs_off(
    autojump_clock: MockClock, made: Make, background: CountingBackground, announced: list[str]
) -> None:
    """A bug in the taking (or a full disk) is a failure too: not an empty list, and not run again in a loop."""
    announced.append("bug in background")
    taker = Taker(pages=0, outcome=ZeroDivisionError())
    refreshed = made(taker)
    await refreshed().wait_whole()
    for _ in range(20):
        assert isinstance(refreshed().failure, OriginFault)
        await trio.lowlevel.checkpoint()
    assert (taker.runs, background.bugs) == (1, 1)


async def test_cancelled_waiter(autojump_clock: MockClock, made: Make) -> None:
    """A reader that leaves does not end the listing."""
    taker = Taker(pages=3)
    refreshed = made(taker)
    with trio.move_on_after(0.5) as scope:
        await refreshed().wait_whole()
    assert scope.cancelled_caught
    await refreshed().wait_whole()
    assert taker.runs == 1
    assert not isinstance(refreshed().failure, CffsError)


@pytest.mark.parametrize("outcome", [None, ServerFailure(500, "x")], ids=["whole", "failed"])
async def test_followers(
    outcome: CffsError | None, autojump_clock: MockClock, made: Make, announced: list[str]
) -> None:
    """What follows a listing runs once after it was taken whole, once for each key, and holds up no task; what follows
    a listing that fails is dropped."""
    announced += ["listing failed"] if outcome else []
    taker, done = Taker(outcome=outcome), []

    async def what() -> None:
        await trio.sleep(100)
        done.append(listing.running)

    listing = made(taker)()
    for key in ("a", "b", "a"):
        listing.follow(key, what)
    await listing.wait_whole()
    assert trio.current_time() < 50
    await trio.sleep(RETRY_SECONDS + 250)
    assert done == ([] if outcome else [False, False])


async def test_a_refresh_is_demand_while_somebody_waits(autojump_clock: MockClock, made: Make) -> None:
    """A listing that is shown already is refreshed as background work; one whose rows are waited for is demand."""
    works_for: list[demand.IsAwaited] = []

    async def take(listing: Listing) -> None:
        works_for.append(demand.current())
        await trio.sleep(1)
        listing.progressed()
        await trio.sleep(1)

    listing = made(take)()
    await trio.sleep(0.1)
    assert not works_for[0]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listing.wait_for_progress)
        await trio.sleep(0.1)
        assert works_for[0]()
    assert not works_for[0]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listing.wait_whole)
        await trio.sleep(0.1)
        assert works_for[0]()
    assert not works_for[0]()
