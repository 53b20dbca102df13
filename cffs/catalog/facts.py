"""Learned facts: what the origin's answers have shown of objects' bytes.

It owns which facts are known, which are not yet on disk, and what was denied. It must not know who learned a fact, nor
what it is used for. A fact is known to all readers at once and written a little later. `learn`, `unlearn`,
`note_missing` and `note_there` are the only ways in (`cffs/docs/architecture.md#the-one-way-up`).
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import trio

from cffs.catalog import missing_objects, rows, upserts
from cffs.catalog.capabilities import HintMeasure
from cffs.catalog.changes import Changes
from cffs.catalog.database import Database
from cffs.catalog.rows import Fact
from cffs.core.units import NS_PER_MS

log = logging.getLogger(__name__)

#: Facts are written together after this pause. A crash loses at most this much, and it is asked for again.
FACTS_PAUSE_SECONDS = 0.5
#: The pause after the disk refused to take facts.
REFUSED_PAUSE_SECONDS = 10.0
#: Facts kept in memory, and objects known to have none: a listing asks once for each file, and a row costs 20 us. About
#: 10 MB.
KEPT_FACTS = 20_000
#: How many are evicted when more come, oldest first: so many at a time that the eviction costs nothing for each fact.
_FORGOTTEN_FACTS = 2_000


class Facts(Database):
    """The facts of one account, and the changes that listeners take."""

    def __init__(self, path: Path, *, timezone: str, wall_ms: Callable[[], int]) -> None:
        super().__init__(path, timezone=timezone)
        self._wall_ms = wall_ms
        self._unwritten: dict[str, Fact] = {}
        self._facts: dict[str, Fact | None] = {}
        #: A value that changes whenever anything else is known of any object's bytes, or of what sizes measure.
        self.facts_turn = 0
        #: What the sizes in listings measure.
        self.hint_measure = HintMeasure()
        self._facts_arrived = trio.Event()
        self._refused = False
        with self._closed_where_it_fails():
            for form, hint_nbytes, exact_nbytes in self._reading.execute(rows.HINTS_AND_SIZES):
                self.hint_measure.note(form, hint_nbytes=hint_nbytes, exact_nbytes=exact_nbytes)
            #: The versions of the objects that were ever found changed, by their keys.
            self.versions: dict[str, int] = dict(self._reading.execute(rows.VERSIONS))
            #: Objects that the service denied once; and those of them that it had after all, which is not yet written.
            self._denied = {str(key) for (key,) in self._reading.execute(rows.ABSENCES)}
        self._found_again: set[str] = set()
        self.changes = Changes()

    def fact(self, object_key: str) -> Fact | None:
        """What is known of the object's bytes."""
        if object_key in self._unwritten:
            return self._unwritten[object_key]
        try:
            return self._facts[object_key]
        except KeyError:
            fact = self._facts[object_key] = self._one(_fact, rows.FACT, object_key)
            self._forget_facts()
            return fact

    def read_facts(self, object_keys: Iterable[str]) -> None:
        """Read what is known of these objects in one statement: a folder is about to ask for each of them."""
        missing = [key for key in object_keys if key not in self._facts and key not in self._unwritten]
        if not missing:
            return
        self._facts.update(dict.fromkeys(missing))
        for fact in self._all(_fact, rows.FACTS, json.dumps(missing)):
            self._facts[fact.object_key] = fact
        self._forget_facts()

    def _forget_facts(self) -> None:
        if len(self._facts) > KEPT_FACTS:
            for key in list(islice(self._facts, _FORGOTTEN_FACTS)):
                del self._facts[key]

    def learn(
        self,
        *,
        object_key: str,
        source: str,
        nbytes: int | None,
        validator: str | None,
        modified_ns: int | None,
        is_known_version: bool = False,
    ) -> Fact:
        """Take what an answer of the origin has shown; returns what is known now. Never blocks.

        A total or a validator that contradicts the known one makes a new version; with `is_known_version` only a total
        does, and a validator is one more name of the same bytes. Listeners of `changes` hear of any difference.
        """
        self.note_there(object_key)
        known = self.fact(object_key)
        version, seen_ms = 0, None
        if known is not None:
            renamed = not is_known_version and _contradicts(known.validator, validator)
            changed = renamed or _contradicts(known.nbytes, nbytes)
            version = known.version + int(changed)
            seen_ms = None if changed else known.seen_ms
            if not changed:  # an answer that leaves something out does not make it unknown again
                nbytes = known.nbytes if nbytes is None else nbytes
                validator = known.validator if validator is None and not is_known_version else validator
                modified_ns = known.modified_ns if modified_ns is None else modified_ns
        fact = Fact(
            object_key=object_key,
            source=source,
            nbytes=nbytes,
            validator=validator,
            modified_ns=modified_ns,
            version=version,
            seen_ms=self._wall_ms() if seen_ms is None else seen_ms,
        )
        if fact != known:
            self._keep_fact(fact)
            self._note_hint(fact)
        return fact

    def unlearn(self, object_key: str) -> bool:
        """Forget what is known of an object that was found to be another one, but that it is a new version. False where
        nothing was known."""
        known = self.fact(object_key)
        if known is None:
            return False
        unknown = replace(known, nbytes=None, validator=None, modified_ns=None)
        self._keep_fact(replace(unknown, version=known.version + 1, seen_ms=self._wall_ms()))
        return True

    async def note_missing(self, key: str, *, now_ms: int) -> bool:
        """Note that the service answered 404 or 410 for the object (or "call/{id}"). The second time, an hour after the
        first, its row is removed: True, and listeners of `changes` hear of it.

        Always a checkpoint, except where there is no row. Cancelled before it starts, nothing has happened. Raises
        DeadlineExceeded once the catalogue is closed.
        """
        left = False
        if not missing_objects.has_row(self._reading, key):
            return False

        def batch(db: sqlite3.Connection) -> None:
            nonlocal left
            left = missing_objects.note(db, key, now_ms=now_ms)

        try:
            await self.write(batch)
        except sqlite3.Error as problem:  # noted at the next answer
            log.warning("missing object not written object=%s reason=%s", key, problem)
            return False
        if not left:
            self._denied.add(key)
            self._found_again.discard(key)
            return False
        self._denied.discard(key)
        self.facts_turn += 1
        self._unwritten.pop(key, None)
        self._facts.pop(key, None)
        self.changes.add(key)
        log.info("left the catalogue, as the service has not had it for an hour object=%s", key)
        return True

    def note_there(self, key: str) -> None:
        """Note that the service has the object: an earlier denial does not count any more. Never blocks."""
        if key in self._denied:
            self._denied.discard(key)
            self._found_again.add(key)
            self._facts_arrived.set()

    def _keep_fact(self, fact: Fact) -> None:
        self.facts_turn += 1
        if fact.version:
            self.versions[fact.object_key] = fact.version
        self._unwritten[fact.object_key] = self._facts[fact.object_key] = fact
        self._forget_facts()
        self._facts_arrived.set()
        self.changes.add(fact.object_key)

    def _note_hint(self, fact: Fact) -> None:
        kind, _slash, name = fact.object_key.partition("/")
        recording_id, _dot, form = name.partition(".")
        if fact.nbytes is None or kind != "recording" or not recording_id.isdecimal():
            return
        found = self._reading.execute(rows.HINT_OF_RECORDING, (int(recording_id),)).fetchone()
        if found is not None and found[0] is not None:
            self.hint_measure.note(form, hint_nbytes=found[0], exact_nbytes=fact.nbytes)

    async def write_facts_forever(self) -> None:
        """Write facts as they come, in batches, until cancelled; `flush_facts` writes the rest."""
        while True:
            await self._facts_arrived.wait()
            await trio.sleep(FACTS_PAUSE_SECONDS if not self._refused else REFUSED_PAUSE_SECONDS)
            self._facts_arrived = trio.Event()
            await self.flush_facts()
            if self._unwritten or self._found_again:  # learned meanwhile, or refused by the disk: once more, later
                self._facts_arrived.set()

    async def flush_facts(self) -> None:
        """Write what was learned and is not yet written. A disk that refuses is logged, and the facts stay known in
        memory. A checkpoint where there is something to write."""
        batch, found_again = dict(self._unwritten), set(self._found_again)
        if not batch and not found_again:
            return

        def put(db: sqlite3.Connection) -> None:
            upserts.put_facts(db, batch.values())
            missing_objects.forget(db, found_again)

        try:
            await self.write(put)
        except sqlite3.Error as problem:
            if not self._refused:
                log.warning("facts not written count=%d reason=%s; trying again", len(batch), problem)
            self._refused = True
            return
        self._refused = False
        self._found_again -= found_again
        for key, fact in batch.items():
            if self._unwritten.get(key) is fact:
                del self._unwritten[key]


def _contradicts(known: object, new: object) -> bool:
    return known is not None and new is not None and known != new


def _fact(
    object_key: str,
    source: str,
    nbytes: int | None,
    validator: str | None,
    modified_ns: int | None,
    version: int,
    seen_ms: int | None,
) -> Fact:
    return Fact(
        object_key=object_key,
        source=source,
        nbytes=nbytes or None,  # version 0.1.0 took an empty answer for the size of the object
        validator=validator,
        modified_ns=modified_ns,
        version=version,
        seen_ms=seen_ms,
    )


def wall_clock_ms() -> int:
    """The time of this machine's clock, in unix milliseconds."""
    return time.time_ns() // NS_PER_MS
