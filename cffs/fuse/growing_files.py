"""Recordings that are still being made, as the kernel sees them: sizes of now, no pages, a new inode once finished.

It must not know how states are asked (`tree/calls_in_progress`) nor how bytes are (`reader/growing_object`).
`fuse/operations` asks it what a file holds now, and opens, measures and reads what is being made through it.
"""

import pyfuse3
import trio
from cachetools import LRUCache

from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import CffsError
from cffs.core.ids import Inode
from cffs.fuse.handles import HandleTable, LivingHandle, UnsettledHandle
from cffs.fuse.invalidation import KernelView
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Content, Node, Remote

#: Inodes that were shown as being made. One that is forgotten here and was mapped into memory meanwhile would keep
#: those pages; nobody else has any.
_MOST = 10_000


class Living:
    """What was shown as being made, so that it can be taken back. One a mount, owned by the operations."""

    def __init__(
        self, *, namespace: Namespace, objects: ObjectRegistry, kernel: KernelView, handles: HandleTable
    ) -> None:
        self._namespace = namespace
        self._objects = objects
        self._kernel = kernel
        self._handles = handles
        #: Inodes that were opened before it was known whether their recording is being made.
        self._unsettled: LRUCache[Inode, bool] = LRUCache(_MOST)
        #: The key of each inode's object, and whether it was opened.
        self._shown: LRUCache[Inode, tuple[str, bool]] = LRUCache(_MOST)

    async def content(self, inode: Inode, node: Node) -> Content:
        """What the file holds now: asked of the service again, at most once a second, while it is being made.

        A recording that turned out to be finished has become an ordinary file by then, under a new number if this one
        was opened before. A checkpoint where it asks. Raises what the namespace's `content` raises.
        """
        content = await self._namespace.content_of_now(node)
        if isinstance(content, Remote) and is_being_made(content):
            if inode not in self._shown:
                self._shown[inode] = (content.key, inode in self._unsettled)
                # what was kept before anybody knew that it is being made is a part of it, and no more
                self._objects.forget(content.key)
        elif (shown := self._shown.pop(inode, None)) is not None:
            key, was_opened = shown
            self._objects.living.forget(key)
            if was_opened:
                self._namespace.inodes.retire(inode)
            self._kernel.forget_attributes(inode)
        return content

    async def measure(self, content: Remote) -> None:
        """Learn how far it reaches now, for stat: what does not answer in time leaves it as it was. A checkpoint where
        it asks."""
        with trio.move_on_after(LOOKUP_PATIENCE_SECONDS):
            try:
                await self._objects.living.look(content.key, content.sources)
            except CffsError:
                return  # open says it

    def nbytes(self, content: Remote) -> int:
        """How far it was last known to reach. No checkpoint."""
        return self._objects.living.last_nbytes(content.key) or 0

    async def open(self, inode: Inode, node: Node, content: Remote) -> pyfuse3.FileInfo:
        """Direct I/O: no page is kept. Raises what stops an answer; nothing is asked that was within the second."""
        await self._objects.living.look(content.key, content.sources)
        self._shown[inode] = (content.key, True)
        file = self._objects.living.open(content.key, content.sources)
        self._kernel.forget_attributes(inode)
        number = self._handles.add(LivingHandle(inode, node, file))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=True, keep_cache=False)

    def open_unsettled(self, inode: Inode, node: Node, file: OpenFile) -> pyfuse3.FileInfo:
        """The same for what may be one that is being made: its bytes are kept nowhere until that is known."""
        self._unsettled[inode] = True
        self._kernel.forget_attributes(inode)
        number = self._handles.add(UnsettledHandle(inode, node, file))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=True, keep_cache=False)

    async def read_unsettled(self, handle: UnsettledHandle, offset: int, nbytes: int) -> bytes:
        """The bytes of when it was opened, and of now where it proved to be one that is being made. Raises as `read`;
        RemoteObjectChanged where it is another one now."""
        if handle.going_on is None:
            content = await self.content(handle.inode, handle.node)
            if not isinstance(content, Remote) or not is_being_made(content):
                data = bytes(await handle.file.read(offset, nbytes))
                handle.read_before = (offset, data) if data else handle.read_before
                return data
            handle.going_on = self._objects.living.open(content.key, content.sources, read_before=handle.read_before)
        return await handle.going_on.read(offset, nbytes)

    async def read(self, handle: LivingHandle, offset: int, nbytes: int) -> bytes:
        """The bytes there now. Raises RecordingBroken once the service calls it so, and what stops an answer."""
        content = await self.content(handle.inode, handle.node)
        if isinstance(content, Remote):
            self._namespace.require_readable(content)
        return await handle.file.read(offset, nbytes)
