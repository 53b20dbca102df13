"""Content of recordings: forms, equal names, states, and size hints."""

from typing import Any

import pytest

from cffs.core.errors import (
    RecordingBroken,
)
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import Facts, Open, Serve, mp3_bytes


async def test_equal_names(world: Open, facts: Facts, standin: StandinThread) -> None:
    """Recordings of one name in a call are two files, each with its own bytes, and never asked for by the shared
    name."""
    ident = standin.account.add_recording(facts.call, seconds=9, name=facts.name)
    async with world() as tree:
        names = await tree.names(facts.folder)
        assert f"{facts.name}.mp3" in names
        assert f"{facts.name} ~{ident}.mp3" in names
        assert await tree.data(f"{facts.folder}/{facts.name}.mp3") == mp3_bytes(standin, facts.id)
        assert await tree.data(f"{facts.folder}/{facts.name} ~{ident}.mp3") == mp3_bytes(standin, ident)
        for stem in (facts.name, f"{facts.name} ~{ident}"):
            remote = await tree.remote(f"{facts.folder}/{stem}.mp3")
            assert [source.segments[1] for source in remote.sources] == ["recordings"]


@pytest.mark.parametrize(
    ("formats", "extensions"),
    [((), {"mp3"}), (("mp3",), {"mp3"}), (("wav",), {"wav"}), (("mp3", "wav"), {"mp3", "wav"})],
)
async def test_forms_listed(world: Open, facts: Facts, formats: tuple[str, ...], extensions: set[str]) -> None:
    """Listings show the forms asked for (auto: MP3 where v2 lists), lookup finds every form."""
    async with world(formats=formats) as tree:
        names = await tree.names(facts.folder)
        assert {name.rpartition(".")[2] for name in names} - {"json"} == extensions
        await tree.node(f"{facts.folder}/{facts.name}.mp3")
        await tree.node(f"{facts.folder}/{facts.file}.wav")


async def test_state(world: Open, facts: Facts, standin: StandinThread) -> None:
    """A recording in state ERROR cannot be opened, one in state RECORDING is shown as volatile, both are listed."""
    first, second = (row["id"] for row in facts.recordings)
    standin.account.set_recording(first, state="ERROR")
    standin.account.set_recording(second, state="RECORDING")
    async with world() as tree:
        assert len(await tree.names(facts.folder)) == 5
        with pytest.raises(RecordingBroken):
            tree.namespace.require_readable(await tree.remote(f"recordings/{first}.mp3"))
        tree.namespace.require_readable(await tree.remote(f"recordings/{second}.mp3"))
        assert (await tree.describe(f"recordings/{second}.mp3")).is_volatile


@pytest.mark.parametrize("told", ["mp3", "wav", None])
async def test_hints(served: Serve, world: Open, told: str | None) -> None:
    """Before the first open a hint is shown for the form that it measures only; afterwards the exact size."""
    standin = served()
    standin.account.length_measures = told
    facts = Facts(standin)
    async with world(standin, formats=("mp3", "wav")) as tree:
        await tree.names(facts.folder)
        for form, path in (("mp3", f"recordings/{facts.id}.mp3"), ("wav", f"recordings/{facts.file}.wav")):
            described = await tree.describe(path)
            assert (described.nbytes is not None) == (form == told), path
            assert not described.is_exact
            before = tree.requests()
            await tree.namespace.measure(await tree.remote(path))
            await tree.namespace.measure(await tree.remote(path))
            assert tree.requests() == before + 1
            described = await tree.describe(path)
            assert described.is_exact
            assert described.nbytes == len(await tree.data(path))
    async with world(standin) as tree:  # remembered for good
        described = await tree.describe(f"recordings/{facts.id}.mp3")
        assert described.is_exact


@pytest.mark.parametrize("hint", [-1, 0, 2**41, "many", 1.5, None])
async def test_useless_hints(world: Open, facts: Facts, standin: StandinThread, hint: Any) -> None:
    """A hint that is negative, zero, absurd or no number is none."""
    standin.account.set_recording(facts.id, lengthInBytes=hint)
    async with world() as tree:
        await tree.names("recordings")
        assert (await tree.describe(f"recordings/{facts.id}.mp3")).nbytes is None
