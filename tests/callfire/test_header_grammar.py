"""Heads of answers by grammar: near misses of ranges, lengths and validators."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from cffs.callfire.response_checks import Pinned, check_body
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.units import MAX_OBJECT_NBYTES

NOW_NS = 1_800_000_000 * 10**9

NUMBERS = st.sampled_from(
    [
        *("0", "1", "9", "10", "99", "100", "1099511627776", "1099511627777", "9" * 13, "9" * 14),
        *("-1", "+1", "0x10", "٣", "1e3", "1_0", " 5", "5 ", "", "*"),
    ]
)
RANGES = st.builds(
    "{}{}{}-{}/{}".format,
    st.sampled_from(["bytes", "Bytes", "bits", "", "bytes=", "\tbytes"]),
    st.sampled_from([" ", "  ", "", "=", "\t"]),
    NUMBERS,
    NUMBERS,
    NUMBERS,
) | st.builds("bytes */{}".format, NUMBERS)
ETAGS = st.sampled_from(['"a"', 'W/"a"', "a", '"', '""', '"a"b"', '"\x7f"', '"é"', 'w/"a"', '"' + "x" * 600 + '"'])
DATES = st.sampled_from(["Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 99999 00:00:00 GMT", "0", "", "yesterday"])
CODINGS = st.sampled_from(["", "identity", "IDENTITY ", "gzip", "identity, gzip", "br", "x"])
HEADS = st.fixed_dictionaries(
    {},
    optional={
        "content-range": RANGES,
        "content-length": NUMBERS | st.sampled_from(["5, 5", "5,6", "5\r\nx: y"]),
        "content-encoding": CODINGS,
        "transfer-encoding": st.sampled_from(["chunked", "gzip, chunked", "identity"]),
        "etag": ETAGS,
        "last-modified": DATES,
        "retry-after": NUMBERS | DATES,
        "content-type": st.sampled_from(["audio/mpeg", "text/html", ";;", "a" * 5000]),
    },
)


@given(
    st.sampled_from([None, ByteRange(0, 1), ByteRange(0, 10), ByteRange(10, 100), ByteRange(99, 2**40)]),
    st.sampled_from([200, 206, 203, 204, 304, 416, 429, 503, 299, 404, 500]),
    HEADS,
    st.sampled_from([None, Pinned(validator='"a"', total=100), Pinned(validator='W/"a"'), Pinned(total=10)]),
)
@example(ByteRange(0, 10), 206, {"content-range": "bytes 0-9/٣"}, None)
def test_a_head_is_exactly_what_was_asked_or_one_of_our_errors(asked, status, headers, pinned) -> None:
    """Digits of other scripts, signs, blanks, two lengths, totals below the range, and versions that differ."""
    found = problem = None
    try:
        found = check_body(asked, status, headers, what="x", pinned=pinned, now_ns=NOW_NS)
    except errors.CffsError as error:
        problem = error
    if isinstance(problem, errors.RangeNotSatisfiable):
        assert status == 416
        assert problem.total is None or 0 <= problem.total <= MAX_OBJECT_NBYTES
    if isinstance(problem, errors.OriginBusy):
        assert status in (429, 503)
        assert problem.hold_seconds < float("inf")
    if found is None:
        return
    assert status in (200, 206)
    assert headers.get("content-encoding", "").strip().lower() in ("", "identity")
    for number in (found.start, found.stop, found.total, found.content_nbytes):
        assert number is None or 0 <= number <= MAX_OBJECT_NBYTES
    if status == 206:
        exact = re.fullmatch(r"\s*bytes +([0-9]+)-([0-9]+)/([0-9]+|\*)\s*", headers["content-range"], re.A | re.I)
        assert exact is not None
        assert (int(exact[1]), int(exact[2]) + 1) == (found.start, found.stop)
        assert asked is not None
        assert asked.start == found.start < found.stop <= asked.stop
    if pinned is not None and pinned.total is not None:
        assert found.total in (None, pinned.total)
    if found.validator is not None:
        assert len(found.validator) <= 512
        assert found.validator.isascii()
