"""What the kernel is shown of the tree, and what it holds of it.

Owns the record of what the kernel holds. It must not know why something changed, nor how an attribute or a byte is
found.

The kernel keeps attributes, names and pages of the inodes that it was shown. `KernelState` is our record of that, and
`Presentation` puts it beside the tree below: the parts of `Operations` share that one value.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.fuse.attributes import AttributeMaker
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """What the kernel holds of the mount: inodes, the version that each of them shows, open handles, shown sizes."""

    inodes: InodeTable
    versions: InodeVersions
    handles: HandleTable
    view: KernelView

    def inodes_of(self, key: str) -> set[Inode]:
        """The inodes of which the kernel, or a program that has one open, may have bytes of the object."""
        return {*self.versions.of_object(key), *(handle.inode for handle in self.handles.of_object(key))}

    def retire_inodes_of(self, key: str) -> None:
        """The object is another version now: its names stand for new inodes."""
        for inode in self.inodes_of(key):
            self.inodes.retire(inode)
            self.view.forget_attributes(inode)

    def forget_name(self, folder: Node, name: str) -> None:
        """Have the kernel look up again a name that a folder of the tree shows."""
        self.view.forget_name(self.inodes.number(folder), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """What all parts of the operations need: the tree, the reader's objects, the catalogue, and the kernel's state.

    `now_ns` is the wall clock.
    """

    namespace: Namespace
    objects: ObjectRegistry
    catalog: Catalog
    kernel: KernelState
    attributes: AttributeMaker
    now_ns: Callable[[], int]
