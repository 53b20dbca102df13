"""Walks over lists whose pages may lie: few requests, an end, and nothing lost."""

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.catalog.paging import (
    AT_ONCE,
    LARGE_LIMIT,
    MAX_PAGES,
    MAX_STALE_PAGES,
    SMALL_LIMIT,
    Walk,
    after_page,
    walk_pages,
)
from cffs.core.errors import OriginUnreachable, ServerFailure
from tests.catalog.factories import page

MAX_HONEST = 5 * LARGE_LIMIT


class Server:
    """A list of numbers behind pages; honest by default."""

    def __init__(self, count: int, *, cap: int, refuses: bool, tells_limit: bool, tells_total: bool) -> None:
        self.count, self.cap, self.refuses = count, cap, refuses
        self.tells_limit, self.tells_total = tells_limit, tells_total
        self.asked: list[tuple[int, int]] = []

    async def ask(self, *, limit: int, offset: int) -> Any:
        """One page."""
        self.asked.append((limit, offset))
        if limit > self.cap and self.refuses:
            raise ServerFailure(400, "limit must not exceed")
        used = min(limit, self.cap)
        items = list(range(offset, min(self.count, offset + used)))
        return page(items, limit=used if self.tells_limit else None, total=self.count if self.tells_total else None)


async def walked(ask: Any) -> list[Any]:
    """Every item, each once, as a caller takes them."""
    found: dict[Any, None] = {}
    async with walk_pages(ask, identify=itself) as pages:
        async for one in pages:
            assert not found.keys() & set(one.items)
            found.update(dict.fromkeys(one.items))
    return list(found)


def itself(item: Any) -> Any:
    return item


@settings(deadline=None)
@given(
    count=st.one_of(st.integers(0, MAX_HONEST), st.sampled_from([99, 100, 101, 999, 1000, 1001, 2000, 3000])),
    cap=st.sampled_from([SMALL_LIMIT, 200, 250, 500, LARGE_LIMIT, 5000]),
    tells_limit=st.booleans(),
    tells_total=st.booleans(),
    refuses=st.booleans(),
)
async def test_honest_server_loses_nothing(
    count: int, cap: int, tells_limit: bool, tells_total: bool, refuses: bool
) -> None:
    """Whatever an honest server caps, echoes or leaves out, every item is found, in a page each and two more."""
    server = Server(count, cap=cap, refuses=refuses, tells_limit=tells_limit, tells_total=tells_total)
    assert await walked(server.ask) == list(range(count))
    used = min(SMALL_LIMIT if refuses and cap < LARGE_LIMIT else LARGE_LIMIT, cap)
    assert len(server.asked) <= count // used + 3


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (999, 1), (1000, 2), (10_000, 11), (10_001, 11)])
async def test_requests_of_a_good_server(count: int, requests: int) -> None:
    """A server that takes 1000 a page is asked once a thousand (and once more where the last page is full)."""
    server = Server(count, cap=LARGE_LIMIT, refuses=True, tells_limit=True, tells_total=True)
    await walked(server.ask)
    assert len(server.asked) == requests


async def test_refused_limit_is_asked_smaller_once() -> None:
    """HTTP 400 for 1000 is answered with 100 from the start; 400 for that too is the failure."""
    server = Server(250, cap=SMALL_LIMIT, refuses=True, tells_limit=True, tells_total=False)
    assert await walked(server.ask) == list(range(250))
    assert server.asked == [(1000, 0), (100, 0), (100, 100), (100, 200)]
    server = Server(250, cap=10, refuses=True, tells_limit=True, tells_total=False)
    with pytest.raises(ServerFailure):
        await walked(server.ask)
    assert server.asked == [(1000, 0), (100, 0)]


async def test_refused_later_is_a_failure() -> None:
    """HTTP 400 after the first page is not about the limit: it is raised, and what was taken stays taken."""
    taken: list[Any] = []

    async def ask(*, limit: int, offset: int) -> Any:
        if offset:
            raise ServerFailure(400, "offset")
        return page(list(range(limit)), limit=limit)

    with pytest.raises(ServerFailure):
        async with walk_pages(ask, identify=itself) as pages:
            async for one in pages:
                taken.extend(one.items)
    assert len(taken) == LARGE_LIMIT


@pytest.mark.parametrize("failure", [OriginUnreachable("x"), ServerFailure(500, "x")])
async def test_failures_pass(failure: Exception) -> None:
    """Any other failure of the first page is raised after one request."""
    asked = []

    async def ask(*, limit: int, offset: int) -> Any:
        asked.append(offset)
        raise failure

    with pytest.raises(type(failure)):
        await walked(ask)
    assert asked == [0]


@settings(deadline=None)
@given(st.data())
async def test_liar_ends(data: st.DataObject) -> None:
    """Pages that shrink, repeat, promise more or less than there is: the walk ends in bounded requests, and asks for an
    offset a second time only where it was on its way when the first lie was seen."""
    asked: list[tuple[int, int]] = []
    lies = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=60), label="ids")
    totals = st.none() | st.integers(0, 2**31 - 1)

    async def ask(*, limit: int, offset: int) -> Any:
        asked.append((limit, offset))
        items = data.draw(st.lists(st.sampled_from(lies), max_size=8), label="items")
        refused = data.draw(st.integers(0, 3), label="refused")
        echo = data.draw(st.none() | st.integers(1, 2000), label="echo")
        return page(items, limit=echo, total=data.draw(totals, label="total"), received=len(items) + refused)

    found = await walked(ask)
    assert set(found) <= set(lies)
    # each run of fruitful pages brings something new, and at most MAX_STALE_PAGES fruitless ones follow it
    assert len(asked) <= (len(set(lies)) + 1) * MAX_STALE_PAGES + AT_ONCE
    offsets = [offset for _limit, offset in asked]
    assert len(offsets) - len(set(offsets)) <= AT_ONCE
    limits = [limit for limit, _offset in asked]
    assert limits == sorted(limits, reverse=True)


@pytest.mark.parametrize("total", [None, 2**31 - 1])
async def test_same_page_for_ever(total: int | None) -> None:
    """A server that ignores the offset costs a few pages, and those on their way, whatever total it claims."""
    asked = []

    async def ask(*, limit: int, offset: int) -> Any:
        asked.append(offset)
        return page(list(range(100)), limit=100, total=total)

    assert await walked(ask) == list(range(100))
    assert len(asked) <= 1 + (AT_ONCE if total else 0) + MAX_STALE_PAGES


async def test_never_ends() -> None:
    """A list that brings something new on every page ends at the bound."""
    asked = 0

    async def ask(*, limit: int, offset: int) -> Any:
        nonlocal asked
        asked += 1
        return page([offset], limit=1)

    await walked(ask)
    assert asked == MAX_PAGES


@given(
    received=st.integers(0, 2000),
    limit=st.none() | st.integers(1, 2**31 - 1),
    total=st.none() | st.integers(0, 2**31 - 1),
    new=st.integers(0, 2000),
    stale=st.integers(0, MAX_STALE_PAGES - 1),
    pages=st.integers(0, MAX_PAGES - 1),
)
def test_laws_of_a_step(received: int, limit: int | None, total: int | None, new: int, stale: int, pages: int) -> None:
    """A step never raises the limit, moves by what came, and an empty page is always the last."""
    walk = Walk(limit=1000, offset=500, pages=pages, stale=stale)
    after = after_page(walk, page([0] * received, limit=limit, total=total), new=new)
    assert after.limit <= walk.limit
    assert after.offset == walk.offset + received
    assert after.pages == pages + 1
    assert after.finished or received
    assert after.finished or after.pages < MAX_PAGES
    assert after.finished or after.stale < MAX_STALE_PAGES


async def test_four_pages_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Once the first page has a total, four are asked for at once: 41 pages of a second each take 11 seconds."""
    asked: list[int] = []

    async def ask(*, limit: int, offset: int) -> Any:
        asked.append(offset)
        await trio.sleep(1)
        return page(list(range(offset, min(offset + 100, 4050))), limit=100, total=4050)

    assert sorted(await walked(ask)) == list(range(4050))
    assert len(asked) == 41
    assert trio.current_time() <= 11.5


async def test_pages_in_any_order(autojump_clock: trio.testing.MockClock) -> None:
    """Pages that overtake each other are all taken, whichever comes first."""

    async def ask(*, limit: int, offset: int) -> Any:
        await trio.sleep(1 + (offset * 7919) % 13)
        return page(list(range(offset, min(offset + 100, 1234))), limit=100, total=1234)

    assert sorted(await walked(ask)) == list(range(1234))


async def test_a_total_too_high(autojump_clock: trio.testing.MockClock) -> None:
    """A total that promises more than there is costs a few empty pages and loses nothing."""
    asked: list[int] = []

    async def ask(*, limit: int, offset: int) -> Any:
        asked.append(offset)
        await trio.sleep(1)
        return page(list(range(offset, max(offset, min(offset + 100, 950)))), limit=100, total=10**6)

    assert sorted(await walked(ask)) == list(range(950))
    assert len(asked) <= 10 + 2 * AT_ONCE


@pytest.mark.parametrize("total", [None, 5000])
async def test_the_second_page_waits_for_the_caller(total: int | None) -> None:
    """Nothing is asked for beyond the first page before the caller comes back for the second one, and nothing after
    the caller left."""
    server = Server(5000, cap=LARGE_LIMIT, refuses=False, tells_limit=True, tells_total=total is not None)
    async with walk_pages(server.ask, identify=itself) as pages:
        async for _page in pages:
            await trio.testing.wait_all_tasks_blocked()
            assert server.asked == [(LARGE_LIMIT, 0)]
            break
    await trio.testing.wait_all_tasks_blocked()
    assert server.asked == [(LARGE_LIMIT, 0)]


async def test_a_failure_ends_the_walk_after_what_was_on_its_way(autojump_clock: trio.testing.MockClock) -> None:
    """A page that fails is raised as it is, once the pages that were on their way have been given out."""
    taken: list[int] = []
    failure = OriginUnreachable("x")

    async def ask(*, limit: int, offset: int) -> Any:
        await trio.sleep(1 + offset / 10_000)
        if offset == 200:
            raise failure
        return page(list(range(offset, offset + 100)), limit=100, total=10_000)

    with pytest.raises(OriginUnreachable) as raised:
        async with walk_pages(ask, identify=itself) as pages:
            async for one in pages:
                taken.append(one.items[0])
    assert raised.value is failure
    assert set(taken) >= {0, 100, 300, 400}
    assert len(taken) < 8


async def test_what_the_caller_raises_is_raised(autojump_clock: trio.testing.MockClock) -> None:
    """A caller that fails while pages are on their way sees its own failure, and nothing goes on."""
    server = Server(50_000, cap=LARGE_LIMIT, refuses=False, tells_limit=True, tells_total=True)
    with pytest.raises(KeyError):
        async with walk_pages(server.ask, identify=itself) as pages:
            async for one in pages:
                if one.items[0]:
                    raise KeyError
    asked = len(server.asked)
    await trio.testing.wait_all_tasks_blocked()
    assert len(server.asked) == asked < 50
