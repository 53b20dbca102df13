"""API v1 ("Recordings and Files"): the one operation of its document that answers with metadata.

It must not know transports' insides or XML. Its three binary operations are sources (`core.source`), opened by
`Transport.open_range`. The catalogue calls it.
"""

from cffs.callfire.transport import Transport
from cffs.core.source import Api
from cffs.core.values import RecordingList
from cffs.core.wire_v1 import parse_recording_list
from cffs.core.wire_v2 import require_id

#: Both forms are documented, the choice is not: XML is the one with an example (api.md 1A).
_ACCEPT = "application/xml, application/json;q=0.5"


class V1Client:
    """Asks v1. No state; `base_url` is the configured one, against which the answer's URLs are held."""

    def __init__(self, transport: Transport, *, base_url: str) -> None:
        self._transport = transport
        self._base_url = base_url.rstrip("/")

    async def list_recordings(self, campaign_id: int, call_id: int) -> RecordingList:
        """The recordings of a call ("Get List of Recordings for a Call"): their file ids, in the order sent.

        One request; always a checkpoint. Raises MalformedAnswer for the list of another call, and any other
        CffsError of the service's side.
        """
        segments = ("files", "recording", "list", str(campaign_id), str(call_id))
        answer = await self._transport.get(Api.V1, segments, accept=_ACCEPT)
        listed = parse_recording_list(answer.body, base_url=self._base_url)
        require_id(listed.campaign_id, campaign_id, what="campaign of the list")
        require_id(listed.call_id, call_id, what="call of the list")
        return listed
