"""Open handles: of remote files, of rendered files, of folders.

Owns the numbers by which the kernel knows them. It must not know how bytes are read. A handle costs neither a socket
nor a descriptor.
"""

from dataclasses import dataclass, field
from itertools import count

from cffs.core.errors import StaleHandle
from cffs.core.ids import HandleId, Inode
from cffs.reader.growing_object import GrowingObject
from cffs.reader.remote_file import OpenFile
from cffs.tree.contents import Entry
from cffs.tree.inodes import identity
from cffs.tree.nodes import Node
from cffs.tree.write_handlers import WritableFile


@dataclass(frozen=True, slots=True)
class RemoteHandle:
    """An open remote file; `key` is its object's."""

    inode: Inode
    node: Node
    key: str
    file: OpenFile


@dataclass(slots=True, eq=False)
class UnsettledHandle:
    """An open remote file of which it was not known at the open whether it is growing.

    `read_before` is where it was last read, and what was read there; `continued` is how it is read since it proved to
    be growing.
    """

    inode: Inode
    node: Node
    file: OpenFile
    read_before: tuple[int, bytes] = (0, b"")
    continued: GrowingObject | None = None


@dataclass(frozen=True, slots=True)
class GrowingHandle:
    """An open recording that was in progress at the open."""

    inode: Inode
    node: Node
    file: GrowingObject


@dataclass(frozen=True, slots=True)
class SnapshotHandle:
    """An open rendered file: its bytes as they were at the open. `inode` is the one whose pages hold these bytes; None
    where the bytes are read past the pages."""

    node: Node
    body: bytes
    inode: Inode | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WrittenHandle:
    """An open file that is, or was, written here; `writes` says whether this handle was opened for writing."""

    node: Node
    file: WritableFile
    writes: bool


@dataclass(slots=True, eq=False)
class FolderHandle:
    """An open folder.

    `end` is the offset after its last entry, once the kernel has been given that one (0 until then), so that the
    READDIR that asks for more is answered without a look. `ahead` are the entries past `ahead_after` that the kernel
    has not been given yet.
    """

    node: Node
    end: int = 0
    ahead: list[Entry] = field(default_factory=list)
    ahead_after: int = 0


Handle = RemoteHandle | UnsettledHandle | GrowingHandle | SnapshotHandle | WrittenHandle | FolderHandle
#: The handles through which the service's bytes are read.
ServiceHandle = RemoteHandle | UnsettledHandle | GrowingHandle


class HandleTable:
    """Open handles by number. No number is used twice, so a late call cannot meet another file."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[HandleId, Handle] = {}
        self._remote_by_key: dict[str, dict[HandleId, RemoteHandle]] = {}
        #: Changes whenever another set of the service's files is open.
        self.turn = 0

    def __len__(self) -> int:
        """How many handles are open, folders among them."""
        return len(self._open)

    def add(self, handle: Handle) -> HandleId:
        """Add the handle; returns its number."""
        number = HandleId(next(self._numbers))
        self._open[number] = handle
        if isinstance(handle, RemoteHandle):
            self.turn += 1
            self._remote_by_key.setdefault(handle.key, {})[number] = handle
        return number

    def find(self, number: int) -> Handle | None:
        """The handle of that number; None where it is gone."""
        return self._open.get(HandleId(number))

    def get(self, number: int) -> Handle:
        """The handle of that number. Raises StaleHandle."""
        handle = self._open.get(HandleId(number))
        if handle is None:
            raise StaleHandle(f"handle {number}")
        return handle

    def remove(self, number: int) -> Handle | None:
        """Remove and return the handle; None where it is gone already."""
        handle = self._open.pop(HandleId(number), None)
        if isinstance(handle, RemoteHandle):
            self.turn += 1
            same = self._remote_by_key[handle.key]
            del same[HandleId(number)]
            if not same:
                del self._remote_by_key[handle.key]
        return handle

    def has_object(self, key: str) -> bool:
        """True while a handle on the object is open."""
        return key in self._remote_by_key

    def files(self) -> int:
        """How many open handles are of files."""
        return sum(not isinstance(handle, FolderHandle) for handle in self._open.values())

    def is_open(self, inode: Inode) -> bool:
        """True while a handle of a remote file is open on that inode. Looks at every handle."""
        remote = (handle for handle in self._open.values() if isinstance(handle, ServiceHandle))
        return any(handle.inode == inode for handle in remote)

    def of_object(self, key: str) -> list[RemoteHandle]:
        """The open handles of one object."""
        return list(self._remote_by_key.get(key, {}).values())


def node_label(node: Node) -> str:
    """The kind and the ids of a node, in words for people."""
    return f"{node.kind.name}{list(parts)}" if (parts := identity(node)) else node.kind.name
