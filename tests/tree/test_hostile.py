"""Rows that cannot be names: none hides another, none opens as something else."""

import tracemalloc
from typing import Any

import pytest

from cffs.core.errors import CffsError, MalformedAnswer
from cffs.standin.thread import StandinThread
from cffs.tree.nodes import Kind
from tests.tree.sample_account import HOSTILE_IDS, Facts, Open, Serve, mp3_bytes

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


async def test_hostile_calls_hide_no_others(
    world: Open, standin: StandinThread, announced: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Calls and recordings with ids that are none, or names that no folder can hold, hide no others. Every name that is
    listed opens and holds its own bytes; what is left out is counted in one warning."""
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


async def test_silly_fields_hide_no_others(world: Open, standin: StandinThread) -> None:
    """Times of the year 285 million, negative sizes, an unknown state, names that turn the text around: each such
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
    """210 MB of JSON in 200 KB of gzip are an error at once: gzip was not asked for, and nothing is unpacked."""
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


async def test_hostile_numbers(world: Open, standin: StandinThread) -> None:
    """Verified numbers that can be no folder's name are left out; the others are listed and open."""
    standin.account.me.caller_ids += ["", "..", "1/2", "+1 213", "x" * 300, "*86"]
    async with world() as tree:
        names = await tree.names("me/callerids")
        assert names == [*standin.account.me.caller_ids[:3], "*86"]
        for name in names:
            await tree.node(f"me/callerids/{name}")
