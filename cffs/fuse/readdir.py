"""READDIR: the reply, and the entries that the kernel did not take.

Owns the entries at hand in a folder's handle. It must not know what is waited for while a listing is still coming.
"""

from collections.abc import Callable

import pyfuse3

from cffs.core.names import to_kernel
from cffs.fuse.handles import FolderHandle
from cffs.fuse.listing_order import READ_AHEAD, ListingOrder, Shown
from cffs.fuse.node_attributes import NodeAttributes
from cffs.tree.namespace import Namespace

#: (token, name, attributes, offset) -> whether the kernel took the entry, and with it one lookup.
ReaddirReply = Callable[[pyfuse3.ReaddirToken, pyfuse3.FileNameT, pyfuse3.EntryAttributes, int], bool]


class Readdir:
    """Replies to READDIR. Only `bring` is ever a checkpoint."""

    def __init__(
        self,
        namespace: Namespace,
        listing_order: ListingOrder,
        node_attributes: NodeAttributes,
        *,
        readdir_reply: ReaddirReply,
    ) -> None:
        self._namespace = namespace
        self._inodes = namespace.inodes
        self._listing_order = listing_order
        self._node_attributes = node_attributes
        self._readdir_reply = readdir_reply

    def is_apart(self, handle: FolderHandle) -> bool:
        """True where `bring` must be awaited before each reply."""
        return self._namespace.is_in_thread(handle.node)

    async def bring(self, handle: FolderHandle, *, after: int) -> None:
        """Have the next entries at hand, where finding them may mean looking at every row: a checkpoint. Elsewhere
        nothing is done."""
        if self.is_apart(handle) and (not handle.ahead or handle.ahead_after != after):
            handle.ahead, handle.ahead_after = await self._namespace.page(handle.node, after=after), after

    def reply(self, handle: FolderHandle, token: pyfuse3.ReaddirToken, *, after: int) -> bool:
        """Give the kernel the entries that are known past the offset `after`, as many as it takes; False where there
        are none.

        A READDIR takes some 150 entries, and one look at the rows finds a thousand: the rest waits in the handle.
        """
        self._node_attributes.begin_listing()
        files: list[Shown] = []
        is_answered = self._give(handle, token, after, files)
        if files:
            self._listing_order.listed(handle.node, files, is_all=not after and bool(handle.end))
        return is_answered

    def _give(self, handle: FolderHandle, token: pyfuse3.ReaddirToken, after: int, files: list[Shown]) -> bool:
        folder, is_answered = handle.node, False
        number_of, hold = self._inodes.number, self._inodes.hold_as
        attributes_of, readdir_reply = self._node_attributes.listed, self._readdir_reply
        while True:
            entries = handle.ahead
            if not entries or handle.ahead_after != after:
                entries = [] if self.is_apart(handle) else self._namespace.entries(folder, after=after)
            handle.ahead = []
            for index, (offset, name, node, content) in enumerate(entries):
                number = number_of(node)
                attributes = attributes_of(number, node, content)
                if not readdir_reply(token, to_kernel(name), attributes, offset):
                    handle.ahead, handle.ahead_after = entries[index:], after
                    return True
                hold(number, node)
                if node.kind in READ_AHEAD:
                    files.append((number, node))
                after = offset
                is_answered = True
            if not entries:
                return is_answered
            if self._namespace.is_whole(folder):
                handle.end = after
                return True
