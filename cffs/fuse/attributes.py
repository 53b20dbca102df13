"""Attributes in the kernel's form, and how long the kernel may believe them.

Owns modes, times, block counts and timeouts (`cffs/docs/semantics.md#attributes`). It must not know where a size comes
from: it gets a description.

`st_blocks` is chosen with care, for two measured reasons: thumbnailers leave a file alone that has fewer blocks than
its size asks for, and `tar -S` archives zeros where there are none.
"""

import stat
from dataclasses import dataclass

import pyfuse3

from cffs.core.ids import Inode
from cffs.core.names import MAX_NAME_NBYTES
from cffs.core.settings import FuseSettings
from cffs.core.times import clamped_ns
from cffs.core.units import BLOCK_NBYTES
from cffs.tree.namespace import Description

#: The unit of st_blocks, whatever the block size (stat(2)).
SECTOR_NBYTES = 512
#: What is free where media can be written: the service says nothing of it, and copying tools and file managers must go
#: ahead.
_FREE_NBYTES = 2**40
_FREE_FILES = 2**20
#: A 32-bit program's statfs fails where a count does not fit.
_MOST_BLOCKS = 2**32 - 1
#: Modes of files and folders that cannot be written, by whether the mount is `ro`. A `ro` mount refuses writes by
#: itself, so its modes are those of ordinary files: what is copied out can then be changed and deleted.
_MODES = {True: (0o644, 0o755), False: (0o444, 0o555)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCaching:
    """How long the kernel may believe names and attributes without asking.

    An exact size never changes for an inode (a new version gets a new inode). Hints and folders are asked again after
    the listing's time to live; a size that is not known, and what changes by itself, are asked every time.
    """

    entry_seconds: float = 60.0
    exact_seconds: float = 3600.0
    hint_seconds: float = 60.0
    missing_seconds: float = 30.0
    never_ours_seconds: float = 300.0
    #: Names of what changes by itself: a recording in progress becomes another inode when it is finished.
    volatile_seconds: float = 1.0


class AttributeMaker:
    """Makes attributes for the kernel.

    A listing's reply copies attributes at once, and needs thousands of them. So what is made for a listing is one of a
    few objects that are used again and again, changed in the fields in which one entry differs from the next.
    """

    def __init__(self, settings: FuseSettings, caching: KernelCaching, *, first_seen_ns: int) -> None:
        """What has no known time is as old as `first_seen_ns`, the first mount of the account: with the time of this
        mount, each mount would show another version of it."""
        self._settings = settings
        self._caching = caching
        self._first_seen_ns = first_seen_ns
        self.is_read_only = settings.is_read_only
        self._file_mode, self._folder_mode = _MODES[settings.is_read_only]
        self._listed_folders: dict[int | None, pyfuse3.EntryAttributes] = {}
        self._listed_file = self._blank()
        self._only_listed = self._blank()
        self._only_listed.st_mode = pyfuse3.ModeT(self._mode(stat.S_IFREG, None, self._file_mode))
        self._only_listed.entry_timeout = caching.entry_seconds

    def make(
        self,
        inode: Inode,
        description: Description,
        *,
        held_nbytes: int,
        now_ns: int,
        permissions: int | None = None,
        is_listed: bool = False,
    ) -> pyfuse3.EntryAttributes:
        """The attributes of an inode. `held_nbytes` is how much of it is held locally; `permissions` are its mode bits
        where these differ from those of what cannot be written. With `is_listed`, of a file, the object returned is
        one that the next such call changes."""
        modified_ms = None if description.modified_ns is None else description.modified_ns // 1_000_000
        if description.is_folder:
            attributes = self._folder(permissions)
            attributes.st_ino = pyfuse3.InodeT(inode)
            self._set_time(attributes, modified_ms, now_ns)
            return attributes
        nbytes = description.nbytes or 0
        attributes = self._listed_file if is_listed else self._blank()
        attributes.st_ino = pyfuse3.InodeT(inode)
        attributes.st_mode = pyfuse3.ModeT(self._mode(stat.S_IFREG, permissions, self._file_mode))
        attributes.st_size = nbytes
        attributes.st_blocks = blocks(nbytes, held_nbytes)
        self._set_time(attributes, modified_ms, now_ns)
        attributes.attr_timeout = self._attr_seconds(description)
        attributes.entry_timeout = self._entry_seconds(description)
        return attributes

    def listed_folder(
        self, inode: Inode, modified_ms: int | None, *, now_ns: int, permissions: int | None = None
    ) -> pyfuse3.EntryAttributes:
        """A folder's attributes for a listing: folders differ in their number and time alone."""
        attributes = self._listed_folders.get(permissions)
        if attributes is None:
            attributes = self._listed_folders[permissions] = self._folder(permissions)
        attributes.st_ino = inode
        self._set_time(attributes, modified_ms, now_ns)
        return attributes

    def only_listed(
        self, inode: Inode, nbytes: int | None, modified_ms: int | None, *, now_ns: int
    ) -> pyfuse3.EntryAttributes:
        """For a listing, the attributes of a file of which nothing but the service's listing is known, and of which
        nothing is held here."""
        attributes = self._only_listed
        attributes.st_ino = inode
        attributes.st_size = nbytes or 0
        attributes.st_blocks = 1 if nbytes else 0
        self._set_time(attributes, modified_ms, now_ns)
        attributes.attr_timeout = 0.0 if nbytes is None else self._caching.hint_seconds
        return attributes

    def missing(self, *, never_ours: bool, known_for_seconds: float = 0.0) -> pyfuse3.EntryAttributes:
        """A negative entry: the kernel remembers for a while that the name does not exist, less by the time for which
        that has been known."""
        attributes = pyfuse3.EntryAttributes()
        attributes.st_ino = pyfuse3.InodeT(0)
        seconds = self._caching.never_ours_seconds if never_ours else self._caching.missing_seconds
        attributes.entry_timeout = attributes.attr_timeout = max(0.0, seconds - known_for_seconds)
        return attributes

    def promised(self, inode: Inode, *, is_folder: bool) -> pyfuse3.EntryAttributes:
        """Attributes of what is not known to exist. The kernel may believe none of them, so that it asks for the
        attributes before they are used, and for the name the next time.

        (A name that was believed for a second would look like a file to a program that learned a moment ago that there
        is none, and now creates it.)
        """
        attributes = self._blank()
        attributes.st_ino = pyfuse3.InodeT(inode)
        kind, usual = (stat.S_IFDIR, self._folder_mode) if is_folder else (stat.S_IFREG, self._file_mode)
        attributes.st_mode = pyfuse3.ModeT(self._mode(kind, None, usual))
        attributes.st_size = attributes.st_blocks = 0
        self._set_time(attributes, None, 0)
        attributes.entry_timeout = attributes.attr_timeout = 0.0
        return attributes

    def _blank(self) -> pyfuse3.EntryAttributes:
        """New attributes with the fields in which none differ."""
        attributes = pyfuse3.EntryAttributes()
        attributes.generation = 0
        attributes.st_nlink = 1
        attributes.st_uid = self._settings.uid
        attributes.st_gid = self._settings.gid
        attributes.st_rdev = 0
        # 1 MiB would make Python's open() read 1 MiB for the first 64 KiB; 128 KiB is the kernel's own read-ahead
        attributes.st_blksize = BLOCK_NBYTES
        return attributes

    def _folder(self, permissions: int | None) -> pyfuse3.EntryAttributes:
        attributes = self._blank()
        attributes.st_mode = pyfuse3.ModeT(self._mode(stat.S_IFDIR, permissions, self._folder_mode))
        attributes.st_size = attributes.st_blocks = 0
        attributes.entry_timeout = self._caching.entry_seconds
        attributes.attr_timeout = self._caching.hint_seconds  # a folder's time moves with its newest entry
        return attributes

    def _set_time(self, attributes: pyfuse3.EntryAttributes, modified_ms: int | None, now_ns: int) -> None:
        at_ns = self._first_seen_ns if modified_ms is None else clamped_ns(modified_ms, now_ns=now_ns)
        attributes.st_atime_ns = attributes.st_mtime_ns = attributes.st_ctime_ns = at_ns

    def _mode(self, kind: int, permissions: int | None, usual: int) -> int:
        return kind | ((usual if permissions is None else permissions) & ~self._settings.umask)

    def _entry_seconds(self, description: Description) -> float:
        if description.is_passing:
            return 0.0
        return self._caching.volatile_seconds if description.is_volatile else self._caching.entry_seconds

    def _attr_seconds(self, description: Description) -> float:
        if description.is_volatile or description.nbytes is None:
            return 0.0
        return self._caching.exact_seconds if description.is_exact else self._caching.hint_seconds


def blocks(size_nbytes: int, held_nbytes: int) -> int:
    """`st_blocks`: what is held locally, at least 1 for a file that is not empty, below its size until all is here."""
    if size_nbytes == 0:
        return 0
    whole = -(-size_nbytes // SECTOR_NBYTES)
    if held_nbytes >= size_nbytes:
        return whole
    return max(1, min(held_nbytes // SECTOR_NBYTES, (size_nbytes - 1) // SECTOR_NBYTES))


def statfs_of(*, known_nbytes: int, known_files: int, is_read_only: bool) -> pyfuse3.StatvfsData:
    """The answer to statfs: the bytes that are known of are used, and on a read-only mount none are free."""
    free_nbytes = 0 if is_read_only else _FREE_NBYTES
    block_nbytes = BLOCK_NBYTES
    while (known_nbytes + free_nbytes) // block_nbytes >= _MOST_BLOCKS:
        block_nbytes *= 2
    data = pyfuse3.StatvfsData()
    data.f_bsize = data.f_frsize = block_nbytes
    data.f_bfree = data.f_bavail = free_nbytes // block_nbytes
    # at least one: `df` leaves out a file system without blocks
    data.f_blocks = data.f_bfree + max(1, -(-known_nbytes // block_nbytes))
    data.f_ffree = data.f_favail = 0 if is_read_only else _FREE_FILES
    data.f_files = data.f_ffree + max(1, known_files)
    data.f_namemax = MAX_NAME_NBYTES
    return data
