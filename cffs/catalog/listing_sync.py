"""How the account's listings are taken: which operation, since when, into which rows, page by page.

It must not know when a listing is wanted or who waits for it (`catalog/listings`).
`catalog/account_sync` makes listings of its methods; each raises what stops an answer, pages already taken stay.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import trio

from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.bulk_upserts import put_calls
from cffs.catalog.capabilities import Family, Offered
from cffs.catalog.listings import Listing
from cffs.catalog.paging import walk_pages
from cffs.catalog.store import Catalog
from cffs.core.api_v2 import embeds_recordings, settled
from cffs.core.errors import CffsError, OperationNotOffered, RemoteObjectMissing
from cffs.core.values import Call, Page

if TYPE_CHECKING:
    from cffs.catalog.account_sync import Account
    from cffs.catalog.listings import Listing


log = logging.getLogger(__name__)

#: As a folder's sizes are asked (contract section 4).
AT_ONCE = 8
#: Of a campaign in a large account: that of all calls stops at its first page, and its own takes over.
_LISTINGS = 2
#: What `ls recordings/` may cost at most where nothing is embedded: the price of a million calls' pages.
MOST_CALLS = 1000


async def list_recordings(account: "Account", listing: "Listing", *, campaign_id: int | None = None) -> None:
    """Take the listing of calls, of a campaign or of all, then the recordings that it left out, of the newest
    `MOST_CALLS` calls at most.

    Raises what stops an answer; what came stays. Further calls are asked by the next listing, or when their folder is
    opened.
    """
    for _ in range(_LISTINGS):
        calls = account.listing("calls", campaign_id)
        if calls is None:
            return
        while calls.running:
            await calls.wait_for_progress()
            if calls.is_partial:
                listing.progressed()
        if calls.failure is not None:
            raise calls.failure
        if account.was_listed("calls", campaign_id):
            break
    unasked = account.catalog.calls_without_recordings(limit=MOST_CALLS + 1, campaign_id=campaign_id)
    if len(unasked) > MOST_CALLS:
        log.warning("this service tells recordings call by call: asking of the newest %d calls only", MOST_CALLS)
    await _ask_each(account, listing, iter(unasked[:MOST_CALLS]))
    await account.mark_listed(listing.name)


async def _ask_each(account: "Account", listing: "Listing", call_ids: Iterator[int]) -> None:
    failures: list[CffsError] = []

    async def ask() -> None:
        for call_id in call_ids:
            try:
                await account.find_recordings(call_id, patience_seconds=None)
            except RemoteObjectMissing:
                continue  # the call is gone, or has no list of its own
            except CffsError as failure:
                failures.append(failure)
            if failures:
                return  # the others would meet the same
            listing.progressed()

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(ask)
    if failures and not isinstance(failures[0], OperationNotOffered):
        raise failures[0]


PutAll = Callable[[sqlite3.Connection, Sequence[Any]], None]

#: A later refresh of the calls asks from this long before the newest call that is known: which of a call's times the
#: interval is compared with is undocumented, and a long call is created well before it is finished.
OVERLAP_MS = 24 * 3600 * 1000
#: The whole list of calls is walked again at most this often.
FULL_PASS_MS = 24 * 3600 * 1000
#: No call was made later than this past the service's own time: what says so is nonsense, and must not hide others.
AHEAD_MS = 24 * 3600 * 1000
#: With more calls than this, `ls` of one campaign asks for that campaign's alone: 20 requests list this many at once,
#: and a rate-limited account of a million calls must not pay 1000 for a folder of ten.
LARGE_CALLS = 20_000


class _TooLarge(Exception):  # control flow within this module: what the first page brought is not thrown away
    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__()
        self.items = items


class ListingSync:
    """Takes the listings of v2. Of its own it knows only whether the account is large, and what was left out."""

    def __init__(self, *, catalog: Catalog, v2: V2Client, offered: Offered, wall_ms: Callable[[], int]) -> None:
        self._catalog = catalog
        self._v2 = v2
        self._offered = offered
        self._wall_ms = wall_ms
        #: More calls than are listed at a go for somebody who wants one campaign.
        self.is_large = False
        #: By listing, how many entries on the wire were no usable record when it was last taken.
        self._refused: dict[str, int] = {}

    async def campaigns(self, listing: Listing) -> None:
        """The broadcasts."""

        async def ask(limit: int, offset: int) -> Page[Any]:
            return await self._v2.find_campaigns(limit=limit, offset=offset)

        await self._take_pages(listing, Family.BROADCASTS, ask, _each(upserts.put_campaign))

    async def media(self, listing: Listing) -> None:
        """The media."""

        async def ask(limit: int, offset: int) -> Page[Any]:
            return await self._v2.find_media(limit=limit, offset=offset)

        await self._take_pages(listing, Family.MEDIA, ask, _each(upserts.put_media))

    async def calls(self, listing: Listing) -> None:
        """The calls since shortly before the newest that is known, or all of them where they were not taken whole for
        a day."""
        walk = self._begin("calls")

        async def ask(limit: int, offset: int) -> Page[Any]:
            page = await self._v2.find_calls(limit=limit, offset=offset, interval_begin_ms=walk.begin_ms)
            page = walk.took(page)
            if not offset and (page.total or 0) > LARGE_CALLS and not listing.is_wanted_whole:
                raise _TooLarge(page.items)
            return page

        try:
            await self._take_pages(listing, Family.CALLS, ask, put_calls)
        except _TooLarge as first_page:
            items = first_page.items
            self.is_large = True
            self._offered.set(Family.CALLS, offered=True)
            await self._catalog.write(lambda db: _put_all(db, put_calls, items))
            return
        await self._mark(listing.name, walk)

    async def calls_of_campaign(self, listing: Listing, campaign_id: int) -> None:
        """The same of one campaign of a large account (0: of none)."""
        walk = self._begin(listing.name)

        async def ask(limit: int, offset: int) -> Page[Any]:
            page = await self._v2.find_calls(
                limit=limit, offset=offset, campaign_id=campaign_id, interval_begin_ms=walk.begin_ms
            )
            return walk.took(page)

        await self._take_pages(listing, Family.CALLS, ask, put_calls)
        await self._mark(listing.name, walk)

    def _begin(self, name: str) -> "_Walk":
        """A walk of the listing: of all of it where that was not done for a day, or nothing tells what is new."""
        now_ms, since_ms = self._wall_ms(), self._catalog.listed_ms(f"{name}:since")
        full_ms = self._catalog.listed_ms(f"{name}:full")
        if since_ms is None or full_ms is None or now_ms - full_ms > FULL_PASS_MS or now_ms < full_ms:
            return _Walk(now_ms, begin_ms=None, newest_ms=None)
        return _Walk(now_ms, begin_ms=max(0, since_ms - OVERLAP_MS), newest_ms=since_ms)

    async def _mark(self, name: str, walk: "_Walk") -> None:
        """Remember how new the newest call is, by the service's own times, and when all of them were taken."""

        def batch(db: sqlite3.Connection) -> None:
            if walk.newest_ms is not None:
                upserts.mark_listed(db, f"{name}:since", now_ms=walk.newest_ms)
            if walk.begin_ms is None:
                upserts.mark_listed(db, f"{name}:full", now_ms=walk.started_ms)

        await self._catalog.write(batch)

    async def _take_pages(
        self,
        listing: Listing,
        family: Family,
        ask: Callable[[int, int], Awaitable[Page[Any]]],
        put: PutAll,
    ) -> None:
        seen: set[int] = set()
        pages = refused = 0
        now_ms = self._wall_ms()

        async def counted(limit: int, offset: int) -> Page[Any]:
            nonlocal refused
            page = await ask(limit, offset)
            refused += page.refused
            return page

        async def take(items: Sequence[Any]) -> int:
            nonlocal pages
            pages += 1
            new = [item for item in items if item.id not in seen]
            seen.update(item.id for item in new)
            if new:
                await self._catalog.write(lambda db: _put_all(db, put, new))
            self._offered.set(family, offered=True)
            listing.progressed()
            return len(new)

        try:
            await walk_pages(counted, take)
        except OperationNotOffered:
            if not pages:
                self._offered.set(family, offered=False)
                return
            # a 404 behind the last page is an end like any other
        if refused and refused != self._refused.get(listing.name):  # told once, not at each refresh
            self._refused[listing.name] = refused
            log.warning("rows left out listing=%s count=%d: they are no records, or have no id", listing.name, refused)
        await self._catalog.write(lambda db: upserts.mark_listed(db, listing.name, now_ms=now_ms))


class _Walk:
    """One walk over pages of calls: since when it asks, and what it has seen. Owned by the one who walks."""

    def __init__(self, started_ms: int, *, begin_ms: int | None, newest_ms: int | None) -> None:
        self.started_ms = started_ms
        self.begin_ms = begin_ms
        #: When the newest call was made, of those that this walk and those before it have seen; where none says when,
        #: the service's own time.
        self.newest_ms = newest_ms
        self._embeds = False

    def took(self, page: Page[Call]) -> Page[Call]:
        """The page as it is meant: once a page had recordings embedded, a later one that has none says that its calls
        have none, and their folders need not ask. Another walk learns it anew: an origin may change its mind."""
        latest_ms = (self.started_ms if page.served_ms is None else page.served_ms) + AHEAD_MS
        made = [call.created_ms for call in page.items if call.created_ms is not None and call.created_ms <= latest_ms]
        made += [] if self.newest_ms is None else [self.newest_ms]
        self.newest_ms = max(made, default=page.served_ms)
        self._embeds = self._embeds or embeds_recordings(page.items)
        return replace(page, items=settled(page.items, embeds=self._embeds))


def _each(put: Callable[[sqlite3.Connection, Any], None]) -> PutAll:
    def put_each(db: sqlite3.Connection, items: Sequence[Any]) -> None:
        for item in items:
            put(db, item)

    return put_each


def _put_all(db: sqlite3.Connection, put: PutAll, items: Sequence[Any]) -> None:
    # Pages come newest first. Rows are listed in the order of their insertion, so this makes a folder's order that of
    # its names within a page: who reads a folder by name (a shell does) then reads in order, and is read ahead for.
    put(db, sorted(items, key=lambda item: int(item.id)))
