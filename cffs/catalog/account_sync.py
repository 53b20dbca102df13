"""The account's owner of questions: what is asked of which API, and into which rows the answer goes.

It must not know paths or inodes; it is asked about ids and names.
`tree/` calls it; each `find_*` costs at most one request to each API, is asked once however many want it, and
returns nothing: the answer is in the rows.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import trio
from cachetools import TTLCache

from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.capabilities import Family, FileIds, Offered, Verdict
from cffs.catalog.listing_sync import ListingSync, list_recordings
from cffs.catalog.listings import Listing, age_seconds
from cffs.catalog.row_completion import RowCompletion
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.background import Background
from cffs.core.errors import CffsError, NotInTree, ObjectRefused, OperationNotOffered, RemoteObjectMissing
from cffs.core.json_values import encode
from cffs.core.source import Api
from cffs.core.values import Recording

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

#: Calls whose lists were asked just now; bounded, forgotten after the listing's time to live.
RECENT_ENTRIES = 50_000
#: What was learned of v1's file ids is kept among the listings under these names.
_FILE_IDS = "files:"
_SETTLED = (Verdict.SAME, Verdict.NONE)


class Account:
    """Questions about one account. `v1` and `v2` are None where there are no credentials for them."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        questions: SingleFlight,
        background: Background,
        v1: V1Client | None,
        v2: V2Client | None,
        has_account_login: bool,
        ttl_seconds: float,
        wall_ms: Callable[[], int],
    ) -> None:
        self.catalog = catalog
        self.v1 = v1
        self.v2 = v2
        self.has_account_login = has_account_login
        self.offered = Offered()
        #: Whether v1's file ids are v2's recording ids, as far as seen; remembered in the catalogue.
        settled = (verdict for verdict in _SETTLED if catalog.listed_ms(_FILE_IDS + verdict) is not None)
        self.file_ids = FileIds(next(settled, Verdict.OPEN))
        self._were_listed: set[str] = set()
        self._questions = questions
        self._background = background
        self._ttl_seconds = ttl_seconds
        self._wall_ms = wall_ms
        #: What was told within the time to live, and when.
        self._recent: TTLCache[Hashable, float] = TTLCache(RECENT_ENTRIES, ttl_seconds, timer=trio.current_time)
        self.completing = RowCompletion(self)
        self._listings: dict[str, Listing] = {}
        if v2 is not None:
            self._taking = ListingSync(catalog=catalog, v2=v2, offered=self.offered, wall_ms=wall_ms)
            self._listings = {
                "campaigns": self._new_listing("campaigns", self._taking.campaigns),
                "calls": self._new_listing("calls", self._taking.calls),
                "media": self._new_listing("media", self._taking.media),
                "recordings": self._new_listing("recordings", partial(list_recordings, self)),
            }

    # -- listings --

    def listing(self, name: str, campaign_id: int | None = None) -> Listing | None:
        """The listing of that name with a refresh started where it is due; None where this origin has none.

        With a `campaign_id` only that campaign's calls or recordings (0: those of none): in a large account its calls
        are listed alone, and where calls tell nothing of their recordings only its own are asked.
        """
        family = {"campaigns": Family.BROADCASTS, "media": Family.MEDIA}.get(name, Family.CALLS)
        if name == "recordings" and campaign_id is not None and self._tells_recordings(campaign_id):
            name = "calls"
        listing = self._listings.get(name)
        if listing is None or self.offered.get(family) is False:
            return None
        if name == "recordings" and campaign_id is not None:
            listing = self._listing_of_campaign(
                name, campaign_id, partial(list_recordings, self, campaign_id=campaign_id)
            )
        if name == "calls":
            if campaign_id is None:
                listing.is_wanted_whole = True
            elif self._taking.is_large and not listing.running and not self.was_listed("calls"):
                listing = self._listing_of_campaign(
                    name, campaign_id, partial(self._taking.calls_of_campaign, campaign_id=campaign_id)
                )
        listing.refresh(self._background, ttl_seconds=self._ttl_seconds)
        return listing

    def _listing_of_campaign(self, name: str, campaign_id: int, take: Callable[[Listing], Awaitable[None]]) -> Listing:
        name = f"{name}:{campaign_id}"
        listing = self._listings.get(name)
        if listing is None:
            listing = self._listings[name] = self._new_listing(name, take)
        return listing

    def _tells_recordings(self, campaign_id: int) -> bool:
        """True where the calls of a campaign were listed, and what was recorded of each is known from that."""
        unasked = self.catalog.calls_without_recordings(limit=1, campaign_id=campaign_id)
        return self.was_listed("calls", campaign_id) and not unasked

    def _new_listing(self, name: str, take: Callable[[Listing], Awaitable[None]]) -> Listing:
        return Listing(name, take, age_seconds=age_seconds(self.catalog.listed_ms(name), now_ms=self._wall_ms()))

    def was_listed(self, name: str, campaign_id: int | None = None) -> bool:
        """True where it was taken whole once, in this mount or before; or that campaign's calls alone were."""
        if name in self._were_listed or self.catalog.listed_ms(name) is not None:
            self._were_listed.add(name)  # never untrue again
            return True
        if campaign_id is None:
            return False
        return self.was_listed(f"{name}:{campaign_id}") or (
            name == "recordings" and self._tells_recordings(campaign_id)
        )

    async def mark_listed(self, name: str) -> None:
        """Note that a listing was taken whole now."""
        await self.catalog.write(lambda db: upserts.mark_listed(db, name, now_ms=self._wall_ms()))

    def has_failed(self, name: str) -> bool:
        """True where the listing was never taken whole, and its last try failed."""
        listing = self._listings.get(name)
        return listing is not None and listing.failure is not None and not self.was_listed(name)

    def keeps_fresh(self, name: str, campaign_id: int | None = None) -> bool:
        """True where the listing was taken whole once, or is being taken: what it tells need not be asked singly."""
        return self.was_listed(name, campaign_id) or self.running(name, campaign_id) is not None

    def running(self, name: str, campaign_id: int | None = None) -> Listing | None:
        """The listing that takes those rows just now; starts none."""
        found = (self._listings.get(one) for one in (name, f"{name}:{campaign_id}"))
        return next((listing for listing in found if listing is not None and listing.running), None)

    # -- single objects --

    async def find_campaign(self, campaign_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a campaign. Raises RemoteObjectMissing, OperationNotOffered, or what stops an answer."""
        v2 = self._v2(Family.BROADCASTS)

        async def question() -> None:
            campaign = await self._answer(Family.BROADCASTS, f"campaign/{campaign_id}", v2.get_campaign(campaign_id))
            await self.catalog.write(lambda db: upserts.put_campaign(db, campaign))

        await self._questions.ask(("campaign", campaign_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_call(self, call_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a call, its recordings with it where they are embedded; not again within the time to live."""
        v2 = self._v2(Family.CALLS)
        if ("call", call_id) in self._recent:
            return

        async def question() -> None:
            try:
                call = await self._answer(Family.CALLS, f"call/{call_id}", v2.get_call(call_id))
            except RemoteObjectMissing:
                self.completing.note_asked("call", call_id)
                raise
            await self.catalog.write(lambda db: upserts.put_call(db, call))
            self._recent["call", call_id] = trio.current_time()
            if call.recordings is not None:
                self._recent["recordings", call_id] = trio.current_time()

        await self._questions.ask(("call", call_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_recordings(
        self, call_id: int, *, patience_seconds: float | None, within_seconds: float | None = None
    ) -> None:
        """Ask v2 for the list of a call's recordings; not again within the listing's time to live, or
        `within_seconds`. Where the call itself is being asked for, that may tell it."""
        v2 = self._v2(Family.CALLS)
        if self._questions.is_under_way(("call", call_id)):
            with suppress(CffsError):
                await self.find_call(call_id, patience_seconds=patience_seconds)
        if self._is_recent(("recordings", call_id), within_seconds):
            return

        async def question() -> None:
            recordings = await self._answer(Family.CALLS, f"call/{call_id}", v2.get_call_recordings(call_id))
            await self.catalog.write(lambda db: upserts.put_recordings_of_call(db, call_id, recordings.items))
            self._recent["recordings", call_id] = trio.current_time()

        await self._questions.ask(("recordings", call_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_recording(self, recording_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a recording by its id."""
        v2 = self._v2(Family.CALLS)

        async def question() -> None:
            asked = v2.get_recording(recording_id)
            try:
                recording = await self._answer(Family.CALLS, f"recording/{recording_id}", asked)
            except RemoteObjectMissing:
                self.completing.note_asked("recording", recording_id)
                raise
            self.completing.note_asked("recording", recording_id)
            await self._keep_recording(recording, call_id=recording.call_id or 0)

        await self._questions.ask(("recording", recording_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_recording_by_name(self, call_id: int, name: str, *, patience_seconds: float | None) -> None:
        """Ask v2 for a recording by its name within a call."""
        v2 = self._v2()

        async def question() -> None:
            await self._keep_recording(await v2.get_recording_by_name(call_id, name), call_id=call_id)

        key = ("recording-by-name", call_id, name)
        await self._questions.ask(key, Api.V2, question, patience_seconds=patience_seconds)

    async def find_files(
        self, campaign_id: int, call_id: int, *, patience_seconds: float | None, within_seconds: float | None = None
    ) -> bool:
        """Ask v1 for the list of a call's files, not again within the time to live, or `within_seconds`; True where it
        holds any.

        An empty list leaves no row: v1 answers for any pair of numbers, so it proves nothing about the call.
        """
        v1 = self._v1()
        if not self._is_recent(("files", campaign_id, call_id), within_seconds):

            async def question() -> None:
                listing = await v1.list_recordings(campaign_id, call_id)
                if listing.refused:
                    log.warning(
                        "list of recordings read in part call=%d read=%d not_read=%d",
                        call_id,
                        len(listing.file_ids),
                        listing.refused,
                    )
                if listing.file_ids:
                    await self.catalog.write(
                        lambda db: upserts.put_files(db, listing, campaign_id=campaign_id, call_id=call_id)
                    )
                self._recent["files", campaign_id, call_id] = trio.current_time()
                recording_ids = [recording.id for recording in self.catalog.recordings_of_call(call_id)]
                if self.file_ids.note(listing.file_ids, recording_ids):
                    await self.mark_listed(_FILE_IDS + self.file_ids.verdict)

            key = ("files", campaign_id, call_id)
            await self._questions.ask(key, Api.V1, question, patience_seconds=patience_seconds)
        return bool(self.catalog.files_of_call(call_id))

    async def find_media(self, media_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a media file's description (an operation of the second document)."""
        v2 = self._v2()

        async def question() -> None:
            media = await v2.get_media(media_id)
            await self.catalog.write(lambda db: upserts.put_media(db, media))

        await self._questions.ask(("media", media_id), Api.V2, question, patience_seconds=patience_seconds)

    async def ask_anything(
        self,
        key: Hashable,
        api: Api | None,
        question: Callable[[], Awaitable[Answer]],
        *,
        patience_seconds: float | None,
    ) -> Answer:
        """Ask what is not a row of this module (an object's size, say), under the same rules."""
        return await self._questions.ask(key, api, question, patience_seconds=patience_seconds)

    def begin(self, key: Hashable, api: Api | None, question: Callable[[], Awaitable[object]]) -> bool:
        """Have the same asked for who is about to ask it; False where it cannot be now. No checkpoint."""
        return self._questions.begin(key, api, question)

    def require_not_denied(self, key: Hashable) -> None:
        """Raise RemoteObjectMissing where the answer to that question was, lately, that it is not there."""
        self._questions.require_not_denied(key)

    def patience_seconds(self, api: Api) -> float:
        """How long a lookup may wait for an answer of that API now."""
        return self._questions.patience_seconds(api)

    def files_asked_at(self, campaign_id: int, call_id: int) -> float | None:
        """When v1 told that call's list, if that was within the time to live."""
        return self._recent.get(("files", campaign_id, call_id))

    def recordings_asked_at(self, call_id: int) -> float | None:
        """When v2 told that call's recordings, if that was within the time to live."""
        return self._recent.get(("recordings", call_id))

    def has_fresh_document(self, key: str) -> bool:
        """True where `document` would ask nothing."""
        return ("document", key) in self._recent and self.catalog.document(key) is not None

    async def document(
        self, key: str, fetch: Callable[[], Awaitable[object]], *, patience_seconds: float | None = None
    ) -> bytes:
        """The rendered answer of `fetch`, asked again once it is older than the time to live; when that fails, the last
        answer, else what the failure is. What the service says it does not have is not shown again."""
        kept = self.catalog.document(key)
        if kept is not None and ("document", key) in self._recent:
            return kept.body

        async def question() -> None:
            body = encode(await fetch())
            await self.catalog.write(lambda db: upserts.put_document(db, key=key, body=body, now_ms=self._wall_ms()))
            self._recent["document", key] = trio.current_time()

        try:
            await self._questions.ask(("document", key), Api.V2, question, patience_seconds=patience_seconds)
        except RemoteObjectMissing:
            raise
        except CffsError:
            if kept is None:
                raise
        kept = self.catalog.document(key)
        if kept is None:
            raise RemoteObjectMissing(key)
        return kept.body

    # -- help --

    def _is_recent(self, key: Hashable, within_seconds: float | None) -> bool:
        told_at = self._recent.get(key)
        return told_at is not None and (within_seconds is None or trio.current_time() - told_at < within_seconds)

    async def _keep_recording(self, recording: Recording, *, call_id: int) -> None:
        def batch(db: Any) -> None:
            campaign_id = recording.campaign_id or 0
            if call_id:
                upserts.note_call(db, call_id=call_id, campaign_id=campaign_id)
            upserts.put_recording(db, recording, call_id=call_id, campaign_id=campaign_id)

        await self.catalog.write(batch)

    async def _answer(self, family: Family, key: str, question: Awaitable[Answer]) -> Answer:
        """What v2 answers about one object of a family. Raises OperationNotOffered where it has none of them, else
        RemoteObjectMissing, which the catalogue is told."""
        try:
            answer = await question
        except ObjectRefused:
            await self._require(family)
            raise
        except RemoteObjectMissing:
            await self._require(family)
            await self.catalog.note_missing(key, now_ms=self._wall_ms())
            raise
        self.catalog.note_there(key)
        return answer

    async def _require(self, family: Family) -> None:
        """Raise OperationNotOffered where the origin does not have the family's listing (asked once a mount)."""
        v2 = self._v2()
        if self.offered.get(family) is None:
            ask = v2.find_calls if family is Family.CALLS else v2.find_campaigns
            try:
                await ask(limit=1, offset=0)
            except OperationNotOffered:
                self.offered.set(family, offered=False)
                raise
            self.offered.set(family, offered=True)

    def _v1(self) -> V1Client:
        if self.v1 is None:
            raise NotInTree("no v1 key")
        return self.v1

    def _v2(self, family: Family | None = None) -> V2Client:
        if self.v2 is None:
            raise NotInTree("no v2 login")
        if family is not None and self.offered.get(family) is False:
            raise OperationNotOffered(f"this origin has no {family}")
        return self.v2
