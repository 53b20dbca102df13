"""Folders as the kernel reads them: what a READDIR is replied with, and what it did not take, kept for the next.

It must not know who waits for entries that are still to come: `fuse/operations` does, and calls it.
"""

from collections.abc import Callable

import pyfuse3

from cffs.core.names import to_kernel
from cffs.fuse.attributes import Showing
from cffs.fuse.handles import FolderHandle
from cffs.fuse.listing_order import BROUGHT, ListingOrder, Shown
from cffs.tree.namespace import Namespace

#: (token, name, attributes, place) -> whether the kernel took the entry, and with it one lookup.
ReaddirReply = Callable[[pyfuse3.ReaddirToken, pyfuse3.FileNameT, pyfuse3.EntryAttributes, int], bool]


class Readdir:
    """Replies to READDIR. Only `bring` is ever a checkpoint."""

    def __init__(
        self, namespace: Namespace, neighbours: ListingOrder, showing: Showing, *, readdir_reply: ReaddirReply
    ) -> None:
        self._namespace = namespace
        self._inodes = namespace.inodes
        self._neighbours = neighbours
        self._showing = showing
        self._readdir_reply = readdir_reply

    def is_apart(self, handle: FolderHandle) -> bool:
        """True where `bring` must be awaited before each reply."""
        return self._namespace.is_apart(handle.node)

    async def bring(self, handle: FolderHandle, *, after: int) -> None:
        """Have the next entries at hand where finding them may mean looking at every row; else nothing, and no
        checkpoint."""
        if self.is_apart(handle) and (not handle.ahead or handle.ahead_after != after):
            handle.ahead, handle.ahead_after = await self._namespace.page(handle.node, after=after), after

    def reply(self, handle: FolderHandle, token: pyfuse3.ReaddirToken, *, after: int) -> bool:
        """Give the kernel what is known past the place `after`, as much as it takes; False where nothing is.

        A READDIR takes some 150 entries of the thousand that one look at the rows gives: the others wait in the handle.
        """
        self._showing.begin_listing()
        files: list[Shown] = []
        is_answered = self._give(handle, token, after, files)
        if files:
            self._neighbours.listed(handle.node, files, is_all=not after and bool(handle.end))
        return is_answered

    def _give(self, handle: FolderHandle, token: pyfuse3.ReaddirToken, after: int, files: list[Shown]) -> bool:
        folder, is_answered = handle.node, False
        number_of, hold = self._inodes.number, self._inodes.hold_as
        attributes_of, readdir_reply = self._showing.listed, self._readdir_reply
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
                if node.kind in BROUGHT:
                    files.append((number, node))
                after = offset
                is_answered = True
            if not entries:
                return is_answered
            if self._namespace.is_whole(folder):
                handle.end = after
                return True
