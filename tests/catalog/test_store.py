"""Facts that are known at once and written soon; writes that happen as a whole."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cffs.catalog import facts, upserts
from cffs.catalog.rows import Fact
from cffs.catalog.store import PAGE_ROWS, Catalog
from cffs.core.errors import DeadlineExceeded
from cffs.core.values import Emptiness
from tests.catalog.factories import call, campaign, media, recording


def learn(catalog: Catalog, key: str = "recording/1.mp3", **told: Any) -> Fact:
    fields: dict[str, Any] = {"source": "v2:a", "nbytes": None, "validator": None, "modified_ns": None, **told}
    return catalog.learn(object_key=key, **fields)


async def test_known_at_once(catalog: Catalog) -> None:
    """What was learned is known before anything is written, and reaches the listener once."""
    fact = learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    assert catalog.fact("recording/1.mp3") == fact
    assert (fact.nbytes, fact.validator, fact.modified_ns, fact.version) == (10, '"a"', 7, 0)
    assert await catalog.changes.drain() == (frozenset({"recording/1.mp3"}), False)
    learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    with trio.move_on_after(0) as scope:
        await catalog.changes.drain()
    assert scope.cancelled_caught


async def test_silence_makes_nothing_unknown(catalog: Catalog) -> None:
    """An answer that leaves size, validator or date out takes none of them away and is the same version."""
    learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    fact = learn(catalog)
    assert (fact.nbytes, fact.validator, fact.modified_ns, fact.version) == (10, '"a"', 7, 0)


@pytest.mark.parametrize("other", [{"nbytes": 11}, {"validator": '"b"'}, {"nbytes": 11, "validator": '"b"'}])
async def test_contradiction_is_a_new_version(catalog: Catalog, other: dict[str, Any]) -> None:
    """Another total or validator is another version, of which nothing of the old one is believed."""
    learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    fact = learn(catalog, **other)
    assert fact.version == 1
    assert (fact.nbytes, fact.validator) == (other.get("nbytes"), other.get("validator"))
    assert fact.modified_ns is None


@pytest.mark.parametrize("validator", ['"b"', None])
async def test_another_name_is_the_same_version(catalog: Catalog, validator: str | None) -> None:
    """A validator that is one more name of the known version takes the place of the first; another total is another
    version all the same."""
    learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    fact = learn(catalog, nbytes=10, validator=validator, is_known_version=True)
    assert (fact.nbytes, fact.validator, fact.version) == (10, validator, 0)
    assert learn(catalog, nbytes=11, validator=validator, is_known_version=True).version == 1


async def test_no_size_is_zero(tmp_path: Path) -> None:
    """An empty answer, which version 0.1.0 took for the size of an object, means that the size is not known."""
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        learn(catalog, nbytes=10, validator='"a"')
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("UPDATE facts SET nbytes = 0").rowcount == 1
    for reads_alone in (True, False):
        async with Catalog.opened(path) as catalog:
            if not reads_alone:
                catalog.read_facts(["recording/1.mp3"])
            fact = catalog.fact("recording/1.mp3")
            assert fact is not None
            assert (fact.nbytes, fact.validator) == (None, '"a"')


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, Emptiness.UNSTATED),
        ({"lengthInBytes": None, "lengthInSeconds": "many"}, Emptiness.UNSTATED),
        ({"lengthInBytes": -1}, Emptiness.UNSTATED),
        ({"lengthInBytes": 0}, Emptiness.STATED),
        ({"lengthInSeconds": 0}, Emptiness.STATED),
        ({"lengthInBytes": 0, "lengthInSeconds": 9}, Emptiness.DENIED),
        ({"lengthInBytes": 12345}, Emptiness.DENIED),
        ({"lengthInBytes": 12345, "lengthInSeconds": 0}, Emptiness.DENIED),
    ],
    ids=str,
)
async def test_what_is_said_of_emptiness(catalog: Catalog, told: dict[str, object], expected: Emptiness) -> None:
    """A length or a duration says that a file has bytes, zero of either that it may have none; of what v2 does not
    describe, nothing is known."""

    def put(db: sqlite3.Connection) -> None:
        upserts.put_recording(db, recording(1, document={"id": 1, **told}), call_id=7, campaign_id=5)
        upserts.put_media(db, media(2, document={"id": 2, **told}))

    await catalog.write(put)
    for key in ("recording/1.mp3", "recording/1.wav", "media/2.jpg", "media/2/file"):
        assert catalog.emptiness(key) is expected
    for key in ("recording/2.mp3", "media/1.jpg", "media/public/2.jpg", "dynamic/a/2020/1/2/3", "moment/1@2-3.wav"):
        assert catalog.emptiness(key) is Emptiness.UNSTATED


async def test_adding_is_the_same_version(catalog: Catalog) -> None:
    """A validator learned after the size completes the fact, it does not change the version."""
    learn(catalog, nbytes=10)
    fact = learn(catalog, validator='"a"')
    assert (fact.nbytes, fact.validator, fact.version) == (10, '"a"', 0)


async def test_unlearn(catalog: Catalog) -> None:
    """After an object was found changed nothing is known but a higher version; of the unknown nothing is unlearned."""
    learn(catalog, nbytes=10, validator='"a"', modified_ns=7)
    catalog.unlearn("recording/1.mp3")
    catalog.unlearn("recording/2.mp3")
    fact = catalog.fact("recording/1.mp3")
    assert fact is not None
    assert (fact.nbytes, fact.validator, fact.modified_ns, fact.version) == (None, None, None, 1)
    assert catalog.fact("recording/2.mp3") is None
    assert learn(catalog, nbytes=11).version == 1


async def test_written_at_the_end(tmp_path: Path) -> None:
    """Facts learned just before the mount ends are there in its next life, with their version."""
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        learn(catalog, nbytes=10)
        fact = learn(catalog, nbytes=11, validator='"b"', modified_ns=7)
    async with Catalog.opened(path) as catalog:
        assert catalog.fact("recording/1.mp3") == fact


async def test_written_at_the_end_when_cancelled(tmp_path: Path) -> None:
    """Facts learned just before the mount is cancelled are there in its next life."""
    path = tmp_path / "catalog.sqlite"
    with trio.CancelScope() as scope:
        async with Catalog.opened(path) as catalog:
            learn(catalog, nbytes=10)
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with Catalog.opened(path) as catalog:
        assert catalog.fact("recording/1.mp3") is not None


async def test_written_soon(
    tmp_path: Path, catalog: Catalog, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Facts reach the disk by themselves, many in one batch, also those learned while a batch is written."""
    nursery.start_soon(catalog.write_facts_forever)
    for number in range(100):
        learn(catalog, f"recording/{number}.mp3", nbytes=number)
    await trio.sleep(1)
    learn(catalog, "late", nbytes=5)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as disk:
        while not disk.execute("SELECT 1 FROM facts WHERE object_key = 'late'").fetchall():
            await trio.sleep(1)
        for number in range(100):
            found = disk.execute("SELECT nbytes FROM facts WHERE object_key = ?", (f"recording/{number}.mp3",))
            assert found.fetchall() == [(number,)]


class Facts(RuleBasedStateMachine):
    """Any order of learning, unlearning and flushing agrees with a dict; versions never go down, and are as old as the
    first answer that showed them."""

    keys = st.sampled_from(["a", "b"])

    @initialize()
    def start(self) -> None:
        """In memory: facts do not care where they lie."""
        self.now_ms = 0
        self.catalog = trio.run(_in_memory, self._wall_ms)
        self.model: dict[str, Fact] = {}

    def _wall_ms(self) -> int:
        """The clock."""
        return self.now_ms

    @rule()
    def time_passes(self) -> None:
        """What is learned from now on is newer."""
        self.now_ms += 1

    def teardown(self) -> None:
        """Close."""
        if hasattr(self, "catalog"):
            self.catalog._reading.close()
            self.catalog._writing.close()

    @rule(key=keys, nbytes=st.none() | st.integers(0, 2), validator=st.none() | st.sampled_from(["v", "w"]))
    def learn(self, key: str, nbytes: int | None, validator: str | None) -> None:
        """An answer."""
        known = self.model.get(key)
        changed = known is not None and (
            (None not in (known.nbytes, nbytes) and known.nbytes != nbytes)
            or (None not in (known.validator, validator) and known.validator != validator)
        )
        keep = known is not None and not changed
        self.model[key] = Fact(
            object_key=key,
            source="s",
            nbytes=known.nbytes if keep and known and nbytes is None else nbytes,
            validator=known.validator if keep and known and validator is None else validator,
            modified_ns=None,
            version=(known.version if known else 0) + changed,
            seen_ms=known.seen_ms if keep and known else self.now_ms,
        )
        learned = self.catalog.learn(object_key=key, source="s", nbytes=nbytes, validator=validator, modified_ns=None)
        assert learned == self.model[key]

    @rule(key=keys)
    def unlearn(self, key: str) -> None:
        """The object is another one."""
        self.catalog.unlearn(key)
        if (known := self.model.get(key)) is not None:
            self.model[key] = Fact(
                object_key=key,
                source="s",
                nbytes=None,
                validator=None,
                modified_ns=None,
                version=known.version + 1,
                seen_ms=self.now_ms,
            )

    @rule()
    def flush(self) -> None:
        """Written."""
        trio.run(self.catalog.flush_facts)

    @invariant()
    def agrees(self) -> None:
        """Read back."""
        for key in ("a", "b"):
            assert self.catalog.fact(key) == self.model.get(key)


async def _in_memory(wall_ms: Callable[[], int]) -> Catalog:
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(suffix=".sqlite") as file:
        return Catalog(Path(file.name), wall_ms=wall_ms)


Facts.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestFacts = Facts.TestCase


async def test_failed_batch_leaves_nothing(catalog: Catalog) -> None:
    """A batch that raises in the middle is not there at all, and the next one works."""

    def batch(db: sqlite3.Connection) -> None:
        upserts.put_campaign(db, campaign(5))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await catalog.write(batch)
    assert catalog.campaign(5) is None
    await catalog.write(lambda db: upserts.put_campaign(db, campaign(6)))
    assert catalog.campaign(6) is not None


async def test_refused_commit_leaves_nothing(catalog: Catalog) -> None:
    """A disk that refuses the commit costs that batch only: the writer is not left inside its transaction."""
    connections: list[sqlite3.Connection] = []

    def no_commit(action: int, word: str | None, *_rest: object) -> int:
        refused = action == sqlite3.SQLITE_TRANSACTION and word == "COMMIT"
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    def batch(db: sqlite3.Connection) -> None:
        upserts.put_campaign(db, campaign(5))
        db.set_authorizer(no_commit)
        connections.append(db)

    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        await catalog.write(batch)
    connections[0].set_authorizer(None)
    assert catalog.campaign(5) is None
    await catalog.write(lambda db: upserts.put_campaign(db, campaign(6)))
    assert catalog.campaign(5) is None
    assert catalog.campaign(6) is not None


async def test_transaction_ended_by_sqlite(catalog: Catalog) -> None:
    """Where SQLite itself rolled back (a full disk), the batch's own failure is what is raised."""

    def batch(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        await catalog.write(batch)
    await catalog.write(lambda db: upserts.put_campaign(db, campaign(6)))
    assert catalog.campaign(6) is not None


async def test_a_full_disk_moves_the_catalogue_into_memory(catalog: Catalog, announced: list[str]) -> None:
    """With no room for another page, rows from before and the batch that did not fit are read all the same, what comes
    later too, one warning says so, and no copy lies anywhere."""
    announced.append("catalogue kept in memory")
    await catalog.write(lambda db: upserts.put_campaign(db, campaign(5)))

    def fill(db: sqlite3.Connection) -> None:
        for number in range(6, 2000):
            upserts.put_campaign(db, campaign(number))

    def no_more_room(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1")  # SQLite takes what there is as the least

    await catalog.write(no_more_room)
    before = set(Path("/dev/shm").glob("cffs-*"))
    await catalog.write(fill)
    assert all(catalog.campaign(number) is not None for number in (5, 6, 1999))
    await catalog.write(lambda db: upserts.put_campaign(db, campaign(2000)))
    assert catalog.campaign(2000) is not None
    assert set(Path("/dev/shm").glob("cffs-*")) == before


async def test_cancelled_before_it_starts(catalog: Catalog) -> None:
    """A write whose caller is gone before it began does not happen."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await catalog.write(lambda db: upserts.put_campaign(db, campaign(5)))
    assert scope.cancelled_caught
    assert catalog.campaign(5) is None


async def test_cancelled_while_it_runs(catalog: Catalog) -> None:
    """A write that has started is finished although its caller was cancelled; one that waits for its turn does not
    start."""
    began, go_on = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def slow(db: sqlite3.Connection) -> None:
        upserts.put_campaign(db, campaign(5))
        trio.from_thread.run_sync(began.set, trio_token=token)
        trio.from_thread.run(go_on.wait, trio_token=token)
        upserts.put_campaign(db, campaign(6))

    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope(), trio.CancelScope()]

        async def write(scope: trio.CancelScope, batch: Any) -> None:
            with scope:
                await catalog.write(batch)

        nursery.start_soon(write, scopes[0], slow)
        await began.wait()
        nursery.start_soon(write, scopes[1], lambda db: upserts.put_campaign(db, campaign(7)))
        await trio.testing.wait_all_tasks_blocked()
        assert catalog.campaign(5) is None  # nothing of a batch is seen before all of it
        for scope in scopes:
            scope.cancel()
        go_on.set()
    assert [catalog.campaign(number) is not None for number in (5, 6, 7)] == [True, True, False]


async def test_refusing_disk_keeps_facts_in_memory(catalog: Catalog, announced: list[str], tmp_path: Path) -> None:
    """Facts that cannot be written take one log line, stay known, and are written when the disk is back."""
    announced.append("facts not written")
    learn(catalog, nbytes=10)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)) as other:
        other.execute("ALTER TABLE facts RENAME TO hidden")
        await catalog.flush_facts()
        other.execute("ALTER TABLE hidden RENAME TO facts")
        assert other.execute("SELECT count(*) FROM facts").fetchone() == (0,)
        assert catalog.fact("recording/1.mp3") is not None
        await catalog.flush_facts()
        assert other.execute("SELECT nbytes FROM facts").fetchall() == [(10,)]


async def test_pages(catalog: Catalog) -> None:
    """A read returns at most PAGE_ROWS rows, ascending; walking by the last number gives each row once."""
    count = PAGE_ROWS + 500

    def batch(db: sqlite3.Connection) -> None:
        for number in range(1, count + 1):
            upserts.put_campaign(db, campaign(10_000 - number))

    await catalog.write(batch)
    seen: list[int] = []
    after = 0
    while found := catalog.campaigns(after_seq=after):
        assert len(found) <= PAGE_ROWS
        seen += [row.id for row in found]
        after = found[-1].seq
    assert seen == [10_000 - number for number in range(1, count + 1)]


async def test_closed_under_a_write(tmp_path: Path) -> None:
    """A mount that ends while a background task writes waits for that write; what comes later is refused."""
    path = tmp_path / "catalog.sqlite"
    began, go_on = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def slow(db: sqlite3.Connection) -> None:
        trio.from_thread.run_sync(began.set, trio_token=token)
        trio.from_thread.run(go_on.wait, trio_token=token)
        upserts.put_campaign(db, campaign(5))

    async with trio.open_nursery() as nursery:
        async with Catalog.opened(path) as catalog:
            nursery.start_soon(catalog.write, slow)
            await began.wait()
            nursery.start_soon(_set_when_all_wait, go_on)
        with pytest.raises(DeadlineExceeded):
            await catalog.write(lambda db: upserts.put_campaign(db, campaign(6)))
    async with Catalog.opened(path) as again:
        assert again.campaign(5) is not None
        assert again.campaign(6) is None


async def _set_when_all_wait(event: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked()
    event.set()


async def test_facts_beyond_what_memory_keeps(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a few in memory, all that was learned is known, written or not, read one by one or together; and
    what is kept stays few."""
    monkeypatch.setattr(facts, "KEPT_FACTS", 10)
    monkeypatch.setattr(facts, "_FORGOTTEN_FACTS", 3)
    keys = [f"recording/{number}.mp3" for number in range(50)]
    for number, key in enumerate(keys):
        catalog.learn(object_key=key, source="s", nbytes=1000 + number, validator=None, modified_ns=None)
        if number == 30:
            await catalog.flush_facts()
    for number, key in enumerate(keys):
        catalog.read_facts(keys[number : number + 5])
        fact = catalog.fact(key)
        assert fact is not None
        assert fact.nbytes == 1000 + number
        assert len(catalog._facts) <= 10 + 5
    assert catalog.fact("recording/50.mp3") is None


@pytest.mark.parametrize("count", [1, 127, 128, 129, 1000, 1001])
async def test_call_folders_of_any_length(catalog: Catalog, count: int) -> None:
    """Calls before and after one with many recordings: each folder has its own, all of them, in the order in which they
    became known, whatever the order of their names."""
    held = {5: 3, 6: count, 7: 0, 8: 2}

    def batch(db: sqlite3.Connection) -> None:
        for ident, many in held.items():
            numbers = range(ident * 10_000, ident * 10_000 + many)
            told = tuple(recording(number, f"name {number % 7}", call_id=ident) for number in numbers)
            upserts.put_call(db, call(ident, recordings=told))

    await catalog.write(batch)
    for ident in (5, 6, 7, 8, 6):
        row, recordings = catalog.call_folder(ident)
        assert row == catalog.call(ident)
        assert recordings == catalog.recordings_of_call(ident)
        assert len(recordings) == held[ident]
