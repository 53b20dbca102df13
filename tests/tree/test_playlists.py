"""playlist.m3u8: what it holds, where it is, what it costs, its size and time."""

from posixpath import normpath

import pytest
import trio

from cffs.standin.thread import StandinThread
from cffs.tree.contents import Document
from cffs.tree.inodes import ROOT, identity
from cffs.tree.nodes import Kind, Mp3Node
from tests.tree.sample_account import Facts, Open, Serve
from tests.tree.world import World


async def played(tree: World, folder: str) -> list[str]:
    """The paths that a playlist leads to, from the root."""
    first, *lines, last = (await tree.text(f"{folder}/playlist.m3u8")).decode("utf-8", "strict").split("\n")
    assert (first, last) == ("#EXTM3U", "")
    return [normpath(f"{folder}/{line}") for line in lines if not line.startswith("#")]


#: Names that playlists, URLs or shells do not read as they stand.
HOSTILE = (
    "a b#c?.mp3", "100%", "é", "..", "x" * 400, "new\nline", "#1 first", " before", "behind ", "Caller: Bob", "http:x",
    "C:", "back\\slash", "a/b", "~", "[x]", "<x>", "&amp;", "\u2028", "\u3000wide", "EXTM3U", "日本",
)  # fmt: skip


@pytest.fixture
def plain(served: Serve) -> StandinThread:
    """An account with hostile recording names."""
    standin = served(calls=12)
    for name in HOSTILE:
        standin.account.add_recording(Facts(standin).call, seconds=7, name=name)
    return standin


async def folders_of(tree: World, facts: Facts) -> list[str]:
    """One folder of audio of each kind."""
    label = (await tree.names("by-label"))[0]
    number = (await tree.names("by-number"))[0]
    campaign = tree.catalog.campaign(facts.campaign)
    call = tree.catalog.call(facts.call)
    assert campaign is not None
    assert call is not None
    return [
        f"campaigns/{facts.campaign}",
        facts.folder,
        f"calls/{facts.call}",
        "recordings",
        f"by-number/{number}",
        f"by-label/{label}",
        "by-date/2024/06/01",
        f"campaigns/{campaign.folder}",
        f"campaigns/{campaign.folder}/calls/{call.listed}",
        "search/min-seconds=1",
    ]


async def test_every_item_opens(world: Open, plain: StandinThread) -> None:
    """In every folder of audio each item of the playlist is a file that opens, each recording of the folder is in it
    once, and none of it costs a request; the playlist is listed in a campaign's folder only."""
    facts = Facts(plain)
    async with world(plain) as tree:
        await tree.names("recordings")
        await tree.names("campaigns")
        folders = await folders_of(tree, facts)
        before = tree.requests()
        for folder in folders:
            text = (await tree.text(f"{folder}/playlist.m3u8")).decode()
            paths = await played(tree, folder)
            nodes = [await tree.node(path) for path in paths]
            below = [entry.node for entry in await tree.entries(folder) if entry.node.kind is Kind.MP3]
            assert sorted(identity(node) for node in nodes) == sorted({identity(node) for node in below}), folder
            assert ("playlist.m3u8" in await tree.names(folder)) == (folder in folders[:1] + folders[7:8])
            assert text.count("#EXTINF:") == len(paths)
        assert tree.requests() == before


async def test_lines_are_the_names(world: Open, plain: StandinThread) -> None:
    """A line is the very name that the folder shows, after `./` where a player would take it for a comment, cut a blank
    off its beginning or take it for a URL, and only there."""
    facts = Facts(plain)
    async with world(plain) as tree:
        shown = [entry.name for entry in await tree.entries(facts.folder) if entry.node.kind is Kind.MP3]
        text = (await tree.text(f"{facts.folder}/playlist.m3u8")).decode()
        lines = [line for line in text.split("\n")[1:-1] if not line.startswith("#")]
        assert sorted(line.removeprefix("./") for line in lines) == sorted(shown)
        for line in lines:
            name = line.removeprefix("./")
            assert line.startswith("./") == (name[0] in "# \u2028\u3000" or ":" in name)
        assert {"./#1 first.mp3", "./Caller: Bob.mp3", "./ before.mp3", "back\\slash.mp3", "100%25.mp3"} <= set(lines)


async def test_oldest_first_with_seconds(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A campaign's recordings come newest last, each with its seconds and a title of one line."""
    async with world() as tree:
        await tree.names("recordings")
        lines = (await tree.text(f"campaigns/{facts.campaign}/playlist.m3u8")).decode().splitlines()[1:]
        rows = [
            tree.catalog.recording((await tree.node(f"campaigns/{facts.campaign}/{p}")).recording_id)
            for p in lines[1::2]
        ]
        times = [row.created_ms for row in rows if row and row.created_ms]
        assert times == sorted(times)
        assert len(times) == len(lines) // 2
        assert [line.partition(",")[0] for line in lines[::2]] == [f"#EXTINF:{row.seconds}" for row in rows if row]


async def test_as_old_as_its_folder(world: Open, facts: Facts) -> None:
    """A playlist has the time of its folder, whenever it is asked for."""
    async with world() as tree:
        await tree.names("recordings")
        for folder in (facts.folder, f"campaigns/{facts.campaign}", "recordings", "by-date/2024/06/01"):
            content = tree.namespace.content(await tree.node(f"{folder}/playlist.m3u8"))
            assert isinstance(content, Document)
            assert content.modified_ms is not None
            assert content.modified_ms * 10**6 == (await tree.describe(folder)).modified_ns


async def test_rendered_again_only_after_a_change(world: Open, facts: Facts) -> None:
    """A campaign's playlist has the very same bytes until something is written to the catalogue, and is true after
    that."""
    async with world() as tree:
        await tree.names("recordings")
        path = f"campaigns/{facts.campaign}/playlist.m3u8"
        first = await tree.text(path)
        assert await tree.text(path) is first
        await tree.catalog.write(lambda db: None)
        assert await tree.text(path) == first
        await tree.catalog.write(lambda db: db.execute("UPDATE recordings SET seconds = 86399") and None)
        changed = await tree.text(path)
        assert changed.count(b"#EXTINF:86399,") == first.count(b"#EXTINF:") > 0


async def test_one_node_however_it_is_spelt(world: Open, facts: Facts) -> None:
    """The playlist of a campaign is the same file by the campaign's id and by its name."""
    async with world() as tree:
        names = {(await tree.node(f"campaigns/{name}")).campaign_id: name for name in await tree.names("campaigns")}
        here = await tree.node(f"campaigns/{facts.campaign}/playlist.m3u8")
        there = await tree.node(f"campaigns/{names[facts.campaign]}/playlist.m3u8")
        assert here == there
        assert tree.namespace.inodes.number(here) == tree.namespace.inodes.number(there)


async def test_dynamic_and_v1(world: Open, facts: Facts) -> None:
    """With v1 alone a call's WAVs are played, and so are dynamic recordings that are known; a campaign of which nothing
    is known has an empty playlist."""
    async with world(v2=False) as tree:
        await tree.names(facts.folder)
        assert len(await played(tree, facts.folder)) == len(facts.recordings)
        await tree.node(f"{facts.dynamic_folder}/{facts.dynamic.filename}")
        assert len(await played(tree, facts.dynamic_folder)) == 1
        assert await played(tree, "campaigns/99") == []
        assert ROOT.kind is Kind.ROOT


async def test_made_again_when_all_is_known(world: Open, served: Serve) -> None:
    """A campaign's playlist that was asked for while its calls are first listed is whole and at hand when they are,
    without another request for it."""
    standin = served(calls=3000, campaigns=1)
    async with world(standin) as tree:
        (campaign,) = standin.account.shape.campaign_ids()
        folder = await tree.node(f"campaigns/{campaign}")
        path = f"campaigns/{campaign}/playlist.m3u8"
        await tree.namespace.prepare(folder)
        await tree.text(path)
        listing = tree.listings.running("recordings", int(campaign))
        assert listing is not None
        await listing.wait_whole()
        with trio.fail_after(10):
            while (content := tree.namespace.content(await tree.node(path))).nbytes is None:  # type: ignore[union-attr]
                await trio.lowlevel.checkpoint()
        assert isinstance(content, Document)
        assert len(await tree.text(path)) == content.nbytes > 3000
        assert (await tree.text(path)).count(b"#EXTINF:") == tree.catalog.counts()["recordings"] - await _lone(tree)


async def _lone(tree: World) -> int:
    """Recordings of calls that belong to no campaign."""
    found = {node.recording_id for node in (await tree.walk("calls")).values() if isinstance(node, Mp3Node)}
    return sum(not (tree.catalog.recording(int(ident)) or found).campaign_id for ident in found)  # type: ignore[union-attr]
