"""Rows of which only the id is known: asked for once, and shown where they belong."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from cffs.catalog.url_finder import FoundCall, FoundRecording
from cffs.core.json_values import decode
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import MISSING, Facts, Open, imported, mp3_bytes
from tests.tree.world import World

NUMBER = "13105559876"


def new_call(standin: StandinThread) -> tuple[int, int]:
    """A call that came after the listing, and its recording."""
    call_id = standin.account.add_call(
        recordings=0, campaignId=5, fromNumber=NUMBER, inbound=True, labels=["brand new"]
    )
    return call_id, standin.account.add_recording(call_id, name="reply")


async def known_by_id(tree: World, standin: StandinThread) -> tuple[int, int]:
    """A call of which a look at its recording has made the id known, all else being listed."""
    await tree.names("by-number")
    call_id, recording_id = new_call(standin)
    await tree.node(f"recordings/{recording_id}.json")
    row = tree.catalog.call(call_id)
    assert row is not None
    assert row.document is None
    return call_id, recording_id


def asked_calls(tree: World) -> int:
    return tree.requests("getCall|findCalls")


async def document(tree: World, path: str) -> Any:
    return decode(await tree.text(path), what=path)


@pytest.mark.parametrize("first", ["call.json", "by-number", "by-label", "search", "folder"])
async def test_a_call_of_which_a_recording_told_is_complete(world: Open, standin: StandinThread, first: str) -> None:
    """Its own JSON, by-number/, by-label/ and search/ know the call, whichever is looked at first, for one request in
    all."""
    async with world() as tree:
        call_id, recording_id = await known_by_id(tree, standin)
        before = asked_calls(tree)

        async def look(where: str) -> bool:
            if where == "call.json":
                shown = await document(tree, f"campaigns/5/{call_id}/call.json")
                return bool(shown == standin.account.call_row(call_id))
            folders = {"by-number": "by-number", "by-label": "by-label"}
            if where in folders:
                return {"by-number": NUMBER, "by-label": "brand new"}[where] in await tree.names(where)
            folder = f"search/number={NUMBER}" if where == "search" else f"by-number/{NUMBER}"
            return any(str(recording_id) in name for name in await tree.names(folder))

        assert await look(first)
        assert asked_calls(tree) == before + 1
        for where in ("call.json", "by-number", "by-label", "search", "folder"):
            assert await look(where), where
        assert asked_calls(tree) == before + 1


async def test_a_call_that_v2_denies_is_asked_once(world: Open, standin: StandinThread, facts: Facts) -> None:
    """The ids are what is shown of a denied call, without another request."""
    async with world() as tree:
        await tree.names("by-number")
        call_id, recording_id = new_call(standin)
        standin.faults.add("absent", path=f"/calls/{call_id}$")
        await tree.node(f"recordings/{recording_id}.json")
        assert NUMBER not in await tree.names("by-number")
        asked = asked_calls(tree)
        assert await document(tree, f"campaigns/5/{call_id}/call.json") == {"id": call_id, "campaignId": 5}
        assert NUMBER not in await tree.names("by-number")
        with pytest.raises(MISSING):
            await tree.node(f"by-number/{NUMBER}")
        assert asked_calls(tree) == asked


async def test_many_are_asked_together(world: Open, standin: StandinThread) -> None:
    """Thirty calls known by their ids cost one request."""
    async with world() as tree:
        await tree.names("by-number")
        made = [new_call(standin) for _ in range(30)]
        for call_id, recording_id in made:
            await tree.account.find_recording(recording_id, patience_seconds=None)
            assert tree.catalog.call(call_id) is not None
        before = tree.requests()
        assert len(await tree.names(f"by-number/{NUMBER}")) >= 30
        assert tree.requests() == before + 1


async def test_where_ids_cannot_be_asked_for_a_few_are_asked_singly(world: Open, standin: StandinThread) -> None:
    """The refusal is met once; each look asks for some more, until all are known."""
    async with world() as tree:
        await tree.names("by-number")
        made = [new_call(standin) for _ in range(20)]
        for _call_id, recording_id in made:
            await tree.account.find_recording(recording_id, patience_seconds=None)
        standin.faults.add("status", kind="findCalls", code=400)
        before = tree.requests("findCalls")
        for _look in range(4):
            await tree.names("by-number")
        assert len([name for name in await tree.names(f"by-number/{NUMBER}") if name.endswith(".mp3")]) == 20
        assert (tree.requests("findCalls") - before, tree.requests("getCall")) == (1, 20)


async def test_after_a_remount_it_is_asked_as_well(world: Open, standin: StandinThread) -> None:
    """What another mount knew by its id alone is asked for by this one, once."""
    async with world() as tree:
        call_id, _recording_id = await known_by_id(tree, standin)
    async with world() as tree:
        for _look in range(2):
            assert await document(tree, f"campaigns/5/{call_id}/call.json") == standin.account.call_row(call_id)
            assert NUMBER in await tree.names("by-number")
        assert tree.requests("getCall") == 1


async def test_where_v2_has_no_calls_nothing_is_asked(served: Any, world: Open) -> None:
    """On an origin of the two documents the ids are what is known, and nothing fails."""
    standin = served(seed_only=True)
    facts = Facts(standin)
    async with world(standin) as tree:
        await tree.names(facts.folder)
        shown = await document(tree, f"{facts.folder}/call.json")
        assert shown["id"] == facts.call
        await tree.names("by-number")
        before = tree.requests()
        await tree.names("by-number")
        await tree.names("by-label")
        assert await document(tree, f"{facts.folder}/call.json") == shown
        assert tree.requests() == before


async def test_imported_ids_become_recordings(world: Open, standin: StandinThread, tmp_path: Path) -> None:
    """A recording and a call that were imported by their ids are listed with all that v2 says of them, each asked for
    once."""
    async with world() as tree:
        await tree.names("by-number")
        _call_id, recording_id = new_call(standin)
        other_call, other_recording = new_call(standin)
        imported(tmp_path, FoundRecording(recording_id), FoundCall(other_call))
        names = await tree.names(f"by-number/{NUMBER}")
        for ident in (recording_id, other_recording):
            assert any(str(ident) in name for name in names), ident
        assert await document(tree, f"recordings/{recording_id}.json") == standin.account.recording_row(recording_id)
        assert await tree.data(f"recordings/{recording_id}.mp3") == mp3_bytes(standin, recording_id)
        assert await document(tree, f"campaigns/5/{other_call}/call.json") == json.loads(
            json.dumps(standin.account.call_row(other_call))
        )
        assert tree.catalog.undescribed_recordings(limit=9) == tree.catalog.undescribed_calls(limit=9) == []
        before = asked_calls(tree) + tree.requests("getCallRecording")
        await tree.names("recordings")
        assert asked_calls(tree) + tree.requests("getCallRecording") == before


async def test_an_imported_recording_that_is_being_made_is_not_kept(
    world: Open, standin: StandinThread, tmp_path: Path
) -> None:
    """The id alone says nothing of a recording's state: v2 is asked for it before a byte is kept."""
    _call_id, recording_id = new_call(standin)
    standin.account.set_recording(recording_id, state="RECORDING")
    standin.faults.add("no_etag", last_modified=False)  # what is old is not being made any more
    async with world() as tree:
        imported(tmp_path, FoundRecording(recording_id))
        await tree.node(f"recordings/{recording_id}.mp3")
        state = ("state", f"recording/{recording_id}.mp3")
        await tree.account.ask_anything(state, None, trio.lowlevel.checkpoint, patience_seconds=None)
        assert tree.requests("getCallRecording") == 1
        assert (await tree.describe(f"recordings/{recording_id}.mp3")).is_volatile
