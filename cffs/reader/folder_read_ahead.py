"""Folder read-ahead: the next files of a folder that is read in order.

It decides which readers read so, how far ahead to go, and how much of each file to fetch. It owns what it knows of each
folder's opens, and the handles of what it prefetched. It must not know paths or listings. Measured:
cffs/docs/performance.md#folder-read-ahead.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.source import Source
from cffs.core.units import KIB, MIB
from cffs.reader.cursor import TAIL_NBYTES
from cffs.reader.object_info import Known
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.read_ahead_policy import PAGE_NBYTES, SMALL_FILE_NBYTES
from cffs.reader.remote_file import OpenFile

FIRST_AHEAD = 2
MAX_AHEAD = 16
#: `xargs -P4` opens a little out of order.
_TOLERANCE = 4
#: This many files, closed again, show what of each is read.
_SEEN = 3
#: Where a smaller share of them was read, it is heads that are read.
_HEAD_SHARE = 0.5
_HEAD_UNIT_NBYTES = 128 * KIB
#: Larger files are worth a stream of their own, and little is won at their start, unless it is all that is read.
MAX_FILE_NBYTES = 16 * MIB
#: Prefetched and not opened yet: this much, or this share of what the run has opened, whichever is more; and never more
#: than that share of the memory. It bounds what is wasted when the reader stops (0.24 of what it read).
_FREE_NBYTES = 2 * MIB
_SHARE_OF_RUN = 0.25
_SHARE_OF_MEMORY = 0.5
#: What was prefetched is held for this long; then it may be evicted like anything else.
HOLD_SECONDS = 30.0
_MAX_FOLDERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NextFile:
    """A file further on in a folder: what an open of it needs, and its position."""

    index: int
    key: str
    sources: tuple[Source, ...]
    known: Known | None
    hint_nbytes: int | None

    @property
    def expected_nbytes(self) -> int | None:
        """Its size, exact or as a hint."""
        return self.hint_nbytes if self.known is None else self.known.total_nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRun:
    """How the files of one folder are being opened. Pure."""

    high_index: int = -1
    ahead: int = 0
    opened_nbytes: int = 0

    def opened(self, index: int, nbytes: int, *, was_prefetched: bool) -> "FolderRun":
        """The run after an open at `index` of a file of which `nbytes` are expected to be read.

        The second open in order begins to look ahead; each open of a prefetched file doubles how far; an open elsewhere
        starts over.
        """
        if self.high_index >= 0 and abs(index - self.high_index) <= _TOLERANCE:
            if index <= self.high_index:
                return self  # overtaken by its neighbour, or opened again
            ahead = min(self.ahead * 2, MAX_AHEAD) if was_prefetched else max(self.ahead, FIRST_AHEAD)
            return FolderRun(high_index=index, ahead=ahead, opened_nbytes=self.opened_nbytes + nbytes)
        return FolderRun(high_index=index, opened_nbytes=nbytes)

    def allowance_nbytes(self, memory_nbytes: int) -> int:
        """How much may be prefetched and unopened."""
        return int(min(max(_FREE_NBYTES, _SHARE_OF_RUN * self.opened_nbytes), _SHARE_OF_MEMORY * memory_nbytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What of each file is read. Pure. `head_nbytes` is None where it is all, or where nothing is known yet; 0 where
    files are opened and not read (or the kernel has what is read)."""

    head_nbytes: int | None = None
    reads_tail: bool = False

    def pieces(self, nbytes: int, *, is_exact: bool) -> list[ByteRange]:
        """What to fetch of a file of `nbytes`, or about as many. A small one is one request: whole, or not at all."""
        if self.head_nbytes is None or (self.head_nbytes and nbytes <= SMALL_FILE_NBYTES):
            # a hint is too small at times: one request brings a small file whole whatever its size is
            return [ByteRange(0, max(nbytes, SMALL_FILE_NBYTES))]
        if not self.head_nbytes:
            return []
        head = ByteRange(0, min(self.head_nbytes, nbytes))
        tail = ByteRange(nbytes - TAIL_NBYTES, nbytes).aligned(PAGE_NBYTES).clamped(nbytes)
        return [head, tail] if self.reads_tail and is_exact and head.stop <= tail.start else [head]

    def read_nbytes(self, nbytes: int, *, is_exact: bool) -> int:
        """How much of such a file is expected to be read."""
        return min(nbytes, sum(piece.nbytes for piece in self.pieces(nbytes, is_exact=is_exact)))


def habit_of(files: Iterable[OpenFile], *, least_nbytes: int) -> Habit:
    """What the files that were opened last, and are closed, show about the next; a head is at least `least_nbytes`."""
    seen = [file for file in files if file.is_closed and file.total_nbytes]
    if not seen or any(file.cursor.furthest_stop >= _HEAD_SHARE * (file.total_nbytes or 0) for file in seen):
        return Habit()
    longest = max(file.cursor.furthest_stop for file in seen)
    if not longest:
        return Habit(head_nbytes=0)
    head_nbytes = max(longest + -longest % _HEAD_UNIT_NBYTES, least_nbytes)
    return Habit(head_nbytes=head_nbytes, reads_tail=any(file.cursor.has_read_tail for file in seen))


@dataclass(slots=True)
class _Folder:
    run: FolderRun = field(default_factory=FolderRun)
    seen: deque[OpenFile] = field(default_factory=lambda: deque(maxlen=_SEEN))


@dataclass(frozen=True, slots=True)
class _Prefetched:
    handle: OpenFile
    nbytes: int
    until: float


class FolderReadAhead:
    """The folders being read in order, and what was prefetched for them. No method is a checkpoint, except the task
    that lets go."""

    def __init__(self, objects: ObjectRegistry, *, memory_nbytes: int) -> None:
        self._objects = objects
        self._memory_nbytes = memory_nbytes
        self._folders: OrderedDict[Hashable, _Folder] = OrderedDict()
        self._prefetched: OrderedDict[str, _Prefetched] = OrderedDict()
        self._is_letting_go = False

    def opened(
        self,
        folder: Hashable,
        index: int,
        *,
        key: str,
        file: OpenFile,
        following: Callable[[int], Sequence[NextFile]],
    ) -> None:
        """Note that the file `key`, the `index`-th of `folder` in listing order, was opened as `file`.

        `following(n)` returns up to `n` remote files after it, in order; it is called only for a reader in order.
        """
        self._let_go(trio.current_time())
        was_prefetched = self.has_prefetched(key)
        prefetched = self._prefetched.pop(key, None)
        if prefetched is not None:
            if was_prefetched:
                file.cursor.early = prefetched.handle.cursor.early  # what is still on its way is its own now
            prefetched.handle.close()
        known = self._folders[folder] = self._folders.pop(folder, _Folder())
        if len(self._folders) > _MAX_FOLDERS:
            self._folders.popitem(last=False)
        habit = habit_of(known.seen, least_nbytes=self._objects.first_nbytes)
        known.seen.append(file)
        known.run = known.run.opened(
            index, habit.read_nbytes(file.total_nbytes or 0, is_exact=True), was_prefetched=was_prefetched
        )
        if known.run.ahead:
            self._objects.warm(file.api, known.run.ahead)
            self._prefetch(following(known.run.ahead), habit, known.run.allowance_nbytes(self._memory_nbytes))

    def has_prefetched(self, key: str) -> bool:
        """True while the object is prefetched, in its version of now, and was not opened: another look at it changes
        nothing."""
        prefetched = self._prefetched.get(key)
        return prefetched is not None and not prefetched.handle.is_changed

    def close(self) -> None:
        """Let everything go."""
        self._let_go(float("inf"))

    def _prefetch(self, next_files: Sequence[NextFile], habit: Habit, allowance_nbytes: int) -> None:
        unopened_nbytes = sum(prefetched.nbytes for prefetched in self._prefetched.values())
        for next_file in next_files:
            expected_nbytes = next_file.expected_nbytes
            if expected_nbytes is None or self.has_prefetched(next_file.key):
                continue
            is_exact = next_file.known is not None
            pieces = habit.pieces(expected_nbytes, is_exact=is_exact)
            nbytes = habit.read_nbytes(expected_nbytes, is_exact=is_exact)
            if not nbytes or nbytes > MAX_FILE_NBYTES:
                continue
            unopened_nbytes += nbytes
            if unopened_nbytes > allowance_nbytes:
                break
            outdated = self._prefetched.pop(next_file.key, None)
            if outdated is not None:
                outdated.handle.close()
            handle = self._objects.prefetch(next_file.key, next_file.sources, known=next_file.known, ranges=pieces)
            self._prefetched[next_file.key] = _Prefetched(handle, nbytes, trio.current_time() + HOLD_SECONDS)
        if self._prefetched and not self._is_letting_go:
            self._is_letting_go = True
            self._objects.start(self._let_go_in_time)

    async def _let_go_in_time(self) -> None:
        """Let go in time also where no file is opened any more."""
        try:
            while self._prefetched:
                await trio.sleep_until(next(iter(self._prefetched.values())).until)
                self._let_go(trio.current_time())
        finally:
            self._is_letting_go = False

    def _let_go(self, now: float) -> None:
        while self._prefetched:
            key = next(iter(self._prefetched))
            if self._prefetched[key].until > now:
                return
            self._prefetched.pop(key).handle.close()
