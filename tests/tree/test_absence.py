"""What does not exist: missing, refused without a request, not offered, failing."""

import pytest
import trio

from cffs.catalog.capabilities import Family
from cffs.core.errors import (
    AccessRefused,
    CffsError,
    IsAFolder,
    NameTooLong,
    NotAFolder,
    NotInTree,
    OperationNotOffered,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.core.json_values import decode
from cffs.core.names import is_text
from cffs.standin.thread import StandinThread
from cffs.tree.inodes import ROOT
from cffs.tree.nodes import Kind
from cffs.tree.routes import FOLDERS
from tests.tree.sample_account import MISSING, VIEWS, Facts, Open, Serve


async def test_missing(world: Open, facts: Facts) -> None:
    """What the API does not have is missing, and is not asked for again for a while."""
    paths = (
        f"campaigns/{facts.campaign}/99",
        f"{facts.folder}/99.wav",
        f"{facts.folder}/no such name.mp3",
        f"{facts.folder}/no such name.json",
        "calls/99",
        "recordings/99.mp3",
        "recordings/99.wav",
        "recordings/99.json",
        "media/99",
        "media/99.png",
        "media/99.json",
        f"media/{facts.png}.wav",
        "media/public/nokey.png",
        "media/by-name/no such name.png",
        f"{facts.dynamic_folder}/nothing.wav",
        f"{facts.dynamic_folder}/nothing",
        "me/callerids/19995550100",
        "me/api/credentials/99.json",
        "me/billing/credit-usage/2024-02-30..2024-03-01.json",
        "me/billing/credit-usage/2024-03-02..2024-03-01.json",
        "nothing",
        ".cffs/config.toml",
    )
    async with world() as tree:
        for path in paths:
            with pytest.raises(MISSING):
                await tree.node(path)
        before = tree.requests()
        for path in paths:
            with pytest.raises(MISSING):
                await tree.node(path)
        assert tree.requests() == before


#: Bytes that are not UTF-8, alone and before each suffix that a folder looks for, and escapes of a lone surrogate.
NO_NAMES = tuple(
    name.decode("utf-8", "surrogateescape") + suffix
    for name in (b"\xff", b"a\xffb", b"\xed\xa0\x80", b"\xff" * 200, b"%ED%A0%80", b"88%ED%BF%BF", b"2025_\xff_88")
    for suffix in ("", ".mp3", ".wav", ".json", ".jpg")
)


async def test_names_that_are_no_text(world: Open, facts: Facts, announced: list[str]) -> None:
    """A name that is not UTF-8 is missing in every folder without a request; so is an escaped lone surrogate."""
    announced.append("no search name=")
    async with world() as tree:
        await tree.node(f"{facts.dynamic_folder}/{facts.dynamic.parts[4]}")
        found = await tree.walk()
        folders = {node.kind: node for node in found.values() if node.kind in FOLDERS}
        for path in ("search", "search/state=READY", "media/public", ".cffs"):
            node = await tree.node(path)
            folders[node.kind] = node
        assert {Kind.CALL, Kind.DAY, Kind.ONE_LABEL, Kind.MEDIA_BY_NAME, Kind.DYNAMIC_CAMPAIGN} <= folders.keys()
        before = tree.requests()
        for name in sorted(NO_NAMES, key=is_text):
            assert is_text(name) or tree.requests() == before
            for folder in folders.values():
                with pytest.raises(MISSING):
                    await tree.namespace.lookup(folder, name)


async def test_refused_without_a_question(world: Open, facts: Facts) -> None:
    """A file is no folder, a folder no file, and a name over 255 bytes is too long; none of it costs a request."""
    async with world() as tree:
        file = await tree.node(f"{facts.folder}/call.json")
        before = tree.requests()
        with pytest.raises(NotAFolder):
            await tree.namespace.lookup(file, "x")
        with pytest.raises(NotAFolder):
            tree.namespace.entries(file, after=0)
        with pytest.raises(IsAFolder):
            tree.namespace.content(ROOT)
        with pytest.raises(NameTooLong):
            await tree.namespace.lookup(ROOT, "ü" * 128)
        with pytest.raises(NotInTree):
            await tree.namespace.lookup(ROOT, "ü" * 127)
        assert tree.requests() == before


async def test_v2_alone_denies(world: Open, facts: Facts) -> None:
    """With v2 alone an unknown campaign is missing, and what only v1 has does not exist."""
    async with world(v1=False) as tree:
        for path in ("campaigns/99", "dynamic", f"{facts.folder}/{facts.id}.wav", f"recordings/{facts.id}.wav"):
            with pytest.raises(MISSING):
                await tree.node(path)
        assert await tree.names() == ["README.txt", "campaigns", "calls", "recordings", "media", "me", *VIEWS]


async def test_v1_alone(world: Open, facts: Facts) -> None:
    """With v1 alone any campaign opens, what was looked up is listed as WAVs, and what only v2 has does not exist."""
    async with world(v2=False) as tree:
        assert await tree.names() == ["README.txt", "campaigns", "recordings", "dynamic"]
        assert await tree.names("campaigns") == []
        await tree.node("campaigns/99")
        assert await tree.names("campaigns") == []  # a number that opens is not yet a campaign
        wavs = [f"{row['id']}.wav" for row in facts.recordings]
        assert await tree.names(facts.folder) == ["call.json", *wavs]
        assert await tree.names("campaigns") == [str(facts.campaign)]
        always = ["campaign.json", "playlist.m3u8", "calls"]
        assert await tree.names(f"campaigns/{facts.campaign}") == [*always, *wavs]
        assert await tree.names(f"campaigns/{facts.campaign}/calls") == [str(facts.call)]
        assert await tree.names(f"campaigns/{facts.campaign}/calls/{facts.call}") == ["call.json", *wavs]
        assert await tree.node(f"campaigns/{facts.campaign}/{wavs[0]}") == await tree.node(f"{facts.folder}/{wavs[0]}")
        assert await tree.names("recordings") == wavs
        shown = decode(await tree.text(f"{facts.folder}/call.json"), what="call.json")
        assert shown == {"id": facts.call, "campaignId": facts.campaign, "files": [r["id"] for r in facts.recordings]}
        for path in ("calls", "media", "me", f"{facts.folder}/{facts.name}.mp3", f"recordings/{facts.id}.mp3"):
            with pytest.raises(MISSING):
                await tree.node(path)


async def test_without_the_account_login(world: Open) -> None:
    """me/api is absent without the account holder's login, and no request is sent to find that out."""
    async with world(account_login=False) as tree:
        assert await tree.names("me") == ["account.json", "billing", "callerids"]
        with pytest.raises(NotInTree):
            await tree.node("me/api")
        assert tree.requests() == 0


async def test_call_of_another_campaign(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A call opens below its own campaign only; asking again costs nothing."""
    other = next(c for c in standin.account.shape.campaign_ids() if c != facts.campaign)
    async with world() as tree:
        for _ in range(2):
            for path in (f"campaigns/{other}/{facts.call}", f"campaigns/{other}/{facts.lone_call}"):
                with pytest.raises(RemoteObjectMissing):
                    await tree.node(path)
        assert tree.requests() == 4  # each call once of each API
        await tree.node(facts.folder)
        await tree.node(f"calls/{facts.lone_call}")
        assert tree.requests() == 4


@pytest.mark.parametrize("seed_only", [False, True])
async def test_files_stay_in_their_campaign(served: Serve, world: Open, seed_only: bool) -> None:
    """Where nothing can deny a call, its folder opens below another campaign too, but shows and opens none of its
    files."""
    standin = served(seed_only=seed_only)
    facts = Facts(standin)
    other = next(c for c in standin.account.shape.campaign_ids() if c != facts.campaign)
    async with world(standin, v2=seed_only) as tree:
        await tree.node(f"{facts.folder}/{facts.file}.wav")
        assert await tree.names(f"campaigns/{other}/{facts.call}") == ["call.json"]
        with pytest.raises(RemoteObjectMissing):
            await tree.node(f"campaigns/{other}/{facts.call}/{facts.file}.wav")
        if seed_only:
            await tree.node(f"{facts.folder}/{facts.name}.mp3")
            with pytest.raises(RemoteObjectMissing):
                await tree.node(f"campaigns/{other}/{facts.call}/{facts.name}.mp3")


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_listing_not_offered(world: Open, facts: Facts, standin: StandinThread, status: int) -> None:
    """A listing that answers 404, 405 or 501 is empty without an error, is asked for once, and marks its by-id forms
    missing: from then on they cost nothing, and a recording is asked for by name."""
    for path in ("/v2/calls$", "/v2/calls/broadcasts$", "/v2/media$"):
        standin.faults.add("status", path=path, code=status)
    async with world() as tree:
        for folder in ("campaigns", "calls", "recordings", f"campaigns/{facts.campaign}"):
            for _ in range(2):
                assert set(await tree.names(folder)) <= {"campaign.json", "playlist.m3u8", "calls"}
        assert set(await tree.names("media")) == {"by-name", "public"}
        assert tree.requests() == 3
        with pytest.raises(RemoteObjectMissing):
            await tree.node(f"recordings/{facts.id}.mp3")
        assert tree.requests() == 3
        await tree.node(f"{facts.folder}/{facts.name}.mp3")
        assert tree.requests("getCall|getCallRecordings|getCallRecording") == 0
        remote = await tree.remote(f"{facts.folder}/{facts.name}.mp3")
        assert [source.segments[-2] for source in remote.sources] == ["recordings"]
        assert len(remote.sources) == 1


async def test_found_out_by_id(served: Serve, world: Open) -> None:
    """A by-id form that is 404 is checked against its listing, once in a mount: only where there is one is the object
    missing."""
    standin = served(seed_only=True)
    facts = Facts(standin)
    async with world(standin) as tree:
        await tree.node(facts.folder)
        # v1 may have answered first; what v2's 404 means is asked in the background then
        while tree.account.capabilities.offers(Family.CALLS) is None:
            await trio.sleep(0.01)
        await tree.node(f"campaigns/{facts.campaign}/99")
        await tree.node("calls/98")
        assert tree.requests("unknown") == 2  # the call, and the listing of calls
    async with world(v1=False) as tree:
        with pytest.raises(RemoteObjectMissing):
            await tree.node("calls/99")
        with pytest.raises(RemoteObjectMissing):
            await tree.node("calls/98")
        assert tree.requests("findCalls") == 1


async def test_end_by_404(world: Open, standin: StandinThread) -> None:
    """A listing that answers 404 after its last page has ended; it is not taken for one that is not offered."""
    standin.faults.add("rows", path="/v2/calls$", change=lambda page: {**page, "totalCount": 100})
    standin.faults.add("absent", path="/v2/calls$", after=1)
    async with world() as tree:
        assert sum(name.endswith(".mp3") for name in await tree.names("recordings")) == 48
        assert tree.requests("findCalls") == 2
        assert sum(name.endswith(".mp3") for name in await tree.names("recordings")) == 48
        with pytest.raises(RemoteObjectMissing):
            await tree.node("recordings/99.mp3")
        assert tree.requests("getCallRecording") == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [("campaigns", "findCallBroadcasts"), ("calls", "findCalls"), ("recordings", "findCalls"), ("media", "findMedia")],
)
async def test_failing_first_listing_is_an_error(
    world: Open, standin: StandinThread, announced: list[str], path: str, kind: str
) -> None:
    """A first listing that fails is an error, not an empty folder, though some of its names always exist."""
    announced.append("listing failed")
    standin.faults.add("status", kind=kind, code=500)
    async with world(timeout_seconds=0.3) as tree:
        with pytest.raises(CffsError) as raised:
            await tree.names(path)
        assert not isinstance(raised.value, (*MISSING, OperationNotOffered))
    standin.faults.clear()
    async with world() as tree:
        complete = await tree.names(path)
        assert complete
    standin.faults.add("status", kind=kind, code=500)
    async with world(timeout_seconds=0.3) as tree:
        assert await tree.names(path) == complete  # listed before: what is known is shown


async def test_failing_call_is_an_error(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A call whose lists cannot be asked for is an error to list, not an empty call; once known it is shown."""
    async with world(v2=False, timeout_seconds=0.3) as tree:
        folder = await tree.node(facts.folder)
        complete = await tree.entries_of(folder)
        assert len(complete) == 3
    standin.faults.add("status", path="/list/", code=500)
    async with world(v2=False, timeout_seconds=0.3) as tree:
        assert await tree.entries_of(await tree.node(facts.folder)) == complete
        with pytest.raises(ServerFailure):
            await tree.node("campaigns/5/6")


async def test_by_name_of_a_failing_listing(world: Open, standin: StandinThread, announced: list[str]) -> None:
    """A name below by-name/ is not called missing while the listing that decides it cannot be asked for."""
    announced.append("listing failed")
    standin.faults.add("status", kind="findMedia", code=500)
    async with world(timeout_seconds=0.3) as tree:
        with pytest.raises(CffsError) as raised:
            await tree.node("media/by-name/Holiday logo.jpg")
        assert not isinstance(raised.value, MISSING)


async def test_dead_v2_leaves_v1(world: Open, facts: Facts, standin: StandinThread) -> None:
    """With v2's login refused, what v1 can answer opens; with v1's key refused, what v2 can answer does."""
    rule = standin.faults.add("status", path="^/v2/", code=401)
    async with world() as tree:
        await tree.node(f"{facts.folder}/{facts.file}.wav")
        with pytest.raises(AccessRefused):
            await tree.node(f"campaigns/{facts.campaign}/99")
    standin.faults.remove(rule)
    standin.faults.add("status", path="^/cloud/", code=401)
    async with world() as tree:
        await tree.node(f"{facts.folder}/{facts.name}.mp3")
        with pytest.raises(RemoteObjectMissing):
            await tree.node(f"campaigns/{facts.campaign}/99")
