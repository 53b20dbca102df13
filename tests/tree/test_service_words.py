"""Unusual answers of the service are read: v1's entries, one object's 405."""

from typing import Any

import pytest

from cffs.core.errors import MalformedAnswer, ObjectRefused
from cffs.standin.fault_effects_answers import SPELLINGS
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import MISSING, Facts, Open, mp3_bytes


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "unreadable"])
async def test_v1s_entries_in_any_spelling(world: Open, standin: StandinThread, facts: Facts, spelling: str) -> None:
    """Every file of the call is listed and has its true bytes, and no other host is asked for anything."""
    standin.faults.add("entries", spelling=spelling)
    async with world(v2=False) as tree:
        names = await tree.names(facts.folder)
        assert {f"{row['id']}.wav" for row in facts.recordings} <= set(names)
        path = f"/cloud/1/files/recording/{facts.file}"
        assert await tree.data(f"{facts.folder}/{facts.file}.wav") == facts.true_bytes(path, standin)


async def test_entries_that_nothing_reads_are_an_error(world: Open, standin: StandinThread, facts: Facts) -> None:
    """Entries that cannot be read are an error, never an empty folder."""
    standin.faults.add("entries", spelling="unreadable")
    async with world(v2=False) as tree:
        with pytest.raises(MalformedAnswer):
            await tree.names(facts.folder)


async def test_entries_of_which_some_are_read_are_warned_about_once(
    world: Open, standin: StandinThread, facts: Facts, announced: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What can be read is listed, what cannot is counted in one line."""
    announced.append("list of recordings read in part")
    entries = [f"https://x/files/recording/{facts.file}", "https://x/y", "nonsense"]
    standin.faults.add("entries", spelling="value")
    standin.faults.add("rows", kind="listRecordings", change=lambda _: {"successful": True, "recording": entries})
    async with world(v2=False) as tree:
        for _look in range(2):
            assert f"{facts.file}.wav" in await tree.names(facts.folder)
    assert [record.args for record in caplog.records if "read in part" in record.msg] == [(facts.call, 1, 2)]


@pytest.mark.parametrize("code", [405, 501])
async def test_one_objects_405_is_an_error(world: Open, standin: StandinThread, facts: Facts, code: int) -> None:
    """The name is not missing: it exists, and cannot be had; its neighbours are not affected."""
    other = facts.recordings[1]["id"]
    standin.faults.add("status", code=code, path=rf"/(recordings/{facts.id}(\.mp3)?|{facts.file})$")
    async with world() as tree:
        for path in (f"recordings/{facts.id}.mp3", f"recordings/{facts.id}.json", f"recordings/{facts.id}.wav"):
            with pytest.raises(ObjectRefused):
                await tree.data(path) if not path.endswith("json") else await tree.text(path)
        assert await tree.data(f"recordings/{other}.mp3") == mp3_bytes(standin, other)


async def test_operations_that_only_ever_answer_405_are_not_offered(served: Any, world: Open) -> None:
    """Where by-id forms and listings are 405, a recording is fetched by its name, and a number does not exist."""
    standin = served()
    facts = Facts(standin)
    standin.faults.add(
        "status", code=405, kind="findCalls|getCall|getCallRecordings|getCallRecording|getCallRecordingMp3"
    )
    async with world(standin, v1=False) as tree:
        assert await tree.data(f"{facts.folder}/{facts.name}.mp3") == mp3_bytes(standin, facts.id)
        with pytest.raises(MISSING):
            await tree.node(f"recordings/{facts.recordings[1]['id'] + 1}.json")
