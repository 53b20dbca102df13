"""Extended attributes in the kernel's form.

Names and values are bytes there. A mount without `--xattrs` answers ENOSYS once, and the kernel never asks again.

Owns the answers to getxattr and listxattr. It must not know what the attributes say (`tree/xattrs`).
"""

from collections.abc import Callable

import pyfuse3

from cffs.core.errors import NeverAskAgain, NoSuchAttribute
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS

#: Returns every attribute of a file, from what is known, without a question to the service.
AttributesOf = Callable[[Node], dict[str, str]]


class Xattrs:
    """Shows what `attributes_of` returns. Without it (no `--xattrs`) the kernel is never to ask again."""

    def __init__(self, attributes_of: AttributesOf | None) -> None:
        self._attributes_of = attributes_of

    def require_any(self) -> None:
        """Raise NeverAskAgain where the mount shows no attributes."""
        if self._attributes_of is None:
            raise NeverAskAgain("extended attributes")

    def get(self, node: Node, name: bytes) -> bytes:
        """One value. Raises NoSuchAttribute, NeverAskAgain, or what the file's row being gone raises."""
        value = self._all(node).get(name)
        if value is None:
            raise NoSuchAttribute(repr(name[:80]))
        return value

    def names(self, node: Node) -> list[pyfuse3.XAttrNameT]:
        """The names of all attributes. Raises what `get` raises."""
        return [pyfuse3.XAttrNameT(name) for name in self._all(node)]

    def _all(self, node: Node) -> dict[bytes, bytes]:
        self.require_any()
        if node.kind in FOLDERS or self._attributes_of is None:
            return {}
        return {name.encode(): value.encode("utf-8", "replace") for name, value in self._attributes_of(node).items()}
