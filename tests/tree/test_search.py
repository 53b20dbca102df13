"""search/: what a search finds, and in which order; indexes of folders."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cffs.catalog.upserts import put_call
from cffs.core.names import encode_name
from cffs.standin.thread import StandinThread
from cffs.tree.indexes import FIELDS
from tests.catalog.factories import call as new_call
from tests.catalog.factories import recording as new_recording
from tests.tree.sample_account import MISSING, Facts, Open, calls_of
from tests.tree.world import World, opened


async def listed(tree: World, search: str) -> list[int]:
    """The recordings of a search, in its order."""
    return [entry.node.recording_id for entry in await tree.entries(f"search/{search}") if entry.name.endswith(".mp3")]


def recordings(standin: StandinThread) -> list[dict[str, Any]]:
    """Every recording of the account."""
    account = standin.account
    return [row for call_id in account.call_ids() for row in account.recording_rows(call_id) or []]


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("newest", lambda row: -row["created"]),
        ("oldest", lambda row: row["created"]),
        ("longest", lambda row: -row["lengthInSeconds"]),
        ("shortest", lambda row: row["lengthInSeconds"]),
    ],
)
async def test_orders(world: Open, standin: StandinThread, order: str, key: Any) -> None:
    """A search lists in the order that it names, and the first of them where it names a limit."""
    rows = {row["id"]: row for row in recordings(standin)}
    async with world() as tree:
        await tree.names("recordings")
        found = await listed(tree, f"order={order}")
        assert sorted(found) == sorted(rows)
        assert [key(rows[ident]) for ident in found] == sorted(map(key, rows.values()))
        for limit in (0, 1, 3, len(rows), 10 * len(rows)):
            assert await listed(tree, f"order={order}&limit={limit}") == found[:limit]
            assert await listed(tree, f"limit={limit}&order={order}") == found[:limit]


async def test_a_sample_is_the_same_on_two_machines(standin: StandinThread, tmp_path: Path) -> None:
    """Machines that learned of the account's recordings in another order draw the same, and list it alike where the
    search says an order."""
    drawn = []
    ids = [row["id"] for row in recordings(standin)]
    for machine, first in (("one", []), ("other", ids[-3:])):
        (tmp_path / machine).mkdir()
        async with opened(standin, tmp_path / machine) as tree:
            for recording_id in first:
                await tree.node(f"recordings/{recording_id}.json")
            await tree.names("recordings")
            became_known = await listed(tree, "min-seconds=0")
            drawn.append((became_known, await listed(tree, "sample=5"), await listed(tree, "sample=5&order=oldest")))
    (known, one, one_ordered), (known_elsewhere, other, other_ordered) = drawn
    assert sorted(known) == sorted(known_elsewhere)
    assert known != known_elsewhere
    assert set(one) == set(other) == set(one_ordered)
    assert one_ordered == other_ordered


@pytest.mark.parametrize("search", ["order=newest", "note=none", "sample=1000"])
async def test_a_selection_is_of_everything(world: Open, standin: StandinThread, search: str) -> None:
    """A selection that is the first thing listed in a mount waits for the first listing of recordings, and is whole."""
    async with world() as tree:
        assert sorted(await listed(tree, search)) == sorted(row["id"] for row in recordings(standin))


async def test_a_selection_stays_whole_while_rows_change(world: Open, standin: StandinThread) -> None:
    """A listing or an index that was begun is not cut short by rows that come meanwhile; the next one has them."""
    async with world() as tree:
        await tree.names("recordings")
        name = "order=newest"
        node = await tree.node(f"search/{name}")
        first = await listed(tree, name)
        indexes = await tree.namespace.page(node, after=0)
        await tree.catalog.write(
            lambda db: put_call(db, new_call(900_001, recordings=(new_recording(900_002, call_id=900_001),)))
        )
        rest = await tree.namespace.page(node, after=indexes[-1].offset)
        assert [entry.node.recording_id for entry in rest if entry.name.endswith(".mp3")] == first
        assert len(await listed(tree, name)) == len(first) + 1
        assert len((await tree.text(f"search/{name}/index.jsonl")).splitlines()) == len(first) + 1


async def test_a_sample_is_the_same_all_day(world: Open, standin: StandinThread) -> None:
    """So many of those that meet the conditions, the same in each mount, whatever the order and spelling; others under
    other conditions."""
    async with world() as tree:
        await tree.names("recordings")
        everything = await listed(tree, "min-seconds=0")
        first = await listed(tree, "sample=3&min-seconds=0")
        assert len(first) == 3
        assert set(first) < set(everything)
        by_length = await listed(tree, "min-seconds=0&order=longest&sample=3")
        assert sorted(by_length) == sorted(first)
        assert await listed(tree, "min-seconds=0&order=longest&sample=3&limit=1") == by_length[:1]
        assert sorted(await listed(tree, "sample=1000")) == sorted(everything)
        assert await listed(tree, "min-seconds=100000&sample=3") == []
        samples = {tuple(await listed(tree, f"max-seconds={9000 + number}&sample=3")) for number in range(8)}
        assert len(samples) > 1
    async with world() as tree:
        await tree.names("recordings")
        assert await listed(tree, "sample=3&min-seconds=0") == first


async def test_indexes(world: Open, standin: StandinThread, facts: Facts) -> None:
    """Every folder of audio has both indexes: a line for each recording that it lists, in its order, at no request."""
    rows = {row["id"]: row for row in recordings(standin)}
    async with world() as tree:
        await tree.names("recordings")
        for folder in (f"campaigns/{facts.campaign}", "recordings", "search/order=longest&limit=3"):
            shown = [entry.name for entry in await tree.entries(folder) if entry.name.endswith(".mp3")]
            before = tree.requests()
            lines = [json.loads(line) for line in (await tree.text(f"{folder}/index.jsonl")).splitlines()]
            cells = list(csv.DictReader(io.StringIO((await tree.text(f"{folder}/index.csv")).decode())))
            assert tree.requests() == before
            assert [line["file_name"] for line in lines] == [cell["file_name"] for cell in cells] == shown
            for line, cell in zip(lines, cells, strict=True):
                assert tuple(line) == tuple(cell) == FIELDS
                row = rows[line["id"]]
                assert (line["duration"], line["state"]) == (row["lengthInSeconds"], row["state"])
                assert line["audio_filepath"] == f"/recordings/{line['id']}.mp3"
                assert (cell["id"], cell["inbound"]) == (str(line["id"]), str(line["inbound"]).lower())
                assert line["notes"] == []


async def test_an_index_of_hostile_text(world: Open, standin: StandinThread) -> None:
    """Whatever the service says, a row stays one row in both forms."""
    call_id = next(call for call in standin.account.call_ids() if standin.account.recording_ids(call))
    standin.account.set_call(call_id, labels=['a"b', "c\nd", "e,f", "\u2028g", "\ud800", "1 < 2 > 1"])
    for name in ("a  <b>  token=c", 'x,"y"\nz\u202e', "=1+1"):
        standin.account.add_recording(call_id, name=name)
    async with world() as tree:
        await tree.names("recordings")
        folder = f"calls/{call_id}"
        shown = [name for name in await tree.names(folder) if name.endswith(".mp3")]
        assert len(shown) >= 4
        table = csv.DictReader(io.StringIO((await tree.text(f"{folder}/index.csv")).decode()))
        assert [row["file_name"] for row in table] == shown
        raw = (await tree.text("recordings/index.csv")).decode()
        cells = list(csv.DictReader(io.StringIO(raw, newline="")))
        assert len(cells) == len(raw.rstrip("\n").split("\n")) - 1 == len(recordings(standin))
        lines = (await tree.text("recordings/index.jsonl")).decode().rstrip("\n").split("\n")
        assert len([json.loads(line) for line in lines]) == len(cells)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_search_is_a_filter(data: st.DataObject, world: Open, standin: StandinThread) -> None:
    """A search finds exactly the recordings that meet every one of its terms, whatever they are, without a request."""
    calls = calls_of(standin)
    numbers = sorted({call.get(side) or "" for call, _ in calls for side in ("fromNumber", "toNumber")} - {""})
    labels = sorted({label for call, _ in calls for label in call["labels"]})
    days = sorted(
        {f"{datetime.fromtimestamp(r['created'] / 1000, tz=UTC):%Y-%m-%dT%H:%M}" for _, rs in calls for r in rs}
    )
    terms = data.draw(
        st.lists(
            st.tuples(st.sampled_from(["number", "from", "to"]), st.sampled_from([*numbers, "1"]))
            | st.tuples(st.just("label"), st.sampled_from([*labels, "none"]))
            | st.tuples(st.sampled_from(["after", "before"]), st.sampled_from([*days, "2024-06-01"]))
            | st.tuples(st.just("campaign"), st.sampled_from([str(call["campaignId"] or 1) for call, _ in calls]))
            | st.tuples(st.sampled_from(["min-seconds", "max-seconds"]), st.integers(0, 70).map(str))
            | st.tuples(st.just("inbound"), st.sampled_from(["yes", "no", "YES"]))
            | st.tuples(st.just("result"), st.sampled_from(["LA", "am", "BUSY"]))
            | st.tuples(st.just("order"), st.sampled_from(["newest", "oldest", "longest", "shortest"]))
            | st.tuples(st.just("note"), st.just("none"))
            | st.tuples(st.just("state"), st.sampled_from(["READY", "ready", "ERROR"])),
            min_size=1,
            max_size=3,
        )
    )
    name = "&".join(
        f"{field}={value.replace('%', '%25').replace('&', '%26').replace('/', '%2F')}" for field, value in terms
    )
    expected_ids = sorted(
        recording["id"]
        for call, recordings in calls
        for recording in recordings
        if all(_meets(field, value, call, recording) for field, value in terms)
    )
    async with world() as tree:
        await tree.names("recordings")
        listing = tree.listings.refreshed("calls")
        assert listing is not None
        await listing.wait_whole()  # a refresh goes on behind who lists
        before = tree.requests()
        found = await tree.entries(f"search/{name}")
        assert [entry.name for entry in found[:2]] == ["index.jsonl", "index.csv"]
        assert sorted(entry.node.recording_id for entry in found[2:]) == expected_ids
        for entry in found[:5]:
            assert await tree.node(f"search/{name}/{entry.name}") == entry.node
        assert tree.requests() == before


def _meets(field: str, value: str, call: Any, recording: Any) -> bool:
    made = recording["created"]
    if field in ("after", "before"):
        moment = datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() * 1000
        return made >= moment if field == "after" else made < moment
    truths = {
        "number": value in (call.get("fromNumber"), call.get("toNumber")),
        "from": value == call.get("fromNumber"),
        "to": value == call.get("toNumber"),
        "label": value in call["labels"],
        "campaign": str(call["campaignId"]) == value,
        "min-seconds": value.isdecimal() and recording["lengthInSeconds"] >= int(value),
        "max-seconds": value.isdecimal() and recording["lengthInSeconds"] <= int(value),
        "inbound": call["inbound"] == (value.lower() == "yes"),
        "result": call.get("finalCallResult") == value.upper(),
        "state": recording["state"] == value.upper(),
        "order": True,
        "note": True,
    }
    return truths[field]


BAD_SEARCHES = ("x", "nonsense=1", "number", "number=", "after=yesterday", "after=2024-02-30", "label=%ff", "=", "&",
                "before=2024-01-01T25:00", "min-seconds=-1", "min-seconds=x", "state=GONE", "number=1&", "sample=x",
                "limit=-1", "order=best", "inbound=maybe", "note=mp3", "note=", "text=", 'text=""',
                "text=*")  # fmt: skip


@pytest.mark.parametrize("name", BAD_SEARCHES)
async def test_bad_search(world: Open, announced: list[str], name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is no search is missing, costs no request, and a line in the log says why."""
    announced.append("no search")
    async with world() as tree:
        with pytest.raises(MISSING):
            await tree.node(f"search/{name}")
        assert tree.requests() == 0
        assert [record.name for record in caplog.records if record.levelname == "WARNING"] == ["cffs.tree.search"]
        assert await tree.names("search") == ["README.txt"]
        assert "search" not in await tree.names()


async def test_campaign_by_name_in_a_search(world: Open, facts: Facts, standin: StandinThread) -> None:
    """campaign= takes the id or the name."""
    names = {row["id"]: row["name"] for row in standin.account.broadcast_rows()}
    async with world() as tree:
        await tree.names("campaigns")
        by_id = {e.node for e in (await tree.entries(f"search/campaign={facts.campaign}"))[2:]}
        named = await tree.entries(f"search/campaign={encode_name(names[facts.campaign])}")
        by_name = {e.node for e in named[2:]}
        assert by_id <= by_name
        assert by_id
