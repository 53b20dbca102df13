"""The grammar of a search folder's name: `field=value&field=value`. Pure.

It owns the fields and how their values are read, strictly. It must not know rows or the catalogue. Values are
percent-decoded, so that a label may hold `&`, `=` or `/`.
"""

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from urllib.parse import unquote_to_bytes

from cffs.core.ids import parse_id
from cffs.core.times import day_interval_ms, parse_day
from cffs.core.values import RecordingState
from cffs.notes.keys import EXTENSIONS
from cffs.notes.words import parse_words

#: One line for people about each field.
FIELDS = {
    "number": "either party",
    "from": "who called",
    "to": "who was called",
    "after": "made at or after a day or moment",
    "before": "made before a day or moment",
    "label": "a label of the call",
    "campaign": "the id or the name of its campaign",
    "min-seconds": "at least so long",
    "max-seconds": "at most so long",
    "inbound": "yes or no",
    "result": "how the call ended: LA, AM, BUSY",
    "text": 'words in its notes, all of them; "quoted phrases"',
    "note": "has a note of that suffix; none: has no note",
    "sample": "so many of them, by lot; the same ones all day",
    "order": "newest, oldest, longest or shortest first",
    "limit": "so many at most",
    "state": "READY, RECORDING, ERROR or UNKNOWN",
}
_TERM = re.compile(r"([a-z-]+)=(.*)", re.DOTALL)
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}):?(\d{2})(?::?(\d{2}))?(Z?)", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_NUMBERS = frozenset({"min-seconds", "max-seconds", "sample", "limit"})
_CHOICES = {"inbound": ("yes", "no"), "order": ("newest", "oldest", "longest", "shortest")}
#: Of `note`: what has none.
NO_NOTE = "none"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadSearch(ValueError):
    """The name is not a search; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `value` is text, or a number: an id, seconds, or unix milliseconds."""

    field: str
    value: str | int


def parse_terms(name: str, *, zone: tzinfo) -> tuple[Term, ...]:
    """Every condition that the name asks for; all of them hold at once. Raises BadSearch."""
    return tuple(_term(part, zone) for part in name.split("&"))


def _term(part: str, zone: tzinfo) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise BadSearch(f"{part[:40]!a} is not field=value")
    field, value = match[1], _decoded(match[2])
    if field not in FIELDS:
        near = difflib.get_close_matches(field[:40], FIELDS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise BadSearch(f"there is no field {field[:40]!a}{hint}; there are {', '.join(FIELDS)}")
    if not value:
        raise BadSearch(f"{field} has no value")
    if field in ("after", "before"):
        return Term(field, _time_ms(field, value, zone))
    if field in _NUMBERS:
        if _WHOLE.fullmatch(value) is None:
            raise BadSearch(f"{field} takes a whole number")
        return Term(field, int(value))
    if field in _CHOICES:
        if value.lower() not in _CHOICES[field]:
            raise BadSearch(f"{field} is one of {', '.join(_CHOICES[field])}")
        return Term(field, value.lower())
    if field == "note":
        if value != NO_NOTE and value not in EXTENSIONS:
            raise BadSearch(f"note is one of {', '.join(EXTENSIONS)}, {NO_NOTE}")
        return Term(field, value)
    if field == "text":
        if not parse_words(value):
            raise BadSearch("text has no word to look for")
        return Term(field, value)
    if field == "result":
        return Term(field, value.upper())
    if field == "state":
        if value.upper() not in RecordingState.__members__:
            raise BadSearch(f"state is one of {', '.join(RecordingState)}")
        return Term(field, value.upper())
    if field == "campaign":
        return Term(field, parse_id(value) or value)
    return Term(field, value)


def _decoded(text: str) -> str:
    """The value with its percent-escapes decoded; a lone `%` stands for itself, as in a label like `50%`."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return text
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadSearch("a value is no UTF-8") from error


def _time_ms(field: str, text: str, zone: tzinfo) -> int:
    """A day (its first moment), or a moment in the zone; with `Z` after it, in UTC."""
    day = parse_day(text)
    if day is not None:
        return day_interval_ms(day, zone=zone)[0]
    match = _MOMENT.fullmatch(text)
    day = parse_day(match[1]) if match else None
    if match is None or day is None:
        raise BadSearch(f"{field} takes a day or moment like 2026-11-21 or 2026-11-21T14:30")
    try:
        moment = _at(day, int(match[2]), int(match[3]), int(match[4] or 0), UTC if match[5] else zone)
    except ValueError as error:
        raise BadSearch(f"{field} takes a time of day that there is") from error
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _at(day: date, hour: int, minute: int, second: int, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone)
