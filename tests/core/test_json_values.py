import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cffs.core.errors import MalformedAnswer
from cffs.core.json_values import (
    MAX_BODY_NBYTES,
    MAX_DEPTH,
    MAX_VALUES,
    as_boolean,
    as_count,
    as_id,
    as_int64,
    as_list,
    as_object,
    as_text,
    as_time_ms,
    decode,
    encode,
    encode_decoded,
)
from cffs.core.names import decode_name, encode_name

#: Any document JSON can carry, numbers beyond 64 bits and lone surrogates included.
STRINGS = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"])))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda children: st.lists(children) | st.dictionaries(STRINGS, children),
    max_leaves=20,
)


def surrogates_paired(document: object) -> object:
    """The text with two surrogates that form a pair as one character, as JSON reads them."""
    return json.loads(json.dumps(document))


@given(DOCUMENTS.map(surrogates_paired))
def test_the_quick_way_writes_the_same_document(document: object) -> None:
    """A decoded document, with lone surrogates and integers of any length, comes back from either encoder."""
    body = encode_decoded(decode(encode(document), what="x"))
    assert decode(body, what="x") == document
    assert body.endswith(b"\n")
    if not any(character in body for character in b"eE."):  # no number with an exponent or a point
        assert body == encode(document)


@given(DOCUMENTS.map(surrogates_paired))
def test_decode_undoes_encode(document: object) -> None:
    """Any document comes back as it was, and its bytes are UTF-8 that ends with a newline."""
    body = encode(document)
    assert body.decode("utf-8").endswith("\n")
    assert decode(body, what="x") == document
    assert encode(decode(body, what="x")) == body


@given(
    st.binary()
    | st.text(st.sampled_from('[]{}",:0123456789eE+-.\\untrfalsIiyN \ud800')).map(
        lambda t: t.encode("utf-8", "surrogatepass")
    )
)
@example(b"\xff\xfe[\x00]\x00")
def test_any_bytes_decode_or_are_malformed(body: bytes) -> None:
    """decode raises nothing but MalformedAnswer, and its result can be encoded."""
    try:
        document = decode(body, what="x")
    except MalformedAnswer:
        return
    encode(document)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b'{"a": Infinity}',
        b"[-Infinity]",
        b"[1,]",
        b"{} {}",
        b"{'a': 1}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 500 + b"]" * 500,
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b"[" + b"0," * MAX_VALUES + b"0]",
        b" " * (MAX_BODY_NBYTES + 1),
        b"<html>",
        b'"\x01"',
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_bounded_json(body: bytes) -> None:
    """Other grammars, encodings, depths and sizes raise MalformedAnswer, and the message names what was read."""
    with pytest.raises(MalformedAnswer, match="the thing"):
        decode(body, what="the thing")


def test_odd_leaves_do_not_hide_their_neighbours() -> None:
    """5,000 digits, 1e999, a lone surrogate and a byte that is no UTF-8 leave the rest of the document readable."""
    digits = b"9" * 5000
    body = (
        b'{"long": '
        + digits
        + b', "minus": -'
        + digits
        + b', "huge": 1e999, "lone": "\\ud800", "bad": "\xff", "id": 5}'
    )
    document = decode(body, what="x")
    assert document == {
        "long": digits.decode(),
        "minus": "-" + digits.decode(),
        "huge": "1e999",
        "lone": "\ud800",
        "bad": "\ufffd",
        "id": 5,
    }
    assert decode(encode(document), what="x") == document


def test_a_lone_surrogate_can_be_shown_as_a_name() -> None:
    """The text of a lone surrogate becomes an ASCII name, and comes back from it."""
    text = as_text(decode(b'"a\\udc80"', what="x"))
    assert encode_name(text) == "a%ED%B2%80"
    assert decode_name("a%ED%B2%80") == text


def test_the_deepest_allowed_document() -> None:
    """MAX_DEPTH levels decode and encode."""
    document = decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, what="x")
    assert decode(encode(document), what="x") == document


def test_encoding_is_for_people() -> None:
    """Documents are indented by two, keep their keys' order, and spell letters as letters."""
    document: Mapping[str, object] = MappingProxyType({"b": "é😀", "a": (1, 2)})
    assert encode(document).decode() == '{\n  "b": "é😀",\n  "a": [\n    1,\n    2\n  ]\n}\n'


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}])
def test_what_json_cannot_say(value: object) -> None:
    """A value that no JSON text stands for raises TypeError."""
    with pytest.raises(TypeError):
        encode([value])


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        (-5, -5),
        ("5", 5),
        ("-5", -5),
        ("005", 5),
        (12.0, 12),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, None),
        (str(2**63), None),
        (10**4000, None),
        ("9" * 5000, None),
        (12.5, None),
        (1e30, None),
        (float("nan"), None),
        (True, None),
        (None, None),
        ("", None),
        (" 5", None),
        ("5\n", None),
        ("٣", None),
        ([], None),
        ({}, None),
    ],
    ids=lambda value: repr(value)[:12] if not isinstance(value, int) or abs(value) < 2**64 else "huge",
)
def test_whole_numbers(value: object, number: int | None) -> None:
    """An int64 may be a number, digits, or a whole float; a boolean is no number."""
    assert as_int64(value) == number
    assert as_time_ms(value) == number


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (5, 5),
        ("5", 5),
        (5.0, 5),
        (0, None),
        (-9007199254740991, None),
        ("0", None),
        ("05", None),
        (True, None),
        ("XXXXX", None),
    ],
)
def test_ids(value: object, id_: int | None) -> None:
    """Ids are positive and, as strings, spelt canonically."""
    assert as_id(value) == id_


@pytest.mark.parametrize(
    ("value", "boolean"),
    [(True, True), (False, False), ("true", True), (" TRUE ", True), ("false", False), ("1", True), (0, False),
     (1, True), (2, None), ("yes", None), (None, None), ([], None), (10**4000, None), (1.0, None)],
    ids=lambda value: repr(value)[:12] if not isinstance(value, int) or abs(value) < 2**64 else "huge",
)  # fmt: skip
def test_booleans(value: object, boolean: bool | None) -> None:
    """XML Schema's spellings of a boolean are accepted, and nothing else."""
    assert as_boolean(value) is boolean


def test_texts_lists_objects_and_counts() -> None:
    """A number as text is its digits; values of other types are empty, None or out of range."""
    assert [as_text(value) for value in ("a", 15, 1.5, True, None, [], {})] == ["a", "15", "1.5", "", "", "", ""]
    assert [as_list(value) for value in ([1], "a", None, {})] == [[1], [], [], []]
    assert [as_object(value) for value in ({"a": 1}, [], None, "a")] == [{"a": 1}, None, None, None]
    assert [as_count(value, maximum=9) for value in (0, 9, 10, -1, -2147483648, "3", None)] == [
        0,
        9,
        None,
        None,
        None,
        3,
        None,
    ]


@given(DOCUMENTS)
def test_getters_never_raise(value: object) -> None:
    """Every getter accepts any value."""
    for getter in (as_text, as_int64, as_count, as_id, as_time_ms, as_boolean, as_list, as_object):
        getter(value)
