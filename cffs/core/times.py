"""Times of the service: clamping, HTTP dates, and folders and intervals by day.

It owns how a time is read, clamped and written. It must not read a clock or a time zone file: the time of now and the
zone are passed in.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache

from cffs.core.units import NS_PER_MS, NS_PER_SECOND

_NS_PER_DAY = 86_400 * NS_PER_SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The last moment that every zone still writes with a year of four digits.
_MAX_NS = int((datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH).total_seconds()) * NS_PER_SECOND
#: A longer pause is never waited for; callers wait at most a minute.
_MAX_RETRY_AFTER_SECONDS = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,9})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)
#: 9999 is left out: the interval of its last day would end outside what Python can write.
_YEARS = range(1970, 9999)


def clamped_ns(unix_ms: int, *, now_ns: int) -> int:
    """A time of the service (Unix milliseconds, any int) as Unix nanoseconds within [1970, now + 1 day]."""
    return max(0, min(unix_ms * NS_PER_MS, now_ns + _NS_PER_DAY))


#: The answers for one object all carry the same date.
_REMEMBERED_DATES = 256


def parse_http_date(text: str) -> int | None:
    """A Last-Modified or Date header in Unix milliseconds, or None where it is no date (RFC 9110's three forms).

    Without a zone, UTC is meant. Dates before 1970 are None.
    """
    return _parsed_date(text[:64])


@lru_cache(_REMEMBERED_DATES)
def _parsed_date(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        unix_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError, IndexError):  # what the standard library raises for nonsense
        return None
    return unix_ms if unix_ms >= 0 else None


def parse_retry_after(text: str, *, now_ns: int) -> float | None:
    """A Retry-After header as seconds from now: 0.0 to one day; a date that has passed is 0.0, nonsense is None."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _MAX_RETRY_AFTER_SECONDS)
    unix_ms = parse_http_date(text)
    if unix_ms is None:
        return None
    return min(max(0.0, (unix_ms * NS_PER_MS - now_ns) / NS_PER_SECOND), _MAX_RETRY_AFTER_SECONDS)


def _local(at_ns: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(max(0, min(at_ns, _MAX_NS)) // NS_PER_SECOND, tz=zone)


def date_folders(at_ns: int, *, zone: tzinfo) -> tuple[str, str, str]:
    """The folders of a moment, as ("2016", "09", "03"); a moment before 1970 or after 9999 counts as the nearest."""
    moment = _local(at_ns, zone)
    return f"{moment.year:04}", f"{moment.month:02}", f"{moment.day:02}"


def file_stamp(at_ns: int, *, zone: tzinfo) -> str:
    """The moment as at the beginning of file names: `2016-09-13_15.49.57`."""
    return _local(at_ns, zone).isoformat("_")[: len("2016-09-13_15:49:57")].replace(":", ".")


def title_stamp(at_ns: int, *, zone: tzinfo) -> str:
    """The moment as at the beginning of titles: `2016-09-13 15:49:57`."""
    return _local(at_ns, zone).isoformat(" ")[: len("2016-09-13 15:49:57")]


def iso_utc(unix_ms: int | None) -> str | None:
    """A time as JSON and tables carry it: ISO 8601 in UTC, to the millisecond.

    None where the time is unknown or beyond what a date can hold.
    """
    if unix_ms is None:
        return None
    try:
        moment = datetime.fromtimestamp(unix_ms / 1000, tz=UTC)
        return moment.isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None


def parse_day(text: str) -> date | None:
    """The day that `2016-09-13` spells (1970 to 9998), else None."""
    return _date(text) if _DAY.fullmatch(text) else None


def parse_month(text: str) -> date | None:
    """The first day of the month that `2016-09` spells (1970 to 9998), else None."""
    return _date(f"{text}-01") if _MONTH.fullmatch(text) else None


def _date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in _YEARS else None


def day_interval_ms(day: date, *, zone: tzinfo) -> tuple[int, int]:
    """The half-open interval, in unix milliseconds, of a day as the zone counts it (23 to 25 hours long)."""
    return _midnight_ms(day, zone), _midnight_ms(day + timedelta(days=1), zone)


def month_interval_ms(month: date, *, zone: tzinfo) -> tuple[int, int]:
    """The half-open interval, in unix milliseconds, of the month that holds the day `month`."""
    first = month.replace(day=1)
    return _midnight_ms(first, zone), _midnight_ms((first + timedelta(days=31)).replace(day=1), zone)


def _midnight_ms(day: date, zone: tzinfo) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight - _EPOCH) // timedelta(milliseconds=1)
