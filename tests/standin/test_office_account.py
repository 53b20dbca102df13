"""The account of `cffs standin` and the demo."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.standin.account import Account
from cffs.standin.call_filter import CallFilter
from cffs.standin.generated_rows import Row, is_mulaw
from cffs.standin.office_account import (
    CAMPAIGNS,
    FOUND_PARTY,
    FOUND_SECONDS,
    MEDIA,
    WEEKDAYS,
    office_account,
    working_day,
)

DAYS = st.dates(date(2020, 1, 1), date(2099, 12, 31))


def rows_of(account: Account) -> list[Row]:
    """Every call."""
    return account.call_page(CallFilter(), offset=0, limit=account.shape.calls)[0]


def local_day(row: Row) -> date:
    """The day of a call on this machine's calendar."""
    return datetime.fromtimestamp(row["created"] / 1000, UTC).astimezone().date()


def recording(row: Row) -> Row:
    """The one recording of a call."""
    (found,) = [one for record in row["records"] for one in record["recordings"]]
    return found


@given(DAYS, st.integers(0, 100))
def test_working_days_go_back_one_by_one(today, back):
    """Each is a weekday before today and before the previous one, with at most a weekend between them."""
    one, older = working_day(today, back), working_day(today, back + 1)
    assert one < today
    assert one.weekday() <= 4
    assert (one - older).days == (3 if one.weekday() == 0 else 1)


@given(DAYS, st.integers(0, 999), st.sampled_from([1, 2, 13, 60, 200]))
def test_calls_are_of_the_last_weeks(today, seed, calls):
    """They descend in time with the index, lie on working days before today, and reach back four weeks at most."""
    rows = rows_of(office_account(seed=seed, calls=calls, today=today))
    made = [row["created"] for row in rows]
    assert made == sorted(made, reverse=True)
    assert len(set(made)) == calls
    for row in rows:
        assert today - timedelta(days=7 * (WEEKDAYS // 5) + 3) <= local_day(row) < today
        assert local_day(row).weekday() <= 4


@given(DAYS, st.integers(0, 999))
def test_the_call_that_the_documents_look_for(today, seed):
    """There is exactly one call with that party, last Tuesday, half a minute long.

    It is in a campaign and has only the usual name, and the one of the default seed can be played by programs that read
    plain WAV only.
    """
    account = office_account(seed=seed, calls=60, today=today)
    last_tuesday = max(
        today - timedelta(days=back) for back in range(1, 8) if (today - timedelta(days=back)).weekday() == 1
    )
    found = [
        row
        for row in rows_of(account)
        if FOUND_PARTY in (row.get("fromNumber"), row["toNumber"])
        and local_day(row) == last_tuesday
        and recording(row)["lengthInSeconds"] == FOUND_SECONDS
    ]
    (row,) = found
    assert row["inbound"] is True
    assert recording(row)["name"] == "call_recording"
    assert account.broadcast_row(row["campaignId"])["name"] == CAMPAIGNS[0]
    assert row["id"] in account.call_ids(CallFilter(campaign_id=row["campaignId"]))
    if seed == 1:
        parties = [one for one in rows_of(account) if FOUND_PARTY in (one.get("fromNumber"), one["toNumber"])]
        assert any(not is_mulaw(recording(one)["id"]) for one in parties)


@given(DAYS, DAYS)
def test_another_day_is_the_same_account(one, other):
    """Ids, names, numbers of campaigns and calls, and the size of every sound stay, except for the call of the
    examples."""

    def facts(today: date) -> dict[int, tuple[object, ...]]:
        account = office_account(seed=3, calls=30, today=today)
        found = {}
        for index, row in enumerate(rows_of(account)):
            if index != account.shape.found_index:
                told = recording(row)
                found[row["id"]] = (told["id"], row["toNumber"], told["lengthInSeconds"], row["campaignId"])
        return found

    first, second = facts(one), facts(other)
    assert {key: first[key] for key in first.keys() & second.keys()} == {
        key: second[key] for key in first.keys() & second.keys()
    }
    assert len(first.keys() & second.keys()) >= 28


def test_names_are_those_of_an_office():
    """Names of campaigns and media, and numbers, are neither empty nor repeated; the default account uses every
    campaign."""
    account = office_account(seed=1, calls=60, today=date(2026, 11, 30))
    assert sorted(row["name"] for row in account.broadcast_rows()) == sorted(CAMPAIGNS)
    assert {row["campaignId"] for row in rows_of(account)} >= {row["id"] for row in account.broadcast_rows()}
    media = [account.media.media_row(media_id, root_url="")["name"] for media_id in account.media.media_ids()]
    assert sorted(media) == sorted(MEDIA)
    for row in rows_of(account):
        for number in (row["fromNumber"], row["toNumber"]):
            assert number.isdecimal()
            assert len(number) == 11


@pytest.mark.parametrize("calls", [0, 1, 100_000])
def test_any_number_of_calls(calls):
    """For no call, one, and many, filters by time find what paging finds."""
    account = office_account(seed=1, calls=calls, today=date(2026, 11, 30))
    rows, total = account.call_page(CallFilter(), offset=0, limit=50)
    assert (len(rows), total) == (min(calls, 50), calls)
    if calls > 1:
        begin = rows[-1]["created"]
        again, found = account.call_page(CallFilter(interval_begin_ms=begin), offset=0, limit=50)
        assert (found, again) == (50, rows)
