"""The notes of a mount: each call to the disk in a thread, then the index.

It owns the store, the index and their thread's turn. It must not know the tree.

What does no I/O (`extensions`, `stat`) is answered at once. Everything else is a checkpoint; cancelled, the call in the
thread still happens, and the next one waits for it: a disk that hangs costs its own callers their deadlines and no
other call of the mount.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

import trio

from cffs.core.background import Background
from cffs.core.errors import CffsError, NotSupported
from cffs.notes.draft import Draft
from cffs.notes.keys import Key, NoteKey, NoteStat
from cffs.notes.store import NoteStore
from cffs.notes.words import WordIndex, has_fts5

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

#: How often the folder is looked at for what other mounts changed: one stat(2). What is written is found within it.
_LOOK_SECONDS = 0.5
#: Notes indexed at a time: enough that a commit costs little; and where a call waits for the thread (10 ms for 10 KB
#: each).
_BATCH, _SMALL_BATCH = 500, 16
#: Questions whose answers are kept until a note changes: a search is listed page by page.
_KEPT_ANSWERS = 16


class AccountNotes:
    """The notes of one account in this mount."""

    def __init__(self, folder: Path, index_path: Path, *, wall_ms: int) -> None:
        """Blocks: call it in a thread. `folder` is the account's below `--notes DIR`, 0700. Raises SpoolFull or
        SpoolFailed."""
        self._changed: dict[NoteKey, None] = {}
        self._store = NoteStore(folder, changed=self._note_change, wall_ms=wall_ms)
        self._index_path = index_path
        self._index: WordIndex | None = None
        self._thread = trio.CapacityLimiter(1)
        #: Calls that wait for the thread, or run in it; the index is not among them. Read by the thread too.
        self._calls = 0
        self._answers: dict[tuple[str, ...], list[int]] = {}
        self.has_index = has_fts5()
        #: Another value once a search may find something else.
        self.words_turn = 0

    def start(self, background: Background) -> None:
        """Keep the index as the notes are, and hear of other mounts, for the mount's life."""
        background.start(self._follow)

    @property
    def turn(self) -> int:
        """Another value once other notes exist."""
        return self._store.turn

    def extensions(self, recording_id: int) -> tuple[str, ...]:
        """Which notes the recording has, in listing order. Never a checkpoint."""
        return self._store.extensions(recording_id)

    def all_keys(self) -> list[NoteKey]:
        """Every note. Never a checkpoint."""
        return self._store.all_keys()

    def stat(self, key: Key) -> NoteStat | None:
        """What the note is like; None where there is none. Never a checkpoint."""
        return self._store.stat(key)

    def stat_open(self, key: Key) -> NoteStat | None:
        """What a file that was opened under that key is like, also after it was renamed. Never a checkpoint."""
        return self._store.stat_open(key)

    async def open(
        self, key: Key, *, creates: bool = False, is_exclusive: bool = False, truncates: bool = False
    ) -> "NoteFile":
        """An open file, to be released once; empty where the open `truncates`. Raises NotInTree, AlreadyExists,
        SpoolFull or SpoolFailed."""

        def opened() -> Draft:
            draft = self._store.open(key, creates=creates, is_exclusive=is_exclusive)
            if truncates:
                try:
                    draft.truncate(0)
                except CffsError:
                    draft.release()
                    raise
            return draft

        return NoteFile(self._run, await self._run(opened))

    async def rename(self, old: Key, new: Key, *, replaces: bool) -> None:
        """Give a file another name. Raises NotInTree, AlreadyExists or SpoolFailed."""
        await self._run(lambda: self._store.rename(old, new, replaces=replaces))

    async def remove(self, key: Key) -> None:
        """Remove a file. Raises NotInTree or SpoolFailed."""
        await self._run(self._store.remove, key)

    async def recordings_with(self, terms: tuple[str, ...]) -> list[int]:
        """The recordings whose notes hold every word and phrase, in order of their ids, once every note is indexed (the
        first time that takes a minute for 100,000 notes of 10 KB). Raises NotSupported where this Python's SQLite has
        no FTS5."""
        if not self.has_index:
            raise NotSupported("words cannot be searched: this Python's SQLite has no FTS5")
        if terms not in self._answers:
            found = None
            while found is None:  # others have their turn in the thread meanwhile
                turn = self.words_turn
                found = await self._in_thread(self._find, terms)
            if turn != self.words_turn:
                return found
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.clear()
            self._answers[terms] = found
        return self._answers[terms]

    async def close(self) -> None:
        """Index what changed last, and remove what lies under temporary names."""
        await self._in_thread(self._close)

    async def _run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call the function in the thread; the index makes room for it."""
        self._calls += 1
        try:
            return await self._in_thread(function, *arguments)
        finally:
            self._calls -= 1

    async def _in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._thread, abandon_on_cancel=True)

    # -- in the thread --

    def _note_change(self, key: NoteKey) -> None:
        self._changed[key] = None

    def _close(self) -> None:
        self._index_some()
        self._store.close()
        if self._index is not None:
            self._index.close()

    def _find(self, terms: tuple[str, ...]) -> list[int] | None:
        """What is found; None where notes are left to be indexed first."""
        self._index_some()
        return None if self._changed else self._opened_index().recordings(terms, self._store)

    def _opened_index(self) -> WordIndex:
        if self._index is None:
            self._index = WordIndex(self._index_path)
            self._changed |= dict.fromkeys(self._index.stale(self._store))
        return self._index

    def _index_some(self) -> None:
        """Index the first of what has changed since the last time."""
        if not self.has_index:
            return
        index = self._opened_index()
        if not self._changed:
            return
        done: list[NoteKey] = []

        def some() -> Iterator[NoteKey]:
            for key in islice(self._changed, _BATCH):
                if self._calls and len(done) >= _SMALL_BATCH:
                    return
                done.append(key)
                yield key

        index.update(self._store, some())
        for key in done:
            del self._changed[key]
        if index.is_mostly_stale():
            index.clear()
            self._changed = dict.fromkeys(self._store.all_keys())
        self.words_turn += 1
        self._answers = {}

    def _look(self) -> None:
        if self._store.refresh() and self._index is not None:
            self._changed |= dict.fromkeys(self._index.stale(self._store))
        self._index_some()

    async def _follow(self) -> None:
        failed = ""
        while True:
            try:
                await self._in_thread(self._look)
                failed = ""
            except (CffsError, sqlite3.Error) as problem:
                if str(problem) != failed:
                    log.warning("notes are not indexed reason=%s", problem)
                failed = str(problem)
            if failed or not self._changed:
                await trio.sleep(_LOOK_SECONDS)


class Run(Protocol):
    """Calls a blocking function in a thread."""

    async def __call__(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """What the function returns or raises."""
        ...


class NoteFile:
    """An open note. Every method is a checkpoint and raises SpoolFull or SpoolFailed."""

    def __init__(self, run: Run, draft: Draft) -> None:
        """`run` calls a function in the thread of the notes."""
        self._run = run
        self._draft = draft

    async def read(self, offset: int, nbytes: int) -> bytes:
        """What is there; fewer bytes only at the end."""
        return await self._run(self._draft.read, offset, nbytes)

    async def write(self, offset: int, data: bytes) -> int:
        """All of `data`, at `offset`. Raises TooLarge as well."""
        return await self._run(self._draft.write, offset, data)

    async def truncate(self, nbytes: int) -> None:
        """Exactly so long from now on. Raises TooLarge as well."""
        await self._run(self._draft.truncate, nbytes)

    async def flush(self) -> None:
        """A descriptor was closed: what was written takes the note's place."""
        await self._run(self._draft.flush)

    async def fsync(self) -> None:
        """What was written takes the note's place, and is on the disk whatever happens to the machine."""
        await self._run(self._draft.sync)

    async def release(self) -> None:
        """Nothing has it open any more."""
        await self._run(self._draft.release)
