"""Rendered files that are open: the content that each inode shows for as long as a handle is open on it.

It must not know how anything is rendered, nor who reads.
The kernel keeps one set of pages and one size for an inode, whoever has it open, and programs map both. So an inode
shows one content from the first open of it to the last close, and says the size of that to everybody. Who opens the
file while another content of it is open is sent back with ESTALE: the node has a new number by then, and the kernel
looks the path up once more, so that the program sees success. A content that changed while nobody had the file open
needs no new number: an open without FOPEN_KEEP_CACHE drops the pages, and the size is asked again.
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

#: The kernel looks anew once; a thread that comes back within so long was sent back just now.
_BACK_SECONDS = 5.0
_MOST_SENT_BACK = 1000


class Pages(Enum):
    """What becomes of the kernel's pages of an inode that is opened."""

    DROPPED = auto()
    #: They are of the content that is opened.
    KEPT = auto()
    #: They are of another content: this handle reads past them.
    BYPASSED = auto()


@dataclass(slots=True)
class _Shown:
    body: bytes
    since: float
    handles: int = 1


class Snapshots:
    """What each inode of a rendered file shows. No method is a checkpoint."""

    def __init__(self, inodes: InodeTable, kernel: KernelView) -> None:
        self._inodes = inodes
        self._kernel = kernel
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
        """The node is about to be looked up, and has `nbytes` now (None: not known). Where its inode shows a content
        of another size it gets a new one, so that stat tells the size of now."""
        inode = self._inodes.number(node)
        shown = self.nbytes(inode)
        if shown is not None and shown != nbytes:
            self._inodes.retire(inode)

    def open(self, inode: Inode, node: Node, body: bytes, *, thread: int) -> tuple[Pages, bytes]:
        """A handle of the thread is opened on the inode, to read `body`, or what is returned in place of it.

        Raises StaleHandle where the inode shows another content, but not twice in a row for one thread: where the
        content changes at every look, its second look may meet the snapshot of somebody who was faster. That one is as
        good, if it was taken since the thread was sent back, for its open has lasted since then.
        """
        shown, sent_back = self._shown.get(inode), self._sent_back.pop((thread, node), None)
        if shown is None:
            self._shown[inode] = _Shown(body, trio.current_time())
            # also takes back every size that is on its way to the kernel
            self._kernel.forget_attributes(inode)
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
        """A handle that did not bypass the pages is closed."""
        shown = self._shown[inode]
        shown.handles -= 1
        if not shown.handles:
            del self._shown[inode]
            self._kernel.forget_attributes(inode)
