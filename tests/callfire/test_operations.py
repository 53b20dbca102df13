"""Every operation of the two documents, with every parameter."""

import inspect
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from cffs.callfire.operations import OPERATIONS
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core import errors, source
from cffs.core.source import Api
from cffs.standin.answers import Options
from cffs.standin.server import Standin

SEEDS = Path(__file__).parent / "seeds"
#: The documents' parameters under the names of our methods; the rest is snake case of the same word.
RENAMED = {
    "campaignId": "campaign_id",
    "batchId": "batch_id",
    "fromNumber": "from_number",
    "toNumber": "to_number",
    "intervalBegin": "interval_begin_ms",
    "intervalEnd": "interval_end_ms",
    "filter": "name_filter",
}


def second_document() -> set[tuple[str, str, str, frozenset[str]]]:
    """The method, path, operationId and parameters of each operation, parsed by indentation."""
    found, path, method, name, parameters = set(), "", "", "", []
    for line in [*(SEEDS / "second.txt").read_text().splitlines(), "  /end:"]:
        if match := re.fullmatch(r"  (/\S*):|    (get|post|delete|put):", line):
            if method:
                found.add((method, path, name, frozenset(parameters)))
            method, name, parameters = (match[2] or "").upper(), "", []
            path = match[1] or path
        elif match := re.fullmatch(r"      operationId: (\S+)", line):
            name = match[1]
        elif match := re.fullmatch(r"        name: (\S+)", line):
            parameters.append(match[1])
    return found


def test_the_table_is_the_second_document():
    """No operation or parameter of the document is missing, invented or different."""
    ours = {
        (row.method, row.path, row.name, frozenset(row.parameters)) for row in OPERATIONS if row.document == "second"
    }
    assert len(ours) == 17
    assert ours == second_document()


def test_the_table_is_the_first_document():
    """The four operations have the titles, the ends of the URLs and the parameters of the document."""
    text = (SEEDS / "first.txt").read_text()
    ours = [row for row in OPERATIONS if row.document == "first"]
    urls = re.findall(r"https://www\.callfire\.com/cloud/1(\S+)", text.replace("?apikey={apikey}", ""))
    assert [row.path for row in ours] == [url for url in urls if "{" in url]
    sections = re.split(r"\n(?=Get )", text)[1:]
    assert [row.name for row in ours] == [section.splitlines()[0].strip() for section in sections]
    for row, section in zip(ours, sections, strict=True):
        listed = re.findall(r"• (\w+):", section)
        assert {name.replace("campid", "").replace("callid", "") for name in row.parameters} == set(listed)


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_row_names_what_asks_it(row):
    """The method or source builder exists, takes every query parameter, and names its operation."""
    owner, name = row.client.split(".")
    asks = getattr({"V1Client": V1Client, "V2Client": V2Client, "source": source}[owner], name)
    assert asks.__doc__
    if owner == "V2Client":
        assert f'"{row.name}"' in asks.__doc__.replace("public ", "")
        taken = set(inspect.signature(asks).parameters)
        in_path = set(re.findall(r"\{(\w+)\}", row.path))
        for parameter in set(row.parameters) - in_path - {"body", "file", "id"}:
            assert RENAMED.get(parameter, parameter) in taken


async def test_every_operation_answers(standin, transport, drain):
    """Each client method, called once against the stand-in, makes one request."""
    v1, v2 = V1Client(transport), V2Client(transport)
    page = await v2.find_calls(limit=100, offset=0)
    assert page.refused == 0
    call = next(call for call in page.items if call.recordings and call.campaign_id)
    recording = call.recordings[0]
    listed = await v1.list_recordings(call.campaign_id, call.id)
    assert recording.id in listed.file_ids
    assert (await v2.get_call(call.id, fields="id")).id == call.id
    assert recording.id in [found.id for found in (await v2.get_call_recordings(call.id)).items]
    assert (await v2.get_recording(recording.id)).name == recording.name
    assert (await v2.get_recording_by_name(call.id, recording.name)).id == recording.id
    campaigns = await v2.find_campaigns(limit=10, offset=0)
    assert call.campaign_id in [campaign.id for campaign in campaigns.items]
    assert (await v2.get_campaign(call.campaign_id)).id == call.campaign_id
    media = (await v2.find_media(limit=10, offset=0)).items[0]
    assert (await v2.get_media(media.id)).name == media.name
    assert (await v2.get_account())["id"]
    assert "totalRemainingCredits" in await v2.get_plan_usage()
    assert "creditsUsed" in await v2.get_credit_usage()
    usage = await v2.get_credit_usage(1_600_000_000_000, 1_600_086_400_000)
    assert usage["intervalBegin"] == 1_600_000_000_000
    await v2.get_caller_ids()
    created = await v2.create_credential("probe")
    assert created["password"]
    credential_id = int(str(created["id"]))
    assert (await v2.get_credential(credential_id))["name"] == "probe"
    assert credential_id in [int(str(row["id"])) for row in (await v2.find_credentials(limit=100, offset=0)).items]
    await v2.delete_credential(credential_id)
    with pytest.raises(errors.RemoteObjectMissing):
        await v2.get_credential(credential_id)
    await v2.send_verification_code("12135551122")
    assert await v2.verify_caller_id("12135551122", "wrong") is False

    async def content():
        yield b"ID3" + bytes(5000)

    media_id = await v2.create_media(content(), nbytes=5003, filename="song.mp3", name="song")
    assert (await v2.get_media(media_id)).name
    asked = {record.kind for record in standin.requests}
    for path in standin.account.paths():
        api, base = (Api.V2, "/v2/") if path.startswith("/v2/") else (Api.V1, "/cloud/1/")
        segments = tuple(unquote(part) for part in path.removeprefix(base).split("/"))
        start, received = await drain(transport, source.Source(api, segments, may_be_text="media" in segments))
        assert (start, received) == (0, standin.account.object_for(path).read())
    assert "unknown" not in asked
    assert sum(transport.stats.requests.values()) == len(standin.requests)
    assert transport.stats.retries == 0


async def test_filters_reach_the_service(standin, transport):
    """Every parameter of /calls is sent under the document's name, repeated ids too."""
    v2 = V2Client(transport)
    await v2.find_calls(
        limit=7,
        offset=3,
        ids=(5, 6),
        campaign_id=0,
        batch_id=1,
        from_number="1",
        to_number="2",
        label="a b&c",
        states="READY,FINISHED",
        results="LA",
        inbound=False,
        interval_begin_ms=1,
        interval_end_ms=2,
        fields="items(id)",
    )
    query = standin.requests[-1].query
    assert query == {
        "limit": "7",
        "offset": "3",
        "id": "5",
        "campaignId": "0",
        "batchId": "1",
        "fromNumber": "1",
        "toNumber": "2",
        "label": "a b&c",
        "states": "READY,FINISHED",
        "results": "LA",
        "inbound": "false",
        "intervalBegin": "1",
        "intervalEnd": "2",
        "fields": "items(id)",
    }


async def test_an_origin_of_the_documents_alone_says_what_it_lacks(settings_for):
    """Listings that do not exist raise OperationNotOffered, and the documents' own operations work."""
    async with Standin(options=Options(seed_only=True)) as standin, Transport(settings_for(standin)) as transport:
        v2 = V2Client(transport)
        for ask in (v2.find_calls, v2.find_campaigns, v2.find_media):
            with pytest.raises(errors.OperationNotOffered):
                await ask(limit=10, offset=0)
        assert await v2.get_account()


@pytest.mark.parametrize("changed", [{"id": 999}, {"callId": 999}])
async def test_an_answer_about_another_object_is_refused(standin, transport, changed):
    """An echoed id other than the one asked for is a malformed answer."""
    v2 = V2Client(transport)
    page = await v2.find_calls(limit=100, offset=0)
    call = next(call for call in page.items if call.recordings)
    standin.faults.add("rows", change=lambda document: {**document, **changed})
    by_id = v2.get_recording, (call.recordings[0].id,)
    by_name = v2.get_recording_by_name, (call.id, call.recordings[0].name)
    ask, arguments = by_id if "id" in changed else by_name
    with pytest.raises(errors.MalformedAnswer):
        await ask(*arguments)
