import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.errors import (
    AccessRefused,
    CffsError,
    MalformedAnswer,
    OriginBusy,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.core.v1_parser import parse_recording_list, require_service
from cffs.core.values import RecordingList

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
    return parse_recording_list(text.encode() if isinstance(text, str) else text)


def xml(*recordings: str, successful: str = "true", description: str = "Recordings Fetched") -> str:
    entries = "".join(f"<recording>{recording}</recording>" for recording in recordings)
    return (
        f"<fileResponse><description>{description}</description><successful>{successful}</successful>"
        f"<callid>71</callid><campaignid>9</campaignid>{entries}</fileResponse>"
    )


def test_the_document_as_printed() -> None:
    """The first document's example, letter by letter, is a success without a usable id, with both entries counted."""
    listing = parse((DOCUMENTS / "v1_list_as_printed.xml").read_bytes())
    assert listing == RecordingList(campaign_id=None, call_id=None, file_ids=(), refused=2)


def test_the_document_with_ids() -> None:
    """That example with numbers in the place of X gives the ids in the order sent."""
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
    """The root may be bare or wrapped, recordings absent, null, single or a list, and values native or strings."""
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
    """A URL below the base, with any query, and the bare id name one file, which is listed once."""
    assert parse(xml(entry, "5", entry)).file_ids == (5,)


@pytest.mark.parametrize(
    "entry",
    [
        "https://callfire.com/cloud/1/files/recording/5",
        "http://www.callfire.com/cloud/1/files/recording/5",
        "https://www.callfire.com:8443/cloud/1/files/recording/5/",
        "https://user:pw@evil.example/other/files/recording/5?apikey=SECRET",
        "https://www.callfire.com:x/cloud/1/files/recording/5",
        "http://10.0.0.7:8080/files/recording/5",
        "//www.callfire.com/cloud/1/files/recording/5",
        "/cloud/1/files/recording/5",
        "https://www.callfire.com/cloud/1/files/recording/%35",
    ],
)
def test_the_host_of_an_entry_says_nothing(entry: str) -> None:
    """The id is read from any URL that ends in `/files/recording/{id}`, because the URL is never fetched."""
    assert parse(xml(entry)).file_ids == (5,)


@pytest.mark.parametrize(
    "entry",
    [
        "https://www.callfire.com/cloud/1/files/recording/../../5",
        "https://www.callfire.com/cloud/1/files/recording/dynamic/5",
        "https://www.callfire.com/cloud/1/files/recording/list/9/5",
        "https://www.callfire.com/cloud/1/files/recording/",
        "https://[::1/5",
        URL + "0",
        URL + "-5",
        URL + "5x",
        URL + "٥",
        URL + "9" * 30,
        "XXX",
    ],
)
def test_broken_entries_are_counted(entry: str) -> None:
    """An entry that names no file is counted as refused, and hides none of the others."""
    listing = parse(xml(URL + "1", entry, URL + "2"))
    assert (listing.file_ids, listing.refused) == ((1, 2), 1)


ONE, TWO = URL + "5", "http://10.0.0.7/x/files/recording/6"
NESTINGS: list[object] = [
    {"recording": [{"value": ONE}, {"value": TWO}]},
    {"recording": [{"@id": 5, "value": "call_recording"}, {"@id": "6"}]},
    {"recording": {"value": [], "recording": [ONE, TWO]}},
    {"recordings": [ONE, TWO]},
    {"recordings": {"recording": [ONE, TWO]}},
    {"recordings": {"recording": [{"value": ONE}, {"Value": TWO}]}},
    {"recordings": [{"recording": ONE}, {"recording": [TWO, ""]}]},
    {"recordings": [{"recording": {"url": ONE, "id": 99, "seconds": 7}}, {"href": TWO}]},
    {"Recordings": {"Recording": [[ONE], [{"fileId": 6}]]}, "recording": None},
    {"recording": [ONE, "", None, {}, [], TWO]},
]


@pytest.mark.parametrize("entries", NESTINGS, ids=str)
@pytest.mark.parametrize("wrap", ["bare", "fileResponse", "twice", "list"])
def test_the_nestings_of_entries(entries: dict[str, object], wrap: str) -> None:
    """Objects with a value, lists in lists, and one wrapper more give all entries in order; an empty value is none."""
    document: object = {**FIELDS, **entries}
    if wrap == "list":
        document = [entries]
    elif wrap != "bare":
        document = {"fileResponse": document}
    listing = parse(json.dumps({"serviceResponse": document} if wrap == "twice" else document))
    assert (listing.file_ids, listing.refused) == ((5, 6), 0)


@pytest.mark.parametrize(
    "entries",
    [
        f"<recordings><recording>{ONE}</recording><recording>{TWO}</recording></recordings>",
        f"<recordings>{ONE}</recordings><recordings>{TWO}</recordings>",
        f"<recording><url>{ONE}</url><seconds>7</seconds></recording><recording href='{TWO}'/>",
        "<recording id='5'>call</recording><Recording><Id>6</Id></Recording><recording/><recordings/>",
        f"<recording type='wav'>{ONE}</recording><recording type='wav'><![CDATA[{TWO}]]></recording>",
    ],
)
def test_the_nestings_of_elements(entries: str) -> None:
    """Attributes, wrappers and children nest as in JSON."""
    listing = parse(f"<fileResponse><successful>true</successful>{entries}</fileResponse>")
    assert (listing.file_ids, listing.refused) == ((5, 6), 0)


def test_ids_with_attributes() -> None:
    """1.1's spelling has simple content in `value`."""
    listing = parse(
        json.dumps({**FIELDS, "callid": {"value": "71"}, "successful": {"value": "true"}, "recording": ONE})
    )
    assert (listing.campaign_id, listing.call_id, listing.file_ids) == (9, 71, (5,))


def test_json_entries_of_other_types_are_counted() -> None:
    """Objects that name no file and booleans among the entries are refused one by one."""
    listing = parse(json.dumps({"successful": True, "recording": [{"a": 1}, None, True, 5, -1, 1e30]}))
    assert (listing.file_ids, listing.refused) == ((5,), 4)


@pytest.mark.parametrize(
    "description", ["Invalid API key", "apikey missing", "Not authorized", "Authorisation failed", "access denied"]
)
@pytest.mark.parametrize("form", ["xml", "json"])
def test_a_refused_key_in_the_body(description: str, form: str) -> None:
    """successful=false with words about the key or authorisation is AccessRefused."""
    fields = {"description": description, "successful": False}
    with pytest.raises(AccessRefused):
        parse(json.dumps(fields) if form == "json" else xml(successful="false", description=description))


@pytest.mark.parametrize("description", ["Something broke", "", "monkey business", "Call not found"])
def test_any_other_failure_in_the_body(description: str) -> None:
    """successful=false about anything else is a failure with status 200, with its description in the message."""
    with pytest.raises(ServerFailure) as caught:
        parse(xml(URL + "5", successful="false", description=description))
    assert caught.value.status == 200
    assert description in str(caught.value)


@pytest.mark.parametrize("root", ["campaignResponse", "reportResponse", "FileResponse", "ServiceException"])
def test_failures_of_siblings(root: str) -> None:
    """A failure may come under another root, in camel case, with status 200."""
    body = f"<{root}><successful>false</successful><description>Something broke</description></{root}>"
    with pytest.raises(ServerFailure, match="Something broke"):
        parse(body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"HttpStatus": 401, "Message": "no"}, AccessRefused),
        ({"HttpStatus": "404", "Message": "no"}, RemoteObjectMissing),
        ({"HttpStatus": 400, "Message": "Rate Limit Reached"}, OriginBusy),
        ({"HttpStatus": 500, "Message": "no"}, ServerFailure),
    ],
)
def test_errors_of_1_1(error: dict[str, object], kind: type[CffsError]) -> None:
    """An error object of 1.1 has its status in the body."""
    with pytest.raises(kind):
        parse(json.dumps({"ResourceException": error}))


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("Invalid API key", AccessRefused),
        ("Rate Limit Reached", OriginBusy),
        ("You have no permission for campaign 1", None),
        ("Something broke", None),
    ],
)
def test_what_a_failure_says_of_the_whole_service(description: str, kind: type[CffsError] | None) -> None:
    """Only the key and the rate concern the whole service; everything else, even what cannot be read, concerns the
    call."""
    body = xml(successful="false", description=description).encode()
    with pytest.raises(kind) if kind is not None else nullcontext():
        require_service(body)
    require_service(b"<html>")
    require_service(xml(ONE).encode())


def test_a_failure_never_tells_a_secret() -> None:
    """A description that echoes the key is reported without it."""
    with pytest.raises(AccessRefused) as caught:
        parse(xml(successful="false", description=f"bad key in {URL}5?apikey=SECRET, apikey=SECRET"))
    assert "SECRET" not in str(caught.value)


def test_sibling_spellings() -> None:
    """A namespace, other cases, `success`, and standard entities are accepted."""
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
    """DTDs, entities, encodings, depth, size and error pages raise MalformedAnswer quickly, without a request."""
    with pytest.raises(MalformedAnswer):
        parse(body)


@given(
    st.binary()
    | PIECES.map(str.encode)
    | PIECES.map(lambda text: ("<fileResponse>" + text).encode())
    | st.text().map(str.encode)
)
def test_any_bytes_give_a_list_or_a_cffs_error(body: bytes) -> None:
    """Nothing but a CffsError is raised, whatever the grammar."""
    try:
        parse(body)
    except CffsError:
        return


def test_entries_without_a_flag_speak_for_themselves() -> None:
    """A list that has entries needs no success flag."""
    assert parse(json.dumps({"recording": URL + "5"})).file_ids == (5,)
