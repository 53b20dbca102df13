"""Paging: a list of v2 as an async iterator, defended against pages that lie.

It owns how far a walk over a list is, and when it ends: pure decisions, and a thin loop that asks. It must not know
what is listed. What is known about the service's pages is in `cffs/docs/service.md#paging`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import trio

from cffs.core.errors import CffsError, ServerFailure
from cffs.core.values import Page

#: The limit that is asked for first: v1.1's XSD caps at 1000, v2's cap is undocumented.
LARGE_LIMIT = 1000
#: The documented default; asked again where the large one is refused with HTTP 400.
SMALL_LIMIT = 100
#: An account of 10^7 calls at 1000 a page; a list that goes on past that is not believed.
MAX_PAGES = 10_000
#: Pages asked for at the same time once a total is known; more would take the metadata connections from lookups.
AT_ONCE = 4
#: Pages in a row that bring nothing new before a list is taken to repeat itself, whatever its total is.
MAX_STALE_PAGES = 3

#: A page with neither limit nor total may have been cut by a cap that the service does not report. Caps are round: a
#: page of that many items, or of a multiple, is not taken for the last one.
ROUND_NUMBER = 5

HTTP_BAD_REQUEST = 400

Item = TypeVar("Item")


class AskPage(Protocol[Item]):
    """The operation that lists."""

    async def __call__(self, *, limit: int, offset: int) -> Page[Item]:
        """Ask for one page. Raises what stops an answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How far a walk is: the next offset, the limit in force, pages taken, stale pages in a row."""

    limit: int
    offset: int = 0
    pages: int = 0
    stale: int = 0
    finished: bool = False


def after_page(walk: Walk, page: Page[Any], *, new: int) -> Walk:
    """The walk after `page`, of which `new` items were new to it. Pure; a walk always ends.

    The echoed limit holds where it is smaller than the one asked for. A page shorter than the limit is the last (the
    documented stop rule), unless the total says that more must come, or nothing shows that the page was not cut.
    """
    limit = min(walk.limit, page.limit) if page.limit else walk.limit
    offset = walk.offset + page.received
    stale = 0 if new else walk.stale + 1
    more_promised = page.total is not None and offset < page.total
    maybe_cut = page.limit is None and page.total is None and page.received % ROUND_NUMBER == 0
    finished = (
        page.received == 0
        or (page.received < limit and not more_promised and not maybe_cut)
        or stale >= MAX_STALE_PAGES
        or walk.pages + 1 >= MAX_PAGES
    )
    return replace(walk, limit=limit, offset=offset, pages=walk.pages + 1, stale=stale, finished=finished)


def offsets_ahead(walk: Walk, page: Page[Any]) -> range:
    """The offsets of the pages that `page`, the first one, promises beyond itself; empty where it promises none that
    can be asked for before the page before has come. Pure."""
    if walk.finished or page.total is None or page.received < walk.limit:
        return range(0)
    return range(walk.offset, min(page.total, walk.limit * MAX_PAGES), walk.limit)


@trio.as_safe_channel
async def walk_pages(ask: AskPage[Item], *, identify: Callable[[Item], Hashable]) -> AsyncGenerator[Page[Item], None]:
    """Iterate over the pages of a list: `async with walk_pages(...) as pages`, then `async for page in pages`.

    A page holds only the items that are new to this walk; `identify` returns an item's identity. The first
    page is asked for alone, and nothing more before the caller comes back for the second one. Where the first page has
    a total, four pages are then asked for at once, and come in any order; after that, or where they are not what the
    total promised, one comes after the other. A first page that is refused with HTTP 400 is asked for again with 100
    items instead of 1000.

    The block raises what `ask` raises, after the pages that came before; perhaps only as it ends, so what must not
    happen after a failure belongs after the block. Leaving the block ends the requests that are on their way, and so
    does a cancellation.
    """
    walk, seen = Walk(limit=LARGE_LIMIT), _Seen(identify)
    while not walk.finished:
        try:
            page = await ask(limit=walk.limit, offset=walk.offset)
        except ServerFailure as failure:
            if failure.status != HTTP_BAD_REQUEST or walk.pages or walk.limit == SMALL_LIMIT:
                raise
            walk = Walk(limit=SMALL_LIMIT)
            continue
        is_first, new = not walk.pages, seen.new_of(page)
        walk = after_page(walk, page, new=len(new.items))
        yield new
        if is_first and (offsets := offsets_ahead(walk, page)):
            ahead = _PagesAhead(ask, seen, walk, offsets)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ahead.ask_all)
                async for new in ahead.pages:
                    yield new
            walk = ahead.walk_after()


class _Seen(Generic[Item]):
    """The items that a walk has met."""

    def __init__(self, identify: Callable[[Item], Hashable]) -> None:
        self._identify = identify
        self._seen: set[Hashable] = set()

    def new_of(self, page: Page[Item]) -> Page[Item]:
        """The page without the items that were met before."""
        keyed = [(self._identify(item), item) for item in page.items]
        new = [(key, item) for key, item in keyed if key not in self._seen]
        self._seen.update(key for key, _item in new)
        return replace(page, items=tuple(item for _key, item in new))


class _PagesAhead(Generic[Item]):
    """The pages at the offsets that a total promised, up to the first one that is not what it promised."""

    def __init__(self, ask: AskPage[Item], seen: _Seen[Item], walk: Walk, offsets: range) -> None:
        self._send, self._receive = trio.open_memory_channel[Page[Item]](0)
        self._ask = ask
        self._seen = seen
        self._walk = walk
        self._promised = offsets
        self._offsets = iter(offsets)
        self._count = 0
        #: Where the pages stood that were not full, and where the walk goes on after each.
        self._unkept: list[tuple[int, int]] = []
        self._failures: list[CffsError] = []

    @property
    def pages(self) -> AsyncIterator[Page[Item]]:
        """The pages as they come."""
        return self._receive

    async def ask_all(self) -> None:
        """Ask for all of them, `AT_ONCE` at a time. Raises nothing that `ask` raises: `walk_after` does. Always a
        checkpoint."""
        async with self._send, trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._ask_some)

    async def _ask_some(self) -> None:
        for offset in self._offsets:
            if self._unkept or self._failures:
                return
            try:
                page = await self._ask(limit=self._walk.limit, offset=offset)
            except CffsError as failure:
                self._failures.append(failure)
                return
            self._count += 1
            new = self._seen.new_of(page)
            if not new.items or page.received < min(self._walk.limit, self._promised.stop - offset):
                self._unkept.append((offset, offset + page.received))
            await self._send.send(new)

    def walk_after(self) -> Walk:
        """How far the walk is after these pages. Raises what stopped them."""
        if self._failures:
            raise self._failures[0]
        # A short last page is the end, as anywhere. Whether anything follows a full one, only a request shows
        stop = self._promised.stop
        finished = not self._unkept and (stop - self._promised.start) % self._walk.limit != 0
        _offset, behind = min(self._unkept, default=(stop, stop))
        pages, stale = self._walk.pages + self._count, int(bool(self._unkept))
        return replace(self._walk, offset=behind, pages=pages, stale=stale, finished=finished)
