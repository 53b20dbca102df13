"""Requests about single objects of the account, and the rows their answers become.

It owns which object was asked for when, and what the origin has shown of its capabilities. It must not know paths,
inodes or listings.

Each `find_*` asks one question, which is one request; concurrent callers share it (single flight), and its answer is in
the catalogue's rows. A call, its recordings and its files are not asked for again within the time to live, anything
else each time. A refusal of a single object may cost one request more, once a mount and family: whether the origin
offers such operations at all (`catalog/capability_probe`). Each is a checkpoint unless the answer is known; cancelled,
or out of patience, its request goes on in the background and its answer is there for the next caller. Each raises
NotInTree where the API has no credentials, RemoteObjectMissing, OperationNotOffered, or what stops an answer.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar

import trio
from cachetools import LRUCache, TLRUCache

from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.capabilities import Capabilities, Family, FileIds, Verdict
from cffs.catalog.capability_probe import CapabilityProbe
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import CffsError, NotInTree, ObjectRefused, OperationNotOffered, RemoteObjectMissing
from cffs.core.json_values import encode
from cffs.core.source import Api
from cffs.core.values import Recording

Answer = TypeVar("Answer")
#: What v2 can describe by its id.
RowKind = Literal["call", "recording"]
log = logging.getLogger(__name__)

#: Calls whose lists were asked for within the time to live; bounded, and forgotten after it.
RECENT_ENTRIES = 50_000
#: Ids that were asked for in this mount; an id that is forgotten is asked for once more.
ASKED_ENTRIES = 50_000
#: The verdict on v1's file ids is kept among the listings, under names that begin so.
_FILE_IDS = "files:"
_SETTLED = (Verdict.SAME, Verdict.NONE)


class AccountSync:
    """Asks for objects of one account. `v1` and `v2` are None where there are no credentials for them."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        single_flight: SingleFlight,
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
        self.capabilities = Capabilities()
        #: Whether v1's file ids are v2's recording ids, as far as has been seen; the catalogue remembers a verdict.
        settled = (verdict for verdict in _SETTLED if catalog.listed_ms(_FILE_IDS + verdict) is not None)
        self.file_ids = FileIds(next(settled, Verdict.OPEN))
        self._single_flight = single_flight
        self._wall_ms = wall_ms
        #: When something was last asked for, here or by a machine that shares its answers, within the time to live.
        self._recent: TLRUCache[Hashable, float] = TLRUCache(
            RECENT_ENTRIES, lambda _key, asked_at, _now: asked_at + ttl_seconds, timer=trio.current_time
        )
        #: Calls and recordings that were asked for by their ids in this mount.
        self._asked: LRUCache[tuple[str, int], bool] = LRUCache(ASKED_ENTRIES)
        if v2 is not None:
            self._probe = CapabilityProbe(
                v2=v2, single_flight=single_flight, capabilities=self.capabilities, catalog=catalog
            )

    def learn_campaigns(self) -> None:
        """Ask in the background for the first page of campaigns, so that no path below one waits for its campaign.

        Nothing is asked with a v1 key, which opens any campaign, nor where they were ever listed. No checkpoint.
        """
        if self.v2 is not None and self.v1 is None and self.catalog.listed_ms("campaigns") is None:
            self._probe.begin(Family.BROADCASTS)

    async def find_campaign(self, campaign_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a campaign."""
        v2 = self._v2(Family.BROADCASTS)

        async def question() -> None:
            campaign = await self._answer(Family.BROADCASTS, f"campaign/{campaign_id}", v2.get_campaign(campaign_id))
            await self.catalog.write(lambda db: upserts.put_campaign(db, campaign))

        await self._single_flight.ask(("campaign", campaign_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_call(self, call_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a call, and with it for its recordings where the service embeds them."""
        v2 = self._v2(Family.CALLS)
        if ("call", call_id) in self._recent:
            return

        async def question() -> None:
            answer = ("answer for call", call_id)
            asked = self._single_flight.ask(answer, None, partial(v2.get_call, call_id), patience_seconds=None)
            try:
                call = await self._answer(Family.CALLS, f"call/{call_id}", asked)
            except RemoteObjectMissing:
                self.note_asked("call", call_id)
                raise
            finally:
                self._single_flight.forget(answer)  # what a 404 means is remembered, or asked again
            await self.catalog.write(lambda db: upserts.put_call(db, call))
            asked_at = self._recent["call", call_id] = trio.current_time() - call.age_seconds
            if call.recordings is not None:
                self._recent["recordings", call_id] = asked_at

        await self._single_flight.ask(("call", call_id), Api.V2, question, patience_seconds=patience_seconds)

    async def hear_of_call(self, call_id: int) -> None:
        """Wait for the answer about a call that is being asked for, and for its rows; not for what a 404 of it means. A
        checkpoint where it waits."""
        answer, rows = ("answer for call", call_id), ("call", call_id)
        with suppress(CffsError):
            self._single_flight.require_not_denied(answer)
            for key in (answer, rows):
                await self._single_flight.join(key)

    async def find_recordings(
        self, call_id: int, *, patience_seconds: float | None, within_seconds: float | None = None
    ) -> None:
        """Ask v2 for the list of a call's recordings, unless it was answered within the time to live, or within
        `within_seconds`. Where the call itself is being asked for, its answer may bring them."""
        v2 = self._v2(Family.CALLS)
        if self._single_flight.is_under_way(("call", call_id)):
            with suppress(CffsError):
                await self.find_call(call_id, patience_seconds=patience_seconds)
            v2 = self._v2(Family.CALLS)  # the answer may have shown that the origin has no such operation
        if self._is_recent(("recordings", call_id), within_seconds):
            return

        async def question() -> None:
            recordings = await self._answer(Family.CALLS, f"call/{call_id}", v2.get_call_recordings(call_id))
            await self.catalog.write(lambda db: upserts.put_recordings_of_call(db, call_id, recordings.items))
            self._recent["recordings", call_id] = trio.current_time() - recordings.age_seconds

        await self._single_flight.ask(("recordings", call_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_recording(self, recording_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for a recording by its id."""
        v2 = self._v2(Family.CALLS)

        async def question() -> None:
            asked = v2.get_recording(recording_id)
            try:
                recording = await self._answer(Family.CALLS, f"recording/{recording_id}", asked)
            except RemoteObjectMissing:
                self.note_asked("recording", recording_id)
                raise
            self.note_asked("recording", recording_id)
            await self._keep_recording(recording, call_id=recording.call_id or 0)

        await self._single_flight.ask(("recording", recording_id), Api.V2, question, patience_seconds=patience_seconds)

    async def find_recording_by_name(self, call_id: int, name: str, *, patience_seconds: float | None) -> None:
        """Ask v2 for a recording by its name within a call."""
        v2 = self._v2()

        async def question() -> None:
            await self._keep_recording(await v2.get_recording_by_name(call_id, name), call_id=call_id)

        key = ("recording-by-name", call_id, name)
        await self._single_flight.ask(key, Api.V2, question, patience_seconds=patience_seconds)

    async def find_files(
        self, campaign_id: int, call_id: int, *, patience_seconds: float | None, within_seconds: float | None = None
    ) -> bool:
        """Ask v1 for the list of a call's files, unless it was answered within the time to live, or within
        `within_seconds`; True where the call has any.

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
                self._recent["files", campaign_id, call_id] = trio.current_time() - listing.age_seconds
                recording_ids = [recording.id for recording in self.catalog.recordings_of_call(call_id)]
                if self.file_ids.note(listing.file_ids, recording_ids):
                    name = _FILE_IDS + self.file_ids.verdict
                    await self.catalog.write(lambda db: upserts.mark_listed(db, name, now_ms=self._wall_ms()))

            key = ("files", campaign_id, call_id)
            await self._single_flight.ask(key, Api.V1, question, patience_seconds=patience_seconds)
        return bool(self.catalog.files_of_call(call_id))

    async def find_media(self, media_id: int, *, patience_seconds: float | None) -> None:
        """Ask v2 for the description of a media file."""
        v2 = self._v2()

        async def question() -> None:
            media = await v2.get_media(media_id)
            await self.catalog.write(lambda db: upserts.put_media(db, media))

        await self._single_flight.ask(("media", media_id), Api.V2, question, patience_seconds=patience_seconds)

    async def ask_anything(
        self,
        key: Hashable,
        api: Api | None,
        question: Callable[[], Awaitable[Answer]],
        *,
        patience_seconds: float | None,
    ) -> Answer:
        """Share a question that makes no row here (for the size of an object, say); see `SingleFlight.ask`."""
        return await self._single_flight.ask(key, api, question, patience_seconds=patience_seconds)

    def begin(self, key: Hashable, api: Api | None, question: Callable[[], Awaitable[object]]) -> bool:
        """Begin a question before its first caller waits for it; see `SingleFlight.begin`. No checkpoint."""
        return self._single_flight.begin(key, api, question)

    def require_not_denied(self, key: Hashable) -> None:
        """Raise RemoteObjectMissing where the service denied `key` within the last 30 s."""
        self._single_flight.require_not_denied(key)

    def patience_seconds(self, api: Api) -> float:
        """How long a lookup may wait for an answer of that API now."""
        return self._single_flight.patience_seconds(api)

    def files_asked_at(self, campaign_id: int, call_id: int) -> float | None:
        """When v1 listed that call's files, in trio's time; None where that was not within the time to live."""
        return self._recent.get(("files", campaign_id, call_id))

    def recordings_asked_at(self, call_id: int) -> float | None:
        """When v2 listed that call's recordings, in trio's time; None where that was not within the time to live."""
        return self._recent.get(("recordings", call_id))

    def has_fresh_document(self, key: str) -> bool:
        """True where `document` would send no request."""
        return ("document", key) in self._recent and self.catalog.document(key) is not None

    async def document(
        self, key: str, fetch: Callable[[], Awaitable[object]], *, patience_seconds: float | None = None
    ) -> bytes:
        """The rendered answer of `fetch`, kept under `key` and asked for again once it is older than the time to live.

        Where asking fails, the last answer is returned; the failure is raised where there is none. What the service
        says it does not have is not shown again: RemoteObjectMissing. A checkpoint where it asks; cancelled, the
        request goes on.
        """
        kept = self.catalog.document(key)
        if kept is not None and ("document", key) in self._recent:
            return kept.body

        async def question() -> None:
            body = encode(await fetch())
            await self.catalog.write(lambda db: upserts.put_document(db, key=key, body=body, now_ms=self._wall_ms()))
            self._recent["document", key] = trio.current_time()

        try:
            await self._single_flight.ask(("document", key), Api.V2, question, patience_seconds=patience_seconds)
        except RemoteObjectMissing:
            raise
        except CffsError:
            if kept is None:
                raise
        kept = self.catalog.document(key)
        if kept is None:
            raise RemoteObjectMissing(key)
        return kept.body

    # -- what is left to ask --

    @property
    def can_describe(self) -> bool:
        """True where v2 may be asked for calls and recordings by their ids."""
        return self.v2 is not None and self.capabilities.offers(Family.CALLS) is not False

    def note_asked(self, kind: RowKind, ident: int) -> None:
        """Note that v2 was asked for the `call` or `recording`, and has said what it knows."""
        self._asked[kind, ident] = True

    def may_describe(self, kind: RowKind, ident: int) -> bool:
        """True where v2 may know more of a call or recording than its id, and was not asked for it in this mount."""
        return self.can_describe and (kind, ident) not in self._asked

    # -- helpers --

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
        """What v2 answers about one object of a family. Raises OperationNotOffered where the origin has none of the
        family, else RemoteObjectMissing, which is noted in the catalogue."""
        try:
            answer = await question
        except (ObjectRefused, RemoteObjectMissing) as refusal:
            await self._probe.require(family)
            if isinstance(refusal, RemoteObjectMissing):
                await self.catalog.note_missing(key, now_ms=self._wall_ms())
            raise
        self.catalog.note_there(key)
        self._probe.note_answer(family)
        return answer

    def _v1(self) -> V1Client:
        if self.v1 is None:
            raise NotInTree("no v1 key")
        return self.v1

    def _v2(self, family: Family | None = None) -> V2Client:
        if self.v2 is None:
            raise NotInTree("no v2 login")
        if family is not None and self.capabilities.offers(family) is False:
            raise OperationNotOffered(f"this origin has no {family}")
        return self.v2
