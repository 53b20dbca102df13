"""dynamic/: which remote names a local name stands for, and what is listed."""

from pathlib import Path

import pytest

from cffs.catalog.rows import DynamicRow
from cffs.core.errors import (
    RemoteObjectMissing,
)
from cffs.standin.media_store import DynamicName
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import Facts, Open, imported


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


async def test_dynamic_is_listed(world: Open, facts: Facts, tmp_path: Path) -> None:
    """An imported dynamic recording is listed by a running mount, costs no request to list, and has the true bytes."""
    async with world() as tree:
        assert await tree.names("dynamic") == []
        imported(tmp_path, DynamicRow(0, *facts.dynamic.parts))
        found = await tree.walk("dynamic")
        assert f"{facts.dynamic_folder}/{facts.dynamic.filename}" in found
        assert tree.requests() == 0
        path = f"/cloud/1/files/recording/dynamic/{'/'.join(facts.dynamic.parts)}"
        expected = facts.true_bytes(path, tree.standin)
        assert await tree.data(f"{facts.dynamic_folder}/{facts.dynamic.filename}") == expected
