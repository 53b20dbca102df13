"""Both APIs as documented: forms, logins, pages and uploads."""

import re
from xml.etree import ElementTree

import httpx
import pytest

from cffs.standin import v1 as v1_module
from cffs.standin import v2 as v2_module
from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.media_files import EXTENSIONS, media_content
from cffs.standin.thread import StandinThread

SEED_OPERATIONS = {
    ("GET", "/calls/{id}/recordings/{name}"),
    ("GET", "/calls/{id}/recordings/{name}.mp3"),
    ("GET", "/me/account"),
    ("GET", "/me/api/credentials"),
    ("POST", "/me/api/credentials"),
    ("GET", "/me/api/credentials/{id}"),
    ("DELETE", "/me/api/credentials/{id}"),
    ("GET", "/me/billing/credit-usage"),
    ("GET", "/me/billing/plan-usage"),
    ("GET", "/me/callerids"),
    ("POST", "/me/callerids/{callerid}"),
    ("POST", "/me/callerids/{callerid}/verification-code"),
    ("POST", "/media"),
    ("GET", "/media/public/{key}.{extension}"),
    ("GET", "/media/{id}"),
    ("GET", "/media/{id}.{extension}"),
    ("GET", "/media/{id}/file"),
}
"""Copied from the second document by hand."""


def test_v1_list_has_the_shape_of_the_document(standin: StandinThread, v1: httpx.Client) -> None:
    """The root, the children and their order are right; the absolute URLs have no key, two spellings of the host, and
    give WAV."""
    for call_id in standin.account.call_ids()[3:5]:
        check_list(standin, v1, call_id)


def check_list(standin: StandinThread, v1: httpx.Client, call_id: int) -> None:
    call = standin.account.call_row(call_id)
    assert call is not None
    answer = v1.get(f"/list/{call['campaignId']}/{call['id']}")
    assert answer.headers["content-type"] == "application/xml"
    assert answer.text.startswith('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>')
    root = ElementTree.fromstring(answer.text)  # noqa: S314 - our own server's
    assert root.tag == "fileResponse"
    assert [child.tag for child in root] == [
        "description",
        "successful",
        "callid",
        "campaignid",
        "recording",
        "recording",
    ]
    assert [child.text for child in root][:4] == [
        "Recordings Fetched",
        "true",
        str(call["id"]),
        str(call["campaignId"]),
    ]
    for child in root.iter("recording"):
        address = (child.text or "").replace("//localhost:", "//127.0.0.1:")
        assert re.fullmatch(re.escape(standin.v1_url) + r"/files/recording/\d+", address)
        sound = v1.get(address.removeprefix(standin.v1_url + "/files/recording"))
        expected = standin.account.object_for(child.text or "")
        assert sound.headers["content-type"] == "audio/x-wav"
        assert expected is not None
        assert sound.content == expected.read()


def test_v1_list_as_json_and_empty(standin: StandinThread, v1: httpx.Client) -> None:
    """Accept selects JSON; another campaign, or an unknown call, is an empty success."""
    call = standin.account.call_row(standin.account.call_ids()[0])
    assert call is not None
    value = v1.get(f"/list/{call['campaignId']}/{call['id']}", headers={"Accept": "application/json"}).json()
    assert len(value["fileResponse"]["recording"]) == 2
    for path in (f"/list/1/{call['id']}", "/list/1/2"):
        answer = v1.get(path)
        assert answer.status_code == 200
        assert b"<successful>true" in answer.content
        assert b"<recording>" not in answer.content


def test_dynamic_recordings_in_both_forms(standin: StandinThread, v1: httpx.Client) -> None:
    """The exact URL gives WAV and MP3; another spelling of the month is not found."""
    name = next(iter(standin.account.media.dynamic))
    for form, content_type in (("wav", "audio/x-wav"), ("mp3", "audio/mp3")):
        path = standin.account.dynamic_path(name, form=form)
        answer = v1.get(path.removeprefix("/cloud/1/files/recording"))
        expected = standin.account.object_for(path)
        assert answer.headers["content-type"] == content_type
        assert expected is not None
        assert answer.content == expected.read()
    other = [*name.parts[:2], str(int(name.month)) if name.month.startswith("0") else "0" + name.month, *name.parts[3:]]
    assert v1.get("/dynamic/" + "/".join(other)).status_code == 404


def test_wrong_logins_are_refused(standin: StandinThread) -> None:
    """Without a login or key, or with a wrong one, the answer is 401; an API login gets 403 for credentials, which the
    holder's opens."""
    told = standin.credentials
    recording = standin.account.paths()[1]
    assert httpx.get(standin.base_url + recording).status_code == 401
    assert httpx.get(standin.base_url + recording, params={"apikey": "wrong"}).status_code == 401
    url = standin.v2_url + "/me/account"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, auth=(told.login, "wrong")).status_code == 401
    assert httpx.get(url, auth=(told.account_login, told.account_password)).status_code == 401
    url = standin.v2_url + "/me/api/credentials"
    assert httpx.get(url, auth=(told.login, told.password)).status_code == 403
    assert httpx.get(url, auth=(told.account_login, told.account_password)).status_code == 200
    assert set(httpx.get(url).json()) == {"httpStatusCode", "internalCode", "message", "developerMessage", "helpLink"}


def test_credentials_are_created_used_and_deleted(standin: StandinThread) -> None:
    """The password is in clear once, opens the API, is masked afterwards, and is refused after DELETE."""
    told = standin.credentials
    with httpx.Client(base_url=standin.v2_url, auth=(told.account_login, told.account_password)) as holder:
        made = holder.post("/me/api/credentials", json={"name": "mine"}).json()
        login = (made["username"], made["password"])
        assert httpx.get(standin.v2_url + "/me/account", auth=login).status_code == 200
        shown = holder.get(f"/me/api/credentials/{made['id']}").json()
        assert shown["password"] == "*" * 12 + made["password"][-4:]
        deleted = holder.delete(f"/me/api/credentials/{made['id']}")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert holder.delete(f"/me/api/credentials/{made['id']}").status_code == 404
        assert httpx.get(standin.v2_url + "/me/account", auth=login).status_code == 401


def test_caller_ids_are_verified(standin: StandinThread, v2: httpx.Client) -> None:
    """After a call, a wrong code gives false, the right one true, and the number is listed."""
    number = "14155550199"
    assert v2.post("/me/callerids/123").status_code == 400
    assert v2.post(f"/me/callerids/{number}").status_code == 200
    path = f"/me/callerids/{number}/verification-code"
    assert v2.post(path, json={"verificationCode": "x"}).json() is False
    code = standin.account.me.verification_code(number)
    assert v2.post(path, json={"verificationCode": code}).json() is True
    assert {"phoneNumber": number} in v2.get("/me/callerids").json()["items"]
    again = v2.post(f"/me/callerids/{number}")
    assert (again.status_code, "is already verified" in again.json()["message"]) == (400, True)
    assert v2.post(path, json={"verificationCode": "any"}).json() is True


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_media_are_uploaded_and_read_back(v2: httpx.Client, extension: str) -> None:
    """Each type can be uploaded; a second upload of the content is refused, with the id of the file that has it."""
    content = media_content(extension, seed="upload", filler_nbytes=9000)
    body = content.read(0, content.total_nbytes)
    made = v2.post("/media", files={"file": (f"ü {extension}.{extension}", body)}, data={"name": "Neu / №1"})
    assert made.status_code == 200
    media_id = made.json()["id"]
    row = v2.get(f"/media/{media_id}").json()
    assert (row["name"], row["lengthInBytes"]) == ("Neu / №1", len(body))
    assert v2.get("/media").json()["items"][0] == row
    assert v2.get(f"/media/{media_id}.{extension}").content == body
    assert v2.get(f"/media/{media_id}/file").headers["content-type"] == "application/binary"
    assert v2.get(row["publicUrl"]).content == body
    again = v2.post("/media", files={"file": (f"other.{extension}", body)})
    assert again.status_code == 400
    assert f"mediaId: {media_id}" in again.json()["message"]


def test_refused_uploads(v2: httpx.Client) -> None:
    """Unknown types, empty files, a missing file and one too large are refused with a reason."""
    assert v2.post("/media", files={"file": ("a.txt", b"x")}).status_code == 400
    assert v2.post("/media", files={"file": ("a.png", b"")}).status_code == 400
    assert v2.post("/media", content=b"x").status_code == 400
    assert v2.post("/media", files={"file": ("a.mp3", bytes(20_100_000))}).status_code == 413


def test_paging_and_filters(standin: StandinThread, v2: httpx.Client) -> None:
    """Pages join to the whole and echo what they hold, and a limit beyond the maximum is 400."""
    whole = standin.account.call_ids()
    got = []
    for offset in range(0, 40, 7):
        page = v2.get("/calls", params={"limit": 7, "offset": offset}).json()
        assert (page["limit"], page["offset"], page["totalCount"]) == (7, offset, 30)
        got += [row["id"] for row in page["items"]]
    assert got == whole
    assert v2.get("/calls", params={"limit": 1001}).status_code == 400
    assert v2.get("/calls", params={"limit": "x"}).status_code == 400
    by_id = v2.get("/calls", params={"id": [str(whole[4]), str(whole[2])]}).json()
    assert [row["id"] for row in by_id["items"]] == [whole[4], whole[2]]
    cut = v2.get("/calls", params={"limit": 2, "fields": "totalCount,items(id,records(recordings(name)))"}).json()
    assert set(cut) == {"totalCount", "items"}
    assert set(cut["items"][0]) == {"id", "records"}
    assert set(cut["items"][0]["records"][0]["recordings"][0]) == {"name"}


def test_recording_names_are_looked_up_as_sent(standin: StandinThread, v2: httpx.Client) -> None:
    """Slashes and dots in names, and names that end in .mp3, lead where the document says."""
    call_id = standin.account.call_ids()[0]
    ids = {name: standin.account.add_recording(call_id, name=name) for name in ("a/b", "x.mp3", "x", "é ?#%")}
    for name, recording_id in ids.items():
        path = f"/calls/{call_id}/recordings/" + httpx.QueryParams({"n": name})["n"].encode().hex(" ").replace(" ", "%")
        path = path.replace("recordings/", "recordings/%")
        if name != "x.mp3":
            assert v2.get(path).json()["id"] == recording_id
        expected = standin.account.object_for(f"/v2/calls/recordings/{recording_id}.mp3")
        assert expected is not None
        assert v2.get(path + ".mp3").content == expected.read()
    # x.mp3 is the audio of x, as its more exact template says.
    assert v2.get(f"/calls/{call_id}/recordings/x.mp3").headers["content-type"] == "audio/mpeg"
    standin.account.delete_recording(ids["x"])
    assert v2.get(f"/calls/{call_id}/recordings/x.mp3").json()["id"] == ids["x.mp3"]


def test_seed_only_answers_the_documents_operations_and_nothing_else() -> None:
    """Every listing is 404; the table has every operation of both documents, and no other."""
    table = {(row.method, row.kind): row for row in v2_module.OPERATIONS}
    in_seed = [row for row in table.values() if row.in_seed]
    assert len(in_seed) == len(SEED_OPERATIONS)
    for method, path in SEED_OPERATIONS:
        example = path.replace("{id}", "1").replace("{callerid}", "2").replace("{extension}", "mp3")
        example = example.replace("{name}", "n").replace("{key}", "k")
        assert any(row.method == method and row.path.fullmatch(example) for row in in_seed), path
    assert len(v1_module.OPERATIONS) == 4
    with StandinThread(Account(calls=3), seed_only=True) as standin:
        told = standin.credentials
        with httpx.Client(base_url=standin.v2_url, auth=(told.login, told.password)) as client:
            call_id = standin.account.call_ids()[0]
            for path in ("/calls", f"/calls/{call_id}", f"/calls/{call_id}/recordings", "/calls/broadcasts"):
                assert client.get(path).status_code == 404, path
            recording_id = standin.account.recording_ids(call_id)[0]
            assert client.get(f"/calls/recordings/{recording_id}").status_code == 404
            assert client.get(f"/calls/recordings/{recording_id}.mp3").status_code == 404
            assert client.get("/media").status_code == 404
            assert client.get("/me/account").status_code == 200


def test_options_answer_as_they_say() -> None:
    """Options cap limits instead of refusing them, hide totals and paging echoes, and do not embed recordings."""
    options = Options(over_limit="cap", max_limit=5, know_total=False, embed_recordings=False)
    with StandinThread(Account(calls=9), options=options) as standin:
        told = standin.credentials
        page = httpx.get(standin.v2_url + "/calls?limit=100", auth=(told.login, told.password)).json()
        assert (page["limit"], page["totalCount"], len(page["items"])) == (5, -1, 5)
        assert "recordings" not in page["items"][0]["records"][0]


def test_a_large_account_pages_through(v2: httpx.Client) -> None:
    """100,000 calls come in 100 pages, each call once."""
    with StandinThread(Account(calls=100_000)) as standin:
        told = standin.credentials
        seen: set[int] = set()
        with httpx.Client(base_url=standin.v2_url, auth=(told.login, told.password), timeout=30) as client:
            for offset in range(0, 100_000, 1000):
                page = client.get("/calls", params={"limit": 1000, "offset": offset, "fields": "items(id)"}).json()
                seen |= {row["id"] for row in page["items"]}
        assert len(seen) == 100_000
