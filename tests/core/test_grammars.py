"""Hostile XML, JSON and WAV by grammar: near misses, which random bytes never are."""

import json
import struct
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from cffs.core.errors import CffsError, MalformedAnswer
from cffs.core.ids import MAX_ID
from cffs.core.json_values import decode, encode
from cffs.core.times import parse_http_date, parse_retry_after
from cffs.core.v1_parser import parse_recording_list
from cffs.core.wav import WavLayout, cut, read_head

BASE = "https://www.callfire.com/cloud/1"
NOW_NS = 1_800_000_000 * 10**9

# -- XML --

_NAMES = st.sampled_from(
    ["fileResponse", "FileResponse", "a:fileResponse", "recording", "successful", "callId", "x", "html"]
)
_TEXTS = st.sampled_from(
    [
        *("true", "false", "5", "0", "-1", "9223372036854775807", "9223372036854775808", "٥", " 5 ", ""),
        *(f"{BASE}/files/recording/{tail}" for tail in ("5", "5?apikey=KEY", "5#x", "../5", "5/mp3", "05", "+5")),
        "https://evil.example/cloud/1/files/recording/5",
        "http://www.callfire.com/cloud/1/files/recording/5",
        "https://u:p@www.callfire.com/cloud/1/files/recording/5",
        "https://www.callfire.com:99999/cloud/1/files/recording/5",
        *("&amp;", "&#53;", "&#x10FFFF;", "&x;", "&lt;recording>", "\x01", "]]>", "<![CDATA[5]]>", "<!-- 5 -->"),
    ]
)
_PROLOGS = st.sampled_from(
    [
        "",
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<?xml version="1.0" encoding="UTF-7"?>',
        "<!DOCTYPE fileResponse>",
        '<!DOCTYPE f [<!ENTITY x "5">]>',
        '<!DOCTYPE f [<!ENTITY % x SYSTEM "file:///etc/passwd">%x;]>',
        '<!DOCTYPE f SYSTEM "http://127.0.0.1:1/x.dtd">',
        "<?php 5 ?>",
        "\ufeff",
        " \n",
    ]
)
_ELEMENTS = st.recursive(
    _TEXTS,
    lambda inner: st.builds(
        lambda name, attribute, parts: f"<{name}{attribute}>{''.join(parts)}</{name}>",
        _NAMES,
        st.sampled_from(["", ' xmlns="urn:x"', ' xmlns:a="urn:x"', ' a="&x;"', ' a="1" a="2"']),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@given(st.lists(_PROLOGS, max_size=2).map("".join), _ELEMENTS)
@example('<!DOCTYPE f [<!ENTITY x "5">]>', "<fileResponse><successful>true</successful></fileResponse>")
def test_xml_is_a_list_of_our_ids_or_an_error(prolog: str, element: str) -> None:
    """Whatever the markup, no DTD passes, and a list that passes holds valid ids only, each once."""
    found = problem = None
    try:
        found = parse_recording_list((prolog + element).encode())
    except CffsError as error:
        problem = error
    assert "KEY" not in str(problem)
    if found is None:
        return
    assert "<!DOCTYPE" not in prolog
    assert len(set(found.file_ids)) == len(found.file_ids)
    assert all(0 < file_id <= MAX_ID for file_id in found.file_ids)


# -- JSON --

_TOKENS = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", " ", '"a"', '"b":', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"'),
        *("0", "-0", "1e999", "-1e-999", "1E+5", "01", "1.", ".5", "9" * 400, "9" * 5000, "-" + "9" * 20),
        *("true", "null", "NaN", "-Infinity", "tru", "/**/", "\ufeff", "\x00", "é", "[" * 70, "]" * 70),
    ]
)
_LEAVES = st.sampled_from(["0", "-1", "1e999", "9" * 5000, '"\\ud800"', '"x"', "null", "NaN", "true", "1e30", "12.0"])
_NEAR_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(inner, max_size=4).map(lambda parts: "{" + ",".join(f'"k":{part}' for part in parts) + "}")
    ),
    max_leaves=20,
)


@given(_NEAR_JSON | st.lists(_TOKENS, max_size=12).map("".join))
def test_json_is_a_document_or_malformed(text: str) -> None:
    """What Python accepts beyond the grammar (NaN, depth, digits without end) is refused, and what is accepted can be
    shown."""
    try:
        document = decode(text.encode("utf-8", "surrogatepass"), what="x")
    except MalformedAnswer:
        return
    shown = encode(document)
    assert decode(shown, what="x") == document
    json.loads(shown.decode("utf-8"), parse_constant=lambda name: 1 / 0)


# -- WAV --

#: Far more pieces of a header than a walk asks for.
MOST_QUESTIONS = 1000

_NUMBERS_32 = st.sampled_from([0, 1, 2, 15, 16, 17, 18, 100, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
_NUMBERS_16 = st.sampled_from([0, 1, 2, 7, 8, 16, 65535])
_FORMS = st.builds(
    lambda tag, channels, rate, a_second, frame, bits: struct.pack(
        "<HHIIHH", tag, channels, rate, a_second, frame, bits
    ),
    st.sampled_from([1, 7]) | _NUMBERS_16,
    _NUMBERS_16,
    _NUMBERS_32,
    _NUMBERS_32,
    _NUMBERS_16,
    _NUMBERS_16,
)
_CHUNKS = st.one_of(
    st.builds(lambda form: b"fmt " + struct.pack("<I", len(form)) + form, _FORMS),
    st.builds(lambda nbytes, form: b"fmt " + struct.pack("<I", nbytes) + form, _NUMBERS_32, _FORMS),
    st.builds(lambda nbytes: b"data" + struct.pack("<I", nbytes), _NUMBERS_32),
    st.builds(
        lambda name, body, nbytes: name + struct.pack("<I", nbytes) + body,
        st.sampled_from([b"LIST", b"fact", b"JUNK"]),
        st.binary(max_size=20),
        _NUMBERS_32,
    ),
)


@given(
    st.lists(_CHUNKS, max_size=5).map(b"".join),
    _NUMBERS_32,
    st.integers(0, 2**40),
    st.fractions(0, 10**6),
    st.fractions(0, 10**6),
)
@example(
    b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 0, 0) + b"data\x10\0\0\0", 0, 100, Fraction(0), Fraction(1)
)
def test_a_wav_is_a_layout_within_the_file_or_none(
    chunks: bytes, riff: int, total: int, start: Fraction, stop: Fraction
) -> None:
    """Frames of no bytes, lengths beyond the file, and doubled formats give a layout within the file, or none.

    A cut lies within the samples, and its header can be read and is one of exactly these samples.
    """
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVE" + chunks
    layout = laid_out(head)
    if layout is None:
        return
    layout = layout.within(total)
    assert layout.block_nbytes > 0
    assert layout.nbytes is not None
    assert layout.offset + layout.nbytes <= max(total, layout.offset)
    found = cut(layout, start, stop)
    if found is None:
        return
    made, samples = found
    assert layout.offset <= samples.start < samples.stop <= layout.offset + layout.nbytes
    again = laid_out(made)
    assert again is not None
    assert again.offset == len(made)
    assert again.nbytes == samples.nbytes


def laid_out(head: bytes) -> WavLayout | None:
    """The layout of these bytes; None where they are no WAV that can be cut."""
    walk = read_head()
    wanted = next(walk)
    for _ in range(MOST_QUESTIONS):
        try:
            wanted = walk.send(head[wanted.start : wanted.stop])
        except StopIteration as found:
            layout: WavLayout = found.value
            return layout
        except MalformedAnswer:
            return None
    raise AssertionError("the walk over a head does not end")


# -- dates --

_DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Sun", "Xxx", ""]),
    st.sampled_from(["1", "01", "31", "32", "0", "-1", "٣"]),
    st.sampled_from(["Jan", "Feb", "Foo", "13"]),
    st.sampled_from(["1970", "0001", "0000", "9999", "10000", "99999999999", "70", "-1"]),
    st.sampled_from(["0", "23", "24", "99"]),
    st.sampled_from(["0", "59", "60"]),
    st.sampled_from(["0", "60", "61"]),
    st.sampled_from(["GMT", "UTC", "+9999", "-9999", "+99999999", "EST", "", "XYZ"]),
)
_SECONDS = st.sampled_from(["0", "1", "60", "-1", "1e5", "1.5", "0x10", "٣", "9" * 30, " 5 ", "+5", "inf", "nan", ""])


@given(_DATES | _SECONDS | st.text(max_size=40))
def test_times_of_headers_are_numbers_or_none(text: str) -> None:
    """No date overflows, and no wait is infinite or not a number."""
    modified_ms = parse_http_date(text)
    assert modified_ms is None or abs(modified_ms) < 2**53
    seconds = parse_retry_after(text, now_ns=NOW_NS)
    assert seconds is None or 0 <= seconds < float("inf")
