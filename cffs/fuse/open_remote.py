"""Opening a file whose bytes are the service's: what is known is used, one inode stays one version.

It must not know names or how bytes are fetched.
`fuse/operations` hands it every open of such a file, and what the kernel forgets.
"""

from collections.abc import Callable

import pyfuse3

from cffs.catalog.store import Catalog
from cffs.core.errors import RemoteObjectChanged, RemoteObjectMissing
from cffs.core.ids import Inode
from cffs.core.units import NS_PER_MS
from cffs.fuse.attributes import file_info
from cffs.fuse.growing_files import Living
from cffs.fuse.handles import HandleTable, RemoteHandle
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.fuse.listing_order import ListingOrder, known_of
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Node, Remote


class Opening:
    """Opens files of one mount. Owned by the operations."""

    def __init__(
        self,
        *,
        namespace: Namespace,
        objects: ObjectRegistry,
        catalog: Catalog,
        kernel: KernelView,
        handles: HandleTable,
        neighbours: ListingOrder,
        living: Living,
        versions: InodeVersions,
        now_ns: Callable[[], int],
    ) -> None:
        self._namespace = namespace
        self._inodes = namespace.inodes
        self._objects = objects
        self._catalog = catalog
        self._kernel = kernel
        self._handles = handles
        self._neighbours = neighbours
        self._living = living
        self._versions = versions
        self._now_ns = now_ns

    async def is_missing(self, content: Remote) -> None:
        """The service does not have it: once its row leaves for that, no byte of it is kept but a pinned one."""
        if await self._catalog.note_missing(content.key, now_ms=self._now_ns() // NS_PER_MS):
            self._objects.let_go(content.key)

    async def open(self, inode: Inode, node: Node, content: Remote) -> pyfuse3.FileInfo:
        """A handle whose size is exact, but for an origin that tells none and for what is still being made.

        A checkpoint unless the size is known. Raises RecordingBroken, RemoteObjectChanged where the inode is of an
        earlier version (the next lookup gives another), and what stops an answer. Cancelled, nothing is open.
        """
        self._namespace.require_readable(content)
        if is_being_made(content):
            return await self._living.open(inode, node, content)
        known = known_of(self._catalog, content)
        try:
            if known is not None and await self._objects.revalidation.is_another(content.key, content.sources, known):
                known = known_of(self._catalog, content)
            file = await self._objects.open(
                content.key,
                content.sources,
                known=known,
                hint_nbytes=content.hint_nbytes,
                reader=inode,
                has_pages=self._versions.of(inode) is not None,
            )
        except RemoteObjectMissing:
            await self.is_missing(content)
            raise
        if not file.is_settled:
            self._versions.note_unsized(inode)
            return self._living.open_unsettled(inode, node, file)
        keeps_pages = self._tied(inode, content.key, file)
        number = self._handles.add(RemoteHandle(inode, node, content.key, file))
        if known is None:
            self._objects.revalidation.confirm(content.key)
        self._neighbours.opened(inode, content, file)
        return file_info(number, file, keeps_pages=keeps_pages)

    def _tied(self, inode: Inode, key: str, file: OpenFile) -> bool:
        """Ties the inode to the version of `file`, which was opened for it just now; whether the pages that the kernel
        has of the inode may be kept. Raises RemoteObjectChanged, and closes it, where the inode is of another."""
        fact, versions = self._catalog.fact(key), self._versions
        version = fact.version if fact is not None else 0
        is_stale = self._inodes.is_stale(inode)
        if is_stale or not versions.admits(inode, key, number=version, nbytes=file.total_nbytes):
            file.close()
            self._inodes.retire(inode)
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")
        if versions.of(inode) is not None:
            return True
        # until now it was shown what was known: a hint, or what an earlier version had
        self._kernel.forget_attributes(inode)
        if file.total_nbytes is None:
            versions.note_unsized(inode)
            return False
        return versions.tie(inode, key, number=version, nbytes=file.total_nbytes)
