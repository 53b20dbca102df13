"""Foreign JSON: a bounded decoder, getters that never raise, and an encoder.

The decoder is the standard library's. On a page of 1,000 calls it takes 3 ms where msgspec's takes 1.5 (measured), but
it reads what msgspec refuses (a lone surrogate, a number beyond 64 bits), so that one odd field cannot hide its
neighbours. msgspec indents what is shown.

It owns the bounds of a document and the reading of its leaves. It must not know which answer it reads: the names of
fields are its callers'.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from cffs.core.errors import MalformedAnswer
from cffs.core.ids import MAX_ID, parse_id
from cffs.core.units import MIB

#: A page of 1,000 calls with every field has 2 to 3 MiB.
MAX_BODY_NBYTES = 16 * MIB
#: Deeper than any document of the service (calls > records > recordings is 7), far below Python's recursion limit.
MAX_DEPTH = 64
#: 4 million empty lists fit into 8 MiB and take 250 MB once decoded; 1,000 calls have about 60,000 values.
MAX_VALUES = 500_000
#: Python refuses to convert more digits, because the time is quadratic in their number.
_MAX_DIGITS = 4_300
_INT64 = range(-(2**63), 2**63)
#: Above it a float stands for more than one whole number.
_MAX_EXACT_FLOAT = 2.0**53
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def decode(body: bytes, *, what: str) -> object:
    """The value of a JSON text: dict, list, str, int, float, bool or None.

    The grammar is strict (no NaN, no comments, nothing after the value), the encoding UTF-8 with or without a byte
    order mark; bytes, depth and the number of values are bounded. Of a repeated key the last value counts. Leaves are
    read with tolerance: a lone surrogate stays in the string (see `encode` and `core/names`), a byte that is no UTF-8
    becomes U+FFFD, and a number that is too long or too large stays as its text.
    Raises MalformedAnswer, naming `what`, and nothing else.
    """
    if len(body) > MAX_BODY_NBYTES:
        raise MalformedAnswer(f"{what}: more than {MAX_BODY_NBYTES} bytes of JSON")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise MalformedAnswer(f"{what}: more than {MAX_VALUES} values in JSON")
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        document = _loads(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedAnswer(f"{what}: not JSON") from exc
    _require_shallow(document, what=what)
    return document


def _loads(text: str) -> object:
    try:
        # No hook for ints at first: it would call Python for each number.
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_float)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an int of more digits than Python converts, or a constant that JSON does not have
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_float, parse_int=_int)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float | str:
    number = float(text)
    # 1e999 is JSON, but infinity could not be written back.
    return number if math.isfinite(number) else text


def _int(text: str) -> int | str:
    return int(text) if len(text.removeprefix("-")) <= _MAX_DIGITS else text


def _require_shallow(document: object, *, what: str) -> None:
    # Level by level, containers only: a page of 1,000 calls has 60,000 values, few of them containers.
    level: list[Any] = [document] if isinstance(document, (dict, list)) else []
    for _depth in range(MAX_DEPTH - 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    if any(level):
        raise MalformedAnswer(f"{what}: JSON nested deeper than {MAX_DEPTH}")


def encode(document: object) -> bytes:
    """A decoded document as JSON: UTF-8, indented by 2, keys as they came, a newline at the end.

    Deterministic, and `decode(encode(document)) == document` for every result of `decode`. A lone surrogate is written
    as its `\\uXXXX` escape. Mappings and tuples are written as objects and arrays.
    Raises TypeError or ValueError for values that no JSON text can stand for.
    """
    text = _ENCODER.encode(document)
    try:
        # Python's own indenting encoder is not written in C: it takes five times as long, 0.8 s for 10,000 calls.
        return msgspec.json.format(text.encode(), indent=2) + b"\n"
    except (UnicodeEncodeError, msgspec.DecodeError):
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2, default=_plain)
    # A surrogate can stand in a string only, and there Python's escape is JSON's too.
    return (text + "\n").encode("utf-8", "backslashreplace")


def encode_decoded(document: object) -> bytes:
    """`encode` for a result of `decode`, in a third of the time; numbers may be spelt otherwise (1e22 for 1e+22).
    It is wrong for any other value: a NaN would become null."""
    try:
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.DecodeError):
        return encode(document)  # a lone surrogate, an integer beyond 64 bits


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain)


def as_object(value: object) -> Mapping[str, object] | None:
    """The value where it is a JSON object, else None."""
    return value if isinstance(value, dict) else None


def as_list(value: object) -> list[object]:
    """The value where it is a JSON array; anything else has no elements."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """A string as it is, a number as its digits, anything else (None, a boolean, a container) as ""."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return ""


def as_int64(value: object) -> int | None:
    """A whole number of 64 bits: an int, its decimal digits as a string, or a float such as 12.0; else None.

    A boolean is no number, and a float above 2^53 stands for more than one.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _MAX_EXACT_FLOAT else None
    if isinstance(value, str):
        value = int(value) if _WHOLE_NUMBER.fullmatch(value) else None
    return value if isinstance(value, int) and value in _INT64 else None


def as_count(value: object, *, maximum: int = MAX_ID) -> int | None:
    """A whole number between zero and `maximum`, else None (the public mock sends -2147483648 for every count)."""
    number = as_int64(value)
    return number if number is not None and 0 <= number <= maximum else None


def as_id(value: object) -> int | None:
    """An id of the service: 1 to 2^63 - 1, as a number or in its one canonical spelling; 0 means "none"."""
    if isinstance(value, str):
        return parse_id(value)
    number = as_int64(value)
    return number if number is not None and number > 0 else None


def as_time_ms(value: object) -> int | None:
    """A time in Unix milliseconds as it was sent, absurd ones included: `core/times` clamps it where it is shown."""
    return as_int64(value)


def as_boolean(value: object) -> bool | None:
    """True or False, also as the words and digits that XML Schema allows for them ("true", "0", 1); else None."""
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    # True == 1 and False == 0, so one comparison serves both.
    return bool(value) if isinstance(value, int) and value in (0, 1) else None
