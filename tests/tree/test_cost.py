"""How many requests the tree costs: lookups, walks, listings, probed names."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from cffs.catalog.listing_sync import MOST_CALLS
from cffs.core.errors import ServerFailure
from cffs.core.names import encode_name
from cffs.tree.inodes import ROOT
from cffs.tree.nodes import Kind
from tests.tree.sample_account import MISSING, Facts, Open, Serve, folder_paths


async def test_cold_chain(world: Open, facts: Facts) -> None:
    """`campaigns/5/7/88.wav` on a cold mount: one request to each API, at the same time, and none before them; then at
    most the first piece of the file itself, where v1's list had not named it yet."""
    async with world() as tree:
        await tree.node(f"campaigns/{facts.campaign}")
        assert tree.requests() == 0
        tree.standin.link.latency_seconds = 0.2
        await tree.node(f"{facts.folder}/{facts.file}.wav")
        one, two, *more = sorted(tree.standin.requests, key=lambda record: record.started_at)
        assert {one.kind, two.kind} == {"getCall", "listRecordings"}
        assert [record.path.rpartition("/")[2] for record in more] in ([], [str(facts.file)])
        assert two.started_at - one.started_at < 0.2  # the second was not kept until the first was answered
        await tree.node(f"{facts.folder}/{facts.file}.wav")
        assert tree.requests() == 2 + len(more)


@pytest.mark.parametrize(("v1", "v2", "requests"), [(True, False, 1), (False, True, 2)], ids=["v1", "v2"])
async def test_cold_chain_of_one_api(world: Open, facts: Facts, v1: bool, v2: bool, requests: int) -> None:
    """With one API alone, a cold path costs its list (v1), or the campaign and the call with its recordings (v2)."""
    async with world(v1=v1, v2=v2) as tree:
        await tree.node(f"{facts.folder}/{facts.file}.wav" if v1 else f"{facts.folder}/{facts.name}.mp3")
        assert tree.requests() == requests


JUNK = (
    ".hidden",
    ".directory",
    ".Trash",
    ".Trash-1000",
    "autorun.inf",
    "desktop.ini",
    "Thumbs.db",
    ".git",
    "folder.jpg",
)


async def test_junk_costs_nothing(world: Open, facts: Facts) -> None:
    """Names that file managers probe by habit cost no request in any folder."""
    async with world() as tree:
        folders = [await tree.node(path) for path in folder_paths(facts, v1=True, v2=True)]
        before = tree.requests()
        for folder in (ROOT, *folders):
            for name in (*JUNK, "folder.jpg", ".xdg-volume-info", "x.idx"):
                with pytest.raises(MISSING):
                    await tree.namespace.lookup(folder, name)
        assert tree.requests() == before


async def test_walk_of_a_hundred_calls(served: Serve, world: Open) -> None:
    """`find` over 100 calls and their recordings costs the pages of the listings, and no request for a folder or file;
    a second one costs nothing, nor does the next mount's within the listing's time to live."""
    standin = served(calls=100, recordings_per_call=2)
    async with world(standin) as tree:
        first = {path: await tree.walk(path) for path in ("campaigns", "calls", "recordings")}
        assert sum(node.kind is Kind.MP3 for node in first["recordings"].values()) == 200
        assert tree.requests() <= 3
        before = tree.requests()
        assert {path: await tree.walk(path) for path in ("campaigns", "calls", "recordings")} == first
        assert tree.requests() == before
    async with world(standin) as tree:
        before = tree.requests()
        assert {path: await tree.walk(path) for path in ("campaigns", "calls", "recordings")} == first
        assert tree.requests() == before


@pytest.mark.parametrize("options", [{}, {"max_limit": 100}, {"max_limit": 100, "over_limit": "cap"}], ids=str)
async def test_many_calls(served: Serve, world: Open, options: dict[str, Any]) -> None:
    """2,000 calls are listed in three requests where 1000 a page are taken, else in 21 to 22; all of them are there."""
    standin = served(calls=2000, recordings_per_call=1, **options)
    async with world(standin) as tree:
        listed = {name.removesuffix(".mp3") for name in await tree.names("recordings") if name.endswith(".mp3")}
        assert len(listed) == 2000
        assert tree.requests() <= (5 if not options else 22)


@pytest.mark.parametrize(
    "options", [{"echo_paging": False, "know_total": False, "max_limit": 100, "over_limit": "cap"}]
)
async def test_silent_cap(served: Serve, world: Open, options: dict[str, Any]) -> None:
    """An origin that cuts pages without saying so (no echo, no total) still has all its calls listed."""
    silent = {"echo_paging": False, "know_total": False, "max_limit": 100, "over_limit": "cap"}
    async with world(served(calls=450, recordings_per_call=1, **silent)) as tree:
        assert sum(name.endswith(".mp3") for name in await tree.names("recordings")) == 450


class Overtaken:
    """An account whose requests wait for their turn until another's answer has come."""

    def __init__(self, answer: Callable[[], object]) -> None:
        self._answer = answer

    async def ask_anything(self, _key: object, _api: object, question: Callable[[], Awaitable[None]], **_: Any) -> None:
        """Wait for the other answer, then ask."""
        self._answer()
        await question()


async def test_an_answer_that_came_meanwhile_is_not_asked_for(world: Open, facts: Facts) -> None:
    """A size that a neighbour's request brought while this one waited for its turn costs no second request."""
    async with world() as tree:
        remote = await tree.remote(f"recordings/{facts.id}.mp3")

        def learn() -> None:
            source = remote.sources[0].key
            tree.catalog.learn(object_key=remote.key, source=source, nbytes=9, validator=None, modified_ns=None)

        before = tree.requests()
        account: Any = Overtaken(learn)
        await replace(tree.namespace._context, account=account).require_remote(remote)
        assert tree.requests() == before


async def test_not_embedded_is_listed_all_the_same(served: Serve, world: Open) -> None:
    """Where calls do not carry their recordings, recordings/ and the views ask for each call's, once, and show them."""
    async with world(served(calls=12, embed_recordings=False)) as tree:
        assert sum(node.kind is Kind.MP3 for node in (await tree.walk("by-date")).values()) == 24
        assert tree.requests("getCallRecordings") == 12
        before = tree.requests()
        assert sum(name.endswith(".mp3") for name in await tree.names("recordings")) == 24
        assert {node.kind for node in (await tree.walk("by-number")).values()} >= {Kind.MP3}
        assert tree.requests() == before


async def test_not_embedded_asks_of_so_many_at_most(served: Serve, world: Open, announced: list[str]) -> None:
    """With more such calls than one listing may ask about, the newest are asked for, and one log line says so."""
    standin = served(calls=MOST_CALLS + 30, recordings_per_call=1, embed_recordings=False)
    async with world(standin) as tree:
        announced.append("newest")
        assert sum(name.endswith(".mp3") for name in await tree.names("recordings")) == MOST_CALLS
        assert tree.requests("getCallRecordings") == MOST_CALLS


async def test_not_embedded_and_broken(served: Serve, world: Open, announced: list[str]) -> None:
    """A failure half-way ends the listing with its error, though recordings came before it."""
    standin = served(calls=40, recordings_per_call=1, embed_recordings=False)
    announced += ["listing failed"]
    standin.faults.add("status", kind="getCallRecordings", after=20, code=500)
    async with world(standin) as tree:
        with pytest.raises(ServerFailure):
            await tree.names("recordings")
        assert tree.catalog.counts()["recordings"] > 0
        assert tree.requests("getCallRecordings") < 40 * 2


async def test_not_embedded(served: Serve, world: Open) -> None:
    """Where calls do not carry their recordings, each call's own list is asked for, once."""
    async with world(served(calls=6, embed_recordings=False)) as tree:
        found = await tree.walk("campaigns")
        found |= await tree.walk("calls")
        assert len({node for node in found.values() if node.kind is Kind.MP3}) == 12
        assert tree.requests("getCallRecordings") == 6
        before = tree.requests()
        await tree.walk("campaigns")
        assert tree.requests() == before


async def test_one_call_of_a_million(served: Serve, world: Open) -> None:
    """A lookup of one call, in a campaign of a million calls that was never listed, costs one request to each API and
    no page; so does everything in its folder, except for the first piece of the file that was named."""
    standin = served(calls=1_000_000, recordings_per_call=1, campaigns=1)
    call_id = standin.account.call_ids()[777_777]
    row = standin.account.call_row(call_id)
    assert row is not None
    async with world(standin) as tree:
        path = f"campaigns/{row['campaignId']}/{call_id}"
        await tree.node(path)
        (name,) = (row["name"] for row in standin.account.recording_rows(call_id) or [])
        await tree.node(f"{path}/{encode_name(name)}.mp3")
        await tree.text(f"{path}/call.json")
        assert tree.requests("getCall") == tree.requests("listRecordings") == 1
        pieces = [record for record in standin.requests if record.range is not None]
        assert len(pieces) <= 1
        assert tree.requests() == 2 + len(pieces)
        await tree.names(path)
        assert tree.requests() <= 3 + len(pieces)
