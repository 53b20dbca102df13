"""Pages of calls: the rows of one call after the other, by few statements."""

import sqlite3
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.catalog import upserts
from cffs.catalog.bulk_upserts import put_calls
from cffs.core.values import Call, Recording, RecordingState
from tests.catalog.factories import call, recording
from tests.catalog.test_upserts import database, names

TABLES = ("calls", "campaigns", "recordings", "view_folders", "view_rows", "recordings_left", "totals")
moments = st.sampled_from([None, 1, 1_700_000_000_000, 1_700_000_060_000, 2**62])
numbers = st.sampled_from(["", " ", "1", "2", "\ud800", "-rf", "a/b"])


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call with one of few ids, so that pages repeat each other and what is there."""
    ident = draw(st.integers(1, 5))
    held = draw(
        st.none() | st.lists(st.builds(_recording, st.just(ident), st.integers(1, 6), names, moments), max_size=3)
    )
    return call(
        ident,
        campaign_id=draw(st.sampled_from([None, 5, 6])),
        from_number=draw(numbers),
        to_number=draw(numbers),
        labels=draw(st.sampled_from([(), ("a",), ("a", "b", " ")])),
        inbound=draw(st.sampled_from([None, True, False])),
        seconds=draw(st.sampled_from([None, 0, 61])),
        created_ms=draw(moments),
        recordings=None if held is None else tuple(held),
    )


def _recording(call_id: int, ident: int, name: str, created_ms: int | None) -> Recording:
    """A recording whose attempt, length and state follow from its number."""
    return recording(
        ident,
        name,
        call_id=call_id,
        created_ms=created_ms,
        seconds=None if ident == 1 else ident,
        state=RecordingState.RECORDING if ident == 2 else RecordingState.READY,
        to_number=("", "3", "a/b")[ident % 3],
        labels=((), ("a", "c"))[ident % 2],
    )


def rows_of(db: sqlite3.Connection) -> dict[str, list[Any]]:
    """All rows, except for when they were written."""
    found = {}
    for table in TABLES:
        columns = [name for _number, name, *_rest in db.execute(f"PRAGMA table_info({table})") if name != "seen_ms"]
        found[table] = sorted(db.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)  # noqa: S608
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(calls(), max_size=5), max_size=3),
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), max_size=2),
    st.integers(0, 3),
)
def test_as_one_after_the_other(pages: list[list[Call]], found: list[tuple[int, int]], left: int) -> None:
    """Whatever was known before, and however calls and recordings repeat: all rows, numbers, names and places in the
    views are those of one call after the other, in the order of their ids."""
    dumps = []
    for is_paged in (False, True):
        with database() as db:
            db.execute("UPDATE recordings_left SET seq = ?", (left,))
            for recording_id, call_id in found:
                upserts.put_recording(db, recording(recording_id, "x"), call_id=call_id, campaign_id=0)
            for page in pages:
                if is_paged:
                    put_calls(db, page)
                else:
                    for one in sorted(page, key=lambda call: call.id):
                        upserts.put_call(db, one)
            dumps.append(rows_of(db))
    assert dumps[0] == dumps[1]


def test_a_first_page_costs_few_statements() -> None:
    """A thousand new calls with a recording each do not take a statement each."""
    with database() as db:
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        put_calls(db, [call(number, recordings=(recording(number, call_id=number),)) for number in range(1, 1001)])
        inserts = [statement for statement in asked if statement.startswith(("INSERT", "-- "))]  # and their triggers
        assert len(asked) - len(inserts) < 20
        db.set_trace_callback(None)
        assert db.execute("SELECT count(*), max(seq) FROM recordings").fetchone() == (1000, 1000)
