"""What was imported: listed, opened by any of its paths, and not mistaken for what v1's lists would have told."""

from contextlib import closing
from pathlib import Path

from cffs.catalog.rows import DynamicRow
from cffs.catalog.url_finder import Finding, FoundFile
from cffs.catalog.url_import import CatalogFile, Tally
from cffs.standin.thread import StandinThread
from tests.tree.sample_account import Facts, Open


def imported(folder: Path, *findings: Finding) -> None:
    """As `cffs catalog import` does, from another process."""
    with closing(CatalogFile(folder / "catalog.sqlite")) as opened:
        for _ in opened.take(iter(findings), Tally()):
            pass


async def test_dynamic_is_listed(world: Open, facts: Facts, tmp_path: Path) -> None:
    """An imported dynamic recording is listed by a mount that runs, costs no request to list, and reads true."""
    async with world() as tree:
        assert await tree.names("dynamic") == []
        imported(tmp_path, DynamicRow(0, *facts.dynamic.parts))
        found = await tree.walk("dynamic")
        assert f"{facts.dynamic_folder}/{facts.dynamic.filename}" in found
        assert tree.requests() == 0
        path = f"/cloud/1/files/recording/dynamic/{'/'.join(facts.dynamic.parts)}"
        expected = facts.true_bytes(path, tree.standin)
        assert await tree.data(f"{facts.dynamic_folder}/{facts.dynamic.filename}") == expected


async def test_file_opens_where_it_belongs(world: Open, facts: Facts, tmp_path: Path, standin: StandinThread) -> None:
    """An imported file id is listed in recordings/, and its call's folder, which no import tells, still has it."""
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
