"""What the kernel is shown of the tree, and what it holds of it.

Owns what has to be taken back from the kernel: inexact sizes, names that changed. It must not know why something
changed, nor how an attribute or a byte is found.

The kernel keeps attributes, names and pages of the inodes that it was shown. `KernelState` is our record of that, and
`Presentation` puts it beside the tree below: the parts of `Operations` share that one value.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import pyfuse3

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.names import to_kernel
from cffs.fuse.attributes import AttributeMaker
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Node

log = logging.getLogger(__name__)

#: Inodes whose shown size was not exact and may have to be corrected (130 bytes each). Past this the oldest keep their
#: hint until they are opened, or the kernel asks again by itself (`KernelCaching.hint_seconds`).
_MOST_NOTED = 50_000
#: So many are forgotten at a time: the first key of a dict is found by passing over all that were deleted before it.
_FORGOTTEN_AT_A_TIME = 5_000


class KernelView:
    """What the kernel was shown that may have to be taken back."""

    def __init__(
        self,
        forget: Callable[[Inode], None] | None = None,
        forget_name: Callable[[Inode, str], None] | None = None,
    ) -> None:
        """`forget` and `forget_name` speak to the kernel; without a mount, a test gives its own."""
        self._inexact: dict[str, Inode] = {}
        self._forget = forget or _forget_attributes
        self._forget_name = forget_name or _forget_entry

    def note(self, key: str, inode: Inode) -> None:
        """The kernel was shown a size of the object `key` that is not exact."""
        self._inexact[key] = inode
        if len(self._inexact) > _MOST_NOTED:
            for oldest in list(islice(self._inexact, _FORGOTTEN_AT_A_TIME)):
                del self._inexact[oldest]

    def noted(self) -> list[str]:
        """Every object of which the kernel was shown a size that is not exact."""
        return list(self._inexact)

    def forget_attributes(self, inode: Inode) -> None:
        """Have the kernel ask for the inode's attributes again. Allowed inside a handler; never a checkpoint.

        Pages are not touched: invalidating those locks what a waiting read may hold.
        """
        self._forget(inode)

    def forget_attributes_of(self, key: str) -> None:
        """Have the kernel ask again for the attributes of the inode that last showed the object, if its size was not
        exact."""
        inode = self._inexact.pop(key, None)
        if inode is not None:
            self._forget(inode)

    def forget_name(self, folder: Inode, name: str) -> None:
        """Have the kernel look the name up again. Allowed inside a handler: a thread does it, and nothing waits for
        it."""
        self._forget_name(folder, name)


def _forget_entry(folder: Inode, name: str) -> None:
    pyfuse3.invalidate_entry_async(pyfuse3.InodeT(folder), pyfuse3.FileNameT(to_kernel(name)), ignore_enoent=True)


def _forget_attributes(inode: Inode) -> None:
    try:
        pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=True)
    except OSError as problem:
        # ENOENT: the kernel does not hold the inode any more, so there is nothing to forget
        log.debug("attributes not invalidated inode=%d reason=%s", inode, problem)


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
