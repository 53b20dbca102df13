"""A catalogue that cffs 0.1.0 wrote, opened by this version.

It holds 24 calls, of which some files were read, and two dynamic recordings.
"""

import json
import lzma
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cffs.catalog import display_names, schema
from cffs.catalog.bulk_upserts import put_calls
from cffs.catalog.store import Catalog
from cffs.core.json_values import decode
from cffs.core.v2_parsers import parse_call

MADE_BY_0_1_0 = Path(__file__).with_name("catalog-0.1.0.sqlite.xz")
#: What must stay as it was: ids, their order, what the service said, and what was learned.
KEPT = {
    "campaigns": "seq, id, name, modified_ms, document",
    "calls": "seq, id, campaign_id, created_ms, from_number, to_number, inbound, labels, document, files_known",
    "recordings": "seq, id, call_id, campaign_id, name, stem, created_ms, hint_nbytes, seconds, state, document",
    "files": "seq, id, call_id, campaign_id",
    "media": "seq, id, name, stem, extension, public_key, document",
    "dynamic_files": "seq, hash, year, month, campaign, filename",
    "facts": "object_key, source, nbytes, validator, modified_ns, version",
    "documents": "key, refreshed_ms, body",
    "listings": "name, refreshed_ms",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file as 0.1.0 left it."""
    found = tmp_path / "catalog.sqlite"
    found.write_bytes(lzma.decompress(MADE_BY_0_1_0.read_bytes()))
    return found


def rows(path: Path) -> dict[str, list[Any]]:
    """Everything that must stay."""
    with closing(sqlite3.connect(path)) as db:
        return {
            table: db.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()  # noqa: S608 - ours
            for table, columns in KEPT.items()
        }


def test_rows_and_ids_stay(path: Path, tmp_path: Path) -> None:
    """Nothing that was known is lost, and nothing is set aside."""
    before = rows(path)
    assert {table for table, found in before.items() if not found} == set()
    schema.prepare(path)
    assert rows(path) == before
    assert not list(tmp_path.glob("*.set-aside"))


async def test_everything_has_its_name(path: Path) -> None:
    """Campaigns, calls and recordings have the names that they would get if the service described them now, in the zone
    of the first mount, and are in the folders of their numbers and labels."""
    async with Catalog.opened(path, timezone="Asia/Tokyo") as catalog:
        assert catalog.zone.key == "Asia/Tokyo"
        recordings = catalog.recordings(after_seq=0)
        assert len(recordings) == 24
        for row in recordings:
            assert re.fullmatch(rf"2024-06-0\d_\d\d\.\d\d\.\d\d_(in|out)_\d+_\d+m\d\ds_(.+_)?{row.id}", row.listed)
        assert catalog.months() == [2024 * 12 + 5]
        campaigns = catalog.campaigns(after_seq=0)
        assert len({row.folder for row in campaigns} - {None}) == len(campaigns)
        assert all(row.seen_ms for row in campaigns)
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(path.with_name("new"))) as new:
        for migration in schema.MIGRATIONS:
            new.executescript(migration)
        new.execute("INSERT INTO settings VALUES (?, 'Asia/Tokyo')", (display_names.TIMEZONE,))
        documents = migrated.execute("SELECT document FROM calls WHERE document NOT NULL ORDER BY seq").fetchall()
        put_calls(new, [parse_call(decode(document, what="a call")) for (document,) in documents])
        asked = (
            "SELECT id, listed, unsaid FROM recordings ORDER BY id",
            "SELECT id, listed, unsaid, month FROM calls ORDER BY id",
            (
                "SELECT f.view, f.text, f.name, f.newest_ms, r.id FROM view_rows v"
                " JOIN view_folders f ON f.seq = v.folder JOIN recordings r ON r.seq = v.recording ORDER BY 1, 2, 5"
            ),
        )
        for statement in asked:
            assert migrated.execute(statement).fetchall() == new.execute(statement).fetchall()


async def test_the_zone_is_that_of_the_first_mount(path: Path) -> None:
    """The times in names stay in the zone that they were given in, whatever a later mount says."""
    async with Catalog.opened(path, timezone="Asia/Tokyo") as catalog:
        before = [row.listed for row in catalog.recordings(after_seq=0)]
    async with Catalog.opened(path, timezone="America/New_York") as catalog:
        assert catalog.zone.key == "Asia/Tokyo"
        assert [row.listed for row in catalog.recordings(after_seq=0)] == before


def test_a_call_that_cannot_be_read_again_is_called_by_its_id(path: Path) -> None:
    """A call whose kept answer is nonsense costs its name, not the catalogue; its recordings are named all the same."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE calls SET document = ? WHERE seq = 1", (json.dumps(["nonsense"]).encode(),))
        db.commit()
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM calls WHERE listed IS NULL").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM recordings WHERE listed IS NULL").fetchone() == (0,)
