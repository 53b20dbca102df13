"""The files of a disk cache: sizes, last use, and which may be evicted.

It owns the order of eviction. It must not know versions or blocks, beyond asking a file how much it holds.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cffs.cache.disk_check import held_nbytes_in
from cffs.cache.disk_format import key_digest
from cffs.core.units import MIB

log = logging.getLogger(__name__)

#: What is left free for others on the file system, whatever the limit allows: this, or its share of a small one.
FREE_NBYTES = 512 * MIB
_FREE_SHARE = 0.05
#: Where something must be evicted, this share of the limit goes with it, so that the next blocks need no look at all
#: files.
_SPARE_SHARE = 1 / 64
#: The unit of st_blocks (stat(2)).
_SECTOR_NBYTES = 512
#: A pinned file has its owner's x bit set: that survives a restart and needs no second file.
_PINNED, _FREE = 0o700, 0o600


class NearlyFull(OSError):
    """What is left on the file system is for others."""


@dataclass(slots=True)
class CacheFile:
    """A cache file: what it takes on disk, when it was last used (wall clock, seconds), and whether it may be evicted.
    `held_nbytes` is how much of the object it holds; None until that was asked."""

    path: Path
    disk_nbytes: int
    used_at: float
    is_pinned: bool = False
    held_nbytes: int | None = None


@lru_cache(maxsize=4096)
def name_of(key: str) -> str:
    """The name of an object's file, whatever its version."""
    return key_digest(key).hex()


class DiskIndex:
    """The files below `folder`, by name; owned by one DiskCache, or by a command while nothing is mounted."""

    def __init__(
        self,
        folder: Path,
        *,
        on_remove: Callable[[str], None] | None = None,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        """`on_remove` is given the name of each file just before the file goes; `statvfs` returns what room there
        is."""
        self.folder = folder
        self._statvfs = statvfs
        self._on_remove = on_remove
        #: A value that differs once more or less is held of any object.
        self.turn = 0
        self.used_nbytes = 0
        self._entries: dict[str, CacheFile] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[CacheFile]:
        return iter(list(self._entries.values()))

    def scan(self) -> None:
        """Look at what is there. Waits for the disk."""
        for path in files_below(self.folder):
            try:
                found = path.stat()
            except OSError:
                continue  # vanished meanwhile
            entry = CacheFile(
                path, found.st_blocks * _SECTOR_NBYTES, found.st_mtime, is_pinned=bool(found.st_mode & stat.S_IXUSR)
            )
            self._entries[path.parent.name + path.name] = entry
            self.used_nbytes += entry.disk_nbytes

    def get(self, name: str) -> CacheFile | None:
        """What is known of a file."""
        return self._entries.get(name)

    def path_of(self, name: str) -> Path:
        """Where the file of that name lies, or would."""
        return self.folder / name[:2] / name[2:]

    def add(self, name: str, *, used_at: float) -> CacheFile:
        """Note a file that was just made."""
        self.turn += 1
        entry = self._entries[name] = CacheFile(self.path_of(name), 0, used_at, held_nbytes=0)
        return entry

    def grow(self, name: str, nbytes: int, *, used_at: float) -> None:
        """Note that the file takes more, and is in use."""
        entry = self._entries.get(name)
        if entry is not None:
            self.turn += 1
            entry.used_at = used_at
            entry.disk_nbytes += nbytes
            entry.held_nbytes = None
            self.used_nbytes += nbytes

    def remove(self, name: str) -> None:
        """Remove the file; it counts no more, even where the disk refuses."""
        self.turn += 1
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        self.used_nbytes -= entry.disk_nbytes
        if self._on_remove is not None:
            self._on_remove(name)
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as problem:
            log.warning("cannot remove a cache file path=%s reason=%s", entry.path, problem.strerror)
            return
        with suppress(OSError):  # mostly others are in it; an empty folder takes an inode for nothing
            entry.path.parent.rmdir()

    def clear(self, *, pinned_too: bool) -> int:
        """Remove every file (pinned ones only if asked); return how many bytes of disk came free."""
        before = self.used_nbytes
        for name in self._by_last_use(pinned_too=pinned_too):
            self.remove(name)
        return before - self.used_nbytes

    def prune(self, *, limit_nbytes: int, unused_since: float = 0.0, keep: str = "") -> int:
        """Remove files unused since then, then by last use down to `limit_nbytes`; pinned ones and `keep` stay. Return
        the bytes that came free."""
        before = self.used_nbytes
        for name in self._by_last_use():
            if name != keep and (self.used_nbytes > limit_nbytes or self._entries[name].used_at < unused_since):
                self.remove(name)
        return before - self.used_nbytes

    def make_room(self, nbytes: int, *, limit_nbytes: int, keep: str) -> bool:
        """Evict by last use, except `keep`, until `nbytes` more fit; False where they cannot."""
        if self.used_nbytes + nbytes > limit_nbytes:
            self.prune(limit_nbytes=max(0, limit_nbytes - nbytes - int(limit_nbytes * _SPARE_SHARE)), keep=keep)
        return self.used_nbytes + nbytes <= limit_nbytes

    def leave_free_space(self, *, keep: str) -> None:
        """Evict by last use, except `keep`, until others have room on the file system. Raises NearlyFull where they
        still have none."""
        short_nbytes = self._short_nbytes()
        if short_nbytes > 0:
            self.prune(limit_nbytes=max(0, self.used_nbytes - short_nbytes), keep=keep)
            if self._short_nbytes() > 0:
                raise NearlyFull(errno.ENOSPC, "the file system is nearly full")

    def _short_nbytes(self) -> int:
        found = self._statvfs(self.folder)
        free_nbytes = min(FREE_NBYTES, int(found.f_blocks * found.f_frsize * _FREE_SHARE))
        return free_nbytes - found.f_bavail * found.f_frsize

    def _by_last_use(self, *, pinned_too: bool = False) -> list[str]:
        found = [(entry.used_at, name) for name, entry in self._entries.items() if pinned_too or not entry.is_pinned]
        return [name for _used_at, name in sorted(found)]

    def held_nbytes(self, name: str) -> int:
        """How many bytes of its object the file holds. The first time, the file is looked into."""
        entry = self._entries.get(name)
        if entry is None:
            return 0
        if entry.held_nbytes is None:
            try:
                entry.held_nbytes = held_nbytes_in(entry.path)
            except OSError:
                entry.held_nbytes = 0
        return entry.held_nbytes

    def set_pinned(self, name: str, *, pinned: bool) -> bool:
        """Keep the file from eviction, or allow it again; False where there is none. Raises OSError."""
        entry = self._entries.get(name)
        if entry is None:
            return False
        entry.path.chmod(_PINNED if pinned else _FREE)
        entry.is_pinned = pinned
        return True


def files_below(folder: Path) -> Iterator[Path]:
    """The cache files below a folder; none where there is no such folder."""
    for shard in _scanned(folder):
        if shard.is_dir(follow_symlinks=False):
            for entry in _scanned(Path(shard.path)):
                if entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)


def _scanned(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
