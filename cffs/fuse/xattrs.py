"""Extended attributes for the kernel: names and values as bytes, and what it must never ask for again.

It must not know what they tell (`tree/xattrs`). `fuse/unsupported` answers getxattr and listxattr with it.
"""

from collections.abc import Callable

import pyfuse3

from cffs.core.errors import NeverAskAgain, NoSuchAttribute
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS

#: Every attribute of a file, from what is known.
AttributesOf = Callable[[Node], dict[str, str]]


class Xattrs:
    """Shows what `attributes_of` tells; without it (no `--xattrs`) the kernel is told never to ask again."""

    def __init__(self, attributes_of: AttributesOf | None) -> None:
        self._attributes_of = attributes_of

    def require_any(self) -> None:
        """Raise NeverAskAgain where there are none."""
        if self._attributes_of is None:
            raise NeverAskAgain("extended attributes")

    def get(self, node: Node, name: bytes) -> bytes:
        """One value. Raises NoSuchAttribute, NeverAskAgain, or what the file's row being gone raises."""
        value = self._all(node).get(name)
        if value is None:
            raise NoSuchAttribute(repr(name[:80]))
        return value

    def names(self, node: Node) -> list[pyfuse3.XAttrNameT]:
        """All there are. Raises as `get`."""
        return [pyfuse3.XAttrNameT(name) for name in self._all(node)]

    def _all(self, node: Node) -> dict[bytes, bytes]:
        self.require_any()
        if node.kind in FOLDERS or self._attributes_of is None:
            return {}
        return {name.encode(): value.encode("utf-8", "replace") for name, value in self._attributes_of(node).items()}
