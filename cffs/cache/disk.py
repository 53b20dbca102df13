"""The disk cache of one account: a file an object, whole files evicted by last use, nothing given out unchecked.

It must not know HTTP, FUSE, tasks or the memory cache; what it does may wait for the disk where `wait` says so.
`reader/` reads and writes blocks through it, `cffs cache` looks after it without a mount.

A disk that refuses (full, read-only, failing, gone) never disturbs a read: blocks are then not kept, said once.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from cffs.cache.disk_file import DiskFile
from cffs.cache.disk_format import BLOCK_NBYTES, key_digest
from cffs.cache.version import ObjectVersion
from cffs.core.byte_range import ByteRange

log = logging.getLogger(__name__)

#: Descriptors kept open; a read of another object costs one open (20 us).
MAX_OPEN_FILES = 64
#: After a refused write nothing is written for this long, so that a full disk costs one failure and one line.
REFUSED_SECONDS = 30.0
#: What is left free for others on the file system, whatever the limit allows.
FREE_NBYTES = 512 * 1024 * 1024
#: How many bytes are written between two looks at the free space.
_LOOK_NBYTES = 64 * 1024 * 1024
#: The unit of st_blocks (stat(2)).
_SECTOR_NBYTES = 512


@dataclass(slots=True)
class Entry:
    """A cache file: what it takes on disk, when it was used last (wall clock, seconds), whether it may be evicted;
    `held_nbytes` is how much of the object it holds, None until somebody asked."""

    path: Path
    disk_nbytes: int
    used_at: float
    is_pinned: bool = False
    held_nbytes: int | None = None


class _OpenFiles(LRUCache[str, DiskFile]):
    """Open files by object key; the one unused for longest is closed for the next."""

    def popitem(self) -> tuple[str, DiskFile]:
        key, file = super().popitem()
        file.close()
        return key, file


class DiskCache:
    """Blocks of object versions below `folder`, at most about `limit_nbytes` of disk (one block an object more).

    `timer` is monotonic seconds, `wall_seconds` the wall clock. Call `scan` before the first write.
    """

    def __init__(
        self, folder: Path, *, limit_nbytes: int, timer: Callable[[], float], wall_seconds: Callable[[], float]
    ) -> None:
        self.limit_nbytes = limit_nbytes
        self.used_nbytes = 0
        self.hits = 0
        self.corrupt_blocks = 0
        self._folder = folder
        self._timer = timer
        self._wall_seconds = wall_seconds
        self._entries: dict[str, Entry] = {}
        self._open: _OpenFiles = _OpenFiles(MAX_OPEN_FILES)
        self._refused_until = float("-inf")
        self._unlooked_nbytes = _LOOK_NBYTES

    # -- what is there --

    def scan(self) -> None:
        """Look at what earlier mounts left. Waits for the disk; call it in a thread before anything else is called."""
        for path in files_below(self._folder):
            try:
                found = path.stat()
            except OSError:
                continue  # vanished meanwhile
            entry = Entry(path, found.st_blocks * _SECTOR_NBYTES, found.st_mtime, is_pinned=bool(found.st_mode & 0o100))
            self._entries[path.parent.name + path.name] = entry
            self.used_nbytes += entry.disk_nbytes

    def held_nbytes(self, version: ObjectVersion) -> int:
        """How many bytes of the version are here."""
        entry = self._entries.get(_name(version.key))
        if entry is None:
            return 0
        if entry.held_nbytes is None:
            file = self._file(version, create=False)
            entry.held_nbytes = file.held_nbytes() if file is not None else 0
        return entry.held_nbytes

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that lies in blocks that are not here, None when none does."""
        if not within:
            return None
        file = self._file(version, create=False)
        if file is None:
            return within
        indexes = range(within.start // BLOCK_NBYTES, -(-within.stop // BLOCK_NBYTES))
        start = next((index for index in indexes if not file.has(index)), None)
        if start is None:
            return None
        stop = next((index for index in range(start, indexes.stop) if file.has(index)), indexes.stop)
        return ByteRange(max(within.start, start * BLOCK_NBYTES), min(within.stop, stop * BLOCK_NBYTES))

    # -- blocks --

    def read(self, version: ObjectVersion, index: int, *, wait: bool) -> bytearray | None:
        """Block `index`, checked, or None where it is not here. With `wait` False raises WouldBlock where the disk
        would have to be waited for."""
        file = self._file(version, create=False)
        if file is None:
            return None
        before = file.corrupt_blocks
        try:
            data = file.read(index, wait=wait)
        except OSError as problem:
            self._refuse(problem)
            return None
        if file.corrupt_blocks > before:
            self.corrupt_blocks += 1
            self._entries[_name(version.key)].held_nbytes = None
            log.warning("damaged block dropped object=%s block=%d; it is fetched again", version.key, index)
        self.hits += data is not None
        return data

    def write(self, version: ObjectVersion, index: int, data: memoryview) -> None:
        """Keep block `index` if the disk takes it; makes room by last use. Never raises for what the disk does."""
        if self.limit_nbytes <= 0 or self._timer() < self._refused_until:
            return
        file = self._file(version, create=True)
        if file is None or file.has(index) or not self._make_room(len(data), keep=version.key):
            return
        try:
            file.write(index, data)
        except OSError as problem:
            self._refuse(problem)
            return
        entry = self._entries[_name(version.key)]
        entry.disk_nbytes += len(data)
        self.used_nbytes += len(data)
        self._unlooked_nbytes += len(data)
        if entry.held_nbytes is not None:
            entry.held_nbytes += len(data)

    # -- keeping and forgetting --

    def drop_object(self, key: str) -> None:
        """Every byte of the object leaves the disk."""
        self._remove(_name(key))

    def set_pinned(self, key: str, *, pinned: bool) -> None:
        """Keep the object from eviction, or let it go again; survives a restart (the owner's x bit of the file)."""
        entry = self._entries.get(_name(key))
        if entry is not None:
            entry.is_pinned = pinned
            entry.path.chmod(0o700 if pinned else 0o600)

    def is_pinned(self, key: str) -> bool:
        """True where the object is kept from eviction."""
        entry = self._entries.get(_name(key))
        return entry is not None and entry.is_pinned

    def clear(self, *, pinned_too: bool) -> int:
        """Remove every file (pinned ones only if asked); returns how many bytes of disk came free."""
        before = self.used_nbytes
        for name, entry in list(self._entries.items()):
            if pinned_too or not entry.is_pinned:
                self._remove(name)
        return before - self.used_nbytes

    def prune(self, *, limit_nbytes: int, unused_since: float = 0.0) -> int:
        """Remove files unused since then, then by last use down to `limit_nbytes`; pinned ones stay. Returns the bytes
        that came free."""
        before = self.used_nbytes
        for name in self._by_last_use():
            entry = self._entries[name]
            if self.used_nbytes > limit_nbytes or entry.used_at < unused_since:
                self._remove(name)
        return before - self.used_nbytes

    def close(self) -> None:
        """Give the descriptors back."""
        while self._open:
            self._open.popitem()

    # -- help --

    def _file(self, version: ObjectVersion, *, create: bool) -> DiskFile | None:
        if version.total_nbytes is None:
            return None
        name = _name(version.key)
        file = self._open.get(version.key)
        if file is not None and file.version == version:
            return file
        if file is not None:
            del self._open[version.key]
            file.close()
        entry = self._entries.get(name)
        if entry is None and not create:
            return None
        path = self._folder / name[:2] / name[2:]
        try:
            if create:
                path.parent.mkdir(mode=0o700, exist_ok=True)
            file = DiskFile(path, version, create=create)
            os.utime(path, (self._wall_seconds(),) * 2)
        except OSError as problem:
            if create or not isinstance(problem, FileNotFoundError):
                self._refuse(problem)
            return None
        if entry is None:
            entry = self._entries[name] = Entry(path, 0, self._wall_seconds(), held_nbytes=0)
        entry.used_at = self._wall_seconds()
        if entry.held_nbytes is None or create:
            entry.held_nbytes = file.held_nbytes()
        self._open[version.key] = file
        return file

    def _make_room(self, nbytes: int, *, keep: str) -> bool:
        """Evict by last use until `nbytes` fit; False where they cannot. The object being written goes last."""
        if self._unlooked_nbytes >= _LOOK_NBYTES and not self._look_at_free_space():
            return False
        if self.used_nbytes + nbytes <= self.limit_nbytes:
            return True
        for name in self._by_last_use():
            if name == _name(keep):
                continue
            self._remove(name)
            if self.used_nbytes + nbytes <= self.limit_nbytes:
                return True
        return False

    def _look_at_free_space(self) -> bool:
        try:
            found = os.statvfs(self._folder)
        except OSError as problem:
            self._refuse(problem)
            return False
        self._unlooked_nbytes = 0
        short_nbytes = FREE_NBYTES - found.f_bavail * found.f_frsize
        if short_nbytes > 0:
            self.prune(limit_nbytes=max(0, self.used_nbytes - short_nbytes))
            self._refuse(OSError(0, "the file system is nearly full"))
            return False
        return True

    def _by_last_use(self) -> list[str]:
        free = [(entry.used_at, name) for name, entry in self._entries.items() if not entry.is_pinned]
        return [name for _used_at, name in sorted(free)]

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        for key in [key for key in self._open if _name(key) == name]:
            self._open[key].close()
            del self._open[key]
        self.used_nbytes -= entry.disk_nbytes
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as problem:
            self._refuse(problem)

    def _refuse(self, problem: OSError) -> None:
        """The disk did not take or give something: reads go on without it for a while."""
        if self._timer() >= self._refused_until:
            log.warning("disk cache pauses folder=%s reason=%s", self._folder, problem.strerror or problem)
        self._refused_until = self._timer() + REFUSED_SECONDS


def files_below(folder: Path) -> Iterator[Path]:
    """The cache files below a folder; nothing where there is none."""
    try:
        with os.scandir(folder) as entries:
            shards = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for shard in shards:
        with os.scandir(shard.path) as entries:
            files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        yield from map(Path, files)


def _name(key: str) -> str:
    return key_digest(key).hex()
