"""The file on disk: who may read it, what survives, and what is set aside."""

import logging
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.catalog import schema, upserts
from cffs.catalog.integrity import LARGE_NBYTES
from cffs.catalog.store import Catalog
from tests.catalog.factories import campaign


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Any umask that a user may have."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def test_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """The catalogue and SQLite's companions are 0600 under any umask, also while it is being written."""
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        await catalog.write(lambda db: upserts.put_campaign(db, campaign()))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"catalog.sqlite": 0o600, "catalog.sqlite-wal": 0o600, "catalog.sqlite-shm": 0o600}


async def test_loose_mode_is_tightened(tmp_path: Path) -> None:
    """A file that was made readable to others is private again after it was opened."""
    path = tmp_path / "catalog.sqlite"
    schema.prepare(path)
    path.chmod(0o644)
    schema.prepare(path)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_wal(catalog: Catalog, tmp_path: Path) -> None:
    """Readers are not held up by the writer: the journal is a WAL."""
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
        assert other.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


async def test_rows_survive(tmp_path: Path) -> None:
    """What was written is there in the next mount, preparation included, with its sequence number."""
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        await catalog.write(lambda db: upserts.put_campaign(db, campaign(5)))
        before = catalog.campaign(5)
    async with Catalog.opened(path) as catalog:
        assert catalog.campaign(5) == before is not None
    assert not list(tmp_path.glob("*.set-aside"))


def test_each_migration_keeps_rows(tmp_path: Path) -> None:
    """From every published version on, migrating to the newest keeps the rows that were there."""
    for version in range(1, len(schema.MIGRATIONS) + 1):
        path = tmp_path / f"version{version}.sqlite"
        with closing(sqlite3.connect(path)) as old:
            for migration in schema.MIGRATIONS[:version]:
                old.executescript(migration)
            old.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            old.execute(f"PRAGMA user_version = {version}")
            old.execute("INSERT INTO campaigns (id) VALUES (77)")
            old.commit()
        schema.prepare(path)
        with closing(sqlite3.connect(path)) as new:
            assert new.execute("SELECT id FROM campaigns").fetchall() == [(77,)]
            assert new.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 200)


def _cut(path: Path) -> None:
    schema.prepare(path)
    with closing(schema.connect(path)) as db:
        db.executemany("INSERT INTO campaigns (id, name) VALUES (?, ?)", [(n, "x" * 500) for n in range(1, 200)])
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:20_000])


def _overwritten(path: Path) -> None:
    _cut(path)
    path.write_bytes(path.read_bytes()[:4096] + os.urandom(40_000))


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.commit()


def _newer(path: Path) -> None:
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")


def _flipped_column(path: Path) -> None:
    _flip(path, b"refreshed_ms", b"refreshed_mt")


def _flipped_to_no_text(path: Path) -> None:
    _flip(path, b"refreshed_ms", b"refreshed\xe5ms")


def _flipped_trigger(path: Path) -> None:
    _flip(path, b"nbytes - OLD.hint_nbytes", b"nbytes - OLD.hint_nbytet")


def _flipped_keyword(path: Path) -> None:
    _flip(path, b"CREATE TABLE facts", b"CREATE TABLG facts")


def _flip(path: Path, old: bytes, new: bytes) -> None:
    schema.prepare(path)
    with closing(schema.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


_FLIPPED = [_flipped_column, _flipped_to_no_text, _flipped_trigger, _flipped_keyword]


@pytest.mark.parametrize(
    "spoil", [_garbage, _cut, _overwritten, _foreign, _newer, *_FLIPPED], ids=lambda make: make.__name__
)
async def test_set_aside(tmp_path: Path, spoil: object, caplog: pytest.LogCaptureFixture, announced: list[str]) -> None:
    """A damaged, foreign or newer file is kept beside the new one, with one log line, and an empty one takes its
    place."""
    announced.append("catalogue set aside")
    path = tmp_path / "catalog.sqlite"
    spoil(path)  # type: ignore[operator]
    spoilt = path.read_bytes()
    with caplog.at_level(logging.INFO):
        async with Catalog.opened(path) as catalog:
            await catalog.write(lambda db: upserts.put_campaign(db, campaign(5)))
            assert catalog.campaign(5) is not None
            assert catalog.counts()["campaigns"] == 1
    assert (tmp_path / "catalog.sqlite.set-aside").read_bytes()[:16] == spoilt[:16]
    assert [record.levelname for record in caplog.records if record.name.startswith("cffs")] == ["WARNING"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_any_flipped_bit_is_set_aside_or_harmless(announced: list[str]) -> None:
    """Whichever bit of a catalogue flips: what is opened has every table as this version reads and writes it."""
    announced.append("catalogue set aside")
    _open_with_a_flipped_bit()


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=60)
def _open_with_a_flipped_bit(place: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        data = bytearray(_whole())
        written = [at for at, byte in enumerate(data) if byte]
        data[written[place % len(written)]] ^= 1 << bit
        path.write_bytes(data)
        schema.prepare(path)
        with closing(schema.connect(path)) as db:
            assert _tables(db) == _tables_of_new_file()


@cache
def _whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        schema.prepare(path)
        with closing(schema.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


@cache
def _tables_of_new_file() -> list[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        schema.prepare(path)
        with closing(schema.connect(path)) as db:
            return _tables(db)


def _tables(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return [(name, *column) for name in tables for column in db.execute(f"PRAGMA table_xinfo({name})")]


@pytest.mark.parametrize("spoil", [_garbage, _flipped_to_no_text, _flipped_column], ids=lambda make: make.__name__)
def test_nothing_stays_open_where_a_file_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A connection that cannot be used is closed: Python 3.13 warns of each that is not."""
    path = tmp_path / "catalog.sqlite"
    spoil(path)
    with suppress(sqlite3.Error):
        schema.connect(path).close()
    assert _open_below(tmp_path) == []


async def test_a_catalogue_that_cannot_be_opened_twice_leaves_nothing_open(tmp_path: Path) -> None:
    """Where there are descriptors for one connection and not for the second, both are closed."""
    path = tmp_path / "catalog.sqlite"
    schema.prepare(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(1, 8):
        most = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + 1 + spare, hard))
        try:
            with suppress(OSError, sqlite3.OperationalError):
                await Catalog(path).aclose()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert _open_below(tmp_path) == []


def _open_below(folder: Path) -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(str(folder)):
                found.append(target)
    return found


def test_symlink_refused(tmp_path: Path) -> None:
    """A symlink where the catalogue should lie is an OSError; what it points to is not touched."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "catalog.sqlite").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        schema.prepare(tmp_path / "catalog.sqlite")
    assert target.read_text() == "precious"


def test_folder_that_refuses(tmp_path: Path) -> None:
    """Where there is no folder, preparing raises OSError and nothing else."""
    with pytest.raises(OSError, match="No such file"):
        schema.prepare(tmp_path / "missing" / "catalog.sqlite")


def test_trouble_is_not_damage(tmp_path: Path) -> None:
    """A catalogue that SQLite cannot open just now is refused with OSError, and keeps its place and its rows."""
    path = tmp_path / "catalog.sqlite"
    schema.prepare(path)
    with closing(schema.connect(path)) as db:
        db.execute("INSERT INTO campaigns (id) VALUES (77)")
    in_the_way = tmp_path / "catalog.sqlite-wal"
    in_the_way.mkdir()
    with pytest.raises(OSError, match="cannot be used"):
        schema.prepare(path)
    in_the_way.rmdir()
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as again:
        assert again.execute("SELECT id FROM campaigns").fetchall() == [(77,)]
    assert not list(tmp_path.glob("*.set-aside"))


async def test_rows_older_than_the_views_are_in_them(tmp_path: Path) -> None:
    """A catalogue of the first version has its recordings in the folders of numbers and labels, and its campaigns
    named, once it was opened by this one."""
    path = tmp_path / "catalog.sqlite"
    with closing(schema.connect(path)) as old:
        old.executescript(schema.MIGRATIONS[0])
        old.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        old.execute("INSERT INTO campaigns (id, name, document) VALUES (5, '\"a/b\"', '{}'), (6, '\"\"', NULL)")
        old.execute("INSERT INTO calls (id, from_number, to_number, labels) VALUES (7, '12', '34', '[\"vip\", \"\"]')")
        old.execute(
            "INSERT INTO recordings (id, call_id, name, stem, state, document)"
            " VALUES (9, 7, '\"x\"', 'x', 'READY', '{}')"
        )
    async with Catalog.opened(path) as catalog:
        names = [folder.name for view in ("number", "label") for folder in catalog.views.folders(view, after_seq=0)]
        assert names == ["12", "34", "vip"]
        for view, name in (("number", "34"), ("label", "vip")):
            folder = catalog.views.folder(view, name)
            assert folder is not None
            assert [row.recording.id for row in catalog.views.of_folder(folder.seq, after_seq=0)] == [9]
        assert [(row.seq, row.id, row.folder) for row in catalog.campaigns(after_seq=0)] == [
            (1, 5, "a%2Fb"),
            (2, 6, None),
        ]
    assert not list(tmp_path.glob("*.set-aside"))


async def test_a_large_file_is_looked_over_behind_the_mount(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, announced: list[str]
) -> None:
    """A large catalogue opens without being read whole; damage found while it is used has the next mount set it
    aside."""
    announced += ["catalogue damaged", "catalogue set aside"]
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        await catalog.write(lambda db: [upserts.put_campaign(db, campaign(number)) for number in range(1, 2000)])
    pages = path.read_bytes()
    with path.open("r+b") as file:  # an inner page of the table, found only by reading all of it
        file.seek(len(pages) - 8192)
        file.write(b"\xff" * 4096)
        file.truncate(LARGE_NBYTES + 1)
    async with Catalog.opened(path) as catalog, trio.open_nursery() as nursery:
        assert catalog.campaign(1) is not None
        nursery.start_soon(catalog.tend_forever)
        with trio.fail_after(30):
            while not (tmp_path / "catalog.sqlite.damaged").exists():
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    async with Catalog.opened(path) as catalog:
        assert catalog.campaign(1) is None
    assert (tmp_path / "catalog.sqlite.set-aside").exists()
    assert not (tmp_path / "catalog.sqlite.damaged").exists()
