"""The disk cache of one account: a file an object, whole files evicted by last use, nothing given out unchecked.

It must not know HTTP, FUSE, tasks or the memory cache. What may wait for the disk is handed out as a transfer, to be
run where waiting is allowed; everything else is for the event loop.
`reader/disk_tier` reads and writes blocks through it, `cffs cache` looks after it without a mount.

A disk that refuses (full, read-only, failing, gone) never disturbs a read: blocks are then not kept, said once.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from cffs.cache.disk_file import DiskFile, Transfer
from cffs.cache.disk_format import BLOCK_NBYTES
from cffs.cache.disk_index import DiskIndex, name_of
from cffs.cache.version import ObjectVersion
from cffs.core.byte_range import ByteRange

log = logging.getLogger(__name__)

#: Descriptors kept open; a read of another object costs one open (20 us).
MAX_OPEN_FILES = 64
#: After a refused write nothing is written for this long, so that a full disk costs one failure and one line.
REFUSED_SECONDS = 30.0
#: How many bytes are written between two looks at the free space.
_LOOK_NBYTES = 8 * 1024 * 1024


class _OpenFiles(LRUCache[str, DiskFile]):
    """Open files by object key; the one unused for longest is closed for the next."""

    def popitem(self) -> tuple[str, DiskFile]:
        key, file = super().popitem()
        file.close()
        return key, file


@dataclass(frozen=True, slots=True)
class BlockRead:
    """Blocks on their way from the disk; `DiskCache.was_read` takes it when its transfer has run."""

    file: DiskFile
    run: range
    data: bytearray
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class BlockWrite:
    """A block on its way to the disk; `DiskCache.was_written` takes it when its transfer has run."""

    file: DiskFile
    index: int
    transfer: Transfer


class DiskCache:
    """Blocks of object versions below `folder`, at most about `limit_nbytes` of disk (one block an object more).

    `timer` is monotonic seconds, `wall_seconds` the wall clock. Call `scan` before the first write.
    """

    def __init__(
        self, folder: Path, *, limit_nbytes: int, timer: Callable[[], float], wall_seconds: Callable[[], float]
    ) -> None:
        self.limit_nbytes = limit_nbytes
        self.index = DiskIndex(folder, on_remove=self._close_file)
        self.corrupt_blocks = 0
        self._folder = folder
        self._timer = timer
        self._wall_seconds = wall_seconds
        self._open: _OpenFiles = _OpenFiles(MAX_OPEN_FILES)
        self._refused_until = float("-inf")
        self._unlooked_nbytes = _LOOK_NBYTES

    @property
    def used_nbytes(self) -> int:
        """What the files take on disk."""
        return self.index.used_nbytes

    def scan(self) -> None:
        """Look at what earlier mounts left, and bring it within the limit (a limit of 0 keeps nothing, pinned or not).
        Waits for the disk; call it in a thread before anything else is called."""
        self.index.scan()
        if self.limit_nbytes > 0:
            self.index.prune(limit_nbytes=self.limit_nbytes)
        else:
            self.index.clear(pinned_too=True)

    # -- what is there --

    def held_nbytes(self, key: str) -> int:
        """How many bytes of the object are here, of whatever version."""
        file = self._open.get(key)
        return self.index.held_nbytes(name_of(key)) if file is None else file.held_nbytes

    def holds_all(self, version: ObjectVersion) -> bool:
        """True where every byte of the version is here."""
        file = self._file(version)
        return file is not None and file.held_nbytes == version.total_nbytes

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that lies in blocks that are not here, None when none does."""
        if not within:
            return None
        file = self._file(version)
        if file is None:
            return within
        missing = file.first_missing(blocks_of(within))
        if missing is None:
            return None
        return ByteRange(max(within.start, missing.start * BLOCK_NBYTES), min(within.stop, missing.stop * BLOCK_NBYTES))

    # -- reading --

    def read_now(self, version: ObjectVersion, indexes: range) -> tuple[range, memoryview] | None:
        """The blocks that are here from the first of `indexes` on, checked, as one piece; None where that one is not.
        Raises WouldBlock where the disk would have to be waited for; `begin_read` then."""
        file = self._file(version)
        run = file.run_at(indexes) if file is not None else range(0)
        if file is None or not run:
            return None
        try:
            data = file.read_now(run)
        except OSError as problem:
            self._unreadable(file, run, problem)
            return None
        return self._checked(file, run, data)

    def begin_read(self, version: ObjectVersion, indexes: range) -> BlockRead | None:
        """The same for a thread."""
        file = self._file(version)
        run = file.run_at(indexes) if file is not None else range(0)
        if file is None or not run:
            return None
        try:
            return BlockRead(file, run, *file.reading(run))
        except OSError as problem:
            self._unreadable(file, run, problem)
            return None

    def was_read(self, read: BlockRead, problem: OSError | None = None) -> tuple[range, memoryview] | None:
        """The result of a read whose transfer has run, or failed with `problem`."""
        if problem is not None:
            self._unreadable(read.file, read.run, problem)
            return None
        return self._checked(read.file, read.run, read.data)

    def _checked(self, file: DiskFile, run: range, data: bytearray) -> tuple[range, memoryview] | None:
        before = file.corrupt_blocks
        right = file.checked(run, data)
        entry = self.index.get(name_of(file.version.key))
        if entry is not None:
            entry.used_at = self._wall_seconds()
        if file.corrupt_blocks > before:
            self.corrupt_blocks += 1
            log.warning("damaged block dropped object=%s; it is fetched again", file.version.key)
        return None if right is None else (run, right)

    def _unreadable(self, file: DiskFile, run: range, problem: OSError) -> None:
        for index in run:
            file.forget(index)  # or it would be asked for again and again
        self._refuse(problem)

    # -- writing --

    def begin_write(self, version: ObjectVersion, index: int, data: memoryview) -> BlockWrite | None:
        """How to keep block `index`, or None where it is here, or the disk takes nothing now. Makes room by last use;
        never raises for what the disk does."""
        if self.limit_nbytes <= 0 or self._timer() < self._refused_until:
            return None
        try:
            file = self._file(version) or self._made(version)
            if file is None or file.has(index) or not self._make_room(len(data), keep=name_of(version.key)):
                return None
            return BlockWrite(file, index, file.writing(index, data))
        except OSError as problem:
            self._refuse(problem)
            return None

    def was_written(self, write: BlockWrite, problem: OSError | None = None, *, is_wanted: bool = True) -> None:
        """Takes note of a write whose transfer has run, or failed with `problem`; what is not wanted any more is
        forgotten at once."""
        version, nbytes = write.file.version, write.file.block_range(write.index).nbytes
        if problem is not None:
            self._refuse(problem)
        file = self._file(version)  # it may have been closed, or made anew, while a thread wrote
        if problem is not None or not is_wanted:
            if file is not None:
                file.forget(write.index)
        elif file is write.file:
            file.wrote(write.index, write.transfer)
        if problem is None:
            self.index.grow(name_of(version.key), nbytes)
        self._unlooked_nbytes += nbytes

    # -- keeping and forgetting --

    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        """Every block that touches `unwanted` leaves the disk (its bytes proved not to be trusted)."""
        file = self._file(version)
        if file is not None:
            for index in blocks_of(unwanted):
                if file.has(index):
                    file.forget(index)

    def drop_object(self, key: str) -> None:
        """Every byte of the object leaves the disk."""
        self.index.remove(name_of(key))

    def set_pinned(self, key: str, *, pinned: bool) -> bool:
        """Keep the object from eviction, or let it go again, also after a restart; False where nothing is here."""
        try:
            return self.index.set_pinned(name_of(key), pinned=pinned)
        except OSError as problem:
            self._refuse(problem)
            return False

    def is_pinned(self, key: str) -> bool:
        """True where the object is kept from eviction."""
        return (entry := self.index.get(name_of(key))) is not None and entry.is_pinned

    def pause(self, reason: str) -> None:
        """Nothing is written for a while."""
        self._refuse(OSError(0, reason))

    def close(self) -> None:
        """Give the descriptors back."""
        while self._open:
            self._open.popitem()

    # -- help --

    def _file(self, version: ObjectVersion) -> DiskFile | None:
        """The file of the version, or None where there is none that holds it."""
        file = self._open.get(version.key)
        if file is not None:
            return file if file.version == version else None
        entry = None if version.total_nbytes is None else self.index.get(name_of(version.key))
        if entry is None:
            return None
        try:
            file = DiskFile(entry.path, version, create=False)
            entry.used_at, entry.held_nbytes = self._wall_seconds(), None
            os.utime(entry.path, (entry.used_at,) * 2)
        except OSError as problem:
            if file is None:  # else it is only the time of use that the disk does not take
                if not isinstance(problem, FileNotFoundError):
                    self._refuse(problem)
                return None
        self._open[version.key] = file
        return file

    def _made(self, version: ObjectVersion) -> DiskFile | None:
        """A new file for the version; an old one of another version goes. Raises OSError."""
        if version.total_nbytes is None:
            return None
        name = name_of(version.key)
        is_pinned = self.is_pinned(version.key)
        self.index.remove(name)
        path = self.index.path_of(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = DiskFile(path, version, create=True)
        self.index.add(name, used_at=self._wall_seconds())
        self._open[version.key] = file
        if is_pinned:
            self.index.set_pinned(name, pinned=True)
        return file

    def _make_room(self, nbytes: int, *, keep: str) -> bool:
        """Evict by last use until `nbytes` fit; False where they cannot. The object being written stays. Raises OSError
        where the file system is full all the same."""
        if self._unlooked_nbytes >= _LOOK_NBYTES:
            self.index.leave_free_space()
            self._unlooked_nbytes = 0
        return self.index.make_room(nbytes, limit_nbytes=self.limit_nbytes, keep=keep)

    def _close_file(self, name: str) -> None:
        for key in [key for key in self._open if name_of(key) == name]:
            self._open[key].close()
            del self._open[key]

    def _refuse(self, problem: OSError) -> None:
        """The disk did not take or give something: reads go on without it for a while."""
        if self._timer() >= self._refused_until:
            log.warning("disk cache pauses folder=%s reason=%s", self._folder, problem.strerror or problem)
        self._refused_until = self._timer() + REFUSED_SECONDS
        self._unlooked_nbytes = _LOOK_NBYTES


def blocks_of(within: ByteRange) -> range:
    """The indexes of the blocks that touch it."""
    return range(within.start // BLOCK_NBYTES, -(-within.stop // BLOCK_NBYTES))
