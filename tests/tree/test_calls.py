"""Folders of calls: by month, without date or number, of changing campaigns."""

import re
from typing import Any

import pytest

from cffs.standin.thread import StandinThread
from tests.tree.sample_account import MISSING, Facts, Open, call_name, calls_of, folder_of, known


async def test_calls_by_month(world: Open, standin: StandinThread) -> None:
    """Every call is below calls/, in the month in its name, including those of campaigns."""
    standin.account.add_call(created_ms=1_600_000_000_000, campaignId=0)
    standin.account.add_call(created=None, campaignId=0)
    async with world() as tree:
        await known(tree)
        expected = {call_name(call): call_name(call)[:7] for call, _ in calls_of(standin) if call["created"]}
        found = {}
        for month in await tree.names("calls"):
            found |= dict.fromkeys(await tree.names(f"calls/{month}"), month)
        undated = [name for name, month in found.items() if month == "undated"]
        assert len(undated) == 1
        assert re.fullmatch(r"(in|out)_\d+_0m10s_\d+", undated[0])
        assert {name: month for name, month in found.items() if month != "undated"} == expected
        assert await tree.names("calls") == [*sorted(set(expected.values())), "undated"]
        assert await tree.names("calls/1999-01") == []


async def test_calls_that_tell_nothing(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A call without number, time and duration, and its recording, have names that say what is known."""
    nothing: dict[str, Any] = {"fromNumber": None, "toNumber": "", "created": None, "inbound": None}
    records = [{"id": 1, "recordings": []}]
    call = standin.account.add_call(recordings=0, campaignId=facts.campaign, **nothing, records=records)
    ident = standin.account.add_recording(call, created=None, lengthInSeconds=None, name=None)
    async with world() as tree:
        await known(tree)
        folder = await folder_of(tree, facts.campaign)
        assert f"unknown_{ident}.mp3" in await tree.names(folder)
        assert f"unknown_{call}" in await tree.names(f"{folder}/calls")
        assert await tree.names("calls/undated") == [f"unknown_{call}"]
        assert await tree.data(f"{folder}/unknown_{ident}.mp3")


async def test_a_call_that_changes_its_campaign(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A call that is given to another campaign is there with its recordings at the next listing, and not in the old
    one."""
    other = next(ident for ident in standin.account.shape.campaign_ids() if ident != facts.campaign)
    async with world(dir_ttl_seconds=0.0) as tree:
        await known(tree)
        row = tree.catalog.recording(facts.id)
        assert row is not None
        name = f"{row.listed}.mp3"
        node = await tree.node(f"campaigns/{facts.campaign}/{name}")
        standin.account.set_call(facts.call, campaignId=other)
        await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        assert name in await tree.names(await folder_of(tree, other))
        assert name not in await tree.names(await folder_of(tree, facts.campaign))
        assert await tree.node(f"campaigns/{other}/{name}") == node
        with pytest.raises(MISSING):
            await tree.node(f"campaigns/{facts.campaign}/{name}")
