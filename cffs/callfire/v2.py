"""Client of API v2: a method for each operation on metadata, and for each act.

It owns how an operation's parameters become a request, and which parser reads its answer. It must not know paging
loops, files on disk, or when an act is wanted. The bytes of recordings and media are sources (`core/source`), opened by
`Transport.open_range`.

Every method is one request and always a checkpoint, and raises any CffsError of the service's side. Operations in
quotes are those of v2's own document (cffs/docs/service.md#the-two-apis); those marked "public" are in the public
OpenAPI document only, so an origin may not offer them, and a listing then raises OperationNotOffered.

An answer about another id than the one asked raises MalformedAnswer. In a list, a record of another call or campaign is
counted in `refused` instead: one bad record never hides the others.

Acts are carried out at most once (`Transport.send`). After ActUncertain, or a cancel, an act may have happened; after
any other error it has not.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace

from cffs.callfire.metadata_transport import MetadataTransport
from cffs.callfire.multipart import MultipartUpload
from cffs.callfire.response_checks import NotFoundMeans
from cffs.callfire.status_reader import Response
from cffs.core.errors import ActUncertain, MalformedAnswer
from cffs.core.json_values import as_object, encode
from cffs.core.source import Api
from cffs.core.v2_parsers import (
    parse_boolean,
    parse_call,
    parse_call_page,
    parse_caller_ids,
    parse_campaign,
    parse_document,
    parse_identified,
    parse_items,
    parse_media,
    parse_page,
    parse_recording,
    parse_resource_id,
    require_id,
)
from cffs.core.values import Call, Campaign, Item, Media, Page, Recording


class V2Client:
    """The operations of v2. No state but the transport."""

    def __init__(self, transport: MetadataTransport) -> None:
        self._transport = transport

    async def find_calls(
        self,
        *,
        limit: int,
        offset: int,
        ids: Iterable[int] = (),
        campaign_id: int | None = None,
        batch_id: int | None = None,
        from_number: str | None = None,
        to_number: str | None = None,
        label: str | None = None,
        states: str | None = None,
        results: str | None = None,
        inbound: bool | None = None,
        interval_begin_ms: int | None = None,
        interval_end_ms: int | None = None,
        fields: str | None = None,
    ) -> Page[Call]:
        """A page of calls (public "findCalls"). `campaign_id` 0 asks for calls without a campaign, None for all
        calls. `ids` override the other filters. `states` and `results` are comma-separated."""
        query = _query(
            fields=fields,
            limit=limit,
            offset=offset,
            campaignId=campaign_id,
            batchId=batch_id,
            fromNumber=from_number,
            toNumber=to_number,
            label=label,
            states=states,
            results=results,
            inbound=inbound,
            intervalBegin=interval_begin_ms,
            intervalEnd=interval_end_ms,
        )
        repeated = [("id", str(id_)) for id_ in ids]
        answer = await self._transport.get(
            Api.V2, ("calls",), query=[*query.items(), *repeated], not_found=NotFoundMeans.OPERATION
        )
        page = parse_call_page(answer.body, what="calls")
        answer.accept()
        return replace(page, served_ms=answer.served_ms, age_seconds=answer.age_seconds)

    async def get_call(self, call_id: int, *, fields: str | None = None) -> Call:
        """One call (public "getCall")."""
        document, answer = await self._answer(("calls", str(call_id)), query=_query(fields=fields))
        call = parse_call(document)
        require_id(call.id, call_id, what="call")
        answer.accept()
        return replace(call, age_seconds=answer.age_seconds)

    async def get_call_recordings(self, call_id: int, *, fields: str | None = None) -> Page[Recording]:
        """All recordings of a call, not paged (public "getCallRecordings")."""
        segments = ("calls", str(call_id), "recordings")
        answer = await self._transport.get(Api.V2, segments, query=_query(fields=fields))
        page = parse_items(answer.body, parse_recording, what="/".join(segments))
        kept = tuple(recording for recording in page.items if recording.call_id in (None, call_id))
        answer.accept()
        return replace(page, items=kept, refused=page.received - len(kept), age_seconds=answer.age_seconds)

    async def get_recording(self, recording_id: int, *, fields: str | None = None) -> Recording:
        """One recording's metadata by its id (public "getCallRecording")."""
        segments = ("calls", "recordings", str(recording_id))
        document, answer = await self._answer(segments, query=_query(fields=fields))
        recording = parse_recording(document)
        require_id(recording.id, recording_id, what="recording")
        answer.accept()
        return recording

    async def get_recording_by_name(self, call_id: int, name: str, *, fields: str | None = None) -> Recording:
        """One recording's metadata by its name within its call ("getCallRecordingByName")."""
        segments = ("calls", str(call_id), "recordings", name)
        document, answer = await self._answer(segments, query=_query(fields=fields))
        recording = parse_recording(document)
        require_id(recording.call_id, call_id, what="recording's call")
        answer.accept()
        return recording

    async def find_campaigns(
        self,
        *,
        limit: int,
        offset: int,
        label: str | None = None,
        name: str | None = None,
        running: bool | None = None,
        scheduled: bool | None = None,
        interval_begin_ms: int | None = None,
        interval_end_ms: int | None = None,
        fields: str | None = None,
    ) -> Page[Campaign]:
        """A page of broadcasts (public "findCallBroadcasts")."""
        query = _query(
            fields=fields,
            limit=limit,
            offset=offset,
            label=label,
            name=name,
            running=running,
            scheduled=scheduled,
            intervalBegin=interval_begin_ms,
            intervalEnd=interval_end_ms,
        )
        return await self._page(("calls", "broadcasts"), parse_campaign, query=query)

    async def get_campaign(self, campaign_id: int, *, fields: str | None = None) -> Campaign:
        """One broadcast (public "getCallBroadcast")."""
        segments = ("calls", "broadcasts", str(campaign_id))
        document, answer = await self._answer(segments, query=_query(fields=fields))
        campaign = parse_campaign(document)
        require_id(campaign.id, campaign_id, what="campaign")
        answer.accept()
        return campaign

    async def find_media(
        self, *, limit: int, offset: int, name_filter: str | None = None, fields: str | None = None
    ) -> Page[Media]:
        """A page of media (public "findMedia"); `name_filter` is a part of the file name."""
        query = _query(fields=fields, limit=limit, offset=offset, filter=name_filter)
        return await self._page(("media",), parse_media, query=query)

    async def get_media(self, media_id: int, *, fields: str | None = None) -> Media:
        """The metadata of one media file ("getMedia")."""
        document, answer = await self._answer(("media", str(media_id)), query=_query(fields=fields))
        media = parse_media(document)
        require_id(media.id, media_id, what="media")
        answer.accept()
        return media

    async def create_media(
        self,
        content: AsyncIterable[bytes],
        *,
        nbytes: int,
        filename: str,
        name: str | None = None,
        content_type: str = "application/octet-stream",
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Upload a file of exactly `nbytes` ("createMedia") and return its new id. `name` is the media's own name.

        The upload is sent at most once, and never whole in memory: `content` gives its next bytes when the network has
        taken those before, and `progress` gets the number of bytes taken, after each piece. `content` may raise
        CffsErrors only. There is no total limit, only one on the time without progress (`Transport.send`).
        Always a checkpoint. Raises DuplicateMedia, UploadTooLarge or ActRefused (a refused type, say) where the service
        refused it, and ActUncertain where it may exist or not. After a cancel it may exist too; after any other error
        it does not.
        """
        upload = MultipartUpload(filename=filename, name=name, content_type=content_type, nbytes=nbytes)
        async with aclosing(upload.body(content, progress)) as body:
            answer = await self._transport.send(
                "POST",
                Api.V2,
                ("media",),
                content=body,
                content_type=upload.content_type,
                content_nbytes=upload.nbytes,
            )
        with _act_happened(f"the upload of {nbytes} bytes"):
            return parse_resource_id(answer.body)

    async def get_account(self, *, fields: str | None = None) -> Mapping[str, object]:
        """The account ("getAccount"). Its refusal means that the credentials are bad."""
        return await self._document(("me", "account"), query=_query(fields=fields), proves_credentials=True)

    async def get_plan_usage(self) -> Mapping[str, object]:
        """The plan's usage of the current month ("getBillingPlanUsage")."""
        return await self._document(("me", "billing", "plan-usage"), query={})

    async def get_credit_usage(
        self, interval_begin_ms: int | None = None, interval_end_ms: int | None = None
    ) -> Mapping[str, object]:
        """The credits used in an interval, or of all time where none is given ("getCreditUsage")."""
        query = _query(intervalBegin=interval_begin_ms, intervalEnd=interval_end_ms)
        return await self._document(("me", "billing", "credit-usage"), query=query)

    async def get_caller_ids(self) -> tuple[str, ...]:
        """The verified numbers ("getCallerIds")."""
        answer = await self._transport.get(Api.V2, ("me", "callerids"))
        return parse_caller_ids(answer.body)

    async def send_verification_code(self, number: str) -> None:
        """Have the service call `number` and speak a code ("sendVerificationCodeToCallerId"). Places a phone call."""
        await self._transport.send("POST", Api.V2, ("me", "callerids", number))

    async def verify_caller_id(self, number: str, code: str) -> bool:
        """Whether `code` was the one spoken ("verifyCallerId"); ActRefused where the service does not even compare
        it."""
        segments = ("me", "callerids", number, "verification-code")
        answer = await self._transport.send("POST", Api.V2, segments, content=encode({"verificationCode": code}))
        with _act_happened("the verification"):
            return parse_boolean(answer.body)

    async def find_credentials(
        self, *, limit: int, offset: int, name: str | None = None, fields: str | None = None
    ) -> Page[Mapping[str, object]]:
        """A page of API credentials ("findApiCredentials"); passwords come masked."""
        query = _query(fields=fields, limit=limit, offset=offset, name=name)
        return await self._page(("me", "api", "credentials"), _credential, query=query, as_account=True)

    async def get_credential(self, credential_id: int, *, fields: str | None = None) -> Mapping[str, object]:
        """One API credential ("getApiCredential")."""
        segments = ("me", "api", "credentials", str(credential_id))
        document = await self._document(segments, query=_query(fields=fields), as_account=True)
        require_id(parse_identified(document, what="credential")[0], credential_id, what="credential")
        return document

    async def create_credential(self, name: str) -> Mapping[str, object]:
        """A new API credential ("createApiCredential"): the only answer that ever holds its password in clear."""
        answer = await self._transport.send(
            "POST", Api.V2, ("me", "api", "credentials"), content=encode({"name": name}), as_account=True
        )
        with _act_happened("the creation of a credential"):
            document = parse_document(answer.body, what="created credential")
            parse_identified(document, what="created credential")
        return document

    async def delete_credential(self, credential_id: int) -> None:
        """Delete an API credential ("deleteApiCredential")."""
        segments = ("me", "api", "credentials", str(credential_id))
        await self._transport.send("DELETE", Api.V2, segments, as_account=True)

    async def _page(
        self,
        segments: tuple[str, ...],
        parse_item: Callable[[object], Item],
        *,
        query: Mapping[str, str],
        as_account: bool = False,
    ) -> Page[Item]:
        """One page of a listing; a 404 means that the origin has no such listing."""
        answer = await self._transport.get(
            Api.V2, segments, query=query, as_account=as_account, not_found=NotFoundMeans.OPERATION
        )
        page = parse_page(answer.body, parse_item, what="/".join(segments))
        answer.accept()
        return replace(page, age_seconds=answer.age_seconds)

    async def _document(
        self,
        segments: tuple[str, ...],
        *,
        query: Mapping[str, str],
        as_account: bool = False,
        proves_credentials: bool = False,
    ) -> Mapping[str, object]:
        """One object that has a path of its own."""
        document, _answer = await self._answer(
            segments, query=query, as_account=as_account, proves_credentials=proves_credentials
        )
        return document

    async def _answer(
        self,
        segments: tuple[str, ...],
        *,
        query: Mapping[str, str],
        as_account: bool = False,
        proves_credentials: bool = False,
    ) -> tuple[Mapping[str, object], Response]:
        """One object that has a path of its own, and the answer, to be accepted where it is the object asked for."""
        answer = await self._transport.get(
            Api.V2, segments, query=query, as_account=as_account, proves_credentials=proves_credentials
        )
        return parse_document(answer.body, what="/".join(segments)), answer


def _query(**parameters: str | int | bool | None) -> dict[str, str]:
    """The query of an operation: None is not sent, booleans are spelt as in JSON."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }


@contextmanager
def _act_happened(act: str) -> Iterator[None]:
    """Around the parsing of an act's answer: one that cannot be read says that the act happened, but not its result."""
    try:
        yield
    except MalformedAnswer as error:
        raise ActUncertain(act, str(error)) from error


def _credential(value: object) -> Mapping[str, object]:
    parse_identified(value, what="credential")
    return as_object(value) or {}
