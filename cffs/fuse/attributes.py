"""Attributes as the kernel wants them, and how long it may believe them.

It must not know where a size comes from; it is given a description.
`fuse/operations` calls it. Contract section 4; the meaning of `st_blocks` is measured in the project's desktop notes:
thumbnailers leave a file alone whose blocks are fewer than its size, `tar -S` archives zeros where they are none.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass

import pyfuse3

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.names import MAX_NAME_NBYTES
from cffs.core.settings import FuseSettings
from cffs.core.times import clamped_ns
from cffs.core.units import BLOCK_NBYTES, NS_PER_MS
from cffs.core.values import RecordingState
from cffs.fuse.attribute_cache import AttributeCache
from cffs.fuse.growing_files import Living
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.fuse.snapshots import Snapshots
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import Content, Folder, Node, Remote
from cffs.tree.routes import FOLDERS

#: The unit of st_blocks, whatever the block size (stat(2)).
SECTOR_NBYTES = 512
#: What is free where media can be written: nothing tells how much, and copying tools and file managers must go ahead.
_FREE_NBYTES = 2**40
_FREE_FILES = 2**20
#: A 32-bit program's statfs fails where a count does not fit.
_MOST_BLOCKS = 2**32 - 1
#: Modes of what nothing is written to. A `ro` mount refuses writes by itself: there modes are those of ordinary files,
#: so that what is copied out can be changed and deleted.
_MODES = {True: (0o644, 0o755), False: (0o444, 0o555)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCaching:
    """How long the kernel may believe names and attributes without asking.

    Exact sizes never change for an inode (a new version gets a new one); hints and folders are asked again after the
    listing's time to live; what nobody knows yet, and what changes by itself, is asked every time.
    """

    entry_seconds: float = 60.0
    exact_seconds: float = 3600.0
    hint_seconds: float = 60.0
    missing_seconds: float = 30.0
    never_ours_seconds: float = 300.0
    #: Names of what changes by itself: a recording that is made becomes another inode when it is finished.
    volatile_seconds: float = 1.0


class AttributeMaker:
    """Makes the kernel's attributes for one mount. `now_ns` is the wall clock, injected."""

    def __init__(self, settings: FuseSettings, caching: KernelCaching, *, first_seen_ns: int) -> None:
        """What no time is known of is as old as `first_seen_ns`, the first mount of the account: the time of this
        mount would make each mount another version of it."""
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
    ) -> pyfuse3.EntryAttributes:
        """The attributes of an inode. `held_nbytes` is what of it is held locally; `permissions` are its mode bits
        where writing makes them other than read-only."""
        if description.is_folder:
            attributes = self._of_folder(inode, permissions)
            self._tell_time(attributes, description.modified_ns, now_ns)
            return attributes
        attributes = self._blank()
        self._tell_file(attributes, inode, description, held_nbytes, now_ns, permissions)
        return attributes

    def listed_folder(
        self, inode: Inode, modified_ms: int | None, *, now_ns: int, permissions: int | None = None
    ) -> pyfuse3.EntryAttributes:
        """The same of a folder, in an object that the next call changes: a listing's reply copies it at once, and all
        folders differ by their number and time alone."""
        attributes = self._listed_folders.get(permissions)
        if attributes is None:
            attributes = self._listed_folders[permissions] = self._of_folder(inode, permissions)
        attributes.st_ino = inode
        self._tell_ms(attributes, modified_ms, now_ns)
        return attributes

    def only_listed(
        self, inode: Inode, nbytes: int | None, modified_ms: int | None, *, now_ns: int
    ) -> pyfuse3.EntryAttributes:
        """The same of a file of which nothing but what listed it has told, and of which nothing is here."""
        attributes = self._only_listed
        attributes.st_ino = inode
        attributes.st_size = nbytes or 0
        attributes.st_blocks = 1 if nbytes else 0
        self._tell_ms(attributes, modified_ms, now_ns)
        attributes.attr_timeout = 0.0 if nbytes is None else self._caching.hint_seconds
        return attributes

    def listed_file(
        self,
        inode: Inode,
        description: Description,
        *,
        held_nbytes: int,
        now_ns: int,
        permissions: int | None = None,
    ) -> pyfuse3.EntryAttributes:
        """The same of a file."""
        self._tell_file(self._listed_file, inode, description, held_nbytes, now_ns, permissions)
        return self._listed_file

    def _blank(self) -> pyfuse3.EntryAttributes:
        """What is the same for all."""
        attributes = pyfuse3.EntryAttributes()
        attributes.generation = 0
        attributes.st_nlink = 1
        attributes.st_uid = self._settings.uid
        attributes.st_gid = self._settings.gid
        attributes.st_rdev = 0
        attributes.st_blksize = BLOCK_NBYTES
        return attributes

    def _of_folder(self, inode: Inode, permissions: int | None) -> pyfuse3.EntryAttributes:
        attributes = self._blank()
        attributes.st_ino = pyfuse3.InodeT(inode)
        attributes.st_mode = pyfuse3.ModeT(self._mode(stat.S_IFDIR, permissions, self._folder_mode))
        attributes.st_size = attributes.st_blocks = 0
        attributes.entry_timeout = self._caching.entry_seconds
        attributes.attr_timeout = self._caching.hint_seconds  # its time moves with what comes
        return attributes

    def _tell_time(self, attributes: pyfuse3.EntryAttributes, modified_ns: int | None, now_ns: int) -> None:
        self._tell_ms(attributes, None if modified_ns is None else modified_ns // NS_PER_MS, now_ns)

    def _tell_ms(self, attributes: pyfuse3.EntryAttributes, modified_ms: int | None, now_ns: int) -> None:
        at_ns = self._first_seen_ns if modified_ms is None else clamped_ns(modified_ms, now_ns=now_ns)
        attributes.st_atime_ns = attributes.st_mtime_ns = attributes.st_ctime_ns = at_ns

    def _tell_file(
        self,
        attributes: pyfuse3.EntryAttributes,
        inode: Inode,
        description: Description,
        held_nbytes: int,
        now_ns: int,
        permissions: int | None,
    ) -> None:
        """Everything that a file has of its own: an object that told of another is told all of it."""
        nbytes = description.nbytes or 0
        attributes.st_ino = pyfuse3.InodeT(inode)
        attributes.st_mode = pyfuse3.ModeT(self._mode(stat.S_IFREG, permissions, self._file_mode))
        attributes.st_size = nbytes
        attributes.st_blocks = blocks(nbytes, held_nbytes)
        self._tell_time(attributes, description.modified_ns, now_ns)
        attributes.attr_timeout = self._attr_seconds(description)
        attributes.entry_timeout = self._entry_seconds(description)

    def missing(self, *, never_ours: bool, known_for_seconds: float = 0.0) -> pyfuse3.EntryAttributes:
        """A negative entry: the kernel remembers for a while that the name does not exist, for as much less as it has
        been known for."""
        attributes = pyfuse3.EntryAttributes()
        attributes.st_ino = pyfuse3.InodeT(0)
        seconds = self._caching.never_ours_seconds if never_ours else self._caching.missing_seconds
        attributes.entry_timeout = attributes.attr_timeout = max(0.0, seconds - known_for_seconds)
        return attributes

    def promised(self, inode: Inode, *, is_folder: bool) -> pyfuse3.EntryAttributes:
        """Of what is not known to be there: nothing of it is believed, so that the kernel asks for its attributes
        before it is used, and for its name the next time. (A name that was believed for a second would look like a file
        to a program that was told a moment ago that there is none, and now creates it.)"""
        attributes = self._blank()
        attributes.st_ino = pyfuse3.InodeT(inode)
        kind, usual = (stat.S_IFDIR, self._folder_mode) if is_folder else (stat.S_IFREG, self._file_mode)
        attributes.st_mode = pyfuse3.ModeT(self._mode(kind, None, usual))
        attributes.st_size = attributes.st_blocks = 0
        self._tell_time(attributes, None, 0)
        attributes.entry_timeout = attributes.attr_timeout = 0.0
        return attributes

    def _mode(self, kind: int, permissions: int | None, usual: int) -> int:
        return kind | ((usual if permissions is None else permissions) & ~self._settings.umask)

    def _entry_seconds(self, description: Description) -> float:
        if description.is_volatile:
            return self._caching.volatile_seconds
        return 0.0 if description.is_passing else self._caching.entry_seconds

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
    """What statfs answers: the bytes known of are used, and without writing none are free."""
    free_nbytes = 0 if is_read_only else _FREE_NBYTES
    block_nbytes = BLOCK_NBYTES
    while (known_nbytes + free_nbytes) // block_nbytes >= _MOST_BLOCKS:
        block_nbytes *= 2
    data = pyfuse3.StatvfsData()
    data.f_bsize = data.f_frsize = block_nbytes
    data.f_bfree = data.f_bavail = free_nbytes // block_nbytes
    # at least one: `df` leaves out what has none
    data.f_blocks = data.f_bfree + max(1, -(-known_nbytes // block_nbytes))
    data.f_ffree = data.f_favail = 0 if is_read_only else _FREE_FILES
    data.f_files = data.f_ffree + max(1, known_files)
    data.f_namemax = MAX_NAME_NBYTES
    return data


def file_info(number: int, file: OpenFile, *, keeps_pages: bool) -> pyfuse3.FileInfo:
    """Pages belong to the inode, and an inode is one version: they may be kept. Without a total none is made."""
    unsized = file.total_nbytes is None
    return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=unsized, keep_cache=keeps_pages)


class Showing:
    """Makes attributes of nodes, and notes which sizes may have to be taken back. No method is a checkpoint."""

    def __init__(
        self,
        *,
        namespace: Namespace,
        objects: ObjectRegistry,
        catalog: Catalog,
        attributes: AttributeMaker,
        kernel: KernelView,
        handles: HandleTable,
        living: Living,
        versions: InodeVersions,
        snapshots: Snapshots,
        now_ns: Callable[[], int],
    ) -> None:
        self._namespace = namespace
        self._objects = objects
        self._catalog = catalog
        self._attributes = attributes
        self._kernel = kernel
        self._handles = handles
        self._living = living
        self._versions = versions
        self._snapshots = snapshots
        self._now_ns = now_ns
        self._kept = AttributeCache()

    def known(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        """What is known now. Raises what the namespace's `content` raises."""
        if node.kind in FOLDERS:
            permissions, description = self._namespace.writing.permissions(node), self._namespace.describe(node)
            return self._attributes.make(
                inode, description, held_nbytes=0, now_ns=self._now_ns(), permissions=permissions
            )
        content = self._namespace.content(node)
        return self.file(inode, node, content, self._namespace.describe_content(content))

    def begin_listing(self) -> None:
        """A listing shows what follows in one step."""
        turns = self._catalog.facts_turn, self._objects.held_turn, self._handles.turn, self._versions.turn
        self._kept.stamped(turns)

    def listed(self, inode: Inode, node: Node, content: Content | Folder | None) -> pyfuse3.EntryAttributes:
        """The same for a listing that was begun, in an object that the next call may change; `content` where it is at
        hand."""
        if isinstance(content, Remote) and (kept := self._kept.get(inode, content)) is not None:
            if not kept.is_exact:
                self._kernel.note(kept.key, inode)
            return kept.attributes
        permissions = self._namespace.writing.permissions(node)
        if isinstance(content, Folder):
            modified_ms = content.modified_ms
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if isinstance(content, Remote) and permissions is None and self._is_only_listed(inode, content):
            self._kernel.note(content.key, inode)
            nbytes, modified_ms = self._namespace.told_by_listing(content)
            now_ns = self._now_ns()
            attributes = self._attributes.only_listed(inode, nbytes, modified_ms, now_ns=now_ns)
            self._kept.keep(inode, content, attributes, is_exact=False, now_ns=now_ns)
            return attributes
        if content is None and node.kind in FOLDERS:
            modified_ms = self._namespace.folder_modified_ms(node)
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if content is None:
            content = self._namespace.content(node)
        description, held_nbytes = self._held(inode, content, self._namespace.describe_content(content))
        now_ns = self._now_ns()
        attributes = self._attributes.listed_file(
            inode, description, held_nbytes=held_nbytes, now_ns=now_ns, permissions=permissions
        )
        if isinstance(content, Remote):
            self._kept.keep(inode, content, attributes, is_exact=description.is_exact, now_ns=now_ns)
        return attributes

    def _is_only_listed(self, inode: Inode, content: Remote) -> bool:
        """True for what most files of a large listing are: nothing but the listing has told of it, and nothing of it is
        here or on its way. The order is that of what is cheap to ask."""
        return (
            content.state is not RecordingState.RECORDING
            and self._catalog.fact(content.key) is None
            and self._versions.of(inode) is None
            and not self._handles.has_object(content.key)
            and self._objects.is_untouched(content.key)
        )

    def file_system(self) -> pyfuse3.StatvfsData:
        """The whole of it, as statfs shows it."""
        return statfs_of(
            known_nbytes=self._catalog.known_nbytes(),
            known_files=self._catalog.known_files(),
            is_read_only=self._attributes.is_read_only,
        )

    def file(self, inode: Inode, node: Node, content: Content, description: Description) -> pyfuse3.EntryAttributes:
        """The same of a file whose content and description are at hand."""
        description, held_nbytes = self._held(inode, content, description)
        permissions = self._namespace.writing.permissions(node)
        return self._attributes.make(
            inode, description, held_nbytes=held_nbytes, now_ns=self._now_ns(), permissions=permissions
        )

    def _held(self, inode: Inode, content: Content, description: Description) -> tuple[Description, int]:
        """The description as it is shown, and how much of the file is held here."""
        if not isinstance(content, Remote):
            shown_nbytes = self._snapshots.nbytes(inode)
            if shown_nbytes is not None:  # pages of it are read or mapped: no other size may be said
                description = description._replace(nbytes=shown_nbytes)
            return description, description.nbytes or 0
        if (tied := self._versions.of(inode)) is not None:
            description = description._replace(nbytes=tied.nbytes, is_exact=True, is_volatile=False)
        elif is_being_made(content):
            description = description._replace(nbytes=self._living.nbytes(content))
        elif not description.is_exact:
            description = self._never_too_small(content, description)
        if not description.is_exact:
            self._kernel.note(content.key, inode)
        return description, self._objects.held_nbytes(content.key)

    def _never_too_small(self, content: Remote, description: Description) -> Description:
        """While an origin tells no total, stat is beyond what has arrived, so that rsync and tar fail aloud."""
        arrived = [handle.file.arrived_nbytes for handle in self._handles.of_object(content.key)]
        if not arrived and self._catalog.fact(content.key) is None:
            return description
        least = max(arrived, default=0) + BLOCK_NBYTES
        return description._replace(nbytes=max(description.nbytes or 0, least), is_volatile=True)
