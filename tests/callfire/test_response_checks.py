"""Laws of the response checks: a plan agrees with the head and with the question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.response_checks import (
    BodyPlan,
    NotFoundMeans,
    Pinned,
    check_act,
    check_body,
    check_status,
    media_type,
)
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.units import MAX_OBJECT_NBYTES

NOW_NS = 1_800_000_000 * 10**9
numbers = st.integers(0, 2**41)
texts = st.one_of(
    st.text(max_size=30),
    st.builds(lambda a, b, c: f"bytes {a}-{b}/{c}", numbers, numbers, st.one_of(numbers, st.just("*"))),
    st.from_regex(r"bytes \d{1,14}-\d{1,14}/(\d{1,14}|\*)", fullmatch=True),
    numbers.map(str),
    st.sampled_from(['"abc"', 'W/"abc"', "identity", "gzip", "Sun, 06 Nov 1994 08:49:37 GMT", "٣"]),
)
names = st.sampled_from(
    ["content-range", "content-length", "content-encoding", "etag", "last-modified", "retry-after", "content-type"]
)
ranges = st.builds(lambda a, n: ByteRange(a, a + n), numbers, st.integers(1, 2**20))


def plan(asked: ByteRange | None, status: int, pinned: Pinned | None = None, **headers: str) -> BodyPlan:
    lowered = {name.replace("_", "-"): value for name, value in headers.items()}
    return check_body(asked, status, lowered, what="x", pinned=pinned, now_ns=NOW_NS)


@given(st.one_of(st.none(), ranges), st.integers(100, 599), st.dictionaries(names, texts), st.booleans())
def test_any_head_is_a_consistent_plan_or_one_of_our_errors(asked, status, headers, has_pin):
    """For any head, the plan lies within the range asked for (206), or is the whole object from 0 (200)."""
    pinned = Pinned(validator='"abc"', total=1000) if has_pin else None
    try:
        found = check_body(asked, status, headers, what="x", pinned=pinned, now_ns=NOW_NS)
    except errors.CffsError:
        return
    assert headers.get("content-encoding", "").strip().lower() != "gzip"
    if status == 206:
        assert asked is not None
        assert found.start == asked.start < found.stop <= asked.stop
        assert found.total is None or found.stop <= found.total
    else:
        assert status == 200
        assert found.start == 0
        assert found.stop == found.total
    assert found.total is None or 0 <= found.total <= MAX_OBJECT_NBYTES
    if pinned is not None:
        assert found.total in (None, 1000)
        assert found.validator != '"other"'


@given(ranges, st.integers(0, 2**20))
def test_a_right_206_is_taken(asked, more):
    """An answer that names exactly the range asked for, in an object that holds it, is accepted unchanged."""
    total = asked.stop + more
    if total > MAX_OBJECT_NBYTES:
        return
    found = plan(asked, 206, content_range=f"bytes {asked.start}-{asked.stop - 1}/{total}", etag='"v"')
    assert (found.start, found.stop, found.total, found.validator) == (asked.start, asked.stop, total, '"v"')


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, errors.MalformedAnswer),
        ({"content_range": "bytes 11-19/100"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-20/100"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-19/15"}, errors.MalformedAnswer),
        ({"content_range": "items 10-19/100"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-19/100", "content_length": "9"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-19/100", "content_encoding": "gzip"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-19/9999999999999"}, errors.MalformedAnswer),
        ({"content_range": "bytes 1٠-19/100"}, errors.MalformedAnswer),
        ({"content_range": "bytes 10-19/101"}, errors.RemoteObjectChanged),
        ({"content_range": "bytes 10-19/100", "etag": '"new"'}, errors.RemoteObjectChanged),
    ],
)
def test_each_lie_of_a_206_has_its_error(headers, error):
    """Unit, start, stop, total, length, encoding and version are all checked."""
    with pytest.raises(error):
        plan(ByteRange(10, 20), 206, Pinned(validator='"old"', total=100), **headers)


def test_a_200_to_a_range_is_the_whole_object():
    """An origin may ignore ranges: the plan starts at 0, with the total from Content-Length."""
    found = plan(ByteRange(10, 20), 200, content_length="100")
    assert (found.start, found.stop, found.total) == (0, 100, 100)
    assert plan(ByteRange(10, 20), 200).stop is None
    assert plan(ByteRange(10, 20), 200, Pinned(total=100)).stop == 100


def test_an_unasked_206_and_other_successes_are_refused():
    """A part of an object must not pass for the whole."""
    with pytest.raises(errors.MalformedAnswer):
        plan(None, 206, content_range="bytes 0-9/10")
    for status in (201, 204, 205):
        with pytest.raises(errors.MalformedAnswer):
            plan(None, status)


def test_416_tells_the_total_or_the_change():
    """416 carries the object's size; against a pinned total it proves a change."""
    with pytest.raises(errors.RangeNotSatisfiable) as caught:
        plan(ByteRange(10, 20), 416, content_range="bytes */7")
    assert caught.value.total == 7
    with pytest.raises(errors.RangeNotSatisfiable) as caught:
        plan(ByteRange(10, 20), 416)
    assert caught.value.total is None
    with pytest.raises(errors.RemoteObjectChanged):
        plan(ByteRange(10, 20), 416, Pinned(total=100), content_range="bytes */7")


def test_validators_rank_strong_etag_then_date_then_weak_etag():
    """The best validator is kept; kinds that cannot be compared never contradict each other."""
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert plan(None, 200, etag='"a"', last_modified=date).validator == '"a"'
    assert plan(None, 200, etag='W/"a"', last_modified=date).validator == date
    assert plan(None, 200, etag='W/"a"').validator == 'W/"a"'
    assert plan(None, 200, etag="a b").validator is None
    assert plan(None, 200, Pinned(validator='"a"'), last_modified=date).validator == date
    assert plan(None, 200, last_modified=date).last_modified_ns == 784111777 * 10**9


@pytest.mark.parametrize(
    ("status", "not_found", "error"),
    [
        (404, NotFoundMeans.OBJECT, errors.RemoteObjectMissing),
        (404, NotFoundMeans.OPERATION, errors.OperationNotOffered),
        (410, NotFoundMeans.OPERATION, errors.RemoteObjectMissing),
        (401, NotFoundMeans.OBJECT, errors.AccessRefused),
        (403, NotFoundMeans.OBJECT, errors.AccessRefused),
        (405, NotFoundMeans.OBJECT, errors.ObjectRefused),
        (501, NotFoundMeans.OBJECT, errors.ObjectRefused),
        (405, NotFoundMeans.OPERATION, errors.OperationNotOffered),
        (501, NotFoundMeans.OPERATION, errors.OperationNotOffered),
        (429, NotFoundMeans.OBJECT, errors.OriginBusy),
        (503, NotFoundMeans.OBJECT, errors.ServerFailure),
        (500, NotFoundMeans.OBJECT, errors.ServerFailure),
        (302, NotFoundMeans.OBJECT, errors.ServerFailure),
        (400, NotFoundMeans.OBJECT, errors.ServerFailure),
    ],
)
def test_each_status_has_its_error(status, not_found, error):
    """Each status raises the error of the table."""
    with pytest.raises(error) as caught:
        check_status(status, {}, what="x", not_found=not_found, now_ns=NOW_NS)
    assert type(caught.value) is error


def test_a_503_with_retry_after_is_a_hold():
    """Seconds and dates are read; anything else is a hold without a time."""
    for text, seconds in (("7", 7.0), ("Fri, 15 Jan 2027 08:00:05 GMT", 5.0), ("soon", -1.0)):
        with pytest.raises(errors.OriginBusy) as caught:
            check_status(503, {"retry-after": text}, what="x", not_found=NotFoundMeans.OBJECT, now_ns=NOW_NS)
        assert caught.value.hold_seconds == seconds


@pytest.mark.parametrize(
    "words", ["", "identity", "none", "UTF-8", "binary", "aws-chunked", "identity, identity", "Identity,none", ", ,"]
)
def test_a_content_encoding_that_is_no_coding_is_passed_over(words: str) -> None:
    """The bytes are the object's, whatever such a word claims."""
    assert plan(None, 200, content_length="5", content_encoding=words).stop == 5


@pytest.mark.parametrize(
    "words",
    ["gzip", "x-gzip", " GZIP ", "deflate", "br", "zstd", "compress", "identity, gzip", "aws-chunked,gzip", "br;q=1"],
)
def test_a_coding_is_refused(words: str) -> None:
    """Offsets count the object's own bytes, and a coded body has others."""
    with pytest.raises(errors.MalformedAnswer):
        plan(None, 200, content_length="5", content_encoding=words)


DATE, OTHER_DATE = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
DATE_MS = 784_111_777_000


def test_a_plan_says_what_the_head_says():
    """Every field of the plan comes from its header, and is empty without it."""
    found = plan(
        ByteRange(10, 20),
        206,
        content_range=" bytes 10-18/* ",
        content_length=" 9 ",
        content_type="Audio/X-WAV ; charset=x",
        etag=' "v" ',
        last_modified=DATE,
        date=OTHER_DATE,
    )
    assert found == BodyPlan(
        start=10,
        stop=19,
        total=None,
        validator='"v"',
        last_modified_ns=DATE_MS * 10**6,
        answered_ms=DATE_MS + 1000,
        content_type="audio/x-wav",
        content_nbytes=9,
        framed=True,
    )
    assert plan(None, 200) == BodyPlan(
        start=0,
        stop=None,
        total=None,
        validator=None,
        last_modified_ns=None,
        answered_ms=NOW_NS // 10**6,
        content_type="",
        content_nbytes=None,
        framed=False,
    )


def test_chunks_win_over_a_length():
    """With both framings the length means nothing, and the end of the chunks is that of the body."""
    found = plan(None, 200, content_length="5", transfer_encoding="chunked")
    assert (found.stop, found.content_nbytes, found.framed) == (None, None, True)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("0", 0), (" 7 ", 7), (str(2**40), 2**40), (str(2**40 + 1), None), ("7x", None), ("-7", None), ("", None)],
)
def test_a_length_is_a_number_up_to_a_tebibyte(text, nbytes):
    """Anything else is malformed."""
    if nbytes is None:
        with pytest.raises(errors.MalformedAnswer):
            plan(None, 200, content_length=text)
    else:
        assert plan(None, 200, content_length=text).total == nbytes


@pytest.mark.parametrize(
    ("content_range", "stop"),
    [
        ("bytes 10-19/20", 20),
        ("bytes 10-10/11", 11),
        ("bytes 10-19/*", 20),
        ("BYTES  10-19/30", 20),
        ("bytes 10-19/19", None),
        ("bytes 10-9/30", None),
        ("bytes 9-19/30", None),
        ("bytes 10-20/30", None),
    ],
)
def test_a_part_lies_within_the_question_and_the_total(content_range, stop):
    """It begins at the byte asked for, has at least one byte, and ends at the latest where both do."""
    if stop is None:
        with pytest.raises(errors.MalformedAnswer):
            plan(ByteRange(10, 20), 206, content_range=content_range)
    else:
        assert plan(ByteRange(10, 20), 206, content_range=content_range).stop == stop


@pytest.mark.parametrize(("length", "is_kept"), [(512, True), (513, False)])
def test_a_validator_has_a_longest_length(length, is_kept):
    """No server sends a longer ETag on purpose."""
    etag = '"' + "x" * (length - 2) + '"'
    assert plan(None, 200, etag=etag).validator == (etag if is_kept else None)


@pytest.mark.parametrize(
    ("total", "error"),
    [
        (100, None),
        (101, errors.RemoteObjectChanged),
        (50, errors.RemoteObjectChanged),
        (49, errors.MuchShorter),
        (0, errors.MuchShorter),
    ],
)
def test_another_total_is_another_version_or_a_mishap(total, error):
    """Less than half of the known bytes is no version of the object."""
    pinned = Pinned(total=100)
    if error is None:
        assert plan(None, 200, pinned, content_length=str(total)).total == total
        return
    with pytest.raises(error) as caught:
        plan(None, 200, pinned, content_length=str(total))
    assert type(caught.value) is error
    if isinstance(caught.value, errors.MuchShorter):
        assert (caught.value.total, caught.value.known_nbytes) == (total, 100)


def test_a_total_without_another_to_compare_passes():
    """Neither an answer without a total nor a reader without one contradicts."""
    assert plan(None, 200, Pinned(validator='"a"'), content_length="1", etag='"a"').total == 1
    assert plan(ByteRange(0, 5), 206, Pinned(total=100), content_range="bytes 0-4/*").total is None


@pytest.mark.parametrize(
    ("content_range", "pinned", "error"),
    [
        ("bytes */0", Pinned(total=100), errors.MuchShorter),
        ("bytes */1", Pinned(total=100), errors.RemoteObjectChanged),
        ("bytes */100", Pinned(total=100), errors.RangeNotSatisfiable),
        (" bytes */0 ", Pinned(), errors.RangeNotSatisfiable),
        ("bytes */0", None, errors.RangeNotSatisfiable),
        ("bytes */9999999999999", None, errors.MalformedAnswer),
    ],
)
def test_416_is_checked_against_the_known_size(content_range, pinned, error):
    """An object that became empty is a mishap; another size is another version."""
    with pytest.raises(error) as caught:
        plan(ByteRange(100, 200), 416, pinned, content_range=content_range)
    assert type(caught.value) is error


def test_416_without_a_range_is_a_failure():
    """Where all was asked for there is no range to be beyond the end."""
    with pytest.raises(errors.ServerFailure) as caught:
        plan(None, 416)
    assert (caught.value.status, caught.value.what) == (416, "x")


@pytest.mark.parametrize(
    ("known", "now", "is_unclear"),
    [
        ('"a"', {"etag": '"a"'}, False),
        ('"a"', {"etag": '"b"'}, True),
        ('"a"', {"etag": 'W/"b"'}, False),
        ('W/"a"', {"etag": 'W/"b"'}, True),
        ('W/"a"', {"etag": '"b"'}, False),
        (DATE, {"last_modified": OTHER_DATE}, True),
        (DATE, {"etag": '"b"'}, False),
        (DATE, {"etag": 'W/"b"'}, False),
        ('"a"', {"last_modified": DATE}, False),
        ('"a"', {}, False),
        (None, {"etag": '"b"'}, False),
    ],
)
def test_validators_of_one_kind_are_compared(known, now, is_unclear):
    """Another validator of the same kind makes the version unclear; kinds that differ prove nothing."""
    pinned = Pinned(validator=known)
    if is_unclear:
        with pytest.raises(errors.VersionUnclear):
            plan(None, 200, pinned, **now)
    else:
        plan(None, 200, pinned, **now)


@pytest.mark.parametrize(
    ("status", "is_busy"), [(399, False), (400, True), (403, True), (499, True), (500, False), (503, False)]
)
def test_a_rate_limit_in_words_is_a_hold_under_any_4xx(status, is_busy):
    """The words of a 3xx or 5xx do not make it one."""
    with pytest.raises(errors.OriginBusy if is_busy else errors.ServerFailure) as caught:
        check_status(status, {}, what="x", not_found=NotFoundMeans.OBJECT, now_ns=NOW_NS, is_rate_limit=True)
    assert getattr(caught.value, "hold_seconds", -1.0) == -1.0


@pytest.mark.parametrize("status", [200, 204, 299])
def test_success_passes(status):
    """Every 2xx does, whatever a 404 would mean."""
    check_status(status, {"retry-after": "7"}, what="x", not_found=NotFoundMeans.OPERATION, now_ns=NOW_NS)


@pytest.mark.parametrize(("status", "error"), [(300, errors.ServerFailure), (405, errors.ObjectRefused)])
def test_an_unexpected_status_is_named(status, error):
    """The error carries the status and the request, for the caller and for the message."""
    with pytest.raises(error) as caught:
        check_status(status, {}, what="GET v2:x", not_found=NotFoundMeans.OBJECT, now_ns=NOW_NS)
    assert (caught.value.status, caught.value.what) == (status, "GET v2:x")


@pytest.mark.parametrize(
    ("status", "duplicate", "error"),
    [
        (413, None, errors.UploadTooLarge),
        (413, 5, errors.UploadTooLarge),
        *((status, None, errors.ActRefused) for status in (400, 409, 415, 422)),
        *((status, 5, errors.DuplicateMedia) for status in (400, 409, 415, 422)),
        *((status, None, None) for status in (200, 401, 404, 412, 414, 500)),
    ],
)
def test_a_status_of_an_act(status, duplicate, error):
    """An act that was read and refused is reported as refused, too large or a duplicate; other statuses pass."""
    if error is None:
        check_act(status, what="x", duplicate_media_id=duplicate)
        return
    with pytest.raises(error) as caught:
        check_act(status, what="x", duplicate_media_id=duplicate)
    assert getattr(caught.value, "media_id", 5) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [("audio/mpeg", "audio/mpeg"), (" Audio/MPEG ; a=1; b=2", "audio/mpeg"), ("", ""), (";a=1", "")],
)
def test_a_media_type_has_no_parameters(text, expected):
    """Everything from the first semicolon on is left out."""
    assert media_type({"content-type": text}) == expected
    assert media_type({}) == ""


@pytest.mark.parametrize(
    ("status", "error"), [(404, errors.RemoteObjectMissing), (405, errors.ObjectRefused), (501, errors.ObjectRefused)]
)
def test_a_denied_body_is_the_objects(status, error):
    """Bytes are always those of one object, so a denial says nothing about the operation."""
    with pytest.raises(error):
        plan(None, status)


@pytest.mark.parametrize(
    ("asked", "status", "headers"),
    [
        (None, 200, {"content-length": "x"}),
        (None, 200, {"content-encoding": "gzip"}),
        (None, 204, {}),
        (None, 206, {}),
        (ByteRange(0, 9), 206, {"content-range": "bytes 1-8/9"}),
        (ByteRange(0, 9), 206, {"content-range": "bytes 0-8/8"}),
        (ByteRange(0, 9), 206, {"content-range": "bytes 0-8/9", "content-length": "3"}),
    ],
)
def test_a_malformed_head_names_its_request(asked, status, headers):
    """The message says which request it was, so that a line of the log is enough."""
    with pytest.raises(errors.MalformedAnswer, match="GET v2:calls/7"):
        check_body(asked, status, headers, what="GET v2:calls/7", now_ns=NOW_NS)


def test_a_pause_named_by_a_date_ends_at_that_date():
    """A body that is held says for how long, by the time that is passed in."""
    with pytest.raises(errors.OriginBusy) as caught:
        plan(None, 429, retry_after="Fri, 15 Jan 2027 08:00:05 GMT")
    assert caught.value.hold_seconds == 5.0


def test_times_of_answers_are_whole_milliseconds():
    """They are stored and compared as such."""
    assert isinstance(plan(None, 200).answered_ms, int)
    assert isinstance(plan(None, 200, date=DATE).answered_ms, int)
