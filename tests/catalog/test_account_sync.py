"""The account's questions against fake clients: which API is asked what, how often, and which rows come of it."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import Account
from cffs.catalog.capabilities import Family
from cffs.catalog.listing_sync import FULL_PASS_MS, OVERLAP_MS
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS, SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import (
    AccessRefused,
    DeadlineExceeded,
    NotInTree,
    OperationNotOffered,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.core.settings import Credentials, OriginSettings
from cffs.standin.server import Standin
from tests.catalog.factories import (
    CountingBackground,
    FakeV1,
    FakeV2,
    call,
    campaign,
    failure_of,
    media,
    page,
    recording,
)

TTL = 60.0
NOW_MS = 1_717_300_000_000


class Wall:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def wall() -> Wall:
    """Stands until the test moves it."""
    return Wall()


@pytest.fixture
async def make(catalog: Catalog, background: CountingBackground, wall: Wall) -> Callable[..., Account]:
    """A maker of accounts over the one catalogue: each is another mount's life."""

    def made(v2: Any = None, v1: Any = None, ttl_seconds: float = TTL) -> Account:
        return Account(
            catalog=catalog,
            questions=SingleFlight(background, timeout_seconds=15, is_offline=lambda api: False),
            background=background,
            v1=v1,
            v2=v2,
            has_account_login=False,
            ttl_seconds=ttl_seconds,
            wall_ms=wall,
        )

    return made


async def whole(account: Account, name: str) -> None:
    listing = account.listing(name)
    assert listing is not None
    await listing.wait_whole()


async def test_without_credentials(make: Callable[..., Account]) -> None:
    """An API without credentials is never asked: what is its alone is no name of the tree."""
    account = make()
    for question in (
        account.find_campaign(5, patience_seconds=None),
        account.find_call(7, patience_seconds=None),
        account.find_recordings(7, patience_seconds=None),
        account.find_recording(9, patience_seconds=None),
        account.find_recording_by_name(7, "x", patience_seconds=None),
        account.find_media(3, patience_seconds=None),
        account.find_files(5, 7, patience_seconds=None),
    ):
        assert isinstance(await failure_of(question), NotInTree)
    assert [account.listing(name) for name in ("campaigns", "calls", "media")] == [None] * 3


async def test_answers_become_rows(make: Callable[..., Account], catalog: Catalog) -> None:
    """Each question asks one operation once, and its answer is in the rows when it returns."""
    v2 = FakeV2(
        get_campaign=campaign(5),
        get_call=call(7),
        get_call_recordings=page([recording(9, "x")]),
        get_recording=recording(10, "y", call_id=8, campaign_id=5),
        get_recording_by_name=recording(11, "z", call_id=7),
        get_media=media(3),
    )
    account = make(v2, FakeV1({(5, 7): (88, 89)}))
    await account.find_campaign(5, patience_seconds=None)
    await account.find_call(7, patience_seconds=None)
    await account.find_recordings(7, patience_seconds=None)
    await account.find_recording(10, patience_seconds=None)
    await account.find_recording_by_name(7, "z", patience_seconds=None)
    await account.find_media(3, patience_seconds=None)
    assert await account.find_files(5, 7, patience_seconds=None)
    assert [asked[0] for asked in v2.asked] == [
        "get_campaign", "get_call", "get_call_recordings", "get_recording", "get_recording_by_name", "get_media",
    ]  # fmt: skip
    assert [row.id for row in catalog.recordings_of_call(7)] == [9, 11]
    assert [row.id for row in catalog.recordings_of_call(8)] == [10]
    assert [row.id for row in catalog.files_of_call(7)] == [88, 89]
    assert catalog.media_file(3) is not None
    found = catalog.call(7)
    assert found is not None
    assert (found.recordings_known, found.files_known) == (True, True)


async def test_asked_once_within_its_time(make: Callable[..., Account], mock_clock: MockClock) -> None:
    """A call, its list and v1's list of it are asked again past the time to live only."""
    v2, v1 = FakeV2(get_call=call(7), get_call_recordings=page([])), FakeV1()
    account = make(v2, v1)
    for seconds, times in ((0, 1), (TTL - 1, 1), (2, 2)):
        mock_clock.jump(seconds)
        await account.find_call(7, patience_seconds=None)
        await account.find_recordings(7, patience_seconds=None)
        assert not await account.find_files(5, 7, patience_seconds=None)
        assert (v2.count("get_call"), v2.count("get_call_recordings"), v1.count("list_recordings")) == (times,) * 3


async def test_embedded_recordings_spare_the_list(make: Callable[..., Account]) -> None:
    """A call that came with its recordings does not have its list asked."""
    v2 = FakeV2(get_call=call(7, recordings=(recording(9),)))
    account = make(v2)
    await account.find_call(7, patience_seconds=None)
    await account.find_recordings(7, patience_seconds=None)
    assert v2.count("get_call_recordings") == 0


async def test_empty_list_of_v1_proves_nothing(make: Callable[..., Account], catalog: Catalog) -> None:
    """v1 answers for any pair of numbers: an empty list leaves neither a call nor a campaign behind."""
    assert not await make(v1=FakeV1()).find_files(5, 7, patience_seconds=None)
    assert catalog.counts() == {"campaigns": 0, "calls": 0, "recordings": 0, "media": 0}


async def test_missing_by_id(make: Callable[..., Account]) -> None:
    """Where the listing exists, a 404 by id means that the object is missing; the listing is asked once a mount."""
    v2 = FakeV2(find_calls=page([]), find_campaigns=page([]))
    account = make(v2)
    for ident in range(1, 4):
        assert isinstance(await failure_of(account.find_call(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_recording(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_recordings(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_campaign(ident, patience_seconds=None)), RemoteObjectMissing)
    assert (v2.count("find_calls"), v2.count("find_campaigns")) == (1, 1)
    assert account.offered.get(Family.CALLS) is True


async def test_not_offered(make: Callable[..., Account]) -> None:
    """Where the listing does not exist either, the whole family is not offered and never asked again."""
    v2 = FakeV2(find_calls=OperationNotOffered("calls"))
    account = make(v2)
    assert isinstance(await failure_of(account.find_call(1, patience_seconds=None)), OperationNotOffered)
    before = len(v2.asked)
    for question in (account.find_call, account.find_recording, account.find_recordings):
        assert isinstance(await failure_of(question(2, patience_seconds=None)), OperationNotOffered)
    assert account.listing("calls") is None
    assert len(v2.asked) == before == 2
    await failure_of(account.find_recording_by_name(7, "x", patience_seconds=None))
    assert v2.count("get_recording_by_name") == 1  # of the second document: stands without the listing


async def test_failure_of_the_listing_decides_nothing(make: Callable[..., Account]) -> None:
    """A 404 by id whose listing fails is neither missing nor not offered: it is that failure, and asked again."""
    v2 = FakeV2(find_calls=ServerFailure(500, "calls"))
    account = make(v2)
    for _ in range(2):
        assert isinstance(await failure_of(account.find_call(1, patience_seconds=None)), ServerFailure)
    assert account.offered.get(Family.CALLS) is None
    assert v2.count("get_call") == 2


async def test_listing_fills_rows_page_by_page(make: Callable[..., Account], catalog: Catalog, wall: Wall) -> None:
    """Rows are there after each page; repeated items are one; the whole is marked as listed."""
    pages = {0: [call(n, recordings=()) for n in range(1, 1001)], 1000: [call(1000), call(1001)]}
    go_on = trio.Event()

    async def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        assert interval_begin_ms is None
        if offset:
            await go_on.wait()
        return page(pages[offset], limit=limit, total=-1)

    account = make(FakeV2(find_calls=find_calls))
    listing = account.listing("calls")
    assert listing is not None
    assert not account.was_listed("calls")
    assert account.keeps_fresh("calls")
    await listing.wait_for_progress()
    assert catalog.counts()["calls"] == 1000
    assert not account.was_listed("calls")
    go_on.set()
    await listing.wait_whole()
    assert catalog.counts()["calls"] == 1001
    assert catalog.listed_ms("calls") == catalog.listed_ms("calls:full") == wall.now_ms
    assert account.offered.get(Family.CALLS) is True


@pytest.mark.parametrize("embeds", [True, False])
async def test_a_silent_page_behind_one_that_embeds(
    make: Callable[..., Account], catalog: Catalog, *, embeds: bool
) -> None:
    """A later page without a recording means "none" where an earlier one embedded any, else nothing at all."""
    first = call(1, recordings=(recording(11, call_id=1),)) if embeds else call(1)
    pages = {0: [first, *(call(n) for n in range(2, 1001))], 1000: [call(2001), call(2002)]}

    def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        return page(pages[offset], limit=limit, total=1002)

    await whole(make(FakeV2(find_calls=find_calls)), "calls")
    rows = [catalog.call(number) for number in (2, 2001, 2002)]
    assert [row is not None and row.recordings_known for row in rows] == [embeds] * 3


MADE_MS = 1_700_000_000_000
DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize("ahead_ms", [0, 2 * 3_600_000, 10 * DAY_MS, -10 * DAY_MS])
@pytest.mark.parametrize("served_ms", [None, MADE_MS + 1000])
async def test_later_refreshes_ask_for_what_is_new(
    make: Callable[..., Account], wall: Wall, ahead_ms: int, served_ms: int | None
) -> None:
    """A refresh asks from a day before the newest call that is known, however wrong this machine's clock is: what was
    made since cannot lie before it. The whole list is asked again once a day, or when the clock went back."""
    start_ms = wall.now_ms = MADE_MS + ahead_ms
    made = [MADE_MS]
    v2 = FakeV2(find_calls=lambda **_: replace(page([call(7, created_ms=at) for at in made]), served_ms=served_ms))

    async def begin_of_next_refresh() -> Any:
        before = len(v2.asked)
        await whole(make(v2, ttl_seconds=0), "calls")
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
async def test_a_call_of_a_time_to_come_hides_no_other(
    make: Callable[..., Account], wall: Wall, created_ms: int | None
) -> None:
    """A call that says that it will be made next year, or not when it was made, does not decide what is new: the
    service's own time does."""
    wall.now_ms = MADE_MS
    told = replace(page([call(7, created_ms=created_ms)]), served_ms=MADE_MS - 5000)
    v2 = FakeV2(find_calls=lambda **_: told)
    for _ in range(2):
        await whole(make(v2, ttl_seconds=0), "calls")
    assert v2.asked[-1][-1] == MADE_MS - 5000 - OVERLAP_MS


@pytest.mark.parametrize("name", ["campaigns", "calls", "media"])
async def test_listing_not_offered(make: Callable[..., Account], name: str) -> None:
    """A listing that the origin does not have ends without an error, is not marked as listed, is not asked again."""
    absent = OperationNotOffered(name)
    v2 = FakeV2(find_campaigns=absent, find_calls=absent, find_media=absent)
    account = make(v2)
    listing = account.listing(name)
    assert listing is not None
    await listing.wait_whole()
    assert listing.failure is None
    assert not account.was_listed(name)
    assert account.listing(name) is None
    assert len(v2.asked) == 1


async def test_not_offered_behind_the_first_page(make: Callable[..., Account]) -> None:
    """A 404 behind a page that was there is the list's end, and says nothing against what the origin offers."""

    def find_campaigns(*, limit: int, offset: int) -> Any:
        return OperationNotOffered("x") if offset else page([campaign(5)], limit=limit, total=3)

    account = make(FakeV2(find_campaigns=find_campaigns))
    await whole(account, "campaigns")
    assert account.was_listed("campaigns")
    assert account.offered.get(Family.BROADCASTS) is True


async def test_listing_failed_in_the_middle(
    make: Callable[..., Account], catalog: Catalog, announced: list[str]
) -> None:
    """Pages taken before a failure stay; the listing is not called whole, and the failure is there to tell."""
    announced.append("listing failed")

    def find_campaigns(*, limit: int, offset: int) -> Any:
        return AccessRefused("x") if offset else page([campaign(5)], limit=1)

    account = make(FakeV2(find_campaigns=find_campaigns))
    await whole(account, "campaigns")
    listing = account.listing("campaigns")
    assert listing is not None
    assert isinstance(listing.failure, AccessRefused)
    assert catalog.campaign(5) is not None
    assert not account.was_listed("campaigns")


async def test_document(make: Callable[..., Account], mock_clock: MockClock) -> None:
    """A document is asked once within its time, shown again when asking fails, and gone when the service denies it."""
    asked = 0
    outcome: Any = {"credits": 1}

    async def fetch() -> Any:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    account = make(FakeV2())
    first = await account.document("me/x", fetch)
    assert first == b'{\n  "credits": 1\n}\n'
    outcome = {"credits": 2}
    assert await account.document("me/x", fetch) == first
    assert asked == 1
    mock_clock.jump(TTL + 1)
    assert b"2" in await account.document("me/x", fetch)
    for failing in (ServerFailure(500, "x"), AccessRefused("x"), OperationNotOffered("x")):
        mock_clock.jump(TTL + 1)
        outcome = failing
        assert b"2" in await account.document("me/x", fetch)
    mock_clock.jump(TTL + 1)
    outcome = RemoteObjectMissing("x")
    assert isinstance(await failure_of(account.document("me/x", fetch)), RemoteObjectMissing)
    outcome = ServerFailure(500, "x")
    assert isinstance(await failure_of(account.document("me/y", fetch)), ServerFailure)


async def test_document_within_a_lookup(make: Callable[..., Account], autojump_clock: MockClock) -> None:
    """A lookup that needs a document waits no longer than a lookup may, whatever the service does."""

    async def never() -> Any:
        await trio.sleep_forever()

    account = make(FakeV2())
    began = trio.current_time()
    question = account.document("me/callerids", never, patience_seconds=LOOKUP_PATIENCE_SECONDS)
    assert isinstance(await failure_of(question), DeadlineExceeded)
    assert trio.current_time() - began == pytest.approx(LOOKUP_PATIENCE_SECONDS)


async def test_full_disk_is_no_answer(
    make: Callable[..., Account], catalog: Catalog, background: CountingBackground, announced: list[str]
) -> None:
    """Where rows cannot be written, a question and a listing fail; nothing loops and nothing is called missing."""
    announced.append("bug in background")
    async with trio.open_nursery():
        await catalog.write(lambda db: db.execute("ALTER TABLE campaigns RENAME TO hidden") and None)
    v2 = FakeV2(get_campaign=campaign(5), find_campaigns=page([campaign(5)]))
    account = make(v2)
    failure = await failure_of(account.find_campaign(5, patience_seconds=None))
    assert failure is not None
    assert not isinstance(failure, RemoteObjectMissing)
    for _ in range(5):
        await whole(account, "campaigns")
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


async def test_against_the_standin(make: Callable[..., Account], catalog: Catalog, tmp_path: Path) -> None:
    """With the real clients against the stand-in: three listings in three requests hold the whole account, and v1's
    list agrees with it."""
    async with Standin() as standin, _served(standin) as (v2, v1):
        account = make(v2, v1)
        for name in ("campaigns", "calls", "media"):
            await whole(account, name)
            assert account.was_listed(name)
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


async def test_a_large_account_lists_one_campaign_alone(make: Callable[..., Account], catalog: Catalog) -> None:
    """`ls` of a campaign in an account of a million calls asks for the first page and that campaign's pages alone."""
    asked: list[tuple[int, int | None, int | None]] = []

    async def find_calls(
        *, limit: int, offset: int, interval_begin_ms: int | None = None, campaign_id: int | None = None
    ) -> Any:
        asked.append((offset, campaign_id, interval_begin_ms))
        if campaign_id is None:
            return page([call(n, recordings=()) for n in range(1, 1001)], limit=limit, total=10**6)
        return page([call(n, recordings=()) for n in range(5001, 5011)], limit=limit, total=10)

    account = make(FakeV2(find_calls=find_calls))
    listing = account.listing("calls", 5)
    assert listing is not None
    await listing.wait_whole()
    assert not account.was_listed("calls", 5)
    alone = account.listing("calls", 5)
    assert alone is not None
    await alone.wait_whole()
    assert account.was_listed("calls", 5)
    assert account.keeps_fresh("calls", 5)
    assert not account.was_listed("calls", 6)
    assert asked == [(0, None, None), (0, 5, None)]
    assert catalog.counts()["calls"] == 1010
    again = make(FakeV2(find_calls=find_calls), ttl_seconds=0)
    for _ in range(2):  # a later mount finds out first that the account is large
        listing = again.listing("calls", 5)
        assert listing is not None
        await listing.wait_whole()
    assert asked[2:] == [(0, None, None), (0, 5, MADE_MS - OVERLAP_MS)]


async def test_whoever_wants_all_of_a_large_account_gets_it(make: Callable[..., Account], catalog: Catalog) -> None:
    """recordings/ of a large account walks every page."""

    async def find_calls(*, limit: int, offset: int, interval_begin_ms: int | None = None) -> Any:
        calls = [call(n, recordings=()) for n in range(offset + 1, min(offset + limit, 20_500) + 1)]
        return page(calls, limit=limit, total=20_500)

    account = make(FakeV2(find_calls=find_calls))
    listing = account.listing("calls")
    assert listing is not None
    await listing.wait_whole()
    assert account.was_listed("calls")
    assert catalog.counts()["calls"] == 20_500
