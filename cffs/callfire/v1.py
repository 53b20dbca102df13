"""Client of API v1: the one operation that answers with metadata.

It must not know XML, nor how requests are sent. The three operations that answer with audio are sources
(`core/source`), opened by `Transport.open_range`.
"""

from dataclasses import replace

from cffs.callfire.metadata_transport import MetadataTransport
from cffs.core.errors import MalformedAnswer
from cffs.core.source import Api
from cffs.core.v1_parser import parse_recording_list, require_service
from cffs.core.v2_parsers import require_id
from cffs.core.values import RecordingList

#: Both forms are documented, how to choose is not: XML has an example (cffs/docs/service.md#v1).
LIST_ACCEPT = "application/xml, application/json;q=0.5"


def list_segments(campaign_id: int, call_id: int) -> tuple[str, ...]:
    """The path of "Get List of Recordings for a Call"."""
    return "files", "recording", "list", str(campaign_id), str(call_id)


class V1Client:
    """The operation of v1. No state but the transport."""

    def __init__(self, transport: MetadataTransport) -> None:
        self._transport = transport

    async def list_recordings(self, campaign_id: int, call_id: int) -> RecordingList:
        """The recordings of a call ("Get List of Recordings for a Call"): their file ids, in the order sent.

        One request; always a checkpoint. Raises MalformedAnswer for the list of another call, and where none of the
        entries can be read, and any other CffsError of the service's side.
        """
        segments = list_segments(campaign_id, call_id)
        answer = await self._transport.get(Api.V1, segments, accept=LIST_ACCEPT, require=require_service)
        listed = parse_recording_list(answer.body)
        require_id(listed.campaign_id, campaign_id, what="campaign of the list")
        require_id(listed.call_id, call_id, what="call of the list")
        if listed.refused and not listed.file_ids:
            raise MalformedAnswer(f"none of the {listed.refused} recordings listed for call {call_id} can be read")
        answer.accept()
        return replace(listed, age_seconds=answer.age_seconds)
