"""python-callfire, a client of other authors, reads everything.

It is generated from CallFire's own description, so it is a second witness for the stand-in.
"""

import io
from typing import Any

import pytest
from callfire import CallFireAPI
from callfire.base import CallFireError

from cffs.standin.objects import StandinObject
from cffs.standin.thread import StandinThread


@pytest.fixture
def api(standin: StandinThread) -> Any:
    """python-callfire, pointed at the stand-in."""
    told = standin.credentials
    kind = type("Api", (CallFireAPI,), {"BASE_URL": standin.v2_url})
    return kind(told.login, told.password)


def body(response: Any) -> bytes:
    """The whole answer; the connection is closed afterwards."""
    with response:
        data: bytes = response.read()
        return data


def value(response: Any) -> Any:
    """The answer as JSON; the connection is closed afterwards."""
    with response:
        return response.json()


def expected(standin: StandinThread, path: str) -> bytes:
    """The true bytes of a path."""
    found = standin.account.object_for(path)
    assert isinstance(found, StandinObject)
    return found.read()


def test_calls_and_recordings(standin: StandinThread, api: Any) -> None:
    """Every read method on calls returns the account's rows and bytes."""
    account = standin.account
    page = value(api.find_calls({"limit": 10, "offset": 5}))
    assert [row["id"] for row in page["items"]] == account.call_ids()[5:15]
    call_id = account.call_ids()[0]
    assert value(api.get_call(call_id)) == account.call_row(call_id)
    rows = value(api.get_call_recordings(call_id))["items"]
    assert rows == account.recording_rows(call_id)
    for row in rows:
        assert value(api.get_call_recording(row["id"])) == row
        assert body(api.get_call_recording_mp3(row["id"])) == expected(standin, f"/v2/calls/recordings/{row['id']}.mp3")
    recording_id = account.add_recording(call_id, name="plain_name")
    assert value(api.get_call_recording_by_name(call_id, "plain_name"))["id"] == recording_id
    sound = body(api.get_call_recording_mp3_by_name(call_id, "plain_name"))
    assert sound == expected(standin, f"/v2/calls/recordings/{recording_id}.mp3")


def test_campaigns(standin: StandinThread, api: Any) -> None:
    """Every read method on broadcasts returns the account's rows."""
    rows = value(api.find_call_broadcasts())["items"]
    assert rows == standin.account.broadcast_rows()
    campaign_id = rows[0]["id"]
    assert value(api.get_call_broadcast(campaign_id)) == rows[0]
    calls = value(api.get_call_broadcast_calls(campaign_id))["items"]
    assert calls
    assert all(row["campaignId"] == campaign_id for row in calls)
    assert value(api.get_call_broadcast_batches(campaign_id))["items"] == []
    assert value(api.get_call_broadcast_stats(campaign_id))["callsAttempted"] == len(calls)


def test_media(standin: StandinThread, api: Any) -> None:
    """Every method on media works, its peculiar upload too."""
    library = standin.account.media
    for media_id in library.media_ids():
        row = value(api.get_media(media_id))
        assert row["id"] == media_id
        data = expected(standin, f"/v2/media/{media_id}/file")
        assert len(data) == row["lengthInBytes"]
        assert body(api.get_media_data_binary(media_id)) == data
        if extension := library.extension(media_id):
            assert body(api.get_media_data(media_id, extension)) == data
            assert body(api.get_media_data_by_key(library.media_key(media_id), extension)) == data
    picture = b"\x89PNG\r\n\x1a\n made up \r\n--b"
    media_id = value(api.create_media(payload=io.BytesIO(picture)))["id"]
    assert expected(standin, f"/v2/media/{media_id}/file") == picture


def test_me(standin: StandinThread, api: Any) -> None:
    """Account, billing and caller ids can be read; credentials only by the holder."""
    assert value(api.get_account()) == standin.account.me.account_row
    assert "totalRemainingCredits" in value(api.get_billing_plan_usage())
    assert value(api.get_caller_ids())["items"][0] == {"phoneNumber": standin.account.me.caller_ids[0]}
    with pytest.raises(CallFireError) as caught:
        api.find_api_credentials()
    caught.value.wrapped_exc.close()
    told = standin.credentials
    holder = type(api)(told.account_login, told.account_password)
    rows = value(holder.find_api_credentials())["items"]
    assert rows == standin.account.me.credentials()
    assert value(holder.get_api_credential(rows[0]["id"])) == rows[0]
