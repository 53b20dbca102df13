"""Recordings in progress, as the kernel sees them: growing files without pages.

A growing file shows the size of now, and gets a new inode once its recording is finished.

Owns which inodes were shown as growing, so that it can be taken back. It must not know how the state of a recording is
asked (`tree/calls_in_progress`), nor how its bytes are (`reader/growing_object`).
"""

import pyfuse3
import trio
from cachetools import LRUCache

from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import CffsError, PossiblyPartial, RemoteObjectChanged
from cffs.core.ids import Inode
from cffs.fuse.handles import GrowingHandle, UnsettledHandle
from cffs.fuse.presentation import Presentation
from cffs.reader.growing_object import HEAD_NBYTES
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Content, Remote
from cffs.tree.nodes import Node
from cffs.tree.object_opening import ObjectOpening

#: Inodes that were shown as growing. One that is evicted from here, and was mapped into memory meanwhile, would keep
#: the mapping's pages; no other inode has any.
_MOST = 10_000


class GrowingFiles:
    """The growing files of one mount."""

    def __init__(self, presentation: Presentation) -> None:
        self._namespace = presentation.namespace
        self._objects = presentation.objects
        self._opening = ObjectOpening(presentation.objects, presentation.catalog, now_ns=presentation.now_ns)
        self._kernel = presentation.kernel
        #: Inodes that were opened before it was known whether their recording is in progress.
        self._unsettled: LRUCache[Inode, bool] = LRUCache(_MOST)
        #: The key of each inode's object, and whether the inode was opened.
        self._shown: LRUCache[Inode, tuple[str, bool]] = LRUCache(_MOST)

    async def content(self, inode: Inode, node: Node) -> Content:
        """What the file holds now. While it is growing the service is asked again, at most once a second.

        Once the recording turns out to be finished, it is an ordinary file, under a new inode if this one was opened.
        A checkpoint where it asks. Raises what the namespace's `content` raises.
        """
        content = await self._namespace.content_of_now(node)
        if isinstance(content, Remote) and is_being_made(content):
            if inode not in self._shown:
                self._shown[inode] = (content.key, inode in self._unsettled)
                # bytes that were kept before it was known to be growing are only a part of it
                self._objects.forget(content.key)
        elif (shown := self._shown.pop(inode, None)) is not None:
            key, was_opened = shown
            self._objects.growing.forget(key)
            if was_opened:
                self._kernel.inodes.retire(inode)
            self._kernel.view.forget_attributes(inode)
        return content

    async def measure(self, content: Remote) -> None:
        """Learn how far the object reaches now, for stat. Where no answer comes in time, the last known size stands.

        A checkpoint where it asks.
        """
        with trio.move_on_after(LOOKUP_PATIENCE_SECONDS):
            try:
                await self._objects.growing.look(content.key, content.sources)
            except CffsError:
                return  # an open reports it

    def nbytes(self, content: Remote) -> int:
        """How far the object was last known to reach. No checkpoint."""
        return self._objects.growing.last_nbytes(content.key) or 0

    async def open(self, inode: Inode, node: Node, content: Remote) -> pyfuse3.FileInfo:
        """Open a growing file for direct I/O, so that no page is kept. Nothing is asked that was asked within the last
        second. A checkpoint where it asks. Raises what stops an answer."""
        await self._objects.growing.look(content.key, content.sources)
        self._shown[inode] = (content.key, True)
        file = self._objects.growing.open(content.key, content.sources)
        self._kernel.view.forget_attributes(inode)
        number = self._kernel.handles.add(GrowingHandle(inode, node, file))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=True, keep_cache=False)

    def open_unsettled(self, inode: Inode, node: Node, file: OpenFile) -> pyfuse3.FileInfo:
        """Open a file that may be growing: its bytes are kept nowhere until that is known."""
        self._unsettled[inode] = True
        self._kernel.view.forget_attributes(inode)
        number = self._kernel.handles.add(UnsettledHandle(inode, node, file))
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=True, keep_cache=False)

    async def read_unsettled(self, handle: UnsettledHandle, offset: int, nbytes: int) -> bytes:
        """The bytes of the time of the open; the bytes of now where the file proved to be growing, or to have been
        finished so shortly before that those may be a part.

        Raises what `read` raises; RemoteObjectChanged where the object is another one now.
        """
        if handle.continued is None:
            content = await self.content(handle.inode, handle.node)
            if not isinstance(content, Remote) or not is_being_made(content):
                try:
                    return await self._read_settled(handle, offset, nbytes)
                except PossiblyPartial:
                    content = await self.content(handle.inode, handle.node)
                    if not isinstance(content, Remote):
                        raise
                    if not is_being_made(content):
                        await self._open_again(handle, content)
                        return await self._read_settled(handle, offset, nbytes)
            handle.continued = self._objects.growing.open(content.key, content.sources, read_before=handle.read_before)
        return await handle.continued.read(offset, nbytes)

    async def _read_settled(self, handle: UnsettledHandle, offset: int, nbytes: int) -> bytes:
        data = bytes(await handle.file.read(offset, nbytes))
        handle.read_before = (offset, data) if data else handle.read_before
        return data

    async def _open_again(self, handle: UnsettledHandle, content: Remote) -> None:
        """Exchange a file that may be a part for the whole, in which what was read last must be again. Raises
        RemoteObjectChanged where it is not, and what stops an answer; cancelled, nothing has changed."""
        partial_file, (offset, before) = handle.file, handle.read_before
        file, _was_known = await self._opening.open(content)
        try:
            start = max(offset, HEAD_NBYTES)
            before = before[start - offset :]
            if before and bytes(await file.read(start, len(before))) != before:
                raise RemoteObjectChanged(f"{content.key} is not the recording that was read before")
            if handle.file is partial_file:  # another READ of the handle may have been faster
                handle.file, file = file, partial_file
        finally:
            file.close()

    async def read(self, handle: GrowingHandle, offset: int, nbytes: int) -> bytes:
        """The bytes that are there now. Raises RecordingBroken once the service calls it so, and what stops an
        answer."""
        content = await self.content(handle.inode, handle.node)
        if isinstance(content, Remote):
            self._namespace.require_readable(content)
        return await handle.file.read(offset, nbytes)
