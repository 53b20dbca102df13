"""Requests for single objects: which API gets which, how often, and their rows."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from cffs.catalog import upserts
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.capabilities import Family
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.catalog.store import Catalog
from cffs.core.errors import (
    AccessRefused,
    DeadlineExceeded,
    NotInTree,
    OperationNotOffered,
    RemoteObjectMissing,
    ServerFailure,
)
from tests.catalog.factories import (
    TTL,
    FakeV1,
    FakeV2,
    call,
    campaign,
    failure_of,
    media,
    page,
    recording,
)


async def test_without_credentials(make: Callable[..., AccountSync]) -> None:
    """An API without credentials is never asked; what only it knows is no name of the tree."""
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


async def test_answers_become_rows(make: Callable[..., AccountSync], catalog: Catalog) -> None:
    """Each method asks one operation once, and its answer is in the rows when it returns."""
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


async def test_asked_once_within_its_time(make: Callable[..., AccountSync], mock_clock: MockClock) -> None:
    """A call, its list and v1's list of it are asked for again only after the time to live."""
    v2, v1 = FakeV2(get_call=call(7), get_call_recordings=page([])), FakeV1()
    account = make(v2, v1)
    for seconds, times in ((0, 1), (TTL - 1, 1), (2, 2)):
        mock_clock.jump(seconds)
        await account.find_call(7, patience_seconds=None)
        await account.find_recordings(7, patience_seconds=None)
        assert not await account.find_files(5, 7, patience_seconds=None)
        assert (v2.count("get_call"), v2.count("get_call_recordings"), v1.count("list_recordings")) == (times,) * 3


async def test_embedded_recordings_spare_the_list(make: Callable[..., AccountSync]) -> None:
    """The list of a call that came with its recordings is not asked for."""
    v2 = FakeV2(get_call=call(7, recordings=(recording(9),)))
    account = make(v2)
    await account.find_call(7, patience_seconds=None)
    await account.find_recordings(7, patience_seconds=None)
    assert v2.count("get_call_recordings") == 0


async def test_empty_list_of_v1_proves_nothing(make: Callable[..., AccountSync], catalog: Catalog) -> None:
    """v1 answers for any pair of numbers: an empty list leaves neither a call nor a campaign behind."""
    assert not await make(v1=FakeV1()).find_files(5, 7, patience_seconds=None)
    assert catalog.counts() == {"campaigns": 0, "calls": 0, "recordings": 0, "media": 0}


async def test_missing_by_id(make: Callable[..., AccountSync]) -> None:
    """Where the listing exists, a 404 by id means that the object is missing; the listing is asked for once in a
    mount."""
    v2 = FakeV2(find_calls=page([]), find_campaigns=page([]))
    account = make(v2)
    for ident in range(1, 4):
        assert isinstance(await failure_of(account.find_call(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_recording(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_recordings(ident, patience_seconds=None)), RemoteObjectMissing)
        assert isinstance(await failure_of(account.find_campaign(ident, patience_seconds=None)), RemoteObjectMissing)
    assert (v2.count("find_calls"), v2.count("find_campaigns")) == (1, 1)
    assert account.capabilities.offers(Family.CALLS) is True


async def test_not_offered(make: Callable[..., AccountSync]) -> None:
    """Where the listing does not exist either, the family is not offered, and never asked for again."""
    v2 = FakeV2(find_calls=OperationNotOffered("calls"))
    account = make(v2)
    assert isinstance(await failure_of(account.find_call(1, patience_seconds=None)), OperationNotOffered)
    before = len(v2.asked)
    for question in (account.find_call, account.find_recording, account.find_recordings):
        assert isinstance(await failure_of(question(2, patience_seconds=None)), OperationNotOffered)
    assert account.capabilities.offers(Family.CALLS) is False
    assert len(v2.asked) == before == 2
    await failure_of(account.find_recording_by_name(7, "x", patience_seconds=None))
    assert v2.count("get_recording_by_name") == 1  # of the second document: stands without the listing


async def test_an_answer_shows_that_the_operation_is_there(make: Callable[..., AccountSync]) -> None:
    """After one object came by its id, a 404 for another means that it is missing, and the listing is not asked for."""
    v2 = FakeV2(get_call=lambda ident: call(1) if ident == 1 else RemoteObjectMissing("call"))
    account = make(v2)
    await account.find_call(1, patience_seconds=None)
    assert isinstance(await failure_of(account.find_call(2, patience_seconds=None)), RemoteObjectMissing)
    assert v2.count("find_calls") == 0


async def test_not_offered_turns_out_meanwhile(make: Callable[..., AccountSync]) -> None:
    """A caller that waits for a call under way does not take a listing that proved missing for an offered one."""
    go_on = trio.Event()

    async def find_calls(**_: Any) -> Any:
        await go_on.wait()
        raise OperationNotOffered("calls")

    account, failures = make(FakeV2(find_calls=find_calls)), []

    async def ask(question: Awaitable[object]) -> None:
        failures.append(await failure_of(question))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, account.find_call(7, patience_seconds=None))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, account.find_recordings(7, patience_seconds=None))
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(1):
            await account.hear_of_call(7)  # what the 404 means is not known yet, and not waited for
        go_on.set()
    assert [type(failure) for failure in failures] == [OperationNotOffered, OperationNotOffered]


async def test_learn_campaigns(make: Callable[..., AccountSync], catalog: Catalog) -> None:
    """With v2 alone the first campaigns are asked for ahead, by one request; with v1, or once listed, none are."""
    for v1, requests in ((FakeV1(), 0), (None, 1)):
        v2 = FakeV2(find_campaigns=page([campaign(5), campaign(6)]))
        account = make(v2, v1)
        account.learn_campaigns()
        account.learn_campaigns()
        await trio.testing.wait_all_tasks_blocked()
        assert v2.asked == [("find_campaigns", 100, 0)] * requests
    await catalog.write(lambda db: upserts.mark_listed(db, "campaigns", now_ms=1))  # the one writer has put the rows
    assert catalog.campaign(6) is not None
    account = make(v2)
    account.learn_campaigns()
    await trio.testing.wait_all_tasks_blocked()
    assert len(v2.asked) == 1


async def test_failure_of_the_listing_decides_nothing(make: Callable[..., AccountSync]) -> None:
    """A 404 by id whose listing fails is neither missing nor not offered: it is that failure, and asked for again."""
    v2 = FakeV2(find_calls=ServerFailure(500, "calls"))
    account = make(v2)
    for _ in range(2):
        assert isinstance(await failure_of(account.find_call(1, patience_seconds=None)), ServerFailure)
    assert account.capabilities.offers(Family.CALLS) is None
    assert v2.count("get_call") == 2


async def test_document(make: Callable[..., AccountSync], mock_clock: MockClock) -> None:
    """A document is asked for once in its time to live, shown again when that fails, and gone once the service denies
    it."""
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


async def test_document_within_a_lookup(make: Callable[..., AccountSync], autojump_clock: MockClock) -> None:
    """A lookup that needs a document waits no longer than a lookup may, whatever the service does."""

    async def never() -> Any:
        await trio.sleep_forever()

    account = make(FakeV2())
    began = trio.current_time()
    question = account.document("me/callerids", never, patience_seconds=LOOKUP_PATIENCE_SECONDS)
    assert isinstance(await failure_of(question), DeadlineExceeded)
    assert trio.current_time() - began == pytest.approx(LOOKUP_PATIENCE_SECONDS)
