"""The table of operations, and the method of ours for each.

It owns the data from which the table in cffs/docs/operations.md is rendered. It must not know requests.
"""

from dataclasses import dataclass

from cffs.core.source import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `path` and `parameters` as documented, `client` the method or source builder for it.

    `document` is "first" or "second" (the two seed documents) or "public" (the public OpenAPI document only).
    """

    name: str
    document: str
    api: Api
    method: str
    path: str
    parameters: tuple[str, ...]
    client: str


def _v1(name: str, path: str, parameters: str, client: str) -> Operation:
    return Operation(
        name=name,
        document="first",
        api=Api.V1,
        method="GET",
        path=f"/files/recording{path}",
        parameters=tuple(parameters.split()),
        client=client,
    )


def _v2(document: str, method: str, path: str, name: str, parameters: str, client: str) -> Operation:
    return Operation(
        name=name,
        document=document,
        api=Api.V2,
        method=method,
        path=path,
        parameters=tuple(parameters.split()),
        client=client,
    )


_CALL_FILTERS = (
    "fields limit offset id campaignId batchId fromNumber toNumber label states results inbound"
    " intervalBegin intervalEnd"
)
_CAMPAIGN_FILTERS = "fields limit offset label name running scheduled intervalBegin intervalEnd"
_DYNAMIC = "/dynamic/{hash}/{year}/{month}/{campaign}/{filename}"
_CREDENTIALS = "/me/api/credentials"
_CALLER_ID = "/me/callerids/{callerid}"

#: In the documents' order. `client` is `V1Client.x`, `V2Client.x` or, for bytes, a builder of `core/source`.
OPERATIONS: tuple[Operation, ...] = (
    _v1("Get List of Recordings for a Call", "/list/{campid}/{callid}", "apikey", "V1Client.list_recordings"),
    _v1("Get a single recording", "/{fileid}", "fileid apikey", "source.v1_recording"),
    _v1("Get a Dynamic Recording", _DYNAMIC, "hash year month campaign filename apikey", "source.v1_dynamic"),
    _v1(
        "Get a Dynamic Recording as MP3",
        f"{_DYNAMIC}/mp3",
        "hash year month campaign filename apikey",
        "source.v1_dynamic",
    ),
    *(
        _v2("second", *row)
        for row in (
            (
                "GET",
                "/calls/{id}/recordings/{name}",
                "getCallRecordingByName",
                "fields id name",
                "V2Client.get_recording_by_name",
            ),
            (
                "GET",
                "/calls/{id}/recordings/{name}.mp3",
                "getCallRecordingMp3ByName",
                "id name",
                "source.v2_recording_by_name",
            ),
            ("GET", "/me/account", "getAccount", "", "V2Client.get_account"),
            ("GET", _CREDENTIALS, "findApiCredentials", "fields limit offset", "V2Client.find_credentials"),
            ("POST", _CREDENTIALS, "createApiCredential", "body", "V2Client.create_credential"),
            ("DELETE", f"{_CREDENTIALS}/{{id}}", "deleteApiCredential", "id", "V2Client.delete_credential"),
            ("GET", f"{_CREDENTIALS}/{{id}}", "getApiCredential", "fields id", "V2Client.get_credential"),
            (
                "GET",
                "/me/billing/credit-usage",
                "getCreditUsage",
                "intervalBegin intervalEnd",
                "V2Client.get_credit_usage",
            ),
            ("GET", "/me/billing/plan-usage", "getBillingPlanUsage", "", "V2Client.get_plan_usage"),
            ("GET", "/me/callerids", "getCallerIds", "", "V2Client.get_caller_ids"),
            ("POST", _CALLER_ID, "sendVerificationCodeToCallerId", "callerid", "V2Client.send_verification_code"),
            (
                "POST",
                f"{_CALLER_ID}/verification-code",
                "verifyCallerId",
                "body callerid",
                "V2Client.verify_caller_id",
            ),
            ("POST", "/media", "createMedia", "file name", "V2Client.create_media"),
            (
                "GET",
                "/media/public/{key}.{extension}",
                "getMediaDataByKey",
                "extension key",
                "source.v2_media_public",
            ),
            ("GET", "/media/{id}", "getMedia", "fields id", "V2Client.get_media"),
            ("GET", "/media/{id}.{extension}", "getMediaData", "extension id", "source.v2_media"),
            ("GET", "/media/{id}/file", "getMediaDataBinary", "id", "source.v2_media_raw"),
        )
    ),
    *(
        _v2("public", "GET", *row)
        for row in (
            ("/calls", "findCalls", _CALL_FILTERS, "V2Client.find_calls"),
            ("/calls/{id}", "getCall", "fields id", "V2Client.get_call"),
            ("/calls/{id}/recordings", "getCallRecordings", "fields id", "V2Client.get_call_recordings"),
            ("/calls/recordings/{id}", "getCallRecording", "fields id", "V2Client.get_recording"),
            ("/calls/recordings/{id}.mp3", "getCallRecordingMp3", "id", "source.v2_recording"),
            ("/calls/broadcasts", "findCallBroadcasts", _CAMPAIGN_FILTERS, "V2Client.find_campaigns"),
            ("/calls/broadcasts/{id}", "getCallBroadcast", "fields id", "V2Client.get_campaign"),
            ("/media", "findMedia", "fields limit offset filter", "V2Client.find_media"),
        )
    ),
)
