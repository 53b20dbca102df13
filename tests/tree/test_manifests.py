"""MANIFEST.sha256: digests of what is cached, the rest named, never a request."""

import hashlib

from tests.tree.sample_account import Facts, Open, mp3_bytes


async def test_what_is_here(world: Open, facts: Facts) -> None:
    """Where nothing was read, everything is named as missing. What was read whole has the digest of the true bytes, and
    rendering it costs no request: in a call's folder, in its campaign's, and in views."""
    async with world() as tree:
        await tree.names("recordings")
        before = tree.requests()
        lines = (await tree.text(f"{facts.folder}/MANIFEST.sha256")).decode().splitlines()
        assert lines[1:] == [f"# missing: {row.stem}.mp3" for row in tree.catalog.recordings_of_call(facts.call)]
        assert tree.requests() == before
        await tree.data(f"{facts.folder}/{facts.name}.mp3")
        before = tree.requests()
        digest = hashlib.sha256(mp3_bytes(tree.standin, facts.id)).hexdigest()
        for folder, path in (
            (facts.folder, f"{facts.name}.mp3"),
            (f"campaigns/{facts.campaign}", f"{tree.catalog.recordings_of_call(facts.call)[0].listed}.mp3"),
            ("recordings", f"{facts.id}.mp3"),
        ):
            text = (await tree.text(f"{folder}/MANIFEST.sha256")).decode()
            assert f"\n{digest}  {path}\n" in text
            assert text.count("\n# missing: ") >= 1
        assert tree.requests() == before
