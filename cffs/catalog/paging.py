"""How a v2 list is walked page by page, defended against pages that lie: pure decisions and one thin loop.

It must not know what is listed.
`catalog/listings` walks with it. Facts about pages: `api.md` section 2 (echoed limit, totals of -1, no stated order).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cffs.core.errors import ServerFailure
from cffs.core.values import Page

#: Asked first; v1.1's XSD caps at 1000, v2's cap is undocumented (api.md section 2).
LARGE_LIMIT = 1000
#: The documented default; asked again where the large one is refused with HTTP 400.
SMALL_LIMIT = 100
#: An account of 10^7 calls at 1000 a page; a list that goes on past that is not believed.
MAX_PAGES = 10_000
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


async def walk_pages(ask: AskPage, take: TakePage) -> int:
    """Ask page after page and hand each page's items to `take`, which returns how many were new to this walk.

    Returns the number of pages. Raises what `ask` raises; pages already taken stay taken. Cancelled between two
    pages, the same holds. Falls back from 1000 to 100 a page where the first page is refused with HTTP 400.
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
        walk = after_page(walk, page, new=await take(page.items))
    return walk.pages
