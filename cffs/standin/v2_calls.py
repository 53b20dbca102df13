"""API v2, calls: recordings by name, and listings of calls and campaigns.

It owns how query parameters become a filter, and which object a recording's path names. It must not know v1, ranges or
sockets.
"""

from typing import Final

from cffs.standin.answers import (
    Answer,
    BadParameter,
    Operation,
    Request,
    Site,
    error,
    integer,
    operation,
    page,
    paged,
    paging,
    selected,
)
from cffs.standin.call_filter import CallFilter
from cffs.standin.generated_rows import Row


def _recording_by_name(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    rows = site.account.recording_rows(int(parameters["id"])) or ()
    for row in rows:
        if row.get("name") == parameters["name"]:
            return selected(site, request, row)
    return error(404, "recording not found")


def _recording_mp3_by_name(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    """`x.mp3` means the audio of x, or where there is no x the metadata of a recording named `x.mp3`."""
    found = site.account.named_recording(int(parameters["id"]), parameters["name"])
    if found is not None:
        return Answer(download=found)
    return _recording_by_name(site, request, {**parameters, "name": parameters["name"] + ".mp3"})


def _recording(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    row = site.account.recording_row(int(parameters["id"]))
    return error(404, "recording not found") if row is None else selected(site, request, row)


def _recording_mp3(site: Site, _request: Request, parameters: dict[str, str]) -> Answer:
    found = site.account.recording_object(int(parameters["id"]), form="mp3")
    return error(404, "recording not found") if found is None else Answer(download=found)


def _recordings(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    rows = site.account.recording_rows(int(parameters["id"]))
    return error(404, "call not found") if rows is None else selected(site, request, {"items": rows})


def _call(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    row = site.account.call_row(int(parameters["id"]), embed=site.options.embed_recordings)
    return error(404, "call not found") if row is None else selected(site, request, row)


def _calls(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    return _call_page(site, request, _filter(request))


def _call_page(site: Site, request: Request, wanted: CallFilter) -> Answer:
    limit, offset = paging(site, request)
    rows, total = site.account.call_page(wanted, offset=offset, limit=limit, embed=site.options.embed_recordings)
    return page(site, request, rows, limit=limit, offset=offset, total=total)


def _filter(request: Request) -> CallFilter:
    """The filter that the query spells; ids override everything else."""
    asked_ids = [text for value in request.query.get("id", ()) for text in value.split(",")]
    if asked_ids:
        if not all(text.isascii() and text.isdigit() for text in asked_ids):
            raise BadParameter("id must be a number")
        return CallFilter(ids=tuple(int(text) for text in asked_ids))
    inbound = request.first("inbound")
    if inbound not in (None, "true", "false"):
        raise BadParameter("inbound must be true or false")
    return CallFilter(
        campaign_id=integer(request, "campaignId"),
        from_number=request.first("fromNumber"),
        to_number=request.first("toNumber"),
        label=request.first("label"),
        states=_words(request, "states"),
        results=_words(request, "results"),
        inbound=None if inbound is None else inbound == "true",
        interval_begin_ms=integer(request, "intervalBegin"),
        interval_end_ms=integer(request, "intervalEnd"),
    )


def _words(request: Request, name: str) -> tuple[str, ...] | None:
    values = request.query.get(name)
    return tuple(word.strip() for value in values for word in value.split(",")) if values else None


def _broadcasts(site: Site, request: Request, _parameters: dict[str, str]) -> Answer:
    name, label = request.first("name"), request.first("label")
    rows = [
        row
        for row in site.account.broadcast_rows()
        if (name is None or name in str(row.get("name"))) and (label is None or label in row.get("labels", ()))
    ]
    return paged(site, request, rows)


def _broadcast(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    row = site.account.broadcast_row(int(parameters["id"]))
    return error(404, "broadcast not found") if row is None else selected(site, request, row)


def _broadcast_calls(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    campaign_id = int(parameters["id"])
    if site.account.broadcast_row(campaign_id) is None:
        return error(404, "broadcast not found")
    return _call_page(site, request, CallFilter(campaign_id=campaign_id))


def _broadcast_batches(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    if site.account.broadcast_row(int(parameters["id"])) is None:
        return error(404, "broadcast not found")
    return paged(site, request, [])


def _broadcast_stats(site: Site, request: Request, parameters: dict[str, str]) -> Answer:
    campaign_id = int(parameters["id"])
    if site.account.broadcast_row(campaign_id) is None:
        return error(404, "broadcast not found")
    _, total = site.account.call_page(CallFilter(campaign_id=campaign_id), offset=0, limit=1, embed=False)
    return selected(site, request, _stats(total))


def _stats(calls: int) -> Row:
    """Statistics, flat as in CallFire's own sample; all calls were answered by people."""
    return {
        "totalOutboundCount": calls,
        "remainingOutboundCount": 0,
        "billedAmount": float(calls),
        "callsAttempted": calls,
        "callsPlaced": calls,
        "callsDuration": calls,
        "billedDuration": 60 * calls,
        "responseRatePercent": 100 if calls else 0,
        "callsRemaining": 0,
        "callsAwaitingRedial": 0,
        "callsLiveAnswer": calls,
        "totalCount": calls,
        "answeringMachineCount": 0,
        "busyCount": 0,
        "dialedCount": calls,
        "doNotCallCount": 0,
        "errorCount": 0,
        "liveCount": calls,
        "miscCount": 0,
        "noAnswerCount": 0,
        "transferCount": 0,
    }


OPERATIONS: Final[tuple[Operation, ...]] = (
    operation("GET", "/calls", "findCalls", _calls, in_seed=False),
    operation("GET", "/calls/recordings/{id}", "getCallRecording", _recording, in_seed=False),
    operation("GET", "/calls/recordings/{id}.mp3", "getCallRecordingMp3", _recording_mp3, in_seed=False),
    operation("GET", "/calls/broadcasts", "findCallBroadcasts", _broadcasts, in_seed=False),
    operation("GET", "/calls/broadcasts/{id}", "getCallBroadcast", _broadcast, in_seed=False),
    operation("GET", "/calls/broadcasts/{id}/calls", "getCallBroadcastCalls", _broadcast_calls, in_seed=False),
    operation("GET", "/calls/broadcasts/{id}/batches", "getCallBroadcastBatches", _broadcast_batches, in_seed=False),
    operation("GET", "/calls/broadcasts/{id}/stats", "getCallBroadcastStats", _broadcast_stats, in_seed=False),
    operation("GET", "/calls/{id}", "getCall", _call, in_seed=False),
    operation("GET", "/calls/{id}/recordings", "getCallRecordings", _recordings, in_seed=False),
    operation("GET", "/calls/{id}/recordings/{name}.mp3", "getCallRecordingMp3ByName", _recording_mp3_by_name),
    operation("GET", "/calls/{id}/recordings/{name}", "getCallRecordingByName", _recording_by_name),
)
"""Fixed words stand before parameters, because the first row that matches wins."""
