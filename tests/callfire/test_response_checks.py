"""Laws of the response checks: a plan agrees with the head and with the question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.response_checks import BodyPlan, NotFoundMeans, Pinned, check_body, check_status
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
