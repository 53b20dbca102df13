"""The notes of a mount: each call to the disk in a thread, then the index.

It owns the store, the index and their thread's turn. It must not know the tree.

What does no I/O (`extensions`, `stat`) is answered at once. Everything else is a checkpoint; cancelled, the call in the
thread still happens, and the next one waits for it: a disk that hangs costs its own callers their deadlines and no
other call of the mount.
"""

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple

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


class _NotesThread:
    """The thread that may use the store: one call at a time."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)
        #: Calls that wait, or run; the index is not among them. Read by the thread too.
        self.calls = 0
        self._closing: deque[int] = deque()

    @property
    def is_idle(self) -> bool:
        """True where nothing runs: before the next checkpoint the store may be used here, for what does no I/O."""
        return not self._limiter.borrowed_tokens

    async def call(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call the function in the thread; the index makes room for it."""
        self.calls += 1
        try:
            return await self.call_behind(function, *arguments)
        finally:
            self.calls -= 1

    async def call_behind(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call the function of the index in the thread. Cancelled, it still runs to its end, and the next waits for
        it."""

        def run() -> Result:
            try:
                return function(*arguments)
            finally:
                while self._closing:
                    with suppress(OSError):  # its note was published, and the close of that has said so
                        os.close(self._closing.popleft())

        return await trio.to_thread.run_sync(run, limiter=self._limiter, abandon_on_cancel=True)

    def close_later(self, descriptor: int) -> None:
        """Close it after the next call, which comes within half a second: a turn for each would cost as much as a
        write."""
        self._closing.append(descriptor)


class AccountNotes:
    """The notes of one account in this mount."""

    def __init__(self, folder: Path, index_path: Path, *, wall_ms: int) -> None:
        """Blocks: call it in a thread. `folder` is the account's below `--notes DIR`, 0700. Raises SpoolFull or
        SpoolFailed."""
        self._changed: dict[NoteKey, None] = {}
        self._store = NoteStore(folder, changed=self._note_change, wall_ms=wall_ms)
        self._index_path = index_path
        self._index: WordIndex | None = None
        self._thread = _NotesThread()
        self._background: Background | None = None
        self._makes_ahead = False
        self._answers: dict[tuple[str, ...], list[int]] = {}
        self.has_index = has_fts5()
        #: Another value once a search may find something else.
        self.words_turn = 0

    def start(self, background: Background) -> None:
        """Keep the index as the notes are, and hear of other mounts, for the mount's life."""
        self._background = background
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
        SpoolFull or SpoolFailed; an open that truncates may leave those of the disk to the first write, and is no
        checkpoint then."""
        if truncates and not is_exclusive and self._thread.is_idle and (creates or self._store.stat(key) is not None):
            draft = self._store.open_blank(key, now_ns=time.time_ns())
            if draft is not None:
                return NoteFile(self._thread, self._published, draft)

        made: list[Draft] = []

        def opened() -> Draft:
            draft = self._store.open(key, creates=creates, is_exclusive=is_exclusive)
            made.append(draft)
            if truncates:
                try:
                    draft.truncate(0)
                except CffsError:
                    made.clear()
                    draft.release()
                    raise
            return draft

        try:
            draft = await self._thread.call(opened)
        except trio.Cancelled:
            if self._background is not None:
                self._background.start(partial(self._close_abandoned, made))
            raise
        return NoteFile(self._thread, self._published, draft)

    async def _close_abandoned(self, made: list[Draft]) -> None:
        """Close what an open made that was not waited for; the call that makes it comes before this one."""

        def close() -> None:
            for draft in made:
                if draft.handles == 1:
                    draft.drop()
                draft.release()

        with suppress(CffsError):  # who opened it was given an error
            await self._thread.call(close)

    async def rename(self, old: Key, new: Key, *, replaces: bool) -> None:
        """Give a file another name. Raises NotInTree, AlreadyExists or SpoolFailed."""
        await self._thread.call(lambda: self._store.rename(old, new, replaces=replaces))

    async def remove(self, key: Key) -> None:
        """Remove a file. Raises NotInTree or SpoolFailed."""
        await self._thread.call(self._store.remove, key)

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
                found = await self._thread.call_behind(self._find, terms)
            if turn != self.words_turn:
                return found
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.clear()
            self._answers[terms] = found
        return self._answers[terms]

    def _published(self) -> None:
        """A note was written: have the files of the next ones made, in a thread of their own."""
        if self._background is not None and self._store.files.are_few and not self._makes_ahead:
            self._makes_ahead = True
            self._background.start(self._make_ahead)

    async def _make_ahead(self) -> None:
        try:
            await trio.to_thread.run_sync(self._store.files.make_ahead, abandon_on_cancel=True)
        finally:
            self._makes_ahead = False

    async def close(self) -> None:
        """Index what changed last, and remove what lies under temporary names."""
        await self._thread.call_behind(self._close)

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
                if self._thread.calls and len(done) >= _SMALL_BATCH:
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
                await self._thread.call_behind(self._look)
                failed = ""
            except (CffsError, sqlite3.Error) as problem:
                if str(problem) != failed:
                    log.warning("notes are not indexed reason=%s", problem)
                failed = str(problem)
            if failed or not self._changed:
                await trio.sleep(_LOOK_SECONDS)


class NoteFile:
    """An open note. Every method is a checkpoint and raises SpoolFull or SpoolFailed."""

    def __init__(self, thread: _NotesThread, published: Callable[[], None], draft: Draft) -> None:
        """`published` hears that something was written and is published."""
        self._thread = thread
        self._published = published
        self._draft = draft

    async def read(self, offset: int, nbytes: int) -> bytes:
        """What is there; fewer bytes only at the end."""
        return await self._thread.call(self._draft.read, offset, nbytes)

    async def write(self, offset: int, data: bytes) -> int:
        """All of `data`, at `offset`. Raises TooLarge as well. Cancelled, it is a failed write."""
        try:
            return await self._thread.call(self._draft.write, offset, data)
        except trio.Cancelled:
            self._draft.give_up()
            raise

    async def truncate(self, nbytes: int) -> None:
        """Exactly so long from now on. Raises TooLarge as well. Cancelled, it is a failed write."""
        try:
            await self._thread.call(self._draft.truncate, nbytes)
        except trio.Cancelled:
            self._draft.give_up()
            raise

    async def flush(self) -> None:
        """A descriptor was closed: what was written takes the note's place."""
        await self._thread.call(self._draft.flush)
        self._published()

    async def fsync(self) -> None:
        """What was written takes the note's place, and is on the disk whatever happens to the machine."""
        await self._thread.call(self._draft.sync)

    async def release(self) -> None:
        """Nothing has it open any more."""
        if self._thread.is_idle and self._draft.is_settled:
            descriptor = self._draft.take_descriptor()
            if descriptor is not None:
                self._thread.close_later(descriptor)
            self._draft.release()
            await trio.lowlevel.checkpoint()
        else:
            await self._thread.call(self._draft.release)
