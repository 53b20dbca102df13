"""Every operation of the kernel, answered on purpose: reading here, changing in `fuse/write_operations`.

It must not know how names are resolved, sizes learned or bytes fetched: it calls the namespace and the reader.
`daemon/mount` hands the one instance to pyfuse3.
"""

from collections.abc import Callable, Sequence

import pyfuse3
import trio

from cffs.catalog.store import Catalog
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
from cffs.fuse.attributes import AttributeMaker, Showing
from cffs.fuse.growing_files import Living
from cffs.fuse.guard import CallTable, first_at_once, handler, instant_handler
from cffs.fuse.handles import (
    FolderHandle,
    HandleTable,
    LivingHandle,
    RemoteHandle,
    SnapshotHandle,
    UnsettledHandle,
    WrittenHandle,
    told,
)
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.fuse.listing_order import ListingOrder
from cffs.fuse.open_remote import Opening
from cffs.fuse.readdir import Readdir, ReaddirReply
from cffs.fuse.snapshots import Pages, Snapshots
from cffs.fuse.write_operations import WRITING_FLAGS, WriteOperations
from cffs.fuse.xattrs import AttributesOf, Xattrs
from cffs.reader.folder_read_ahead import FolderReadAhead
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import Content, Document, Kind, Node, Remote, Spooled
from cffs.tree.routes import FOLDERS
from cffs.tree.unproven import Unproven


class Operations(WriteOperations):
    """The file system as the kernel sees it. No handler keeps state across an await that another may change."""

    supports_dot_lookup = False  # no NFS export: `.` and `..` never reach lookup
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        *,
        namespace: Namespace,
        objects: ObjectRegistry,
        catalog: Catalog,
        attributes: AttributeMaker,
        kernel: KernelView,
        calls: CallTable,
        now_ns: Callable[[], int],
        readdir_reply: ReaddirReply = pyfuse3.readdir_reply,
        attributes_of: AttributesOf | None = None,
    ) -> None:
        """`readdir_reply` is pyfuse3's own; tests take the entries themselves. Extended attributes are what
        `attributes_of` tells; None: there are none."""
        super().__init__()
        self.calls = calls
        self.handles = HandleTable()
        self._namespace = namespace
        self._inodes = namespace.inodes
        self.xattrs = Xattrs(attributes_of)
        self._objects = objects
        self._attributes = attributes
        self._kernel = kernel
        self._now_ns = now_ns
        self._living = Living(namespace=namespace, objects=objects, kernel=kernel, handles=self.handles)
        self._versions = InodeVersions()
        self._snapshots = Snapshots(namespace.inodes, kernel)
        siblings = FolderReadAhead(objects, memory_nbytes=objects.memory_nbytes)
        self._neighbours = ListingOrder(namespace, catalog, siblings)
        self._opening = Opening(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            kernel=kernel,
            handles=self.handles,
            neighbours=self._neighbours,
            living=self._living,
            versions=self._versions,
            now_ns=now_ns,
        )
        self._showing = Showing(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            attributes=attributes,
            kernel=kernel,
            handles=self.handles,
            living=self._living,
            versions=self._versions,
            snapshots=self._snapshots,
            now_ns=now_ns,
        )
        self._folders = Readdir(namespace, self._neighbours, self._showing, readdir_reply=readdir_reply)

    def subject_of_handle(self, number: int) -> str:
        """The node behind it."""
        try:
            return told(self.handles.get(number).node)
        except CffsError:
            return super().subject_of_handle(number)

    def subject_of(self, number: int) -> str:
        """An inode as the kind and ids of its node; anything else as its number."""
        try:
            node = self._inodes.node(Inode(number))
        except CffsError:
            return str(number)
        return told(node)

    # -- names --

    @instant_handler
    async def lookup(
        self, parent_inode: int, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """The node that a name stands for; a name that does not exist is remembered by the kernel for a while.

        Never waits for the service, for the kernel asks the names of a folder one after the other: what nobody knows is
        promised (`tree/promised_names`), but where it may be about to be created.
        """
        parent = self._inodes.node(Inode(parent_inode))
        try:
            found = self._namespace.find(parent, from_kernel(name))
            if isinstance(found, Unproven) and self._namespace.writing.may_create(parent):
                with trio.fail_after(self.calls.budget_seconds):
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
            self._neighbours.named(number, is_new=True)
            self._namespace.promises.make(found)
            return self._attributes.promised(number, is_folder=found.kind in FOLDERS)
        self._renew_shown(found)
        number = self._inodes.number(found)
        self._neighbours.named(number, is_new=not self._inodes.is_held(number))
        self._inodes.hold_as(number, found)
        self._namespace.promises.end(found)
        self._neighbours.looked_up(parent, number)
        return self._attributes_of(number, found)

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """The kernel drops references; there is nothing it could be told."""
        for number, lookups in inode_list:
            node = self._inodes.forget(Inode(number), lookups)
            if node is not None:
                self._versions.forget(Inode(number))
                self._neighbours.forget(Inode(number))
                self._namespace.promises.end(node)

    async def _proven(self, inode: Inode) -> Node:
        """The node of an inode, once it is known to be there.

        Raises RemoteObjectMissing where it is not; StaleHandle where it turned out to be a node with a number of its
        own: the kernel looks the path up anew then, and the program sees no difference. A checkpoint where it waits.
        """
        node, promises = self._inodes.node(inode), self._namespace.promises
        promised = promises.find(node)
        if promised is None:
            return node
        proven = await promises.prove(node)
        if self._inodes.number(proven) != inode:
            raise StaleHandle(f"inode {inode} stood in for {told(proven)}")
        # a file that is not known by now, since it may be one that is being made, is asked about each time
        if promised.kind in FOLDERS or self._namespace.is_told(promised):
            promises.end(proven)
        return proven

    def _renew_shown(self, node: Node) -> None:
        # mostly nothing is open, and a lookup need not work out the number twice
        if self._snapshots.are_open and self._snapshots.nbytes(self._inodes.number(node)) is not None:
            self._snapshots.renew(node, self._namespace.describe(node).nbytes)

    @handler
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """What is known; whether it is there, and a size that nobody knows, are asked of the origin once."""
        return await self._attributes_asked(Inode(inode), await self._proven(Inode(inode)))

    async def _attributes_asked(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        if node.kind in FOLDERS:
            return self._attributes_of(inode, node)
        content = await self._living.content(inode, node)
        if not isinstance(content, Document):  # one number of a rendered file is as good as another
            self._require_current(inode)
        description = self._namespace.describe_content(content)
        if description.nbytes is None and self._snapshots.nbytes(inode) is None:
            content, description = await self._measured(inode, node, content)
        return self._showing.file(inode, node, content, description)

    def _require_current(self, inode: Inode) -> None:
        """Of an inode of an earlier version only who has it open is told anything; a name is looked up anew."""
        if self._inodes.is_stale(inode) and not self.handles.is_open(inode):
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")

    def shown(self, key: str) -> set[Inode]:
        """The inodes of which the kernel, or who has one open, may have bytes of the object."""
        return {*self._versions.of_object(key), *(handle.inode for handle in self.handles.of_object(key))}

    async def _measured(self, inode: Inode, node: Node, content: Content) -> tuple[Content, Description]:
        if isinstance(content, Spooled):
            return content, self._namespace.describe_content(content)
        if isinstance(content, Document):
            body = await self._namespace.load(content)
            return content, self._namespace.describe_content(content)._replace(nbytes=len(body))
        if not is_being_made(content) and not self.handles.of_object(content.key):
            await self._asked_for_size(inode, content)
            content = await self._living.content(inode, node)
        if isinstance(content, Remote) and is_being_made(content):
            await self._living.measure(content)
        return content, self._namespace.describe_content(content)

    async def _asked_for_size(self, inode: Inode, content: Remote) -> None:
        for other in self._neighbours.unsized_behind(inode):
            self._objects.probe_soon(other.key, other.sources)
        try:
            if self._neighbours.is_named(inode):
                await self._namespace.look_at(content)
            else:
                await self._namespace.measure(content)
        except RemoteObjectMissing:
            await self._opening.is_missing(content)
            raise

    def _attributes_of(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        return self._showing.known(inode, node)

    # -- folders --

    @instant_handler
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileHandleT:
        """Waits for what a first listing needs; not under the kernel's lock of the folder, as readdir is. A deadline is
        opened only where there is something to wait for: it costs a third of what `find` pays a folder."""
        node = self._inodes.node(Inode(inode))
        if node.kind not in FOLDERS:
            raise NotAFolder(node.kind.name)
        if self._namespace.promises.find(node) is not None or not self._namespace.is_prepared(node):
            with trio.fail_after(self.calls.budget_seconds):
                node = await self._proven(Inode(inode))
                await self._namespace.prepare(node)
        return pyfuse3.FileHandleT(self.handles.add(FolderHandle(node)))

    @instant_handler
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The entries past the place `start_id`; a first listing is waited for page by page."""
        handle = self.handles.get(fh)
        if not isinstance(handle, FolderHandle):
            raise NotAFolder(str(fh))
        if start_id and start_id == handle.end:
            return
        if self._folders.is_apart(handle):
            with trio.fail_after(self.calls.budget_seconds):
                await self._folders.bring(handle, after=start_id)
        if self._folders.reply(handle, token, after=start_id):
            return  # `find` asks this twice a folder, so a deadline is made only where something is waited for
        with trio.fail_after(self.calls.budget_seconds):
            while await self._namespace.wait_for_entries(handle.node):
                await self._folders.bring(handle, after=start_id)
                if self._folders.reply(handle, token, after=start_id):
                    return

    @instant_handler
    async def releasedir(self, fh: int) -> None:
        """The folder is closed."""
        self.handles.remove(fh)

    @instant_handler
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Nothing is ever unwritten."""

    # -- files --

    @handler
    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """After it returns, fstat is exact, but for an origin that tells no total until its end (direct I/O then)."""
        node = await self._proven(Inode(inode))
        if flags & WRITING_FLAGS:
            return await self._open_written(node, flags, ctx)
        if node.kind in FOLDERS:
            raise IsAFolder(node.kind.name)
        content = await self._living.content(Inode(inode), node)
        if isinstance(content, Document):
            return self._open_snapshot(Inode(inode), node, await self._namespace.load(content), ctx)
        if self._inodes.is_stale(Inode(inode)):
            raise RemoteObjectChanged(f"inode {inode} is of an earlier version")
        if isinstance(content, Spooled):
            return await self._open_written(node, flags, ctx)
        try:
            info = await self._opening.open(Inode(inode), node, content)
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
        if node.kind is Kind.OWN_FILE:  # it is another one at every look
            pages = Pages.BYPASSED
            self._kernel.forget_attributes(inode)
        else:
            pages, body = self._snapshots.open(inode, node, body, thread=context.pid)
        is_bypassed = pages is Pages.BYPASSED
        number = self.handles.add(SnapshotHandle(node, body, None if is_bypassed else inode))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=is_bypassed, keep_cache=pages is Pages.KEPT)

    def _try_read(self, fh: int, off: int, size: int) -> bytes | None:
        handle = self.handles.find(fh)
        if isinstance(handle, RemoteHandle):
            return handle.file.try_read(off, size)  # type: ignore[return-value]  # pyfuse3 takes any buffer, uncopied
        return None

    @first_at_once(_try_read)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        """The bytes there; fewer only at the true end. A deadline costs as much as a READ that memory serves, and is
        opened where it has to wait."""
        handle = self.handles.get(fh)
        if isinstance(handle, RemoteHandle):
            # `fail_after` is this as well; its two generators cost a tenth of a read of the network
            with trio.CancelScope(deadline=trio.current_time() + self.calls.budget_seconds):
                return await handle.file.read(off, size)  # type: ignore[return-value]  # as above
            raise trio.TooSlowError
        if isinstance(handle, UnsettledHandle):
            with trio.fail_after(self.calls.budget_seconds):
                return await self._living.read_unsettled(handle, off, size)
        if isinstance(handle, LivingHandle):
            with trio.fail_after(self.calls.budget_seconds):
                return await self._living.read(handle, off, size)
        if isinstance(handle, SnapshotHandle):
            return handle.body[off : off + size]
        if isinstance(handle, WrittenHandle):
            return await handle.file.read(off, size)
        raise IsAFolder(str(fh))

    # -- the file system --

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """What the catalogue knows of; it costs no request."""
        return self._showing.file_system()
