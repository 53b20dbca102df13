"""Damage that a check of the whole file does not find: rows never written so."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cffs.catalog import upserts
from cffs.catalog.integrity import is_damage, mark_of
from cffs.catalog.store import Catalog
from cffs.core.errors import CatalogueDamaged
from tests.catalog.factories import call, campaign, recording

NO_TEXT = "CAST(x'22ff22' AS TEXT)"


async def filled(path: Path) -> None:
    """A catalogue of one campaign with one call and its recording."""
    async with Catalog.opened(path) as catalog:
        await catalog.write(lambda db: upserts.put_campaign(db, campaign(5)))
        await catalog.write(lambda db: upserts.put_call(db, call(7, campaign_id=5, recordings=[recording(9)])))


def read_everything(catalog: Catalog) -> None:
    """Every kind of row, as listings and lookups read it."""
    catalog.campaigns(after_seq=0)
    catalog.campaign(5)
    catalog.call(7)
    catalog.call_folder(7)
    catalog.recordings(after_seq=0)
    catalog.recordings_of_call(7)
    catalog.views.labels_of_call(7)
    for view in ("number", "label"):
        for folder in catalog.views.folders(view, after_seq=0):
            catalog.views.of_folder(folder.seq, after_seq=0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recordings SET state = 'RGADY'",
        "UPDATE recordings SET name = '\"never closed'",
        "UPDATE recordings SET name = NO_TEXT",
        "UPDATE recordings SET stem = NO_TEXT",
        "UPDATE campaigns SET name = NO_TEXT",
        "UPDATE campaigns SET name = 'no JSON'",
        "UPDATE calls SET labels = '['",
        "UPDATE calls SET from_number = NO_TEXT",
        "UPDATE view_folders SET name = NO_TEXT WHERE seq = (SELECT min(seq) FROM view_folders)",
        "UPDATE view_folders SET text = '\"' WHERE seq = (SELECT min(seq) FROM view_folders)",
    ],
)
async def test_a_damaged_row_is_met_once(tmp_path: Path, statement: str, announced: list[str]) -> None:
    """A row that cannot be read is an error that says what it is, not a bug; the next mount starts with an empty
    file."""
    announced += ["catalogue damaged", "catalogue set aside"]
    path = tmp_path / "catalog.sqlite"
    await filled(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement.replace("NO_TEXT", NO_TEXT)).rowcount
        db.commit()
    async with Catalog.opened(path) as catalog:
        with pytest.raises(CatalogueDamaged):
            read_everything(catalog)
    assert mark_of(path).exists()
    async with Catalog.opened(path) as catalog:
        read_everything(catalog)
        assert catalog.counts()["calls"] == 0
    assert (tmp_path / "catalog.sqlite.set-aside").exists()
    assert not mark_of(path).exists()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO absences (key, first_ms) VALUES (NO_TEXT, 1)",
        "UPDATE settings SET value = 'never'",
        "DELETE FROM settings",
        "UPDATE settings SET value = NO_TEXT",
    ],
)
async def test_damage_in_the_way_of_opening(tmp_path: Path, statement: str, announced: list[str]) -> None:
    """What is read when a catalogue is opened, and cannot be, has the file set aside at once."""
    announced.append("catalogue set aside")
    path = tmp_path / "catalog.sqlite"
    await filled(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement.replace("NO_TEXT", NO_TEXT)).rowcount
        db.commit()
    async with Catalog.opened(path) as catalog:
        read_everything(catalog)
        assert catalog.counts()["calls"] == 0
    assert (tmp_path / "catalog.sqlite.set-aside").exists()


def test_what_is_no_damage() -> None:
    """Troubles of the machine, a rule that a row breaks, a closed catalogue and our own bugs set nothing aside."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a UNIQUE)")
        db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError) as broken:
            db.execute("INSERT INTO t VALUES (1)")
        db.set_progress_handler(lambda: True, 1)
        with pytest.raises(sqlite3.OperationalError) as statement:
            db.execute("SELECT b FROM t")
        with pytest.raises(sqlite3.OperationalError) as interrupted:
            db.execute("SELECT * FROM t a, t b, t c").fetchall()
    with pytest.raises(sqlite3.ProgrammingError) as closed:
        db.execute("SELECT 1")
    told = [raised.value for raised in (broken, statement, interrupted, closed)]
    for problem in (*told, TypeError("a bug"), OSError("a disk")):
        assert not is_damage(problem)
