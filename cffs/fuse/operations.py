"""The operations of the mount: every call of the kernel, answered on purpose.

Owns looking up, reading and listing; `fuse/write_operations` changes things, `fuse/unsupported` refuses what no mount
offers. It must not know how names are resolved, sizes learned or bytes fetched: the namespace and the reader do.

The handlers here raise what went wrong; `fuse/guard` stands around them. A handler whose guard is nonblocking opens a
deadline of its own where it waits, since a deadline costs as much as an answer from memory.
"""

from collections.abc import Sequence

import pyfuse3
import trio

from cffs.core.errors import (
    CffsError,
    IsAFolder,
    NotAFolder,
    NotInTree,
    RemoteObjectChanged,
    RemoteObjectMissing,
    StaleHandle,
)
from cffs.core.ids import Inode
from cffs.core.names import from_kernel
from cffs.fuse.growing_files import GrowingFiles
from cffs.fuse.handles import (
    FolderHandle,
    GrowingHandle,
    RemoteHandle,
    SnapshotHandle,
    UnsettledHandle,
    WrittenHandle,
    node_label,
)
from cffs.fuse.listing_order import ListingOrder
from cffs.fuse.node_attributes import NodeAttributes
from cffs.fuse.open_remote import RemoteOpener
from cffs.fuse.presentation import Presentation
from cffs.fuse.readdir import Readdir, ReaddirReply
from cffs.fuse.snapshots import Pages, Snapshots
from cffs.fuse.write_operations import WRITING_FLAGS, WriteOperations
from cffs.fuse.xattrs import AttributesOf, Xattrs
from cffs.reader.folder_read_ahead import FolderReadAhead
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Content, Document, Remote, Spooled
from cffs.tree.namespace import Description
from cffs.tree.nodes import Kind, Node
from cffs.tree.routes import FOLDERS
from cffs.tree.unproven import Unproven


class Operations(WriteOperations):
    """The file system of one mount. No handler keeps state across an await that another handler may change."""

    def __init__(
        self,
        presentation: Presentation,
        *,
        budget_seconds: float,
        readdir_reply: ReaddirReply = pyfuse3.readdir_reply,
        attributes_of: AttributesOf | None = None,
    ) -> None:
        """`budget_seconds` is how long one call may wait. `readdir_reply` is pyfuse3's own; tests take the entries
        themselves. Extended attributes are what `attributes_of` returns; None: the mount shows none."""
        super().__init__()
        namespace, objects, kernel = presentation.namespace, presentation.objects, presentation.kernel
        self._budget_seconds = budget_seconds
        self._namespace = namespace
        self._objects = objects
        self._inodes = kernel.inodes
        self._handles = kernel.handles
        self._kernel = kernel
        self._attributes = presentation.attributes
        self._xattrs = Xattrs(attributes_of)
        self._growing = GrowingFiles(presentation)
        self._snapshots = Snapshots(kernel.inodes, kernel.view)
        self._listing_order = ListingOrder(namespace, FolderReadAhead(objects, memory_nbytes=objects.memory_nbytes))
        self._opener = RemoteOpener(presentation, listing_order=self._listing_order, growing=self._growing)
        self._node_attributes = NodeAttributes(presentation, growing=self._growing, snapshots=self._snapshots)
        self._readdir = Readdir(namespace, self._listing_order, self._node_attributes, readdir_reply=readdir_reply)

    def describe_handle(self, number: int) -> str:
        """The node of an open handle, in words."""
        try:
            return node_label(self._handles.get(number).node)
        except CffsError:
            return super().describe_handle(number)

    def describe_inode(self, number: int) -> str:
        """The node of an inode, in words; the number where it stands for none."""
        try:
            return node_label(self._inodes.node(Inode(number)))
        except CffsError:
            return super().describe_inode(number)

    # -- names --

    async def lookup(
        self, parent_inode: int, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """The node that a name stands for. The kernel remembers for a while that a name does not exist.

        The service is not waited for, since the kernel looks up the names of a folder one after the other. A name that
        is not known is promised (`tree/promised_names`), except where it may be about to be created.
        """
        parent = self._inodes.node(Inode(parent_inode))
        try:
            found = self._namespace.find(parent, from_kernel(name))
            if isinstance(found, Unproven) and self._namespace.writing.may_create(parent):
                with trio.fail_after(self._budget_seconds):
                    found = await self._namespace.lookup_patiently(found)
        except NotInTree:
            return self._attributes.missing(never_ours=True)
        except RemoteObjectMissing as missing:
            known_at, now = missing.answered_at, trio.current_time()
            return self._attributes.missing(
                never_ours=False, known_for_seconds=now - known_at if known_at is not None else 0.0
            )
        if isinstance(found, Unproven):
            number = self._inodes.hold(found.stand_in)
            self._listing_order.note_lookup(number, is_new=True)
            self._namespace.promised_names.make(found)
            return self._attributes.promised(number, is_folder=found.kind in FOLDERS)
        self._renew_shown(found)
        number = self._inodes.number(found)
        self._listing_order.note_lookup(number, is_new=not self._inodes.is_held(number))
        self._inodes.hold_as(number, found)
        self._namespace.promised_names.end(found)
        self._listing_order.looked_up(parent, number)
        return self._attributes_of(number, found)

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """The kernel drops references. It expects no answer."""
        for number, lookups in inode_list:
            node = self._inodes.forget(Inode(number), lookups)
            if node is not None:
                self._kernel.versions.forget(Inode(number))
                self._listing_order.forget(Inode(number))
                self._namespace.promised_names.end(node)

    async def _proven(self, inode: Inode) -> Node:
        """The node of an inode, once it is known to exist. A checkpoint where it waits.

        Raises RemoteObjectMissing where it does not exist; StaleHandle where it turned out to be a node with an inode
        of its own: the kernel then looks the path up again, and the program sees no difference.
        """
        node, promises = self._inodes.node(inode), self._namespace.promised_names
        promised = promises.find(node)
        if promised is None:
            return node
        proven = await promises.prove(node)
        if self._inodes.number(proven) != inode:
            raise StaleHandle(f"inode {inode} stood in for {node_label(proven)}")
        # a file that is still not known, because it may be a recording in progress, is asked about each time
        if promised.kind in FOLDERS or self._namespace.is_resolved(promised):
            promises.end(proven)
        return proven

    def _renew_shown(self, node: Node) -> None:
        # nearly always no snapshot is open, and the lookup need not work out the inode twice
        if self._snapshots.are_open and self._snapshots.nbytes(self._inodes.number(node)) is not None:
            self._snapshots.renew(node, self._namespace.describe(node).nbytes)

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What is known. Whether the node exists, and a size that is not known, are asked of the origin once."""
        return await self._attributes_asked(Inode(inode), await self._proven(Inode(inode)))

    async def _attributes_asked(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        if node.kind in FOLDERS:
            return self._attributes_of(inode, node)
        content = await self._growing.content(inode, node)
        if not isinstance(content, Document):  # any inode of a rendered file is as good as another
            self._require_current(inode)
        description = self._namespace.describe_content(content)
        if description.nbytes is None and self._snapshots.nbytes(inode) is None:
            content, description = await self._measured(inode, node, content)
        return self._node_attributes.file(inode, node, content, description)

    def _require_current(self, inode: Inode) -> None:
        """An inode of an earlier version shows attributes only while it is open; otherwise its name is looked up
        again."""
        if self._inodes.is_stale(inode) and not self._handles.is_open(inode):
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")

    async def _measured(self, inode: Inode, node: Node, content: Content) -> tuple[Content, Description]:
        if isinstance(content, Spooled):
            return content, self._namespace.describe_content(content)
        if isinstance(content, Document):
            body = await self._namespace.load(content)
            return content, self._namespace.describe_content(content)._replace(nbytes=len(body))
        if not is_being_made(content) and not self._handles.of_object(content.key):
            await self._asked_for_size(inode, content)
            content = await self._growing.content(inode, node)
        if isinstance(content, Remote) and is_being_made(content):
            await self._growing.measure(content)
        return content, self._namespace.describe_content(content)

    async def _asked_for_size(self, inode: Inode, content: Remote) -> None:
        for other in self._listing_order.unsized_after(inode):
            self._objects.probe_soon(other.key, other.sources)
        try:
            if self._listing_order.is_only_looked_up(inode):
                await self._namespace.look_at(content)
            else:
                await self._namespace.measure(content)
        except RemoteObjectMissing:
            await self._opener.note_missing(content)
            raise

    def _attributes_of(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        return self._node_attributes.known(inode, node)

    # -- folders --

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        """Wait for what a first listing needs. Here the kernel does not hold its lock of the folder, as it does in
        readdir. A deadline is opened only where something is waited for: it costs a third of what `find` pays for a
        folder."""
        node = self._inodes.node(Inode(inode))
        if node.kind not in FOLDERS:
            raise NotAFolder(node.kind.name)
        if self._namespace.promised_names.find(node) is not None or not self._namespace.is_prepared(node):
            with trio.fail_after(self._budget_seconds):
                node = await self._proven(Inode(inode))
                await self._namespace.prepare(node)
        return pyfuse3.FileHandleT(self._handles.add(FolderHandle(node)))

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The entries past the offset `start_id`. A first listing is waited for page by page."""
        handle = self._handles.get(fh)
        if not isinstance(handle, FolderHandle):
            raise NotAFolder(str(fh))
        if start_id and start_id == handle.end:
            return
        if self._readdir.is_apart(handle):
            with trio.fail_after(self._budget_seconds):
                await self._readdir.bring(handle, after=start_id)
        if self._readdir.reply(handle, token, after=start_id):
            return  # `find` comes here twice for a folder, so a deadline is made only where something is waited for
        with trio.fail_after(self._budget_seconds):
            while await self._namespace.wait_for_entries(handle.node):
                await self._readdir.bring(handle, after=start_id)
                if self._readdir.reply(handle, token, after=start_id):
                    return

    async def releasedir(self, fh: int) -> None:
        """The folder was closed."""
        self._handles.remove(fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Nothing of a folder is ever unwritten."""

    # -- files --

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file. Afterwards fstat is exact, except where the origin gives no total until the end (direct I/O
        then)."""
        node = await self._proven(Inode(inode))
        if flags & WRITING_FLAGS:
            return await self._open_written(node, flags, ctx)
        if node.kind in FOLDERS:
            raise IsAFolder(node.kind.name)
        content = await self._growing.content(Inode(inode), node)
        if isinstance(content, Document):
            return self._open_snapshot(Inode(inode), node, await self._namespace.load(content), ctx)
        if self._inodes.is_stale(Inode(inode)):
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")
        if isinstance(content, Spooled):
            return await self._open_written(node, flags, ctx)
        try:
            info = await self._opener.open(Inode(inode), node, content)
        except CffsError as problem:
            stand_in = await self._namespace.writing.stand_in(node, problem)
            if stand_in is None:
                raise
            return self._opened_here(node, stand_in, writes=False)
        self._namespace.writing.served(node)
        return info

    def _open_snapshot(
        self, inode: Inode, node: Node, body: bytes, context: pyfuse3.RequestContext
    ) -> pyfuse3.FileInfo:
        if node.kind is Kind.OWN_FILE:  # its content differs at every look
            pages = Pages.BYPASSED
            self._kernel.view.forget_attributes(inode)
        else:
            pages, body = self._snapshots.open(inode, node, body, thread=context.pid)
        is_bypassed = pages is Pages.BYPASSED
        number = self._handles.add(SnapshotHandle(node, body, None if is_bypassed else inode))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=is_bypassed, keep_cache=pages is Pages.KEPT)

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        """The bytes of a remote file where they are in memory."""
        handle = self._handles.find(fh)
        if isinstance(handle, RemoteHandle):
            return handle.file.try_read(off, size)  # type: ignore[return-value]  # pyfuse3 takes any buffer, uncopied
        return None

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """The bytes at the offset; fewer only at the true end of the file. Only what `try_read` does not have."""
        handle = self._handles.get(fh)
        if isinstance(handle, RemoteHandle):
            # `fail_after` does the same; its two generators cost a tenth of a read from the network
            with trio.CancelScope(deadline=trio.current_time() + self._budget_seconds):
                return await handle.file.read(off, size)  # type: ignore[return-value]  # pyfuse3 takes any buffer
            raise trio.TooSlowError
        if isinstance(handle, UnsettledHandle):
            with trio.fail_after(self._budget_seconds):
                return await self._growing.read_unsettled(handle, off, size)
        if isinstance(handle, GrowingHandle):
            with trio.fail_after(self._budget_seconds):
                return await self._growing.read(handle, off, size)
        if isinstance(handle, SnapshotHandle):
            return handle.body[off : off + size]
        if isinstance(handle, WrittenHandle):
            return await handle.file.read(off, size)
        raise IsAFolder(str(fh))

    # -- the file system --

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Sizes and counts from what the catalogue knows. Costs no request."""
        return self._node_attributes.file_system()
