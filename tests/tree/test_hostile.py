"""Rows of the service that cannot be names: none hides another, none opens as something else."""

import tracemalloc
from typing import Any

import pytest

from cffs.core.errors import CffsError, MalformedAnswer
from cffs.core.json_values import decode
from cffs.standin.thread import StandinThread
from cffs.tree.nodes import Kind
from tests.tree.sample_account import Facts, Open, Serve, mp3_bytes

HOSTILE_IDS: tuple[Any, ...] = (None, "", "abc", -1, 0, 1.5, True, [], {}, 2**63, 10**30, "007", "-5", "1\0")
#: A folder that each listing fills.
LISTED_BY = {"findCalls": "recordings", "findCallBroadcasts": "campaigns", "findMedia": "media"}
HOSTILE_NAMES = (
    "",
    ".",
    "..",
    "../../etc/passwd",
    "a/b",
    "x" * 5000,
    "\ud800",
    "nul\0",
    "call",
    "-rf",
    "ü" * 400,
    "50%",
)


async def test_hostile_calls_hide_nobody(
    world: Open, standin: StandinThread, announced: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Calls and recordings with ids that are none, or names that no folder can hold, hide no other; every name listed
    opens and holds its own bytes; what is left out is counted in one warning."""
    announced += ["rows left out listing=calls count=", "list of recordings read in part"]
    call_id = standin.account.add_call(recordings=0, campaignId=5)
    for name in HOSTILE_NAMES:
        standin.account.add_recording(call_id, seconds=5, name=name)
        standin.account.add_recording(call_id, seconds=5, name=name)
    for bad in HOSTILE_IDS:
        standin.account.add_raw_recording(call_id, {"id": bad, "name": "bad"})
        standin.account.add_raw_call({"id": bad, "campaignId": 5, "records": "none"})
    standin.account.add_raw_call({"id": 77, "campaignId": "5", "records": [None, {"recordings": "x"}]})
    standin.faults.add("rows", kind="findCalls", change=lambda page: {**page, "items": [None, 3, "x", *page["items"]]})
    async with world() as tree:
        entries = await tree.entries(f"campaigns/5/{call_id}")
        mp3s = [entry for entry in entries if entry.node.kind is Kind.MP3]
        assert len(mp3s) == 2 * len(HOSTILE_NAMES)
        for entry in mp3s:
            path = f"campaigns/5/{call_id}/{entry.name}"
            assert await tree.data(path) == mp3_bytes(standin, entry.node.recording_id), path
        found = await tree.walk()
        assert sum(node.kind is Kind.LONE_CALL for node in found.values()) == 24 + 2
    assert [record.args for record in caplog.records if "left out" in record.msg] == [("calls", 3 + len(HOSTILE_IDS))]


#: Fields of a recording that no recording can have; each is shown by what is left of it.
SILLY_FIELDS: tuple[dict[str, Any], ...] = (
    {"created": 9 * 10**18},
    {"created": -(2**63)},
    {"created": "yesterday"},
    {"lengthInBytes": -(2**31), "lengthInSeconds": -1},
    {"lengthInBytes": 2**63, "lengthInSeconds": 2**63},
    {"state": "MELTING"},
    {"state": None},
    {"name": "\u202egnp.3pm"},
    {"name": None},
    {"name": ["a"]},
    {"hash": {"a": [{}]}},
)


async def test_silly_fields_hide_nobody(world: Open, standin: StandinThread) -> None:
    """Times of the year 285 million, negative sizes, a state unheard of, names that turn the text around: each such
    recording is listed, opens, and holds its own bytes."""
    call_id = standin.account.add_call(recordings=0, campaignId=5)
    idents = [standin.account.add_recording(call_id, seconds=5, name="n") for _ in SILLY_FIELDS]
    for ident, fields in zip(idents, SILLY_FIELDS, strict=True):
        standin.account.set_recording(ident, **fields)
    async with world() as tree:
        found = [entry for entry in await tree.entries(f"campaigns/5/{call_id}") if entry.name.endswith(".mp3")]
        entries = {entry.node.recording_id: entry for entry in found}
        for ident in idents:
            assert not set(entries[ident].name) & {"\u202e", "/", "\0"}
        for entry in await tree.entries(f"campaigns/5/{call_id}"):
            if entry.node.kind is Kind.MP3:
                path = f"campaigns/5/{call_id}/{entry.name}"
                assert await tree.data(path) == mp3_bytes(standin, entry.node.recording_id), path
        for view in ("by-date", "by-number"):
            assert await tree.walk(view)


@pytest.mark.parametrize("items", ["x", 5, {"id": 1}, True, [[]], [None] * 3, None], ids=str)
async def test_items_that_are_none(world: Open, standin: StandinThread, announced: list[str], items: Any) -> None:
    """A page whose `items` is no list, or a list of no records, ends the listing and harms nothing else."""
    announced += ["listing failed", "rows left out"]
    standin.faults.add("rows", kind="findCalls", change=lambda page: {**page, "items": items})
    async with world() as tree:
        try:
            assert await tree.names("recordings") == []
        except CffsError as failure:
            assert isinstance(failure, MalformedAnswer)  # noqa: PT017 - a list of no records is a list
        assert await tree.names("campaigns")
        assert await tree.names("media")


@pytest.mark.parametrize("kind", ["findCalls", "findCallBroadcasts", "findMedia", "getCall"])
async def test_a_bomb_is_not_unpacked(served: Serve, world: Open, announced: list[str], kind: str) -> None:
    """210 MB of JSON behind 200 KB of gzip are an error at once: nobody asked for gzip, and nothing is unpacked."""
    announced += ["listing failed", "not what was asked"]
    standin = served()
    facts = Facts(standin)
    standin.faults.add("bomb", kind=kind)
    async with world(standin, v1=False) as tree:
        tracemalloc.start()
        with pytest.raises(CffsError):
            await (tree.node(facts.folder) if kind == "getCall" else tree.names(LISTED_BY[kind]))
        _now, peak_nbytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_nbytes < 20e6


async def test_hostile_media_hide_nobody(world: Open, standin: StandinThread, announced: list[str]) -> None:
    """Media with ids, types, names or public URLs that cannot be are left out, or shown by what they have; every name
    that is listed opens."""
    announced.append("rows left out listing=media")
    library = standin.account.media
    bad_rows = [{"id": bad, "name": "bad", "mediaType": "image/png"} for bad in HOSTILE_IDS]
    standin.faults.add("rows", kind="findMedia", change=lambda page: {**page, "items": [*bad_rows, *page["items"]]})
    urls = ("x", "https://h/v2/media/public/..%2Fx.png", f"https://h/v2/media/public/{'ü' * 200}.png")
    urls += ("https://h/media/public/a b.png", "https://h/media/public/fine.pdf", "https://h/media/public/._x.png")
    for number, url in enumerate(urls, start=1):
        library.add_raw_media({"id": number, "name": "n", "mediaType": "weird/type", "publicUrl": url})
    async with world() as tree:
        found = await tree.walk("media")
        assert sum(path.startswith("media/by-name/") for path in found) >= 16
        assert sum(path.startswith("media/public/") for path in found) == 19 + 1  # fine.pdf
        for number in range(1, len(urls) + 1):
            assert f"media/{number}.json" in found


async def test_many_media_without_a_public_url(world: Open, standin: StandinThread) -> None:
    """A thousand rows that a view does not show do not end its listing."""
    for number in range(1, 1200):
        standin.account.media.add_raw_media({"id": number, "name": "n"})
    async with world() as tree:
        assert len(await tree.names("media/public")) == 19
        assert len(await tree.names("media/by-name")) == 20 + 1199


async def test_odd_spelling_of_a_public_type(world: Open, standin: StandinThread) -> None:
    """A public URL that ends in `.PNG` is listed in lower case, opens so, and is asked as the service spells it."""
    standin.account.media.add_raw_media({"id": 3, "name": "n", "publicUrl": "https://h/v2/media/public/odd.PNG"})
    async with world() as tree:
        assert "odd.png" in await tree.names("media/public")
        remote = await tree.remote("media/public/odd.png")
        assert [source.segments[-1] for source in remote.sources] == ["odd.PNG", "odd.png"]


async def test_hostile_numbers(world: Open, standin: StandinThread) -> None:
    """Verified numbers that can be no folder's name are left out; the others are listed and open."""
    standin.account.me.caller_ids += ["", "..", "1/2", "+1 213", "x" * 300, "*86"]
    async with world() as tree:
        names = await tree.names("me/callerids")
        assert names == [*standin.account.me.caller_ids[:3], "*86"]
        for name in names:
            await tree.node(f"me/callerids/{name}")


async def test_recording_named_call(world: Open, facts: Facts, standin: StandinThread) -> None:
    """`call.json` is ours; the recording called `call` opens by its name and is listed under one that is free."""
    ident = standin.account.add_recording(facts.call, seconds=5, name="call")
    async with world() as tree:
        assert await tree.data(f"{facts.folder}/call.mp3") == mp3_bytes(standin, ident)
        shown = decode(await tree.text(f"{facts.folder}/call.json"), what="call.json")
        assert isinstance(shown, dict)
        assert shown["id"] == facts.call
        assert f"call ~{ident}.mp3" in await tree.names(facts.folder)


async def test_recording_named_call_by_name(served: Serve, world: Open) -> None:
    """The same where only the two documents' operations are offered; a second lookup costs nothing."""
    standin = served(seed_only=True)
    facts = Facts(standin)
    ident = standin.account.add_recording(facts.call, seconds=5, name="call")
    async with world(standin) as tree:
        assert await tree.data(f"{facts.folder}/call.mp3") == mp3_bytes(standin, ident)
        before = tree.requests()
        await tree.node(f"{facts.folder}/call.mp3")
        await tree.node(f"{facts.folder}/call ~{ident}.mp3")
        assert tree.requests() == before
