"""The disk cache: one file per object, whole files evicted by last use.

Nothing is served unchecked. A disk that refuses (full, read-only, failing, gone) never disturbs a read: blocks are then
not kept, which is logged once.

It owns the open cache files, the limit and what the disk refuses. It must not know HTTP, FUSE, tasks or the memory
cache. What may wait for the disk is returned as a transfer, to be run where waiting is allowed; everything else is for
the event loop.
"""

import errno
import logging
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from cffs.cache.disk_file import BlockRead, BlockWrite, DiskFile, OpenFiles, Transfer, make_folder
from cffs.cache.disk_format import blocks_of
from cffs.cache.disk_index import DiskIndex, NearlyFull, name_of
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES, MIB

log = logging.getLogger(__name__)

#: Descriptors kept open; a read of another object costs one open (20 us).
MAX_OPEN_FILES = 64
#: After a refused write nothing is written for this long, so that a full disk costs one failure and one line of the
#: log.
REFUSED_SECONDS = 30.0
#: How many bytes are written between two looks at the free space.
_LOOK_NBYTES = 8 * MIB
#: What a file system without room, or without room for this user, answers.
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: What the system answers where this process, or all of it, has no descriptor left.
_SHORTAGES = (errno.EMFILE, errno.ENFILE)


class DiskCache:
    """Blocks of object versions below `folder`, at most about `limit_nbytes` of disk (one block per object more).

    `timer` is monotonic seconds, `wall_seconds` the wall clock. At most `most_open_files` are kept open. Call `scan`
    before the first write.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_nbytes: int,
        timer: Callable[[], float],
        wall_seconds: Callable[[], float],
        most_open_files: int = MAX_OPEN_FILES,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self.limit_nbytes = limit_nbytes
        self.index = DiskIndex(folder, on_remove=self._close_file, statvfs=statvfs)
        self.corrupt_blocks = 0
        self._folder = folder
        self._timer = timer
        self._wall_seconds = wall_seconds
        self._open: OpenFiles = OpenFiles(most_open_files)
        self.trouble = ""
        """Why nothing is kept at present, in a few words; "" while nothing is known to be wrong."""
        self._refused_until = float("-inf")
        self._unlooked_nbytes = _LOOK_NBYTES

    @property
    def used_nbytes(self) -> int:
        """What the files take on disk."""
        return self.index.used_nbytes

    def scan(self) -> None:
        """Look at what earlier mounts left, and bring it within the limit; a limit of 0 keeps nothing, pinned or not.
        Waits for the disk: call it in a thread, before anything else is called."""
        self.index.scan()
        if self.limit_nbytes > 0:
            self.index.prune(limit_nbytes=self.limit_nbytes)
        else:
            self.index.clear(pinned_too=True)

    # -- what is there --

    def held_nbytes(self, key: str) -> int:
        """How many bytes of the object are here, of whatever version."""
        if (file := self._open.get(key)) is not None:
            return file.held_nbytes
        # a listing asks about each of its files: names are digests, and need not be made where no file is kept
        return self.index.held_nbytes(name_of(key)) if len(self.index) else 0

    def takes(self, nbytes: int) -> bool:
        """True where an object of `nbytes` is likely to be kept whole."""
        return nbytes <= self.limit_nbytes // 2 and self._timer() >= self._refused_until

    def holds_all(self, version: ObjectVersion) -> bool:
        """True where every byte of the version is here."""
        file = self._file(version)
        return file is not None and file.held_nbytes == version.total_nbytes

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that lies in blocks that are not here, or None."""
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

    def try_read(
        self, version: ObjectVersion, indexes: range, buffer: memoryview | None = None
    ) -> tuple[range, memoryview] | None:
        """The blocks that are here from the first of `indexes` on, checked, as one piece; None where that one is not
        here.

        They are read into `buffer`, which has room for them, or into memory of their own. Raises WouldBlock where the
        disk would have to be waited for; then use `begin_read`.
        """
        file = self._file(version)
        run = file.run_at(indexes) if file is not None else range(0)
        if file is None or not run:
            return None
        try:
            data = file.try_read(run, buffer)
        except OSError as problem:
            self._unreadable(file, run, problem)
            return None
        return self._checked(file, run, data)

    def begin_read(self, version: ObjectVersion, indexes: range, buffer: memoryview | None = None) -> BlockRead | None:
        """Return a read of the same blocks for a thread; None where the first is not here."""
        file = self._file(version)
        run = file.run_at(indexes) if file is not None else range(0)
        if file is None or not run:
            return None
        try:
            return BlockRead(file, run, *file.reading(run, buffer))
        except OSError as problem:
            self._unreadable(file, run, problem)
            return None

    def finish_read(self, read: BlockRead, problem: OSError | None = None) -> tuple[range, memoryview] | None:
        """Return the result of a read whose transfer has run, or failed with `problem`."""
        if problem is not None:
            self._unreadable(read.file, read.run, problem)
            return None
        return self._checked(read.file, read.run, read.data)

    def _checked(self, file: DiskFile, run: range, data: memoryview) -> tuple[range, memoryview] | None:
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
            file.forget(index)  # or it would be read again and again
        self.refuse(problem)

    # -- writing --

    def lacking(self, version: ObjectVersion, run: range) -> range | None:
        """The first run of blocks of `run` that are not here."""
        file = self._file(version)
        return run if file is None else file.first_missing(run)

    def write(self, version: ObjectVersion, run: range, data: memoryview) -> None:
        """Keep the blocks of `run`, none of which is here, if the disk takes them. Waits for it. Makes room by last
        use; never raises for what the disk does."""
        while True:
            try:
                file = self._writable(version, len(data))
                if file is not None:
                    file.write(run, data)
                    file.wrote(run, file.slots_of(run, data))
                    self._grew(version, len(data))
                return
            except OSError as problem:
                if not self._others_went(problem, version):
                    self.refuse(problem)
                    return

    def begin_write(self, version: ObjectVersion, run: range, data: memoryview) -> BlockWrite | None:
        """Return a write of such blocks for a thread; None where the disk takes nothing now."""
        while True:
            try:
                file = self._writable(version, len(data))
                if file is None:
                    return None
                return BlockWrite(file, run, file.slots_of(run, data), file.writing(run, data))
            except OSError as problem:
                if not self._others_went(problem, version):
                    self.refuse(problem)
                    return None

    def finish_write(
        self, write: BlockWrite, problem: OSError | None = None, *, unwanted: Collection[int] = ()
    ) -> None:
        """Note the result of a write whose transfer has run, or failed with `problem`. Blocks that are `unwanted` are
        forgotten at once."""
        version = write.file.version
        file = self._file(version)  # it may have been closed, or made again, while a thread wrote
        if problem is not None:
            if not self._others_went(problem, version):
                self.refuse(problem)
        else:
            if file is not None and file is write.file:
                file.wrote(write.run, write.slots)
                for index in unwanted:
                    file.forget(index)
            self._grew(version, sum(write.file.block_range(index).nbytes for index in write.run))

    def begin_publish(self, version: ObjectVersion, indexes: Iterable[int]) -> Transfer | None:
        """Return the transfer that makes these blocks outlast a crash, since the answers they came from proved right;
        None where there is nothing to do. It moves a few bytes. Never raises for what the disk does."""
        file = self._file(version)
        try:
            return None if file is None else file.publishing(indexes)
        except OSError as problem:
            self.refuse(problem)
        return None

    def _writable(self, version: ObjectVersion, nbytes: int) -> DiskFile | None:
        if self.limit_nbytes <= 0 or self._timer() < self._refused_until:
            return None
        file = self._file(version) or self._made(version)
        return file if file is not None and self._make_room(nbytes, keep=name_of(version.key)) else None

    def _grew(self, version: ObjectVersion, nbytes: int) -> None:
        self.trouble = ""
        self.index.grow(name_of(version.key), nbytes, used_at=self._wall_seconds())
        self._unlooked_nbytes += nbytes

    # -- keeping and forgetting --

    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        """Drop every block that touches `unwanted`: its bytes proved untrustworthy."""
        file = self._file(version)
        if file is not None:
            for index in blocks_of(unwanted):
                if file.has(index):
                    file.forget(index)

    def drop_object(self, key: str) -> None:
        """Drop every byte of the object."""
        self.index.remove(name_of(key))

    def set_pinned(self, key: str, *, pinned: bool) -> bool:
        """Keep the object from eviction, or allow it again, also after a restart; False where nothing is here."""
        try:
            return self.index.set_pinned(name_of(key), pinned=pinned)
        except OSError as problem:
            self.refuse(problem)
            return False

    def is_pinned(self, key: str) -> bool:
        """True where the object is kept from eviction."""
        return (entry := self.index.get(name_of(key))) is not None and entry.is_pinned

    def close(self) -> None:
        """Give the descriptors back."""
        while self._open:
            self._open.popitem()

    # -- help --

    def _file(self, version: ObjectVersion) -> DiskFile | None:
        """The file of the version, or None where no file holds it."""
        file = self._open.get(version.key)
        if file is not None:
            return file if file.version == version else None
        entry = None if version.total_nbytes is None else self.index.get(name_of(version.key))
        if entry is None:
            return None
        try:
            file = self._opened(entry.path, version, create=False)
            entry.used_at, entry.held_nbytes = self._wall_seconds(), None
            os.utime(entry.path, (entry.used_at,) * 2)
        except OSError as problem:
            if file is None:  # else it is only the time of use that the disk does not take
                if not isinstance(problem, FileNotFoundError):
                    self.refuse(problem)
                return None
        self._open[version.key] = file
        left = self._open.unpublished.pop(version.key, None)
        if left is not None and left[0] == version:
            file.wrote_earlier(left[1])
        return file

    def _made(self, version: ObjectVersion) -> DiskFile | None:
        """A new file for the version, in place of one of another version. Raises OSError."""
        if version.total_nbytes is None:
            return None
        name = name_of(version.key)
        is_pinned = self.is_pinned(version.key)
        self.index.remove(name)
        path = self.index.path_of(name)
        make_folder(path.parent)
        file = self._opened(path, version, create=True)
        self.index.add(name, used_at=self._wall_seconds())
        self._open[version.key] = file
        if is_pinned:
            self.index.set_pinned(name, pinned=True)
        return file

    def _opened(self, path: Path, version: ObjectVersion, *, create: bool) -> DiskFile:
        try:
            return DiskFile(path, version, create=create)
        except OSError as problem:
            if problem.errno not in _SHORTAGES or not self._open:
                raise
            self.close()  # one of their descriptors serves this file better
            return DiskFile(path, version, create=create)

    def _make_room(self, nbytes: int, *, keep: str) -> bool:
        """Evict by last use until `nbytes` fit; False where they cannot. The object being written stays. Raises OSError
        where the file system is full all the same."""
        if self._unlooked_nbytes >= _LOOK_NBYTES:
            self.index.leave_free_space(keep=keep)
            self._unlooked_nbytes = 0
        return self.index.make_room(nbytes, limit_nbytes=self.limit_nbytes, keep=keep)

    def _others_went(self, problem: OSError, version: ObjectVersion) -> bool:
        """True where the disk was too full for a block of the version, and what was unused for longest gave way: then
        another try is worthwhile. Each time something is evicted, so that tries come to an end."""
        if problem.errno not in _FULL or isinstance(problem, NearlyFull):
            return False
        room_nbytes = max(0, self.index.used_nbytes - BLOCK_NBYTES)
        return self.index.prune(limit_nbytes=room_nbytes, keep=name_of(version.key)) > 0

    def _close_file(self, name: str) -> None:
        for key in [key for key in self._open.unpublished if name_of(key) == name]:
            del self._open.unpublished[key]
        for key in [key for key in self._open if name_of(key) == name]:
            self._open[key].close()
            del self._open[key]

    def refuse(self, problem: OSError) -> None:
        """Note that the disk did not take or give something: reads go on without it for a while. A shortage of
        descriptors is not the disk's trouble: those of the files are given back, and the next block is tried again."""
        if problem.errno in _SHORTAGES:
            self.close()
            return
        if self._timer() >= self._refused_until:
            log.warning("disk cache pauses folder=%s reason=%s", self._folder, problem.strerror or problem)
        self.trouble = "disk full" if problem.errno in _FULL else problem.strerror or str(problem)
        self._refused_until = self._timer() + REFUSED_SECONDS
        self._unlooked_nbytes = _LOOK_NBYTES
