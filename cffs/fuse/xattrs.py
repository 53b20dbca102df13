"""Extended attributes for the kernel: names and values as bytes, and what it must never ask for again.

It must not know what they tell (`tree/xattrs`). `fuse/refusals` answers getxattr and listxattr with it.
"""

from collections.abc import Callable

import pyfuse3

from cffs.core.errors import NeverAskAgain, NoSuchAttribute
from cffs.core.ids import Inode
from cffs.tree.inodes import InodeTable
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS

#: Every attribute of a file, from what is known.
AttributesOf = Callable[[Node], dict[str, str]]


class Xattrs:
    """Shows what `attributes_of` tells; without it (no `--xattrs`) the kernel is told never to ask again."""

    def __init__(self, inodes: InodeTable, attributes_of: AttributesOf | None) -> None:
        self._inodes = inodes
        self._attributes_of = attributes_of

    def get(self, inode: int, name: bytes) -> bytes:
        """One value. Raises NoSuchAttribute, NeverAskAgain, StaleHandle, or what the file's row being gone raises."""
        value = self._all(inode).get(name)
        if value is None:
            raise NoSuchAttribute(repr(name[:80]))
        return value

    def names(self, inode: int) -> list[pyfuse3.XAttrNameT]:
        """All there are. Raises as `get`."""
        return [pyfuse3.XAttrNameT(name) for name in self._all(inode)]

    def _all(self, inode: int) -> dict[bytes, bytes]:
        if self._attributes_of is None:
            raise NeverAskAgain("extended attributes")
        node = self._inodes.node(Inode(inode))
        if node.kind in FOLDERS:
            return {}
        return {name.encode(): value.encode("utf-8", "replace") for name, value in self._attributes_of(node).items()}
