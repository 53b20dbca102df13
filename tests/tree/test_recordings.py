"""The audio in a call's folder, and in recordings/."""

from pathlib import Path

from cffs.catalog.url_finder import FoundFile
from cffs.core.json_values import decode
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import Facts, Open, Serve, imported, mp3_bytes


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
    """A recording named `call` opens by its name where only the documents' operations are offered; a second lookup
    costs nothing."""
    standin = served(seed_only=True)
    facts = Facts(standin)
    ident = standin.account.add_recording(facts.call, seconds=5, name="call")
    async with world(standin) as tree:
        assert await tree.data(f"{facts.folder}/call.mp3") == mp3_bytes(standin, ident)
        before = tree.requests()
        await tree.node(f"{facts.folder}/call.mp3")
        await tree.node(f"{facts.folder}/call ~{ident}.mp3")
        assert tree.requests() == before


async def test_file_opens_where_it_belongs(world: Open, facts: Facts, tmp_path: Path, standin: StandinThread) -> None:
    """An imported file id is listed in recordings/, and its call's folder, which no import names, still has it."""
    async with world(v2=False) as tree:
        imported(tmp_path, FoundFile(facts.file))
        assert await tree.names("recordings") == [f"{facts.file}.wav"]
        assert tree.requests() == 0
        node = await tree.node(f"recordings/{facts.file}.wav")
        assert await tree.node(f"{facts.folder}/{facts.file}.wav") == node
        assert f"{facts.file}.wav" in await tree.names(facts.folder)
        assert tree.requests() == 1
        assert len(await tree.names("recordings")) == len(facts.recordings)
    assert standin.requests
