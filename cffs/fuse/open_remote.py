"""OPEN of a file whose bytes are the service's: one inode, one version.

Owns which version an inode is tied to at its open. It must not know names, nor how bytes are fetched.
"""

import pyfuse3

from cffs.core.errors import RemoteObjectChanged
from cffs.core.ids import Inode
from cffs.fuse.growing_files import GrowingFiles
from cffs.fuse.handles import RemoteHandle
from cffs.fuse.listing_order import ListingOrder
from cffs.fuse.presentation import Presentation
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Remote
from cffs.tree.nodes import Node
from cffs.tree.object_opening import ObjectOpening


class RemoteOpener:
    """Opens the service's files for one mount."""

    def __init__(self, presentation: Presentation, *, listing_order: ListingOrder, growing: GrowingFiles) -> None:
        self._namespace = presentation.namespace
        self._objects = presentation.objects
        self._catalog = presentation.catalog
        self._kernel = presentation.kernel
        self._opening = ObjectOpening(presentation.objects, presentation.catalog, now_ns=presentation.now_ns)
        self._listing_order = listing_order
        self._growing = growing

    async def note_missing(self, content: Remote) -> None:
        """See ObjectOpening.note_missing."""
        await self._opening.note_missing(content)

    async def open(self, inode: Inode, node: Node, content: Remote) -> pyfuse3.FileInfo:
        """A handle whose size is exact, except where the origin gives no total, and for a recording in progress.

        A checkpoint unless the size is known. Raises RecordingBroken, RemoteObjectChanged where the inode is of an
        earlier version (the next lookup gives another inode), and what stops an answer. Cancelled, nothing is open.
        """
        self._namespace.require_readable(content)
        if is_being_made(content):
            return await self._growing.open(inode, node, content)
        has_pages = self._kernel.versions.of(inode) is not None
        file, was_known = await self._opening.open(content, reader=inode, has_pages=has_pages)
        if not file.is_settled:
            self._kernel.versions.note_unsized(inode)
            return self._growing.open_unsettled(inode, node, file)
        keeps_pages = self._tie(inode, content.key, file)
        number = self._kernel.handles.add(RemoteHandle(inode, node, content.key, file))
        if not was_known:
            self._objects.revalidation.confirm(content.key)
        self._listing_order.opened(inode, content, file)
        # pages belong to the inode, which is one version, so they may be kept; without a total none is made
        is_direct = file.total_nbytes is None
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=is_direct, keep_cache=keeps_pages)

    def _tie(self, inode: Inode, key: str, file: OpenFile) -> bool:
        """Tie the inode to the version of `file`, which was just opened for it; returns whether the pages that the
        kernel has of the inode may be kept. Raises RemoteObjectChanged, and closes the file, where the inode is of
        another version."""
        fact, versions, inodes = self._catalog.fact(key), self._kernel.versions, self._kernel.inodes
        version = fact.version if fact is not None else 0
        if inodes.is_stale(inode) or not versions.admits(inode, key, number=version, nbytes=file.total_nbytes):
            file.close()
            inodes.retire(inode)
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")
        if versions.of(inode) is not None:
            return True
        # until now the inode showed what was known: a hint, or the size of an earlier version
        self._kernel.view.forget_attributes(inode)
        if file.total_nbytes is None:
            versions.note_unsized(inode)
            return False
        return versions.tie(inode, key, number=version, nbytes=file.total_nbytes)
