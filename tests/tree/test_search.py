"""Searches whose result all rows together decide: order, limit, sample; and the indexes of folders."""

import csv
import io
import json
from typing import Any

import pytest

from cffs.standin.thread import StandinThread
from cffs.tree.indexes import FIELDS
from tests.tree.sample_account import Facts, Open
from tests.tree.world import World


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
    standin.account.set_call(call_id, labels=['a"b', "c\nd", "e,f", "\u2028g"])
    async with world() as tree:
        await tree.names("recordings")
        raw = (await tree.text("recordings/index.csv")).decode()
        cells = list(csv.DictReader(io.StringIO(raw, newline="")))
        assert len(cells) == len(raw.rstrip("\n").split("\n")) - 1 == len(recordings(standin))
        lines = (await tree.text("recordings/index.jsonl")).decode().rstrip("\n").split("\n")
        assert len([json.loads(line) for line in lines]) == len(cells)
