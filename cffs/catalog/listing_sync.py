"""Listings of the account: when each is refreshed, and how its pages become rows.

It owns one `Listing` for each list of the account, one for the recordings of each campaign that was listed, and in a
large account one for the calls of each. It must not know who waits for rows, nor how a list is walked
(`catalog/paging`).

A refresh runs in the background, page after page; pages that were taken stay, whatever stops it. Calls are asked for
since shortly before the newest one that is known, and all of them once a day.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TypeVar

import trio

from cffs.callfire.v2 import V2Client
from cffs.catalog import bulk_upserts, upserts
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.capabilities import Family
from cffs.catalog.listing_single_flight import Listing, TakeListing, age_seconds
from cffs.catalog.paging import AskPage, walk_pages
from cffs.core.background import Background
from cffs.core.errors import CffsError, OperationNotOffered, RemoteObjectMissing
from cffs.core.units import MS_PER_SECOND
from cffs.core.v2_parsers import embeds_recordings, settled
from cffs.core.values import Call, Campaign, Media, Page

Row = TypeVar("Row", Campaign, Call, Media)
log = logging.getLogger(__name__)

#: Calls whose recordings are asked for at a time, as many as sizes of files (`cffs/docs/semantics.md#sizes`).
AT_ONCE = 8
#: Of the calls, at most two listings are waited for: in a large account that of all calls stops at its first page, and
#: that of the campaign takes over.
_LISTINGS = 2
#: What `ls recordings/` may cost at most where nothing is embedded: the price of a million calls' pages.
MOST_CALLS = 1000
#: A later refresh of the calls asks from this long before the newest call that is known: which of a call's times the
#: interval is compared with is undocumented, and a long call is created well before it is finished.
OVERLAP_MS = 24 * 3600 * 1000
#: The whole list of calls is walked again at most this often.
FULL_PASS_MS = 24 * 3600 * 1000
#: No call was made later than this after the service's own time: a call that says so must not hide others.
AHEAD_MS = 24 * 3600 * 1000
#: With more calls than this, `ls` of one campaign asks for that campaign's alone: 20 requests list this many at once,
#: and a rate-limited account of a million calls must not pay 1000 for a folder of ten.
LARGE_CALLS = 20_000


class ListingSync:
    """The listings of one account; none where there is no v2. Every listing method starts at most a background refresh,
    and is no checkpoint."""

    def __init__(
        self, account: AccountSync, *, background: Background, ttl_seconds: float, wall_ms: Callable[[], int]
    ) -> None:
        self._account = account
        self._catalog = account.catalog
        self._background = background
        self._ttl_seconds = ttl_seconds
        self._wall_ms = wall_ms
        self._were_listed: set[str] = set()
        #: By listing, how many entries of its pages were no usable record at its last refresh.
        self._refused: dict[str, int] = {}
        self._listings: dict[str, Listing] = {}
        if account.v2 is not None:
            self._listings = {
                "campaigns": self._new_listing("campaigns", self._take_campaigns),
                "calls": self._new_listing("calls", self._take_calls),
                "media": self._new_listing("media", self._take_media),
                "recordings": self._new_listing("recordings", self._take_recordings),
            }

    # -- which listings there are --

    def refreshed(self, name: str, campaign_id: int | None = None) -> Listing | None:
        """The listing of that name, with a refresh started where it is due; None where this origin has none.

        With a `campaign_id` only that campaign's calls or recordings (0: those of none) are wanted: in a large account
        its calls are listed alone, and where a listing of calls says nothing of their recordings, only its calls are
        asked for theirs.
        """
        family = {"campaigns": Family.BROADCASTS, "media": Family.MEDIA}.get(name, Family.CALLS)
        if name == "recordings" and campaign_id is not None and self._knows_recordings(campaign_id):
            name = "calls"
        listing = self._listings.get(name)
        if listing is None or self._account.capabilities.offers(family) is False:
            return None
        if name == "recordings" and campaign_id is not None:
            listing = self._of_campaign(name, campaign_id, partial(self._take_recordings, campaign_id=campaign_id))
        if name == "calls":
            if campaign_id is None:
                listing.is_wanted_whole = True
            elif listing.is_stopped and not listing.running:
                listing = self._of_campaign(name, campaign_id, partial(self._take_calls, campaign_id=campaign_id))
        listing.refresh(self._background, ttl_seconds=self._ttl_seconds)
        return listing

    def _of_campaign(self, name: str, campaign_id: int, take: TakeListing) -> Listing:
        name = f"{name}:{campaign_id}"
        listing = self._listings.get(name)
        if listing is None:
            listing = self._listings[name] = self._new_listing(name, take)
        return listing

    def _knows_recordings(self, campaign_id: int) -> bool:
        """True where the calls of a campaign were listed, and what was recorded of each is known from that."""
        unknown = self._catalog.calls_without_recordings(limit=1, campaign_id=campaign_id)
        return self.was_listed("calls", campaign_id) and not unknown

    def _new_listing(self, name: str, take: TakeListing) -> Listing:
        return Listing(name, take, age_seconds=age_seconds(self._catalog.listed_ms(name), now_ms=self._wall_ms()))

    def was_listed(self, name: str, campaign_id: int | None = None) -> bool:
        """True where the listing was once taken whole, in this mount or before; or that of the campaign alone was."""
        if name in self._were_listed or self._catalog.listed_ms(name) is not None:
            self._were_listed.add(name)  # it stays true
            return True
        if campaign_id is None:
            return False
        return self.was_listed(f"{name}:{campaign_id}") or (
            name == "recordings" and self._knows_recordings(campaign_id)
        )

    def has_failed(self, name: str) -> bool:
        """True where the listing was never taken whole, and its last try failed."""
        listing = self._listings.get(name)
        return listing is not None and listing.failure is not None and not self.was_listed(name)

    def keeps_fresh(self, name: str, campaign_id: int | None = None) -> bool:
        """True where the listing was once taken whole, or is being taken: what it brings need not be asked singly."""
        return self.was_listed(name, campaign_id) or self.running(name, campaign_id) is not None

    def running(self, name: str, campaign_id: int | None = None) -> Listing | None:
        """The listing that is taking those rows just now; starts none."""
        found = (self._listings.get(one) for one in (name, f"{name}:{campaign_id}"))
        return next((listing for listing in found if listing is not None and listing.running), None)

    # -- how each is taken: pages that came stay; raises what stops an answer --

    async def _take_campaigns(self, listing: Listing) -> None:
        if (v2 := self._account.v2) is not None:
            await self._take_pages(listing, Family.BROADCASTS, v2.find_campaigns, bulk_upserts.put_campaigns)

    async def _take_media(self, listing: Listing) -> None:
        if (v2 := self._account.v2) is not None:
            await self._take_pages(listing, Family.MEDIA, v2.find_media, bulk_upserts.put_media)

    async def _take_calls(self, listing: Listing, *, campaign_id: int | None = None) -> None:
        """Take the calls of a campaign (0: of none), or of all; the first page alone where it shows that the account is
        large, and only one campaign is wanted."""
        if (v2 := self._account.v2) is None:
            return
        may_stop = campaign_id is None and not listing.is_wanted_whole
        calls = self._calls_since(v2, listing.name, campaign_id)
        is_whole = await self._take_pages(listing, Family.CALLS, calls, bulk_upserts.put_calls, may_stop=may_stop)
        if is_whole:
            await self._catalog.write(partial(calls.mark, name=listing.name))
        elif may_stop and listing.is_stopped and listing.is_wanted_whole:  # only since its first page came
            await self._take_calls(listing)

    def _calls_since(self, v2: V2Client, name: str, campaign_id: int | None) -> "_Calls":
        """The calls to ask for: all of them where that was not done for a day, or nothing says what is new."""
        now_ms, since_ms = self._wall_ms(), self._catalog.listed_ms(f"{name}:since")
        full_ms = self._catalog.listed_ms(f"{name}:full")
        if since_ms is None or full_ms is None or now_ms - full_ms > FULL_PASS_MS or now_ms < full_ms:
            return _Calls(v2, campaign_id, started_ms=now_ms, since_ms=None)
        return _Calls(v2, campaign_id, started_ms=now_ms, since_ms=since_ms)

    async def _take_pages(
        self,
        listing: Listing,
        family: Family,
        ask: AskPage[Row],
        put: Callable[[sqlite3.Connection, Sequence[Row]], None],
        *,
        may_stop: bool = False,
    ) -> bool:
        """Put every page into rows; with `may_stop` only the first one in a large account. True where all were."""
        count, refused, oldest_seconds = 0, 0, 0.0
        started_ms = self._wall_ms()
        try:
            async with walk_pages(ask, identify=attrgetter("id")) as pages:
                async for page in pages:
                    count, refused = count + 1, refused + page.refused
                    oldest_seconds = max(oldest_seconds, page.age_seconds)
                    listing.note_age(page.age_seconds)
                    await self._put(put, page.items)
                    self._account.capabilities.note(family, is_offered=True)
                    if may_stop and count == 1 and (page.total or 0) > LARGE_CALLS and not listing.is_wanted_whole:
                        listing.is_stopped = True
                        return False
                    listing.progressed()
        except OperationNotOffered:
            if not count:
                self._account.capabilities.note(family, is_offered=False)
                return False
            # a 404 after the last page is an end like any other
        if refused and refused != self._refused.get(listing.name):  # once, not at each refresh
            self._refused[listing.name] = refused
            log.warning("rows left out listing=%s count=%d: they are no records, or have no id", listing.name, refused)
        await self._mark_listed(listing.name, at_ms=started_ms - int(oldest_seconds * MS_PER_SECOND))
        listing.is_stopped = False
        return True

    async def _put(self, put: Callable[[sqlite3.Connection, Sequence[Row]], None], rows: Sequence[Row]) -> None:
        if rows:
            await self._catalog.write(lambda db: put(db, rows))

    async def _mark_listed(self, name: str, *, at_ms: int) -> None:
        await self._catalog.write(lambda db: upserts.mark_listed(db, name, now_ms=at_ms))

    async def _take_recordings(self, listing: Listing, *, campaign_id: int | None = None) -> None:
        """Take the calls, of a campaign or of all, then the recordings that their listing left out, of the newest
        `MOST_CALLS` calls at most. Other calls are asked by the next refresh, or when their folder is opened."""
        for _ in range(_LISTINGS):
            calls = self.refreshed("calls", campaign_id)
            if calls is None:
                return
            while calls.running:
                await calls.wait_for_progress()
                if calls.is_partial:
                    listing.progressed()
            if calls.failure is not None:
                raise calls.failure
            if self.was_listed("calls", campaign_id) and not calls.is_stopped:
                break
        else:
            return
        unknown = self._catalog.calls_without_recordings(limit=MOST_CALLS + 1, campaign_id=campaign_id)
        if len(unknown) > MOST_CALLS:
            log.warning("this service lists recordings call by call: asking about the newest %d calls only", MOST_CALLS)
        await self._ask_recordings_of_each(iter(unknown[:MOST_CALLS]), listing)
        await self._mark_listed(listing.name, at_ms=self._wall_ms())

    async def _ask_recordings_of_each(self, call_ids: Iterator[int], listing: Listing) -> None:
        failures: list[CffsError] = []

        async def ask() -> None:
            for call_id in call_ids:
                try:
                    await self._account.find_recordings(call_id, patience_seconds=None)
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


class _Calls:
    """The operation that lists calls, since when it asks, and how new the newest call is that it has shown. One refresh
    owns it."""

    def __init__(self, v2: V2Client, campaign_id: int | None, *, started_ms: int, since_ms: int | None) -> None:
        self._ask = v2.find_calls if campaign_id is None else partial(v2.find_calls, campaign_id=campaign_id)
        self._started_ms = started_ms
        self._begin_ms = None if since_ms is None else max(0, since_ms - OVERLAP_MS)
        #: When the newest call was made, of those that this refresh and those before it have shown; where no call says
        #: when, the service's own time.
        self._newest_ms = since_ms
        self._embeds = False
        self._oldest_seconds = 0.0

    async def __call__(self, *, limit: int, offset: int) -> Page[Call]:
        """A page, with what the pages before it have shown: once one had recordings embedded, a later one without any
        says that its calls have none, and their folders need not ask. Another refresh finds that out again: an origin
        may change."""
        page = await self._ask(limit=limit, offset=offset, interval_begin_ms=self._begin_ms)
        self._oldest_seconds = max(self._oldest_seconds, page.age_seconds)
        latest_ms = (self._started_ms if page.served_ms is None else page.served_ms) + AHEAD_MS
        made = [call.created_ms for call in page.items if call.created_ms is not None and call.created_ms <= latest_ms]
        made += [] if self._newest_ms is None else [self._newest_ms]
        self._newest_ms = max(made, default=page.served_ms)
        self._embeds = self._embeds or embeds_recordings(page.items)
        return replace(page, items=settled(page.items, embeds=self._embeds))

    def mark(self, db: sqlite3.Connection, *, name: str) -> None:
        """Remember how new the newest call is, by the service's own times, and when all of them were taken."""
        if self._newest_ms is not None:
            upserts.mark_listed(db, f"{name}:since", now_ms=self._newest_ms)
        if self._begin_ms is None:
            asked_ms = self._started_ms - int(self._oldest_seconds * MS_PER_SECOND)
            upserts.mark_listed(db, f"{name}:full", now_ms=asked_ms)
