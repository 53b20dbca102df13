"""API v2, calls: calls, their recordings, the broadcasts (campaigns) they belong to.

It must not know paging loops, which are the catalogue's: one method is one operation is one request. Recordings'
bytes are sources (`core.source`), opened by `Transport.open_range`.

Operations in quotes are of the second document; those marked "public" of the public OpenAPI document only, so an
origin may not offer them: listings then raise OperationNotOffered. Every method is a checkpoint and raises any
CffsError of the service's side; MalformedAnswer where an answer is about another id than the one asked. In a list, a
record of another call or campaign is counted in `refused`: one bad record never hides the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cffs.callfire.response_checks import NotFoundMeans
from cffs.callfire.v2_base import V2Base, query_of
from cffs.core.api_v2 import parse_call, parse_call_page, parse_campaign, parse_items, parse_recording, require_id
from cffs.core.source import Api
from cffs.core.values import Call, Campaign, Item, Page, Recording


class V2Calls(V2Base):
    """The operations below /calls."""

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
        """A page of calls (public "findCalls"). `campaign_id` 0 asks for calls without a campaign, None for all;
        `ids` override the other filters; `states` and `results` are comma lists."""
        query = query_of(
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
        return replace(parse_call_page(answer.body, what="calls"), served_ms=answer.served_ms)

    async def get_call(self, call_id: int, *, fields: str | None = None) -> Call:
        """One call (public "getCall")."""
        call = parse_call(await self._document(("calls", str(call_id)), query=query_of(fields=fields)))
        require_id(call.id, call_id, what="call")
        return call

    async def get_call_recordings(self, call_id: int, *, fields: str | None = None) -> Page[Recording]:
        """All recordings of a call, not paged (public "getCallRecordings")."""
        segments = ("calls", str(call_id), "recordings")
        answer = await self._transport.get(Api.V2, segments, query=query_of(fields=fields))
        page = parse_items(answer.body, parse_recording, what="/".join(segments))
        return _only(page, [recording for recording in page.items if recording.call_id in (None, call_id)])

    async def get_recording(self, recording_id: int, *, fields: str | None = None) -> Recording:
        """One recording's metadata by its id (public "getCallRecording")."""
        segments = ("calls", "recordings", str(recording_id))
        recording = parse_recording(await self._document(segments, query=query_of(fields=fields)))
        require_id(recording.id, recording_id, what="recording")
        return recording

    async def get_recording_by_name(self, call_id: int, name: str, *, fields: str | None = None) -> Recording:
        """One recording's metadata by its name within its call ("getCallRecordingByName")."""
        segments = ("calls", str(call_id), "recordings", name)
        recording = parse_recording(await self._document(segments, query=query_of(fields=fields)))
        require_id(recording.call_id, call_id, what="recording's call")
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
        query = query_of(
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
        campaign = parse_campaign(await self._document(segments, query=query_of(fields=fields)))
        require_id(campaign.id, campaign_id, what="campaign")
        return campaign


def _only(page: Page[Item], kept: Sequence[Item]) -> Page[Item]:
    return replace(page, items=tuple(kept), refused=page.received - len(kept))
