from datetime import UTC, date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.times import (
    clamped_ns,
    date_folders,
    day_interval_ms,
    file_stamp,
    month_interval_ms,
    parse_day,
    parse_http_date,
    parse_month,
    parse_retry_after,
    title_stamp,
)

NOW_NS = 1_700_000_000 * 10**9
DAY_NS = 86_400 * 10**9
ZONES = [
    UTC,
    ZoneInfo("America/Sao_Paulo"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Pacific/Apia"),
    ZoneInfo("Asia/Kolkata"),
]


@given(st.integers(-(2**63), 2**63))
def test_clamped_times_are_in_range_and_otherwise_exact(unix_ms: int) -> None:
    """A time lies in [1970, now + 1 day] afterwards, and one that already did is unchanged."""
    shown = clamped_ns(unix_ms, now_ns=NOW_NS)
    assert 0 <= shown <= NOW_NS + DAY_NS
    if 0 <= unix_ms * 10**6 <= NOW_NS + DAY_NS:
        assert shown == unix_ms * 10**6


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_forms_of_an_http_date(text: str) -> None:
    """RFC 9110's three forms of one moment are the same."""
    assert parse_http_date(text) == 784_111_777_000


@given(
    st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} Nov [0-9]{1,9} [0-9]{1,3}:[0-9]{1,3}:[0-9]{1,3} [+-][0-9]{4,9}")
)
def test_hostile_dates_never_raise(text: str) -> None:
    """Any header is a date from 1970 on, or None; any Retry-After is 0 to a day, or None."""
    unix_ms = parse_http_date(text)
    assert unix_ms is None or unix_ms >= 0
    seconds = parse_retry_after(text, now_ns=NOW_NS)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("999999999999999999", 86_400.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 2100 00:00:00 GMT", 86_400.0),
    ],
)
def test_retry_after_by_example(text: str, seconds: float | None) -> None:
    """Seconds and dates are read, past dates are now, and anything else is None."""
    assert parse_retry_after(text, now_ns=NOW_NS) == seconds


def test_folders_follow_the_zone() -> None:
    """A moment lies in the day that the zone counts, and its stamp has the zone's time."""
    at_ns = 1_473_781_797 * 10**9  # 2016-09-13T15:49:57Z
    assert date_folders(at_ns, zone=UTC) == ("2016", "09", "13")
    assert file_stamp(at_ns, zone=UTC) == "2016-09-13_15.49.57"
    assert title_stamp(at_ns, zone=UTC) == "2016-09-13 15:49:57"
    assert date_folders(at_ns + DAY_NS // 3, zone=ZoneInfo("Asia/Kolkata")) == ("2016", "09", "14")


@given(st.integers(-(2**70), 2**70), st.sampled_from(ZONES))
def test_folders_are_total(at_ns: int, zone: ZoneInfo) -> None:
    """Any moment has a folder of digits and a stamp."""
    assert [len(part) for part in date_folders(at_ns, zone=zone)] == [4, 2, 2]
    assert len(file_stamp(at_ns, zone=zone)) == len("2016-09-13_15.49.57")


@given(st.dates(date(1970, 1, 2), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_days_tile_time(day: date, zone: ZoneInfo) -> None:
    """A day's interval starts where the one before stops, and its moments have its folders (a skipped day is empty)."""
    begin, stop = day_interval_ms(day, zone=zone)
    assert day_interval_ms(date.fromordinal(day.toordinal() + 1), zone=zone)[0] == stop
    assert 0 <= stop - begin <= 25 * 3_600_000
    for moment in (begin, stop - 1):
        if begin < stop:
            assert date_folders(moment * 10**6, zone=zone) == (f"{day:%Y}", f"{day:%m}", f"{day:%d}")


@given(st.dates(date(1970, 1, 1), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_a_month_is_the_sum_of_its_days(day: date, zone: ZoneInfo) -> None:
    """A month's interval starts with its first day and stops where the next month starts."""
    begin, stop = month_interval_ms(day, zone=zone)
    assert begin == day_interval_ms(day.replace(day=1), zone=zone)[0]
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    assert stop == day_interval_ms(following, zone=zone)[0]


@pytest.mark.parametrize(
    "text", ["2016-9-13", "2016-02-30", "1969-12-31", "9999-01-01", "20160913", "2016-W01-1", "", "٢٠١٦-٠٩-١٣"]
)
def test_a_day_has_one_spelling(text: str) -> None:
    """Only YYYY-MM-DD of an existing day from 1970 on is a day."""
    assert parse_day(text) is None


def test_days_and_months_by_example() -> None:
    """A day is itself, a month its first day, and neither is spelt like the other."""
    assert parse_day("2016-09-13") == date(2016, 9, 13)
    assert parse_month("2016-09") == date(2016, 9, 1)
    assert parse_month("2016-13") is None
    assert parse_month("2016-09-13") is None
