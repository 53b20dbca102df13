"""What the kernel has open: numbers for remote files, snapshots of rendered ones, and folders being listed.

It must not know how bytes are read.
`fuse/operations` owns the table. A handle costs no socket and no descriptor.
"""

from dataclasses import dataclass, field
from itertools import count

from cffs.core.errors import StaleHandle
from cffs.core.ids import HandleId, Inode
from cffs.reader.growing_object import GrowingObject
from cffs.reader.remote_file import OpenFile
from cffs.tree.nodes import Entry, Node
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
    """The same of which it was not known at its open whether it is still being made. `read_before` is what was read of
    it last, and where; `going_on` is how it is read since it proved to be one that is."""

    inode: Inode
    node: Node
    file: OpenFile
    read_before: tuple[int, bytes] = (0, b"")
    going_on: GrowingObject | None = None


@dataclass(frozen=True, slots=True)
class LivingHandle:
    """An open recording that was still being made at open."""

    inode: Inode
    node: Node
    file: GrowingObject


@dataclass(frozen=True, slots=True)
class SnapshotHandle:
    """An open rendered file: its bytes as they were at open. `inode` is the one whose pages are of these bytes, None
    where they are read past the pages."""

    node: Node
    body: bytes
    inode: Inode | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WrittenHandle:
    """An open file that is, or was, written here; `writes` says how this handle was opened."""

    node: Node
    file: WritableFile
    writes: bool


@dataclass(slots=True, eq=False)
class FolderHandle:
    """An open folder; `end` is the place behind its last entry once the kernel has been given that, so that its next
    question is answered without a look (0: not yet); `ahead` are the entries past the place `ahead_after` that it has
    not been given yet."""

    node: Node
    end: int = 0
    ahead: list[Entry] = field(default_factory=list)
    ahead_after: int = 0


Handle = RemoteHandle | UnsettledHandle | LivingHandle | SnapshotHandle | WrittenHandle | FolderHandle


#: Those of the service's bytes.
Bytes = RemoteHandle | UnsettledHandle | LivingHandle


class HandleTable:
    """Open handles by number. Numbers are not used twice, so a late call cannot meet another file."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[HandleId, Handle] = {}
        self._remote_by_key: dict[str, dict[HandleId, RemoteHandle]] = {}
        #: Another value once other files of the service are open.
        self.turn = 0

    def __len__(self) -> int:
        """How many handles are open, folders among them."""
        return len(self._open)

    def add(self, handle: Handle) -> HandleId:
        """Give the handle a number."""
        number = HandleId(next(self._numbers))
        self._open[number] = handle
        if isinstance(handle, RemoteHandle):
            self.turn += 1
            self._remote_by_key.setdefault(handle.key, {})[number] = handle
        return number

    def find(self, number: int) -> Handle | None:
        """The handle of that number, None where it is gone."""
        return self._open.get(HandleId(number))

    def get(self, number: int) -> Handle:
        """The handle of that number. Raises StaleHandle."""
        handle = self._open.get(HandleId(number))
        if handle is None:
            raise StaleHandle(f"handle {number}")
        return handle

    def remove(self, number: int) -> Handle | None:
        """Take the handle away; None where it is gone already."""
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
        """How many of them are files."""
        return sum(not isinstance(handle, FolderHandle) for handle in self._open.values())

    def is_open(self, inode: Inode) -> bool:
        """True while a handle on that inode of a remote file is open. Looks at every handle."""
        remote = (handle for handle in self._open.values() if isinstance(handle, Bytes))
        return any(handle.inode == inode for handle in remote)

    def of_object(self, key: str) -> list[RemoteHandle]:
        """The open handles of one object."""
        return list(self._remote_by_key.get(key, {}).values())


def told(node: Node) -> str:
    """The kind and ids of a node, for people."""
    return f"{node.kind.name}{list(node.args)}" if node.args else node.kind.name
