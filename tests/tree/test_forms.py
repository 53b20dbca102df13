"""Forms of recordings and dynamic names, hints, states; the account's documents."""

from typing import Any

import pytest

from cffs.core.errors import (
    RecordingBroken,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.standin.media_store import DynamicName
from cffs.standin.thread import StandinThread
from cffs.tree.contents import Document
from tests.tree.sample_account import Facts, Open, Serve, mp3_bytes


async def test_equal_names(world: Open, facts: Facts, standin: StandinThread) -> None:
    """Recordings of one name in a call are two files, each with its own bytes, and never asked by the shared name."""
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


async def test_dynamic_names(world: Open, standin: StandinThread) -> None:
    """`N` is remote N; `S.wav` is S.wav, then S; `S.mp3` is the MP3 of S.wav, then of S, then S.mp3 as it is; the
    first that answers is remembered and listed."""
    where = {"hash_code": "abcdefgh", "year": "2012", "month": "08", "campaign": "5"}
    for filename in ("a.wav", "b", "c.mp3", "d with blank & %.wav"):
        standin.account.media.add_dynamic(DynamicName(**where, filename=filename))
    folder = "dynamic/abcdefgh/2012/08/5"
    base = "/cloud/1/files/recording/dynamic/abcdefgh/2012/08/5"
    expected = {
        "a.wav": (f"{base}/a.wav", 1),
        "a.mp3": (f"{base}/a.wav/mp3", 1),
        "b": (f"{base}/b", 1),
        "b.wav": (f"{base}/b", 2),
        "b.mp3": (f"{base}/b/mp3", 2),
        "c.mp3": (f"{base}/c.mp3", 3),
        "d with blank & %25.wav": (f"{base}/d%20with%20blank%20%26%20%25.wav", 1),
    }
    async with world() as tree:
        for name, (origin, tries) in expected.items():
            before = tree.requests()
            await tree.node(f"{folder}/{name}")
            assert tree.requests() - before == tries, name
            assert tree.standin.requests[-1].path == origin
            found = standin.account.object_for(origin)
            assert found is not None
            assert await tree.data(f"{folder}/{name}") == found.read()
        assert set(await tree.names(folder)) == set(expected)
        assert await tree.names("dynamic/abcdefgh/2012") == ["08"]
        await tree.node("dynamic/abcdefgh/2012/8/5")
        with pytest.raises(RemoteObjectMissing):
            await tree.node("dynamic/abcdefgh/2012/8/5/a.wav")  # months are kept as spelt
    async with world() as tree:
        before = tree.requests()
        assert set(await tree.walk("dynamic")) >= {f"{folder}/{name}" for name in expected}
        assert tree.requests() == before


async def test_documents_kept(world: Open, standin: StandinThread) -> None:
    """The account's documents are asked once within the listing's time, and shown again when the service fails, also
    in the next mount."""
    paths = ("me/account.json", "me/billing/plan-usage.json", "me/billing/credit-usage.json")
    async with world() as tree:
        shown = {path: await tree.text(path) for path in paths}
        numbers = await tree.names("me/callerids")
        for _ in range(3):
            assert {path: await tree.text(path) for path in paths} == shown
        assert tree.requests() == 4
    standin.faults.add("status", path="/v2/me", code=500)
    async with world(timeout_seconds=0.15) as tree:
        assert {path: await tree.text(path) for path in paths} == shown
        assert await tree.names("me/callerids") == numbers
        with pytest.raises(ServerFailure):
            await tree.text("me/billing/credit-usage/2024-05.json")


async def test_gone_is_not_shown_again(world: Open, facts: Facts, standin: StandinThread) -> None:
    """What the service says it does not have any more is not shown from memory."""
    path = f"me/api/credentials/{facts.credential}.json"
    async with world() as tree:
        await tree.text(path)
    async with world() as tree:
        node = await tree.node(path)
        standin.account.me.delete_credential(facts.credential)
        content = tree.namespace.content(node)
        assert isinstance(content, Document)
        with pytest.raises(RemoteObjectMissing):
            await tree.namespace.load(content)


async def test_no_password_is_kept(world: Open, facts: Facts, standin: StandinThread, tmp_path: Any) -> None:
    """A credential's password, should the service ever send it in clear, is neither shown nor kept on disk."""
    standin.faults.add("rows", kind="getApiCredential", change=lambda row: {**row, "password": "CANARYPASSWORD"})
    async with world() as tree:
        text = await tree.text(f"me/api/credentials/{facts.credential}.json")
        assert b"CANARY" not in text
        assert b'"password": "****' in text
        assert not any(b"CANARY" in file.read_bytes() for file in tmp_path.iterdir())
