import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.errors import CffsError, MalformedAnswer
from cffs.core.v2_parsers import (
    embeds_recordings,
    parse_boolean,
    parse_call,
    parse_call_page,
    parse_caller_ids,
    parse_campaign,
    parse_document,
    parse_error_message,
    parse_identified,
    parse_items,
    parse_media,
    parse_page,
    parse_recording,
    parse_resource_id,
    require_id,
    settled,
)
from cffs.core.values import Call, RecordingState

DOCUMENTS = Path(__file__).parent / "documents"
FIELDS = st.sampled_from(
    ["id", "callId", "campaignId", "name", "created", "lengthInBytes", "lengthInSeconds", "state", "records",
     "recordings", "labels", "items", "limit", "offset", "totalCount", "mediaType", "publicUrl",
     "phoneNumber", "message", "inbound"]
)  # fmt: skip
#: Arbitrary JSON that uses the service's own words often.
ANSWERS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)  # NaN is no JSON: it spoils the whole body
    | st.text(st.characters(categories=["Cs", "L", "N", "P"]))
    | st.sampled_from([1, 2, "3", -9007199254740991, 10**30, "READY"]),
    lambda children: st.lists(children) | st.dictionaries(FIELDS, children),
    max_leaves=25,
)
PARSERS = [parse_call, parse_recording, parse_campaign, parse_media]


def body(document: object) -> bytes:
    return json.dumps(document).encode()


@given(ANSWERS.map(body) | st.binary())
def test_hostile_answers_raise_nothing_else(answer: bytes) -> None:
    """Every parser gives a value or raises a CffsError, for any JSON and any bytes."""
    for parser in PARSERS:
        for parse in (parse_page, parse_items):
            try:
                page = parse(answer, parser, what="x")
            except CffsError:
                continue
            assert page.received == len(page.items) + page.refused
    for parse_small in (parse_caller_ids, parse_resource_id, parse_boolean):
        try:
            parse_small(answer)
        except CffsError:
            continue
    for parse_named in (parse_call_page, parse_document):
        try:
            parse_named(answer, what="x")
        except CffsError:
            continue


@given(st.lists(st.integers(1, 2**63 - 1)), ANSWERS)
def test_a_bad_record_never_hides_the_others(ids: list[int], bad: object) -> None:
    """Records of any shape between good ones leave every good one in the page, in order."""
    entries = [entry for id_ in ids for entry in (bad, {"id": id_, "name": bad, "labels": bad, "records": bad})]
    answer = body({"items": entries})
    for parser in PARSERS:
        page = parse_page(answer, parser, what="x")
        good = [entry["id"] for entry in json.loads(answer)["items"] if _has_id(entry)]
        assert [item.id for item in page.items] == [int(id_) for id_ in good]


def _has_id(entry: object) -> bool:
    try:
        parse_identified(entry, what="x")
    except MalformedAnswer:
        return False
    return True


def test_the_documented_recording() -> None:
    """The sample of a recording has every field with the right value."""
    recording = parse_recording(parse_document((DOCUMENTS / "v2_recording.json").read_bytes(), what="x"))
    assert (recording.id, recording.call_id, recording.campaign_id) == (18000000003, 64000000003, 449000003)
    assert (recording.name, recording.created_ms, recording.seconds) == ("call_recording", 1480896000000, 24)
    assert (recording.hint_nbytes, recording.state) == (96000, RecordingState.READY)
    assert recording.document["mp3Url"] == "https://api.callfire.com/calls/recordings/18000000003"


def test_a_mock_of_the_documents_is_survived() -> None:
    """Prism's absurd numbers are no ids, no counts and no lengths."""
    absurd = {"id": -9007199254740991, "lengthInBytes": -9007199254740991, "lengthInSeconds": -2147483648}
    with pytest.raises(MalformedAnswer):
        parse_recording(absurd)
    recording = parse_recording({**absurd, "id": 1, "state": "RECORDING", "callId": -9007199254740991})
    assert (recording.hint_nbytes, recording.seconds, recording.call_id) == (None, None, None)
    page = parse_page(
        body({"items": [absurd], "limit": -2147483648, "offset": -2147483648, "totalCount": -2147483648}),
        parse_recording,
        what="x",
    )
    assert (page.limit, page.offset, page.total, page.received, page.refused) == (None, None, None, 1, 1)


@pytest.mark.parametrize(
    ("nbytes", "hint"),
    [
        (0, None),
        (-1, None),
        (1, 1),
        (2**40, 2**40),
        (2**40 + 1, None),
        ("96000", 96000),
        (1e30, None),
        (True, None),
        (None, None),
    ],
)
def test_a_length_is_a_hint_or_nothing(nbytes: object, hint: int | None) -> None:
    """Zero, negative, absurd and non-numeric lengths are no hint."""
    assert parse_recording({"id": 1, "lengthInBytes": nbytes}).hint_nbytes == hint
    assert parse_media({"id": 1, "lengthInBytes": nbytes}).hint_nbytes == hint


@pytest.mark.parametrize(
    ("state", "parsed"),
    [
        ("READY", "READY"),
        ("ready", "READY"),
        ("ERROR", "ERROR"),
        ("PURGED", "UNKNOWN"),
        (None, "UNKNOWN"),
        (5, "UNKNOWN"),
    ],
)
def test_states_are_an_open_set(state: object, parsed: str) -> None:
    """Known states are read in any case, all others are UNKNOWN."""
    assert parse_recording({"id": 1, "state": state}).state == parsed


@pytest.mark.parametrize(
    ("echo", "limit", "offset", "total"),
    [
        ({"limit": 100, "offset": 0, "totalCount": 2}, 100, 0, 2),
        ({"totalCount": -1}, None, None, None),
        ({"limit": 0, "offset": -1, "totalCount": 10**12}, None, None, None),
        ({"limit": "100", "offset": "200"}, 100, 200, None),
        ({}, None, None, None),
    ],
)
def test_what_a_page_echoes(echo: dict[str, object], limit: int | None, offset: int | None, total: int | None) -> None:
    """limit, offset and totalCount are as echoed where they make sense, else None."""
    page = parse_page(body({"items": [], **echo}), parse_call, what="x")
    assert (page.limit, page.offset, page.total) == (limit, offset, total)


@pytest.mark.parametrize(
    "document", [{}, {"message": "no"}, {"items": None}, {"items": {}}, {"items": "x", "totalCount": 0}, [], "x", None]
)
def test_what_is_no_page(document: object) -> None:
    """An object without items is not taken for an empty account, unless it says that there are 0."""
    with pytest.raises(MalformedAnswer, match="page of calls"):
        parse_page(body(document), parse_call, what="page of calls")


def test_empty_lists_that_were_left_out() -> None:
    """totalCount 0 stands for empty items of a page; `{}` and null for those of a list that is not paged."""
    assert parse_page(b'{"totalCount": 0}', parse_call, what="x").items == ()
    assert parse_items(b"{}", parse_recording, what="x").items == ()
    assert parse_items(b'{"items": null}', parse_recording, what="x").items == ()
    with pytest.raises(MalformedAnswer):
        parse_items(b'{"message": "down"}', parse_recording, what="x")


def call_of(*records: object, **fields: object) -> Call:
    return parse_call({"id": 7, "campaignId": 9, "records": list(records), **fields})


def test_a_call_in_full() -> None:
    """Ids, numbers, direction, times and labels are taken; campaign 0 means none."""
    call = parse_call(
        {"id": "7", "campaignId": 0, "fromNumber": 12135550100, "toNumber": "12135550101", "inbound": False,
         "created": 1, "modified": 213231, "labels": ["a", "b", "a", 5]}
    )  # fmt: skip
    assert (call.id, call.campaign_id, call.from_number, call.to_number) == (7, None, "12135550100", "12135550101")
    assert (call.inbound, call.created_ms, call.modified_ms, call.labels) == (False, 1, 213231, ("a", "b"))


@pytest.mark.parametrize(
    ("records", "ids"),
    [
        ([], None),
        ([{"id": 1}], None),
        ([{"recordings": None}], None),
        ([{"recordings": "x"}], None),
        ([{"recordings": []}], []),
        ([{"recordings": [{"id": 1}, {"id": 2}]}, {}, {"recordings": [{"id": 3}, {"id": 1}]}], [1, 2, 3]),
        ([{"recordings": [{"id": 1}, {"name": "no id"}, None, {"id": 2}]}], [1, 2]),
        ([{"recordings": [{"id": 1, "callId": 7}, {"id": 2, "callId": 8}]}], [1]),
    ],
)
def test_embedded_recordings(records: list[object], ids: list[int] | None) -> None:
    """A list embeds each recording once, and none of another call; without a list, recordings are not known."""
    recordings = call_of(*records).recordings
    assert (None if recordings is None else [recording.id for recording in recordings]) == ids


def test_an_embedded_recording_gets_its_calls_ids() -> None:
    """A recording without callId or campaignId gets its call's."""
    [recording] = call_of({"recordings": [{"id": 1}]}).recordings or ()
    assert (recording.call_id, recording.campaign_id) == (7, 9)
    assert recording.document == {"id": 1}


def test_an_embedded_recording_has_the_number_and_the_labels_of_its_own_record() -> None:
    """Each record of a call is an attempt with a number of its own; a record without one gives none."""
    records = (
        {"toNumber": "12135550101", "labels": [], "recordings": []},
        {"toNumber": 12135550102, "labels": ["b", "b", 7], "recordings": [{"id": 1}]},
        {"recordings": [{"id": 2}, {"id": 1}]},
    )
    recordings = call_of(*records, toNumber="12135550101", labels=["a"]).recordings or ()
    assert [(one.id, one.to_number, one.labels) for one in recordings] == [(1, "12135550102", ("b",)), (2, "", ())]


def test_one_call_settles_its_page() -> None:
    """Where one call embeds recordings, a call without the field has none; a garbled one stays open; without proof all
    do."""
    loud = {"id": 1, "records": [{"recordings": [{"id": 5}]}]}
    silent: list[object] = [{"id": 2, "records": []}, {"id": 3}, {"id": 4, "records": [{"id": 1}]}]
    garbled = {"id": 5, "records": [{"recordings": {"id": 5}}]}
    page = parse_call_page(body({"items": [loud, *silent, garbled]}), what="x")
    assert [call.recordings is None for call in page.items] == [False, False, False, False, True]
    unproven = parse_call_page(body({"items": silent}), what="x").items
    assert all(call.recordings is None for call in unproven)
    assert not embeds_recordings(unproven)
    assert all(call.recordings == () for call in settled(unproven, embeds=True))


def test_a_campaign_and_a_media_file() -> None:
    """Names, times, types and public keys are read."""
    campaign = parse_campaign({"id": 9, "name": "a/b", "lastModified": 5})
    assert (campaign.id, campaign.name, campaign.modified_ms) == (9, "a/b", 5)
    media = parse_media(
        {"id": 3, "name": "x", "created": 1, "mediaType": "MP3", "publicUrl": "https://h/v2/media/public/k.jpeg"}
    )
    assert (media.extension, media.public_key, media.public_extension) == ("mp3", "k", "jpeg")
    assert parse_media({"id": 3, "publicUrl": "https://h/media/public/k.JPEG"}).extension == "jpg"
    assert parse_media({"id": 3, "mediaType": "x/y", "publicUrl": 5}).extension == ""


def test_small_answers() -> None:
    """Caller ids, a created id and a boolean are read in the spellings that were seen."""
    assert parse_caller_ids(
        b'{"items": [{"phoneNumber": "12135550100"}, {}, 12135550101, {"phoneNumber": 12135550100}]}'
    ) == (
        "12135550100",
        "12135550101",
    )
    assert parse_resource_id(b'{"id": 5}') == 5
    assert parse_boolean(b" true\n") is True
    assert parse_boolean(b'"false"') is False
    for parse, answer in ((parse_resource_id, b"{}"), (parse_boolean, b"{}"), (parse_caller_ids, b"[]")):
        with pytest.raises(MalformedAnswer):
            parse(answer)


@given(ANSWERS.map(body) | st.binary() | st.text().map(str.encode))
def test_an_error_message_never_raises(answer: bytes) -> None:
    """Whatever the body, its message is one printable line of at most 200 characters."""
    message = parse_error_message(answer)
    assert len(message) <= 200
    assert message.isprintable()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((DOCUMENTS / "v2_error.json").read_bytes(), "recording not found"),
        (b'{"internalCode": "x", "developerMessage": "why"}', "why"),
        (b'{"message": "duplicate, mediaId: 5"}', "duplicate, mediaId: 5"),
        (b"<html><body>Bad\r\nGateway</body></html>", "Bad Gateway"),
        (b"", ""),
        (b"\xff" * 10, "\ufffd" * 10),
        (b"[" * 100_000, "[" * 199 + "…"),
        (b'{"message": 5}', "5"),
    ],
)
def test_error_messages(answer: bytes, message: str) -> None:
    """The message is `message`, else `developerMessage`, else the body as text."""
    assert parse_error_message(answer) == message


def test_echoed_ids_must_be_the_asked_ones() -> None:
    """Another id is MalformedAnswer; the one asked for, or no echo, passes."""
    require_id(5, 5, what="recording")
    require_id(None, 5, what="recording")
    with pytest.raises(MalformedAnswer, match="asked for 5"):
        require_id(6, 5, what="recording")
