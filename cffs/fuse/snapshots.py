"""Snapshots of open rendered files: one content for an open inode.

The kernel keeps one set of pages and one size for an inode, for all programs that have it open, and they map both. So
an inode shows one content from its first open to its last close, and shows the size of that content to all of them. An
open that meets another content is sent back with ESTALE: the node has a new inode from then on, and the kernel looks
the path up once more, so that the program sees success. A content that changed while the file was not open needs no new
inode: an open without FOPEN_KEEP_CACHE drops the pages, and the size is asked again.

Owns the contents that are open. It must not know how anything is rendered.
"""

from dataclasses import dataclass
from enum import Enum, auto

import trio
from cachetools import TTLCache

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.fuse.invalidation import KernelView
from cffs.tree.inodes import InodeTable
from cffs.tree.nodes import Node

#: The kernel looks a path up again only once. A thread that opens again within so long is one that was sent back.
_BACK_SECONDS = 5.0
_MOST_SENT_BACK = 1000


class Pages(Enum):
    """What becomes of the pages that the kernel has of an inode that is opened."""

    DROPPED = auto()
    #: The pages hold the content that is opened.
    KEPT = auto()
    #: The pages hold another content, so this handle reads past them.
    BYPASSED = auto()


@dataclass(slots=True)
class _Shown:
    body: bytes
    since: float
    handles: int = 1


class Snapshots:
    """The content that each inode of an open rendered file shows. No method is a checkpoint."""

    def __init__(self, inodes: InodeTable, view: KernelView) -> None:
        self._inodes = inodes
        self._view = view
        self._shown: dict[Inode, _Shown] = {}
        #: When each thread was sent back from each node.
        self._sent_back: TTLCache[tuple[int, Node], float] = TTLCache(
            _MOST_SENT_BACK, _BACK_SECONDS, timer=trio.current_time
        )

    @property
    def are_open(self) -> bool:
        """True while any rendered file is open."""
        return bool(self._shown)

    def nbytes(self, inode: Inode) -> int | None:
        """The size of the content that the inode shows; None while it is not open."""
        shown = self._shown.get(inode)
        return None if shown is None else len(shown.body)

    def renew(self, node: Node, nbytes: int | None) -> None:
        """The node is being looked up, and has `nbytes` now (None: not known). Where its inode shows a content of
        another size, the node gets a new inode, so that stat shows the size of now."""
        inode = self._inodes.number(node)
        shown = self.nbytes(inode)
        if shown is not None and shown != nbytes:
            self._inodes.retire(inode)

    def open(self, inode: Inode, node: Node, body: bytes, *, thread: int) -> tuple[Pages, bytes]:
        """Open a handle of the thread on the inode. It reads `body`, or the content that is returned in its place.

        Raises StaleHandle where the inode shows another content, but not twice in a row for one thread. Where the
        content changes at every look, the second look may meet the snapshot of a faster program. That snapshot is as
        good, if it was taken since the thread was sent back: the thread's open has lasted since then.
        """
        shown, sent_back = self._shown.get(inode), self._sent_back.pop((thread, node), None)
        if shown is None:
            self._shown[inode] = _Shown(body, trio.current_time())
            # this also takes back every size that is on its way to the kernel
            self._view.forget_attributes(inode)
            return Pages.DROPPED, body
        if shown.body == body or (sent_back is not None and shown.since >= sent_back):
            shown.handles += 1
            return Pages.KEPT, shown.body
        if sent_back is not None:
            return Pages.BYPASSED, body
        self._inodes.retire(inode)
        self._sent_back[thread, node] = trio.current_time()
        raise StaleHandle(f"another content of inode {inode} is open")

    def close(self, inode: Inode) -> None:
        """A handle that did not bypass the pages was closed."""
        shown = self._shown[inode]
        shown.handles -= 1
        if not shown.handles:
            del self._shown[inode]
            self._view.forget_attributes(inode)
