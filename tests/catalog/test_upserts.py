"""Rows from answers: names, sequence numbers, and everything hostile."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.catalog import schema, upserts
from cffs.catalog.rows import DynamicRow
from cffs.catalog.store import Catalog
from cffs.core.names import MAX_NAME_NBYTES, name_nbytes
from cffs.core.probe_names import is_probe_name
from cffs.core.values import RecordingList, RecordingState
from tests.catalog.factories import call, campaign, media, recording

NASTY = (
    "",
    ".",
    "..",
    "a/b",
    "../../etc/passwd",
    "call",
    "call ~1",
    "x" * 5000,
    "ü" * 3000,
    "\ud800",
    "a\udfffb",
    "nul\0",
    "-rf",
    "50%",
    "%2F",
    "folder",
    "cover",
    "desktop",
    "Thumbs",
    ".hidden",
    "._x",
    ".Trash",
    "x.idx",
    "x.ifo",
    "é",
    "é",
    "\u202egpj",
    "name.mp3",
    "5",
)
names = st.one_of(st.sampled_from(NASTY), st.text(max_size=40), st.text(alphabet="ab. ~1", max_size=4))
EXTENSIONS = (".json", ".mp3", ".wav")


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """A catalogue's tables, without the catalogue."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for migration in schema.MIGRATIONS:
            db.executescript(migration)
        yield db


def stems(db: sqlite3.Connection, call_id: int = 7) -> dict[int, str]:
    return dict(db.execute("SELECT id, stem FROM recordings WHERE call_id = ?", (call_id,)).fetchall())


@given(st.lists(names, max_size=12))
def test_names_in_a_call(told: list[str]) -> None:
    """Whatever recordings are called, their files' names are unique in the call, valid, not junk, not call.json, and
    stay through refreshes under any other name."""
    with database() as db:
        for number, name in enumerate(told, start=1):
            upserts.put_recording(db, recording(number, name), call_id=7, campaign_id=5)
        given_stems = stems(db)
        assert len(set(given_stems.values())) == len(told)
        for stem in given_stems.values():
            assert stem not in upserts.RESERVED_CALL_STEMS
            for extension in EXTENSIONS:
                name = stem + extension
                assert name_nbytes(name) <= MAX_NAME_NBYTES
                assert not is_probe_name(name)
                assert "/" not in name
                assert "\0" not in name
                assert name not in (".", "..", extension)
                name.encode("utf-8")  # no lone surrogate reaches the kernel
        for number, name in enumerate(reversed(told), start=1):
            upserts.put_recording(db, recording(number, name), call_id=7, campaign_id=5)
        assert stems(db) == given_stems


@given(st.lists(names, max_size=8))
def test_names_of_media(told: list[str]) -> None:
    """Names under by-name/ are unique beside their extension, valid and not junk, whatever media are called."""
    with database() as db:
        for number, name in enumerate(told, start=1):
            upserts.put_media(db, media(number, name, extension=("jpg", "b", "")[number % 3]))
        rows = db.execute("SELECT stem, extension FROM media").fetchall()
        shown = [f"{stem}.{extension}" if extension else stem for stem, extension in rows]
        assert len(set(shown)) == len(told)
        for name in shown:
            assert name_nbytes(name) <= MAX_NAME_NBYTES
            assert not is_probe_name(name)
            assert "/" not in name


def test_a_medium_whose_type_is_known_later_gets_its_extension() -> None:
    """Its name changes that once; a name that ends in the extension is not doubled."""
    with database() as db:
        upserts.put_media(db, media(1, "cf.png", extension=""))
        upserts.put_media(db, media(2, "cf.png", extension="png"))
        upserts.put_media(db, media(1, "cf.png", extension="png"))
        upserts.put_media(db, media(1, "cf.png", extension=""))
        rows = db.execute("SELECT id, stem, extension FROM media ORDER BY id").fetchall()
        assert rows == [(1, "cf", "png"), (2, "cf ~2", "png")]


def test_equal_names_in_two_calls() -> None:
    """An equal name in another call is no repetition: both keep it."""
    with database() as db:
        upserts.put_recording(db, recording(1, "x", call_id=7), call_id=7, campaign_id=5)
        upserts.put_recording(db, recording(2, "x", call_id=8), call_id=8, campaign_id=5)
        assert stems(db, 7) == {1: "x"}
        assert stems(db, 8) == {2: "x"}


def test_name_reads_back_as_sent() -> None:
    """A name with a lone surrogate or 5,000 bytes is kept exactly, so that the service can be asked by it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for migration in schema.MIGRATIONS:
            db.executescript(migration)
        import json

        for number, name in enumerate(NASTY, start=1):
            upserts.put_recording(db, recording(number, name), call_id=7, campaign_id=5)
        kept = [json.loads(name) for (name,) in db.execute("SELECT name FROM recordings ORDER BY id")]
        assert kept == list(NASTY)


def test_first_found_by_id_then_in_its_call() -> None:
    """A recording known without its call moves into the call's folder once the call is known, and keeps its number."""
    with database() as db:
        upserts.put_recording(db, recording(1, "x", call_id=None), call_id=0, campaign_id=0)
        upserts.put_recording(db, recording(2, "x"), call_id=7, campaign_id=5)
        before = db.execute("SELECT seq FROM recordings WHERE id = 1").fetchone()
        upserts.put_call(db, call(7, recordings=(recording(1, "x"), recording(2, "x"))))
        assert stems(db) == {1: "x ~1", 2: "x"}
        assert db.execute("SELECT seq FROM recordings WHERE id = 1").fetchone() == before
        upserts.put_recording(db, recording(1, "x", call_id=None), call_id=0, campaign_id=0)
        assert set(stems(db)) == {1, 2}  # an answer without a call does not take it out again


def test_campaign_of_a_call() -> None:
    """v2's word on a call's campaign replaces what was known; a bare note fills only what is not known."""
    with database() as db:

        def campaign_of(call_id: int) -> int:
            return int(db.execute("SELECT campaign_id FROM calls WHERE id = ?", (call_id,)).fetchone()[0])

        upserts.note_call(db, call_id=7, campaign_id=0)
        upserts.note_call(db, call_id=7, campaign_id=5)
        upserts.note_call(db, call_id=7, campaign_id=6)
        assert campaign_of(7) == 5
        upserts.put_call(db, call(7, campaign_id=6))
        assert campaign_of(7) == 6
        assert {found for (found,) in db.execute("SELECT id FROM campaigns")} == {5, 6}
        upserts.put_call(db, call(8, campaign_id=None))
        assert campaign_of(8) == 0
        assert {found for (found,) in db.execute("SELECT id FROM campaigns")} == {5, 6}


def test_noted_campaign_is_described_later() -> None:
    """A campaign known by its id alone gets its name when v2 describes it, and a note takes nothing away."""
    with database() as db:
        upserts.note_campaign(db, 5)
        upserts.put_campaign(db, campaign(5))
        upserts.note_campaign(db, 5)
        assert db.execute("SELECT seq, name FROM campaigns").fetchall() == [(1, '"Winback"')]


def test_lists_seen_whole() -> None:
    """Only an answer that says what a call's recordings are (none included) marks them known, and for good."""
    with database() as db:

        def known(call_id: int) -> tuple[int, int]:
            return db.execute("SELECT recordings_known, files_known FROM calls WHERE id = ?", (call_id,)).fetchone()  # type: ignore[no-any-return]

        upserts.put_call(db, call(7))
        assert known(7) == (0, 0)
        upserts.put_call(db, call(7, recordings=()))
        upserts.put_call(db, call(7))
        assert known(7) == (1, 0)
        upserts.put_recordings_of_call(db, 8, [])
        assert known(8) == (1, 0)
        listing = RecordingList(campaign_id=None, call_id=None, file_ids=(88,), refused=0)  # type: ignore[arg-type]
        upserts.put_files(db, listing, campaign_id=5, call_id=9)
        assert known(9) == (0, 1)


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1), st.text(), st.booleans() | st.none())
def test_every_value_of_the_wire_fits(number: int, text: str, inbound: bool | None) -> None:
    """Times of any 64 bits and texts with anything in them are stored, never refused by SQLite."""
    with database() as db:
        upserts.put_call(
            db,
            call(
                2**63 - 1,
                created_ms=number,
                from_number=text + "\ud83d",
                to_number=text,
                labels=(text, "\udc00"),
                inbound=inbound,
                document={"x": text + "\udc00"},
                recordings=(recording(2**63 - 1, text, created_ms=number, state=RecordingState.UNKNOWN),),
            ),
        )
        assert db.execute("SELECT created_ms, inbound FROM calls").fetchone() == (number, inbound)


class Upserts(RuleBasedStateMachine):
    """Any order of answers: every object has one row, whose sequence number never changes and is never another's."""

    ids = st.integers(1, 6)

    def __init__(self) -> None:
        super().__init__()
        self._database = database()
        self.db = self._database.__enter__()
        self.numbers: dict[tuple[str, Any], int] = {}
        self.put: dict[str, set[Any]] = {
            table: set() for table in ("campaigns", "calls", "recordings", "files", "media", "dynamic_files")
        }

    def teardown(self) -> None:
        """Close."""
        self._database.__exit__(None, None, None)

    @rule(ident=ids)
    def put_campaign(self, ident: int) -> None:
        """v2's list of campaigns."""
        upserts.put_campaign(self.db, campaign(ident))
        self.put["campaigns"].add(ident)

    @rule(ident=ids, campaign_id=st.integers(0, 3), held=st.none() | st.lists(ids, unique=True, max_size=3))
    def put_call(self, ident: int, campaign_id: int, held: list[int] | None) -> None:
        """v2's list of calls, recordings embedded or not."""
        recordings = None if held is None else tuple(recording(number, "x", call_id=ident) for number in held)
        upserts.put_call(self.db, call(ident, campaign_id=campaign_id or None, recordings=recordings))
        self.put["calls"].add(ident)
        self.put["recordings"] |= set(held or ())
        self.put["campaigns"] |= {campaign_id} - {0}

    @rule(ident=ids, call_id=st.integers(0, 6), name=names)
    def put_recording(self, ident: int, call_id: int, name: str) -> None:
        """A recording by its id."""
        upserts.put_recording(self.db, recording(ident, name), call_id=call_id, campaign_id=0)
        self.put["recordings"].add(ident)

    @rule(ident=ids, file_ids=st.lists(ids, max_size=3))
    def put_files(self, ident: int, file_ids: list[int]) -> None:
        """v1's list of a call."""
        listing = RecordingList(campaign_id=None, call_id=None, file_ids=tuple(file_ids), refused=0)  # type: ignore[arg-type]
        upserts.put_files(self.db, listing, campaign_id=2, call_id=ident)
        self.put["calls"].add(ident)
        self.put["campaigns"].add(2)
        self.put["files"] |= set(file_ids)

    @rule(ident=ids, name=names)
    def put_media(self, ident: int, name: str) -> None:
        """v2's list of media."""
        upserts.put_media(self.db, media(ident, name))
        self.put["media"].add(ident)

    @rule(filename=st.sampled_from(["a.wav", "b.wav"]), month=st.sampled_from(["8", "08"]))
    def put_dynamic(self, filename: str, month: str) -> None:
        """A dynamic recording that answered."""
        upserts.put_dynamic(self.db, DynamicRow(0, "h" * 8, "2012", month, "5", filename))
        self.put["dynamic_files"].add((month, filename))

    @invariant()
    def one_row_each(self) -> None:
        """There are as many rows as objects, each with the number it had."""
        for table, told in self.put.items():
            key = "month, filename" if table == "dynamic_files" else "id"
            rows = self.db.execute(f"SELECT seq, {key} FROM {table} ORDER BY seq").fetchall()  # noqa: S608
            found = {row[1:] if len(row) > 2 else row[1]: row[0] for row in rows}
            assert set(found) == told
            assert len(rows) == len(told)
            for ident, seq in found.items():
                assert self.numbers.setdefault((table, ident), seq) == seq


TestUpserts = Upserts.TestCase
TestUpserts.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(names, min_size=1, max_size=5))
async def test_store_reads_what_was_written(told: list[str]) -> None:
    """Through the real file and both connections: what a write put is what the next read returns."""
    with TemporaryDirectory() as folder:
        async with Catalog.opened(Path(folder) / "catalog.sqlite") as catalog:

            def batch(db: sqlite3.Connection) -> None:
                for number, name in enumerate(told, start=1):
                    upserts.put_recording(db, recording(number, name), call_id=7, campaign_id=5)

            await catalog.write(batch)
            rows = catalog.recordings_of_call(7)
            assert [row.name for row in rows] == told
            for row in rows:
                assert catalog.recording_by_stem(7, row.stem) == row
                assert catalog.recording(row.id) == row
