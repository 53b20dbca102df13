"""Folders over time: what is new, the streaming first listing, resumed reading."""

from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cffs.catalog.listing_single_flight import RETRY_SECONDS
from cffs.core.errors import CffsError
from cffs.standin.thread import StandinThread
from cffs.tree.inodes import ROOT
from tests.tree.sample_account import Facts, Open, Serve
from tests.tree.world import opened


async def test_new_calls_appear(world: Open, facts: Facts, standin: StandinThread) -> None:
    """After the listing's time to live a new call and its recording appear, at the end of the listing, for one page."""
    async with world(dir_ttl_seconds=0.0) as tree:
        before = await tree.names("recordings")
        await tree.listings._listings["recordings"].wait_whole()
        call_id = standin.account.add_call(recordings=1, campaignId=facts.campaign)
        await tree.names("recordings")  # starts a refresh behind the caller
        listing = tree.listings._listings["recordings"]
        await listing.wait_whole()
        after = await tree.names("recordings")
        assert after[: len(before)] == before
        assert len(after) == len(before) + 1
        await listing.wait_whole()
        calls = await tree.names(f"campaigns/{facts.campaign}/calls")
        assert [name for name in calls if name.endswith(f"_{call_id}")]
        assert after[-1].removesuffix(".mp3") in str(await tree.names(f"campaigns/{facts.campaign}"))


async def test_new_files_appear_with_v1_alone(world: Open, facts: Facts, standin: StandinThread) -> None:
    """With v1 alone a call's list is asked for again after its time to live, and a new recording is listed."""
    async with world(v2=False, dir_ttl_seconds=0.0) as tree:
        assert len(await tree.names(facts.folder)) == 3
        ident = standin.account.add_recording(facts.call, seconds=5)
        assert f"{ident}.wav" in await tree.names(facts.folder)
    async with world(v2=False) as tree:
        await tree.names(facts.folder)
        before = tree.requests()
        await tree.names(facts.folder)
        assert tree.requests() == before


async def test_new_recordings_of_a_call_that_was_only_looked_up(
    world: Open, facts: Facts, standin: StandinThread
) -> None:
    """A call that was found by lookup, and is in no listing yet, shows what is new after the time to live."""
    async with world(v1=False, dir_ttl_seconds=0.0) as tree:
        assert len(await tree.names(facts.folder)) == 5
        ident = standin.account.add_recording(facts.call, seconds=5, name="new")
        assert ident
        assert "new.mp3" in await tree.names(facts.folder)


async def test_streaming_first_listing(served: Serve, world: Open) -> None:
    """The first listing shows its first page before the last has come, and in the end all of it, each entry once."""
    standin = served(calls=500, recordings_per_call=1, max_limit=100)
    standin.link.latency_seconds = 0.05
    async with world(standin) as tree:
        node = await tree.node("recordings")
        await tree.namespace.prepare(node)
        assert tree.namespace.entries(node, after=0) == []
        assert await tree.namespace.wait_for_entries(node)
        while not (first := tree.namespace.entries(node, after=0)):
            assert await tree.namespace.wait_for_entries(node)
        assert 0 < len(first) < 500
        names = await tree.names("recordings")
        assert len(names) == len(set(names)) == 500
        assert [entry.name for entry in first] == names[: len(first)]


async def test_a_first_listing_that_breaks(served: Serve, world: Open, announced: list[str]) -> None:
    """Where the service fails in the middle of the first listing, what came is shown and its end is the error, each
    time, until all of it has come; from then on a failing refresh disturbs no listing."""
    announced.append("listing failed")
    standin = served(calls=500, recordings_per_call=1, max_limit=100)
    standin.faults.add("status", kind="findCalls", after=4, code=500)  # one fell back to 100 a page
    async with world(standin, dir_ttl_seconds=0.0) as tree:
        node = await tree.node("recordings")
        for _ in range(2):
            with pytest.raises(CffsError):
                await tree.entries_of(node)
            assert 0 < len(tree.namespace.entries(node, after=0)) < 500
        standin.faults.clear()
        await trio.sleep(RETRY_SECONDS)
        assert len(await tree.names("recordings")) == 500
        standin.faults.add("status", kind="findCalls", code=500)
        assert len(await tree.names("recordings")) == 500


@pytest.fixture
def long_account(served: Serve) -> StandinThread:
    """1,200 calls: more than a page of rows in some folders."""
    return served(calls=1200, recordings_per_call=1)


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_resumed_anywhere(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, long_account: StandinThread
) -> None:
    """Reading on from any offset, of an entry or between two, gives exactly the entries after it."""
    facts = Facts(long_account)
    folders = ["", "campaigns", f"campaigns/{facts.campaign}", f"campaigns/{facts.campaign}/calls", facts.folder]
    folders += ["calls", "calls/2024-06", "recordings", "media", "search"]
    folders += ["media/by-name", "media/public", "me", "me/billing", "me/callerids", "me/api/credentials", "dynamic"]
    # a folder of its own for each example: what one of them made known would be listed in the next
    async with opened(long_account, tmp_path_factory.mktemp("resumed"), formats=("mp3", "wav")) as tree:
        await tree.node(f"{facts.dynamic_folder}/{facts.dynamic.filename}")
        for view in ("by-date", "by-number", "by-label"):
            folders += [view, *(f"{view}/{name}" for name in (await tree.names(view))[:2])]
        folders += ["by-date/2024/06", "by-date/2024/06/01", "search/min-seconds=30"]
        for path in folders:
            node = await tree.node(path) if path else ROOT
            complete = await tree.entries_of(node)
            assert complete, path
            offsets = [entry.offset for entry in complete]
            places = st.sampled_from([0, *offsets]) | st.integers(0, max(offsets) + 5)
            for after in data.draw(st.lists(places, min_size=1, max_size=6), label=path):
                found: list[Any] = []
                while more := tree.namespace.entries(node, after=found[-1].offset if found else after):
                    found += more
                assert found == [entry for entry in complete if entry.offset > after]


async def test_listed_in_the_order_of_names(world: Open, facts: Facts) -> None:
    """Although the service lists newest first, recordings are listed, and numbered, in the order of their names: a
    shell that goes by name and a `cp -r` that goes by inode number both read in order."""
    async with world() as tree:
        names = [name for name in await tree.names("recordings") if name.endswith(".mp3")]
        numbers = [tree.namespace.inodes.number(await tree.node(f"recordings/{name}")) for name in names]
        assert len(names) > 1
        assert names == sorted(names)
        assert numbers == sorted(numbers)


async def test_a_known_call_folder_waits_for_nothing(world: Open, facts: Facts) -> None:
    """Once the calls were listed, a call's folder opens without a request; before that, and where listings show WAVs as
    well, it is not taken for prepared."""
    async with world() as tree:
        call = await tree.node(facts.folder)
        assert not tree.namespace.is_prepared(call)
        await tree.names(f"campaigns/{facts.campaign}")
        before = tree.requests()
        assert tree.namespace.is_prepared(call)
        assert tree.requests() == before
    async with world(formats=("mp3", "wav")) as tree:
        await tree.names(f"campaigns/{facts.campaign}")
        assert not tree.namespace.is_prepared(await tree.node(facts.folder))


async def test_a_known_call_folder_starts_the_refresh_that_is_due(world: Open, facts: Facts) -> None:
    """Opening a call's folder is a look at the calls: after their time to live they are listed again in the
    background."""
    async with world(dir_ttl_seconds=0.0) as tree:
        await tree.names(f"campaigns/{facts.campaign}")
        call = await tree.node(facts.folder)
        listing = tree.listings.running("calls", facts.campaign)
        if listing is not None:
            await listing.wait_whole()
        assert tree.namespace.is_prepared(call)
        assert tree.listings.running("calls", facts.campaign) is not None
