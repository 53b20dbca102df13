"""Listings of the account: what is asked for, which rows result, how they end."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.capabilities import Family
from cffs.catalog.listing_sync import FULL_PASS_MS, OVERLAP_MS, ListingSync
from cffs.catalog.store import Catalog
from cffs.core.errors import AccessRefused, OperationNotOffered, RemoteObjectMissing
from cffs.core.settings import Credentials, OriginSettings
from cffs.standin.server import Standin
from tests.catalog.factories import (
    CountingBackground,
    FakeV2,
    Wall,
    call,
    campaign,
    failure_of,
    page,
    recording,
)

MakeBoth = Callable[..., tuple[AccountSync, ListingSync]]


async def whole(listings: ListingSync, name: str) -> None:
    listing = listings.refreshed(name)
    assert listing is not None
    await listing.wait_whole()


async def test_no_listings_without_v2(make_both: MakeBoth) -> None:
    """Without credentials for v2 there is no listing at all."""
    _account, listings = make_both()
    assert [listings.refreshed(name) for name in ("campaigns", "calls", "media", "recordings")] == [None] * 4


async def test_no_listing_of_a_family_that_is_not_offered(make_both: MakeBoth) -> None:
    """Once a lookup has shown that the origin has no calls, they are not listed either."""
    v2 = FakeV2(find_calls=OperationNotOffered("calls"))
    account, listings = make_both(v2)
    assert isinstance(await failure_of(account.find_call(1, patience_seconds=None)), OperationNotOffered)
    before = len(v2.asked)
    assert listings.refreshed("calls") is None
    assert len(v2.asked) == before


async def test_listing_fills_rows_page_by_page(make_both: MakeBoth, catalog: Catalog, wall: Wall) -> None:
    """Rows are there after each page; repeated items are one; the whole is marked as listed."""
    pages = {0: [call(n, recordings=()) for n in range(1, 1001)], 1000: [call(1000), call(1001)]}
    go_on = trio.Event()

    async def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        assert interval_begin_ms is None
        if offset:
            await go_on.wait()
        return page(pages[offset], limit=limit, total=-1)

    account, listings = make_both(FakeV2(find_calls=find_calls))
    listing = listings.refreshed("calls")
    assert listing is not None
    assert not listings.was_listed("calls")
    assert listings.keeps_fresh("calls")
    await listing.wait_for_progress()
    assert catalog.counts()["calls"] == 1000
    assert not listings.was_listed("calls")
    go_on.set()
    await listing.wait_whole()
    assert catalog.counts()["calls"] == 1001
    assert catalog.listed_ms("calls") == catalog.listed_ms("calls:full") == wall.now_ms
    assert account.capabilities.offers(Family.CALLS) is True


@pytest.mark.parametrize("embeds", [True, False])
async def test_a_silent_page_behind_one_that_embeds(make_both: MakeBoth, catalog: Catalog, *, embeds: bool) -> None:
    """A later page without a recording means that there are none where an earlier one embedded any, else nothing at
    all."""
    first = call(1, recordings=(recording(11, call_id=1),)) if embeds else call(1)
    pages = {0: [first, *(call(n) for n in range(2, 1001))], 1000: [call(2001), call(2002)]}

    def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        return page(pages[offset], limit=limit, total=1002)

    await whole(make_both(FakeV2(find_calls=find_calls))[1], "calls")
    rows = [catalog.call(number) for number in (2, 2001, 2002)]
    assert [row is not None and row.recordings_known for row in rows] == [embeds] * 3


MADE_MS = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize("ahead_ms", [0, 2 * 3_600_000, 10 * DAY_MS, -10 * DAY_MS])
@pytest.mark.parametrize("served_ms", [None, MADE_MS + 1000])
async def test_later_refreshes_ask_for_what_is_new(
    make_both: MakeBoth, wall: Wall, ahead_ms: int, served_ms: int | None
) -> None:
    """A refresh asks from a day before the newest call that is known, however wrong this machine's clock is: later
    calls cannot lie before that. All calls are asked for once a day, or when the clock went back."""
    start_ms = wall.now_ms = MADE_MS + ahead_ms
    made = [MADE_MS]
    v2 = FakeV2(find_calls=lambda **_: replace(page([call(7, created_ms=at) for at in made]), served_ms=served_ms))

    async def begin_of_next_refresh() -> Any:
        before = len(v2.asked)
        await whole(make_both(v2, ttl_seconds=0)[1], "calls")
        (asked,) = v2.asked[before:]
        return asked[-1]

    assert await begin_of_next_refresh() is None
    wall.now_ms += 3_600_000
    # known to be the newest unless it lies further ahead of the time than any call can
    newest_ms = MADE_MS if ahead_ms >= 0 or served_ms else None
    assert await begin_of_next_refresh() == (None if newest_ms is None else newest_ms - OVERLAP_MS)
    made.append(MADE_MS + 5000)
    await begin_of_next_refresh()
    wall.now_ms += 3_600_000
    assert await begin_of_next_refresh() == (None if newest_ms is None else newest_ms + 5000 - OVERLAP_MS)
    wall.now_ms = start_ms + FULL_PASS_MS + 1
    assert await begin_of_next_refresh() is None
    wall.now_ms = start_ms
    assert await begin_of_next_refresh() is None


@pytest.mark.parametrize("created_ms", [None, MADE_MS + 400 * DAY_MS, 2**62])
async def test_a_call_of_a_time_to_come_hides_no_other(make_both: MakeBoth, wall: Wall, created_ms: int | None) -> None:
    """A call that claims to be made next year, or does not say when it was made, does not decide what is new: the
    service's own time does."""
    wall.now_ms = MADE_MS
    told = replace(page([call(7, created_ms=created_ms)]), served_ms=MADE_MS - 5000)
    v2 = FakeV2(find_calls=lambda **_: told)
    for _ in range(2):
        await whole(make_both(v2, ttl_seconds=0)[1], "calls")
    assert v2.asked[-1][-1] == MADE_MS - 5000 - OVERLAP_MS


@pytest.mark.parametrize("name", ["campaigns", "calls", "media"])
async def test_listing_not_offered(make_both: MakeBoth, name: str) -> None:
    """A listing that the origin does not have ends without an error, is not marked as listed, and is not asked for
    again."""
    absent = OperationNotOffered(name)
    v2 = FakeV2(find_campaigns=absent, find_calls=absent, find_media=absent)
    _account, listings = make_both(v2)
    listing = listings.refreshed(name)
    assert listing is not None
    await listing.wait_whole()
    assert listing.failure is None
    assert not listings.was_listed(name)
    assert listings.refreshed(name) is None
    assert len(v2.asked) == 1


async def test_not_offered_behind_the_first_page(make_both: MakeBoth) -> None:
    """A 404 after a first page is the list's end, and says nothing about what the origin offers."""

    def find_campaigns(*, limit: int, offset: int) -> Any:
        return OperationNotOffered("x") if offset else page([campaign(5)], limit=limit, total=3)

    account, listings = make_both(FakeV2(find_campaigns=find_campaigns))
    await whole(listings, "campaigns")
    assert listings.was_listed("campaigns")
    assert account.capabilities.offers(Family.BROADCASTS) is True


async def test_listing_failed_in_the_middle(make_both: MakeBoth, catalog: Catalog, announced: list[str]) -> None:
    """Pages taken before a failure stay; the listing is not called whole, and keeps its failure."""
    announced.append("listing failed")

    def find_campaigns(*, limit: int, offset: int) -> Any:
        return AccessRefused("x") if offset else page([campaign(5)], limit=1)

    _account, listings = make_both(FakeV2(find_campaigns=find_campaigns))
    await whole(listings, "campaigns")
    listing = listings.refreshed("campaigns")
    assert listing is not None
    assert isinstance(listing.failure, AccessRefused)
    assert catalog.campaign(5) is not None
    assert not listings.was_listed("campaigns")


async def test_full_disk_is_no_answer(
    make_both: MakeBoth, catalog: Catalog, background: CountingBackground, announced: list[str]
) -> None:
    """Where rows cannot be written, a request and a listing fail; nothing loops, and nothing is called missing."""
    announced.append("bug in background")
    async with trio.open_nursery():
        await catalog.write(lambda db: db.execute("ALTER TABLE campaigns RENAME TO hidden") and None)
    v2 = FakeV2(get_campaign=campaign(5), find_campaigns=page([campaign(5)]))
    account, listings = make_both(v2)
    failure = await failure_of(account.find_campaign(5, patience_seconds=None))
    assert failure is not None
    assert not isinstance(failure, RemoteObjectMissing)
    for _ in range(5):
        await whole(listings, "campaigns")
    assert v2.count("find_campaigns") == 1
    assert background.bugs == 2


@asynccontextmanager
async def _served(standin: Standin) -> Any:
    told = standin.credentials
    origin = OriginSettings(
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        credentials=Credentials(apikey=told.apikey, login=told.login, password=told.password),
        timeout_seconds=5.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )
    async with Transport(origin) as transport:
        yield V2Client(transport), V1Client(transport)


async def test_against_the_standin(make_both: MakeBoth, catalog: Catalog, tmp_path: Path) -> None:
    """With the real clients against the stand-in: three listings in three requests hold the whole account, and v1's
    list agrees with it."""
    async with Standin() as standin, _served(standin) as (v2, v1):
        account, listings = make_both(v2, v1)
        for name in ("campaigns", "calls", "media"):
            await whole(listings, name)
            assert listings.was_listed(name)
        assert catalog.counts() == {"campaigns": 8, "calls": 24, "recordings": 24, "media": 20}
        assert len(standin.requests) == 3
        for call_id in standin.account.call_ids():
            row = catalog.call(call_id)
            assert row is not None
            assert row.recordings_known
            ids = [found.id for found in catalog.recordings_of_call(call_id)]
            assert ids == standin.account.recording_ids(call_id)
            if row.campaign_id:
                await account.find_files(row.campaign_id, call_id, patience_seconds=None)
                assert [file.id for file in catalog.files_of_call(call_id)] == ids


async def test_a_large_account_lists_one_campaign_alone(make_both: MakeBoth, catalog: Catalog) -> None:
    """`ls` of a campaign in an account of a million calls asks for the first page and that campaign's pages alone."""
    asked: list[tuple[int, int | None, int | None]] = []

    async def find_calls(
        *, limit: int, offset: int, interval_begin_ms: int | None = None, campaign_id: int | None = None
    ) -> Any:
        asked.append((offset, campaign_id, interval_begin_ms))
        if campaign_id is None:
            return page([call(n, recordings=()) for n in range(1, 1001)], limit=limit, total=10**6)
        return page([call(n, recordings=()) for n in range(5001, 5011)], limit=limit, total=10)

    _account, listings = make_both(FakeV2(find_calls=find_calls))
    listing = listings.refreshed("calls", 5)
    assert listing is not None
    await listing.wait_whole()
    assert not listings.was_listed("calls", 5)
    alone = listings.refreshed("calls", 5)
    assert alone is not None
    await alone.wait_whole()
    assert listings.was_listed("calls", 5)
    assert listings.keeps_fresh("calls", 5)
    assert not listings.was_listed("calls", 6)
    assert asked == [(0, None, None), (0, 5, None)]
    assert catalog.counts()["calls"] == 1010
    _account, again = make_both(FakeV2(find_calls=find_calls), ttl_seconds=0)
    for _ in range(2):  # a later mount finds out first that the account is large
        listing = again.refreshed("calls", 5)
        assert listing is not None
        await listing.wait_whole()
    assert asked[2:] == [(0, None, None), (0, 5, MADE_MS - OVERLAP_MS)]


async def test_whoever_wants_all_of_a_large_account_gets_it(make_both: MakeBoth, catalog: Catalog) -> None:
    """recordings/ of a large account walks every page."""

    async def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        calls = [call(n, recordings=()) for n in range(offset + 1, min(offset + limit, 20_500) + 1)]
        return page(calls, limit=limit, total=20_500)

    _account, listings = make_both(FakeV2(find_calls=find_calls))
    listing = listings.refreshed("calls")
    assert listing is not None
    await listing.wait_whole()
    assert listings.was_listed("calls")
    assert catalog.counts()["calls"] == 20_500


class LargeAccount:
    """20,500 calls, half of them of campaign 5, and `asked`: each question's offset and campaign."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int | None]] = []
        self.calls = [call(n, recordings=(), campaign_id=5 + n % 2) for n in range(1, 20_501)]

    async def __call__(
        self, *, limit: int, offset: int, interval_begin_ms: int | None = None, campaign_id: int | None = None
    ) -> Any:
        self.asked.append((offset, campaign_id))
        calls = [one for one in self.calls if campaign_id in (None, one.campaign_id)]
        return page(calls[offset : offset + limit], limit=limit, total=len(calls))


@pytest.mark.parametrize("name", ["calls", "recordings"])
async def test_a_pass_that_stopped_early_is_not_a_whole_one(make_both: MakeBoth, catalog: Catalog, name: str) -> None:
    """After a look at one campaign of a large account, whatever wants the whole gets it at once, within the time to
    live, and nothing is marked as listed that was not."""
    origin = LargeAccount()
    _account, listings = make_both(FakeV2(find_calls=origin))
    look = listings.refreshed("calls", 5)
    assert look is not None
    await look.wait_whole()
    assert origin.asked == [(0, None)]
    assert not listings.was_listed(name)
    await whole(listings, name)
    assert {offset for offset, campaign_id in origin.asked if campaign_id is None} == set(range(0, 20_500, 1000))
    assert catalog.counts()["calls"] == 20_500
    assert listings.was_listed("calls")
    assert listings.was_listed(name)


async def test_the_whole_is_wanted_while_an_early_stop_ends(make_both: MakeBoth, catalog: Catalog) -> None:
    """A demand for the whole that comes after the first page, before that pass has ended, is not lost."""
    origin = LargeAccount()
    _account, listings = make_both(FakeV2(find_calls=origin))
    look = listings.refreshed("calls", 5)
    assert look is not None
    while not look.is_stopped:
        await trio.lowlevel.checkpoint()
    assert look.running
    await whole(listings, "calls")
    assert catalog.counts()["calls"] == 20_500
    assert listings.was_listed("calls")


async def test_a_large_account_that_was_listed_whole_long_ago(
    make_both: MakeBoth, catalog: Catalog, wall: Wall
) -> None:
    """A later mount asks for a page of all calls, then for those of the campaign alone, each once within the time to
    live: what is new there is found."""
    origin = LargeAccount()
    _account, listings = make_both(FakeV2(find_calls=origin))
    await whole(listings, "calls")
    origin.asked.clear()
    origin.calls.append(call(20_501, recordings=None, campaign_id=5))
    wall.now_ms += FULL_PASS_MS + 1
    v2 = FakeV2(find_calls=origin, find_call_recordings=())
    _account, listings = make_both(v2)
    for _ in range(3):
        look = listings.refreshed("calls", 5)
        assert look is not None
        await look.wait_whole()
    assert origin.asked[:2] == [(0, None), (0, 5)]
    assert sorted(origin.asked[1:]) == [(offset, 5) for offset in range(0, 10_251, 1000)]
    assert catalog.call(20_501) is not None
