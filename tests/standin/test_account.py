"""The account: a function of its seed, of any size, changed at will."""

import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from cffs.standin.account import Account
from cffs.standin.call_filter import CallFilter, generated_indexes
from cffs.standin.generated_rows import Shape

LARGE_CALLS = 100_000
START_SECONDS = 0.02
"""Measured 4 ms; the factor is 5."""


def test_a_large_account_costs_nothing_to_start() -> None:
    """100,000 calls start in milliseconds and a few hundred kilobytes."""
    tracemalloc.start()
    try:
        started_at = time.process_time()
        account = Account(calls=LARGE_CALLS)
        assert time.process_time() - started_at < START_SECONDS * 5
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
    rows, total = account.call_page(CallFilter(), offset=LARGE_CALLS - 1, limit=10)
    assert total == LARGE_CALLS
    assert len(rows) == 1


def test_equal_seeds_give_equal_accounts_and_others_do_not() -> None:
    """Every fact of an account is a function of the seed."""
    one, same, other = Account(seed=4), Account(seed=4), Account(seed=5)
    assert one.call_page(CallFilter(), offset=0, limit=9) == same.call_page(CallFilter(), offset=0, limit=9)
    path = one.paths()[0]
    first, second = one.object_for(path), same.object_for(path)
    assert first is not None
    assert second is not None
    assert (first.etag, first.read()) == (second.etag, second.read())
    assert set(other.call_ids()).isdisjoint(one.call_ids())


@given(st.integers(0, 2000), st.integers(1, 300), st.integers(1, 5))
def test_ids_lead_back_to_their_places(seed: int, calls: int, recordings: int) -> None:
    """Call and recording ids can be inverted, descend with the index, and have 10 to 13 digits."""
    shape = Shape(seed=seed, calls=calls, recordings_per_call=recordings)
    for index in {0, calls // 2, calls - 1}:
        assert shape.call_index(shape.call_id(index)) == index
        assert 10 <= len(str(shape.call_id(index))) <= 13
        for position in range(recordings):
            recording_id = shape.recording_id(index, position)
            assert shape.recording_place(recording_id) == (index, position)
            assert shape.recording_place(recording_id + 1) is None
        assert len({shape.recording_name(index, position) for position in range(recordings)}) == recordings
    assert shape.call_index(shape.call_id(0) + 1000) is None
    assert shape.call_index(shape.call_id(calls - 1) - 1000) is None


filters = st.builds(
    CallFilter,
    campaign_id=st.none() | st.sampled_from([0, *Shape(seed=1, calls=1).campaign_ids()]),
    from_number=st.none() | st.just("12135550100"),
    to_number=st.none() | st.just("12135550101"),
    label=st.none() | st.just("survey"),
    states=st.none() | st.just(("FINISHED", "READY")) | st.just(("READY",)),
    results=st.none() | st.just(("LA",)),
    inbound=st.none() | st.booleans(),
    interval_begin_ms=st.none() | st.just(Shape(seed=1, calls=1).created_ms(120)),
    interval_end_ms=st.none() | st.just(Shape(seed=1, calls=1).created_ms(30)),
)


@given(filters)
def test_filters_equal_the_naive_scan(wanted: CallFilter) -> None:
    """The arithmetic of a filter gives the calls that a scan of every row gives."""
    shape = Shape(seed=1, calls=150)
    assert list(generated_indexes(shape, wanted)) == [n for n in range(150) if wanted.accepts(shape.call_row(n))]


def test_changes_show_everywhere() -> None:
    """Added, changed and deleted calls and recordings show in rows, pages, filters and objects."""
    account = Account(seed=2, calls=20)
    first, second = account.call_ids()[:2]
    account.set_call(first, state="READY", labels=["mine"], toNumber=...)
    row = account.call_row(first)
    assert row is not None
    assert "toNumber" not in row
    assert account.call_ids(CallFilter(label="mine")) == [first]
    account.delete_call(second)
    assert second not in account.call_ids()
    assert account.recording_rows(second) is None
    added = account.add_call(recordings=2, campaignId=5)
    assert account.call_ids()[0] == added
    assert account.call_ids(CallFilter(campaign_id=5)) == [added]
    rows, total = account.call_page(CallFilter(), offset=0, limit=3)
    assert total == 20
    assert len(rows[0]["records"][0]["recordings"]) == 2
    big = account.add_recording(added, mp3_nbytes=256 << 20, name="big", lengthInBytes=-1)
    found = account.object_for(f"/v2/calls/{added}/recordings/big.mp3")
    assert found is not None
    assert found.total_nbytes == 256 << 20
    assert (account.recording_row(big) or {})["lengthInBytes"] == -1
    account.set_recording(big, state="ERROR")
    assert (account.recording_row(big) or {})["state"] == "ERROR"
    account.delete_recording(big)
    assert account.object_for(f"/v2/calls/recordings/{big}.mp3") is None


def test_a_call_has_a_record_for_each_number_that_was_tried() -> None:
    """Generated calls have several records with numbers and labels of their own; recordings are in the last one."""
    account = Account(seed=2, calls=200)
    rows, _total = account.call_page(CallFilter(), offset=0, limit=200)
    several = [row for row in rows if len(row["records"]) > 1]
    assert 20 <= len(several) <= 60
    assert {row["inbound"] for row in several} == {True, False}
    for row in several:
        first, last = row["records"]
        assert first["toNumber"] == row["toNumber"] != last["toNumber"]
        assert (first["recordings"], first["labels"]) == ([], [])
        assert last["labels"]
        assert last["recordings"] == account.recording_rows(row["id"])
    assert all(
        len(row["records"]) == 1
        for row in Account(seed=2, calls=50, attempts_every=0).call_page(CallFilter(), offset=0, limit=50)[0]
    )


def test_recordings_are_embedded_in_the_record_that_they_were_added_to() -> None:
    """`attempt` names the record by its position; the call's list of recordings has them all, without that field."""
    account = Account(seed=2, calls=3)
    records = [
        {"id": 1, "toNumber": "13105550100", "recordings": []},
        {"id": 2, "toNumber": "13105550101", "recordings": []},
    ]
    call = account.add_call(recordings=0, records=records)
    first, last = account.add_recording(call, attempt=0), account.add_recording(call)
    row = account.call_row(call)
    assert row is not None
    assert [[one["id"] for one in record["recordings"]] for record in row["records"]] == [[first], [last]]
    assert [one["id"] for one in account.recording_rows(call) or []] == [first, last]
    assert "_attempt" not in str(row)


def test_a_replaced_object_has_other_bytes_and_another_validator() -> None:
    """replace_object changes both forms, and a resize changes size and validator."""
    account = Account(seed=2)
    path = account.paths()[0]
    before = account.object_for(path)
    account.replace_object(path)
    after = account.object_for(path)
    assert before is not None
    assert after is not None
    assert before.etag != after.etag
    assert before.read(1000, 500) != after.read(1000, 500)
    assert before.total_nbytes == after.total_nbytes
    account.replace_object(path, data=b"short")
    given_bytes = account.object_for(path)
    assert given_bytes is not None
    assert given_bytes.read() == b"short"


def test_hostile_rows_are_listed_as_given() -> None:
    """A row may hold anything, and never hides the others."""
    account = Account(seed=2, calls=3)
    hostile = [{"id": ["no"], "records": 5}, {"id": None}, {"records": [{"recordings": "x"}]}, {"id": 2**70}]
    for row in hostile:
        account.add_raw_call(row)
    account.set_call(account.shape.call_id(0), state="X")
    rows, total = account.call_page(CallFilter(), offset=0, limit=10)
    assert total == 7
    assert rows[:4] == hostile[::-1]
    account.add_raw_recording(account.shape.call_id(1), {"id": "a", "name": "../x"})
    assert (account.recording_rows(account.shape.call_id(1)) or [])[1]["name"] == "../x"


def test_v1_ids_can_differ() -> None:
    """With the option, v1 has other ids for the recordings."""
    account = Account(seed=2, v1_ids_differ=True)
    recording_id = account.recording_ids(account.call_ids()[0])[0]
    assert account.object_for(f"/cloud/1/files/recording/{recording_id}") is None
    assert account.object_for(f"/cloud/1/files/recording/{account.v1_file_id(recording_id)}") is not None
