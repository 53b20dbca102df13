"""API v1: the four operations of the first document.

It owns v1's answers below `/cloud/1/files/recording`: the XML list with absolute URLs, WAV by file id, and dynamic
files in both forms. It must not know v2, ranges or sockets.
"""

import json
from typing import Final
from xml.sax.saxutils import escape  # nosec B406  # it writes

from cffs.standin.account import dynamic_name
from cffs.standin.answers import Answer, Operation, Request, Site, operation
from cffs.standin.generated_rows import ID_STEP

BASE: Final = "/cloud/1"
_FILES: Final = "/files/recording"


def failure(status: int, description: str) -> Answer:
    """A failure in v1's form: the success flag is in the body."""
    body = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f"<fileResponse><description>{escape(description)}</description>"
        "<successful>false</successful></fileResponse>"
    )
    return Answer(status=status, content_type="application/xml", body=body.encode())


def _list(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    """The recordings of a call as URLs. v1 cannot deny a campaign, so a list with the wrong one is empty."""
    account = site.account
    campaign, call = parameters["campaign"], parameters["call"]
    if not (campaign.isascii() and campaign.isdigit() and call.isascii() and call.isdigit()):
        return failure(400, "campid and callid must be numbers")
    row = account.call_row(int(call))
    belongs = row is not None and row.get("campaignId", 0) == int(campaign)
    ids = account.recording_ids(int(call)) if belongs else []
    # The service spells its own host in several ways, call by call.
    is_other = int(call) // ID_STEP % 2 == 1
    host = account.root_url.replace("//127.0.0.1", "//localhost") if is_other else account.root_url
    addresses = [f"{host}{BASE}{_FILES}/{account.v1_file_id(recording_id)}" for recording_id in ids]
    if _wants_json(request):
        value = {
            "fileResponse": {
                "description": "Recordings Fetched",
                "successful": True,
                "callid": int(call),
                "campaignid": int(campaign),
                "recording": addresses,
            }
        }
        return Answer(body=json.dumps(value).encode())
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        "<fileResponse>",
        "    <description>Recordings Fetched</description>",
        "    <successful>true</successful>",
        f"    <callid>{int(call)}</callid>",
        f"    <campaignid>{int(campaign)}</campaignid>",
        *(f"    <recording>{escape(address)}</recording>" for address in addresses),
        "</fileResponse>",
    ]
    return Answer(content_type="application/xml", body="\n".join(lines).encode())


def _wants_json(request: Request) -> bool:
    """Whether the request names JSON, and names it before XML."""
    accept = request.headers.get("accept", "")
    json_at, xml_at = accept.find("application/json"), accept.find("application/xml")
    return json_at >= 0 and (xml_at < 0 or json_at < xml_at)


def _recording(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    account = site.account
    found = account.recording_object(account.recording_of_v1(int(parameters["id"])), form="wav")
    return failure(404, "recording not found") if found is None else Answer(download=found)


def _dynamic(site: Site, parameters: dict[str, str], *, form: str) -> Answer:
    name = dynamic_name([parameters[part] for part in ("hash", "year", "month", "campaign", "filename")])
    found = site.account.media.dynamic_object(name, form=form)
    return failure(404, "dynamic recording not found") if found is None else Answer(download=found)


def _dynamic_wav(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    return _dynamic(site, parameters, form="wav")


def _dynamic_mp3(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    return _dynamic(site, parameters, form="mp3")


_DYNAMIC: Final = _FILES + "/dynamic/{hash}/{year}/{month}/{campaign}/{filename}"

OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", _FILES + "/list/{campaign}/{call}", "listRecordings", _list, login="apikey"),
    operation("GET", _FILES + "/{id}", "getRecording", _recording, login="apikey"),
    operation("GET", _DYNAMIC, "getDynamic", _dynamic_wav, login="apikey"),
    operation("GET", _DYNAMIC + "/mp3", "getDynamicMp3", _dynamic_mp3, login="apikey"),
)
"""The document's four operations, in its order."""
