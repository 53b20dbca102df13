"""Names over time: given once, completed, whatever the order of the answers."""

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.catalog import missing_objects, upserts
from cffs.catalog.bulk_upserts import put_calls
from cffs.core.listed_names import is_dated
from cffs.core.values import Call, RecordingState
from tests.catalog.factories import call, campaign, recording
from tests.catalog.test_upserts import database

MADE_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z


def listed(db: Any, table: str = "recordings") -> dict[int, str]:
    """The names by id."""
    return dict(db.execute(f"SELECT id, listed FROM {table}").fetchall())  # noqa: S608 - names of ours


def of_call(**fields: Any) -> Call:
    """A call of a minute with one recording of the second attempt."""
    embedded = recording(88, call_id=7, to_number="333", labels=("own",))
    return call(7, from_number="111", to_number="222", seconds=60, recordings=(embedded,), **fields)


def test_names_are_those_of_the_call_and_its_attempt() -> None:
    """A recording is named by the number of its own attempt, its call by the call's; both times are in UTC here."""
    with database() as db:
        put_calls(db, [of_call()])
        assert listed(db) == {88: "2023-11-14_22.13.20_out_333_0m24s_88"}
        assert listed(db, "calls") == {7: "2023-11-14_22.13.20_out_222_1m00s_7"}


def test_corrections_change_no_name() -> None:
    """Where the service corrects what a name says, the name stays, and so does the month of the call's folder."""
    with database() as db:
        put_calls(db, [of_call()])
        before = listed(db), listed(db, "calls"), db.execute("SELECT month FROM calls").fetchall()
        corrected = replace(of_call(), created_ms=MADE_MS + 10**10, from_number="9", inbound=True, seconds=1)
        embedded = replace(corrected.recordings[0], created_ms=1, seconds=2, to_number="5")  # type: ignore[index]
        upserts.put_call(db, replace(corrected, recordings=(embedded,)))
        assert (listed(db), listed(db, "calls"), db.execute("SELECT month FROM calls").fetchall()) == before


def test_the_order_of_answers_makes_no_difference() -> None:
    """A recording that was found by its id, and a call of which only the id was known, end with the names that they
    would have had if the listing had come first."""

    def by_id(db: Any) -> None:
        upserts.put_recording(db, recording(88, call_id=7), call_id=0, campaign_id=0)

    def in_call(db: Any) -> None:
        upserts.put_recordings_of_call(db, 7, (recording(88, call_id=7),))

    def noted(db: Any) -> None:
        upserts.note_call(db, call_id=7, campaign_id=5)

    def paged(db: Any) -> None:
        put_calls(db, [of_call()])

    for order in permutations((by_id, in_call, noted, paged)):
        with database() as db:
            for step in order:
                step(db)
            assert listed(db) == {88: "2023-11-14_22.13.20_out_333_0m24s_88"}
            assert listed(db, "calls") == {7: "2023-11-14_22.13.20_out_222_1m00s_7"}


def test_how_long_is_said_when_it_is_over() -> None:
    """The length of a recording in progress is no part of its name until it is finished."""
    with database() as db:
        growing = recording(88, state=RecordingState.RECORDING, seconds=3)
        upserts.put_recording(db, growing, call_id=7, campaign_id=5)
        assert listed(db) == {88: "2023-11-14_22.13.20_unknown_88"}
        upserts.put_recording(db, replace(growing, state=RecordingState.READY, seconds=62), call_id=7, campaign_id=5)
        assert listed(db) == {88: "2023-11-14_22.13.20_unknown_1m02s_88"}


def test_a_call_takes_its_recordings_into_another_campaign() -> None:
    """Where a call changes its campaign, its recordings are listed with it, embedded or not."""
    with database() as db:
        put_calls(db, [of_call(campaign_id=5)])
        upserts.put_call(db, replace(of_call(campaign_id=6), recordings=None))
        assert db.execute("SELECT campaign_id FROM recordings").fetchall() == [(6,)]


def test_campaigns_of_one_name() -> None:
    """Campaigns of equal, empty and id-like names have a folder each; a later name of a campaign changes none."""
    with database() as db:
        for ident, name in ((5, "x"), (6, "x"), (7, ""), (8, "5"), (9, "calls")):
            upserts.put_campaign(db, campaign(ident, name=name))
        folders = dict(db.execute("SELECT id, stem FROM campaigns"))
        assert folders == {5: "x", 6: "x ~6", 7: " ~7", 8: "5 ~8", 9: "calls"}
        upserts.put_campaign(db, campaign(5, name="y"))
        upserts.note_campaign(db, 10)
        assert dict(db.execute("SELECT id, stem FROM campaigns")) == folders | {10: None}


numbers, labels = st.sampled_from(["", "1", "2", "3"]), st.sets(st.sampled_from("abc"), max_size=2)
moments = st.sampled_from([None, -5, MADE_MS, MADE_MS + 1, MADE_MS + 2, 2**62])


@st.composite
def told(draw: st.DrawFn) -> Call:
    """A call with one of few ids, and up to three recordings of two attempts."""
    ident = draw(st.integers(1, 3))
    made = [
        recording(
            ident * 10 + number,
            call_id=ident,
            created_ms=draw(moments),
            hint_nbytes=draw(st.none() | st.integers(1, 9)),
            to_number=draw(numbers),
            labels=tuple(sorted(draw(labels))),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    return call(
        ident,
        from_number=draw(numbers),
        to_number=draw(numbers),
        labels=tuple(sorted(draw(labels))),
        recordings=tuple(made) if draw(st.booleans()) else None,
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(told(), max_size=3), max_size=4), st.lists(st.integers(10, 32), max_size=3))
def test_folders_hold_what_they_should_and_know_their_newest(pages: list[list[Call]], left: list[int]) -> None:
    """However calls come, change and leave: each recording is in the folders of its call's parties and labels and of
    its own attempt's, a folder is as new as the newest recording in it, and the total is that of all sizes."""
    with database() as db:
        for page in pages:
            put_calls(db, page)
        for ident in left:
            for now_ms in (0, missing_objects.APART_MS):
                missing_objects.note(db, f"recording/{ident}.mp3", now_ms=now_ms)
        rows = db.execute(
            "SELECT r.id, r.created_ms, r.to_number, r.labels, c.from_number, c.to_number, c.labels"
            " FROM recordings r JOIN calls c ON c.id = r.call_id"
        ).fetchall()
        wanted, newest = set(), {}
        for ident, created_ms, tried, own_labels, from_number, to_number, call_labels in rows:
            texts = {("number", text) for text in (tried, from_number, to_number) if text}
            texts |= {("label", text) for text in json.loads(own_labels) + json.loads(call_labels)}
            wanted |= {(*text, ident) for text in texts}
            for text in texts:
                if is_dated(created_ms):
                    newest[text] = max(newest.get(text, 0), created_ms)
        found = db.execute(
            "SELECT f.view, json_extract(f.text, '$'), r.id FROM view_rows v JOIN view_folders f ON f.seq = v.folder"
            " JOIN recordings r ON r.seq = v.recording"
        ).fetchall()
        assert set(found) == wanted
        assert len(found) == len(wanted)
        kept = db.execute(
            "SELECT view, json_extract(text, '$'), newest_ms FROM view_folders WHERE newest_ms NOT NULL"
        ).fetchall()
        assert {(view, text): newest_ms for view, text, newest_ms in kept} == newest
        sizes = db.execute("SELECT coalesce(sum(hint_nbytes), 0) FROM recordings").fetchone()
        assert db.execute("SELECT nbytes FROM totals").fetchone() == sizes
