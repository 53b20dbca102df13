"""campaigns/ and calls/ as people see them; every path of ids opens as well."""

from datetime import UTC, datetime

import pytest

from cffs.core.errors import RemoteObjectMissing
from cffs.standin.thread import StandinThread
from cffs.tree.nodes import Kind, Node
from cffs.tree.routes import FOLDERS
from tests.tree.sample_account import MISSING, Facts, Open, Serve, call_name, calls_of, folder_of, known, listed


async def test_a_campaign_shows_its_recordings_and_calls(world: Open, standin: StandinThread) -> None:
    """Each campaign is listed by its name. It holds its recordings under the names of by-date/, and the folders of its
    calls; each call's folder holds what the service says of it."""
    async with world() as tree:
        await known(tree)
        names = {row["id"]: row["name"] for row in standin.account.broadcast_rows()}
        assert len(await tree.names("campaigns")) == len(names)
        for campaign_id in names:
            folder = await folder_of(tree, campaign_id)
            mine = [(call, recordings) for call, recordings in calls_of(standin) if call["campaignId"] == campaign_id]
            flat = {f"{listed(call, one)}.mp3" for call, recordings in mine for one in recordings}
            always = {"campaign.json", "playlist.m3u8", "calls"}
            assert set(await tree.names(folder)) == always | flat
            assert set(await tree.names(f"{folder}/calls")) == {call_name(call) for call, _recordings in mine}
            for call, recordings in mine:
                shown = await tree.names(f"{folder}/calls/{call_name(call)}")
                assert len(shown) == 1 + 2 * len(recordings)
                assert shown[0] == "call.json"


async def test_every_path_made_of_ids_opens(world: Open, facts: Facts) -> None:
    """A call opens by its id and by its name, below its campaign's id and name and below calls/, before anything was
    listed; each way is a folder of its own, and each file in them is the same one."""
    call = facts.call
    async with world() as tree:
        by_id = f"campaigns/{facts.campaign}"
        folders = [f"{by_id}/{call}", f"{by_id}/calls/{call}", f"calls/{call}"]
        nodes = [await tree.node(path) for path in folders]
        await known(tree)
        by_name, name = await folder_of(tree, facts.campaign), (tree.catalog.call(call) or facts).listed  # type: ignore[union-attr]
        more = [f"{by_name}/{call}", f"{by_name}/calls/{call}", f"{by_name}/calls/{name}", f"{by_id}/calls/{name}"]
        more += [f"calls/{name[:7]}/{call}", f"calls/{name[:7]}/{name}"]
        nodes += [await tree.node(path) for path in more]
        number = tree.namespace.inodes.number
        assert len({number(node) for node in nodes}) == len(nodes)
        for inside in ("call.json", f"{facts.name}.mp3", f"{facts.name}.json", f"{facts.id}.mp3"):
            assert len({number(await tree.node(f"{path}/{inside}")) for path in (*folders, *more)}) == 1
        recording = await tree.node(f"recordings/{facts.id}.mp3")
        flat = (tree.catalog.recording(facts.id) or facts).listed  # type: ignore[union-attr]
        for path in (f"{by_id}/{facts.id}.mp3", f"{by_name}/{flat}.mp3", f"{by_id}/{flat}.mp3"):
            assert await tree.node(path) == recording
        before = tree.requests()
        for path in (f"{by_id}/{name}", f"calls/{name}", f"calls/1999-01/{call}", f"calls/1999-01/{name}"):
            with pytest.raises(MISSING):
                await tree.node(path)
        assert tree.requests() == before


async def test_a_name_on_a_fresh_mount(world: Open, facts: Facts, standin: StandinThread) -> None:
    """The name of a recording or call that was kept from an earlier mount opens at once in the next one, though nothing
    was listed: by the id in it, for one request an object."""
    call = standin.account.call_row(facts.call) or {}
    flat, name = f"{listed(call, facts.recording)}.mp3", call_name(call)
    async with world() as tree:
        await tree.node(f"campaigns/{facts.campaign}/calls/{name}")
        await tree.node(f"calls/{name[:7]}/{name}")
        assert tree.requests() == tree.requests("getCall|getCampaign") <= 2
    async with world(v1=False) as tree:
        before = tree.requests()
        await tree.node(f"campaigns/{facts.campaign}/{flat}")
        assert tree.requests() == before  # the row is there from the mount before
        with pytest.raises(RemoteObjectMissing):
            await tree.node(f"campaigns/{facts.campaign}/calls/x{name}")


async def test_a_recording_by_name_that_was_never_listed(world: Open, facts: Facts, standin: StandinThread) -> None:
    """The listed name of a recording opens in a new catalogue too, for two requests and not for every page there is."""
    call = standin.account.call_row(facts.call) or {}
    flat = f"{listed(call, facts.recording)}.mp3"
    async with world() as tree:
        await tree.node(f"campaigns/{facts.campaign}/{flat}")
        assert (tree.requests("getCallRecording"), tree.requests("getCall"), tree.requests()) == (1, 1, 2)
        await tree.node(f"by-date/{flat[:10].replace('-', '/')}/{flat}")
        with pytest.raises(RemoteObjectMissing):
            await tree.node(f"by-date/1999/01/01/{flat}")
        assert tree.requests() == 2


async def test_campaigns_of_odd_names(world: Open, facts: Facts, standin: StandinThread) -> None:
    """Campaigns whose names are equal, empty, an id, a date, or those of the tree's own folders have a folder each,
    which shows its own calls; by their ids they are found whatever their names are."""
    account = standin.account
    odd = ["twice", "twice", "", str(facts.campaign), "2024-06", "2024-06-01", "calls", "undated", "recordings", ".git"]
    odd += ["playlist.m3u8", "a/b", "x" * 300, "007"]
    for number, name in enumerate(odd, start=900):
        account.add_raw_broadcast({"id": number, "name": name, "lastModified": 1_700_000_000_000})
        account.add_call(campaignId=number)
    async with world() as tree:
        await known(tree)
        names = await tree.names("campaigns")
        assert len(set(names)) == len(names) == 3 + len(odd)
        folders = {(await tree.node(f"campaigns/{name}")).campaign_id: name for name in names}
        assert len(folders) == len(names)
        assert folders[900] == "twice ~900" or folders[901] == "twice ~901"
        for number in range(900, 900 + len(odd)):
            (call,) = await tree.names(f"campaigns/{folders[number]}/calls")
            assert await tree.names(f"campaigns/{number}/calls") == [call]
            assert not folders[number].isdecimal()
        mine = await tree.node(f"campaigns/{facts.campaign}")
        assert mine.campaign_id == facts.campaign


async def test_ids_instead(world: Open, facts: Facts, standin: StandinThread) -> None:
    """With `--names ids`: campaigns by id with the folders of their calls in them, every call in calls/, metadata in
    recordings/. Names for people open all the same, as the same files, and return with that mode."""
    async with world() as tree:
        await known(tree)
        people = await tree.walk()
    async with world(lists_ids=True) as tree:
        campaigns = await tree.names("campaigns")
        assert sorted(map(int, campaigns)) == sorted(row["id"] for row in standin.account.broadcast_rows())
        mine = [str(call["id"]) for call, _ in calls_of(standin) if call["campaignId"] == facts.campaign]
        shown = await tree.names(f"campaigns/{facts.campaign}")
        assert sorted(shown) == sorted(["campaign.json", "playlist.m3u8", *mine])
        assert sorted(await tree.names("calls")) == sorted(str(call["id"]) for call, _ in calls_of(standin))
        assert f"{facts.id}.json" in await tree.names("recordings")
        day = f"{datetime.fromtimestamp(facts.recording['created'] / 1000, tz=UTC):%Y/%m/%d}"
        assert f"{facts.id}.mp3" in await tree.names(f"by-date/{day}")
        for path, node in people.items():
            assert await tree.node(path) == node, path
        found = await tree.walk()
        assert {node for node in found.values() if node.kind is Kind.MP3} == {
            node for node in people.values() if node.kind is Kind.MP3
        }
    async with world() as tree:
        assert await tree.walk() == people
        for path, node in found.items():
            assert await tree.node(path) == node, path


async def test_numbers_survive_remounts(world: Open, served: Serve) -> None:
    """Every file and folder has one number in every mount, whatever was looked at first; each folder has one of its
    own."""
    standin = served(calls=60)
    numbers: list[dict[str, int]] = []
    for order in (("by-number", "campaigns", "calls"), ("calls", "media", "campaigns")):
        async with world(standin) as tree:
            for top in order:
                await tree.walk(top)
            await known(tree)
            found: dict[str, Node] = await tree.walk()
            numbers.append({path: tree.namespace.inodes.number(node) for path, node in found.items()})
            folders = [numbers[-1][path] for path, node in found.items() if node.kind in FOLDERS]
            assert len(set(folders)) == len(folders)
    assert numbers[0] == numbers[1]


async def test_flat_and_not_embedded(served: Serve, world: Open) -> None:
    """Where calls do not carry their recordings, a campaign's folder asks for those of its own calls, once."""
    standin = served(calls=30, embed_recordings=False)
    facts = Facts(standin)
    async with world(standin) as tree:
        mine = [call for call, _ in calls_of(standin) if call["campaignId"] == facts.campaign]
        names = await tree.names(f"campaigns/{facts.campaign}")
        assert sum(name.endswith(".mp3") for name in names) == 2 * len(mine)
        assert tree.requests("getCallRecordings") == len(mine)
        await tree.names(f"campaigns/{facts.campaign}")
        assert tree.requests("getCallRecordings") == len(mine)


async def test_seeds_alone(served: Serve, world: Open) -> None:
    """On an origin with the documents' operations alone, what was looked up is listed by the names that it has, and
    nothing looks broken."""
    standin = served(seed_only=True)
    facts = Facts(standin)
    async with world(standin) as tree:
        await tree.node(f"{facts.folder}/{facts.name}.mp3")
        await tree.node(f"{facts.folder}/{facts.file}.wav")
        names = await tree.names(f"campaigns/{facts.campaign}")
        made = datetime.fromtimestamp(facts.recording["created"] / 1000, tz=UTC)
        assert any(
            name.startswith(f"{made:%Y-%m-%d_%H.%M.%S}_unknown_") and f"{facts.id}.mp3" in name for name in names
        )
        assert await tree.names("campaigns") == [str(facts.campaign)]
        assert await tree.names(f"campaigns/{facts.campaign}/calls") == [str(facts.call)]
        assert await tree.names("calls") == ["undated"]
        assert await tree.names("calls/undated") == [str(facts.call)]
        await tree.walk()
