"""How a v2 list is walked page by page, defended against pages that lie: pure decisions and one thin loop.

It must not know what is listed.
`catalog/listings` walks with it. Facts about pages: `api.md` section 2 (echoed limit, totals of -1, no stated order).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import trio

from cffs.core.errors import CffsError, ServerFailure
from cffs.core.values import Page

#: Asked first; v1.1's XSD caps at 1000, v2's cap is undocumented (api.md section 2).
LARGE_LIMIT = 1000
#: The documented default; asked again where the large one is refused with HTTP 400.
SMALL_LIMIT = 100
#: An account of 10^7 calls at 1000 a page; a list that goes on past that is not believed.
MAX_PAGES = 10_000
#: Pages asked for at the same time once a total is told (more would take the metadata connections from lookups).
AT_ONCE = 4
#: Pages in a row that bring nothing new before a list without a total is taken to repeat itself.
MAX_STALE_PAGES = 3

#: A page that tells neither limit nor total may have been cut by a cap that nobody tells. Caps are round: a page of
#: that many items, or a multiple, is not believed to be the last.
ROUND_NUMBER = 5

HTTP_BAD_REQUEST = 400

AskPage = Callable[[int, int], Awaitable[Page[Any]]]
TakePage = Callable[[Sequence[Any]], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Where a walk stands: the next offset, the limit in force, pages taken, stale pages in a row."""

    limit: int
    offset: int = 0
    pages: int = 0
    stale: int = 0
    finished: bool = False


def after_page(walk: Walk, page: Page[Any], *, new: int) -> Walk:
    """The walk after `page` of which `new` items were not known to this walk. Pure; always ends.

    The echoed limit holds where it is smaller than the asked one. A page shorter than the limit is the last (the
    documented stop rule), unless a believable total says that more must come, or nothing tells that it was not cut.
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
    """The offsets of the pages that `page`, the first one, promises beyond itself; empty where it promises nothing
    that can be asked for without waiting for the page before. Pure."""
    if walk.finished or page.total is None or page.received < walk.limit:
        return range(0)
    return range(walk.offset, min(page.total, walk.limit * MAX_PAGES), walk.limit)


async def walk_pages(ask: AskPage, take: TakePage) -> int:
    """Ask for every page and hand each page's items to `take`, which returns how many were new to this walk.

    The first page comes alone; where it tells a total, four are asked for at once, in any order; where they are not
    what the total promised, and behind the total, one after the other. Returns the number of pages. Raises what `ask`
    raises; pages already taken stay taken. Cancelled, the same holds. Falls back from 1000 to 100 a page where the
    first page is refused with HTTP 400.
    """
    walk = Walk(limit=LARGE_LIMIT)
    while not walk.finished:
        try:
            page = await ask(walk.limit, walk.offset)
        except ServerFailure as failure:
            if failure.status != HTTP_BAD_REQUEST or walk.pages or walk.limit == SMALL_LIMIT:
                raise
            walk = Walk(limit=SMALL_LIMIT)
            continue
        is_first = not walk.pages
        walk = after_page(walk, page, new=await take(page.items))
        if is_first and (ahead := offsets_ahead(walk, page)):
            walk = await _walk_at_once(ask, take, walk, ahead)
    return walk.pages


async def _walk_at_once(ask: AskPage, take: TakePage, walk: Walk, ahead: range) -> Walk:
    """The walk after the pages at `ahead`, or behind the first of them that was not what was promised."""
    offsets = iter(ahead)
    pages = 0
    unkept: list[tuple[int, int]] = []
    failures: list[CffsError] = []

    async def work() -> None:
        nonlocal pages
        for offset in offsets:
            if unkept or failures:
                return
            try:
                page = await ask(walk.limit, offset)
            except CffsError as failure:
                failures.append(failure)
                return
            pages += 1
            new = await take(page.items)
            if not new or page.received < min(walk.limit, ahead.stop - offset):
                unkept.append((offset, offset + page.received))

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
    if failures:
        raise failures[0]
    # A short last page is the end, as anywhere; behind a full one nothing but asking tells
    finished = not unkept and (ahead.stop - ahead.start) % walk.limit != 0
    _offset, behind = min(unkept, default=(ahead.stop, ahead.stop))
    return replace(walk, offset=behind, pages=walk.pages + pages, stale=int(bool(unkept)), finished=finished)
