"""The tree of one account by path: look up, list, describe, open, read.

What the kernel does for a mount is done here: a path is looked up name by name, and a size that is not known is asked
for. Names, listings, sizes and bytes are found by the tree and the reader of a mount.

Owns what a path leads to. It must not know threads, processes or fsspec. Every method raises CffsError, and
TooSlowError where the service does not answer within the timeout; cancelled, nothing is open.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import trio
from cachetools import LRUCache

from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import (
    CffsError,
    IsAFolder,
    NotInTree,
    NotSupported,
    OperationNotOffered,
    RemoteObjectChanged,
    RemoteObjectMissing,
)
from cffs.core.times import clamped_ns
from cffs.core.units import MIB, NS_PER_MS
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Content, Document, Entry, Folder, Remote
from cffs.tree.context import Context
from cffs.tree.inodes import ROOT, InodeTable
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import AboutFolderNode, Kind, Node
from cffs.tree.object_opening import ObjectOpening
from cffs.tree.routes import FOLDERS

#: A read of the reader, as long as the largest that the kernel makes of a mount.
_PIECE_NBYTES = MIB
#: An object that changes while it is being opened is opened again, up to this many times in all.
_MOST_OPENINGS = 3
#: Recordings in progress that are remembered.
_MOST_GROWING = 10_000
#: What `info` says of a path: `name`, `size`, `type`, `created`, `mtime`.
Info = dict[str, Any]
Range = tuple[str, int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """An open file: its size at the open, and how it is read. `close` it in the loop, exactly once."""

    nbytes: int
    read: Callable[[int, int], Awaitable[bytes | memoryview]]
    close: Callable[[], object]


class UnmountedTree:
    """The tree of one account."""

    def __init__(self, context: Context, inodes: InodeTable, *, timeout_seconds: float, connections: int) -> None:
        """Nothing waits longer for the service than `timeout_seconds`: a lookup, a page of a listing, an open, a piece
        of a read. `connections` is how many ranges are read at once."""
        self._context = context
        self._catalog = context.catalog
        self._objects = context.objects
        self._namespace = Namespace(context, inodes)
        self._opening = ObjectOpening(context.objects, context.catalog, now_ns=time.time_ns)
        self._growing: LRUCache[str, bool] = LRUCache(_MOST_GROWING)
        self._timeout_seconds = timeout_seconds
        self._connections = connections

    # -- names --

    async def is_folder(self, path: str) -> bool:
        """Whether the path is a folder. Raises RemoteObjectMissing, NotInTree or NotAFolder where there is nothing."""
        return (await self._look_up(path)).kind in FOLDERS

    async def info(self, path: str) -> Info:
        """What is known of the path. The size of a file is exact: programs cut files into blocks by it. It is asked for
        once where it is not known, or where the service's listing alone states it."""
        node = await self._file_or_folder(path)
        with trio.fail_after(self._timeout_seconds) as deadline:
            return await self._info(path, node, deadline)

    async def entries(self, path: str) -> list[Info]:
        """What is known of each entry of a folder, in the order of its listing; of a file, what `info` returns. A first
        listing is waited for to its end, page by page. A size that is not known is None."""
        node = await self._look_up(path)
        if node.kind not in FOLDERS:
            with trio.fail_after(self._timeout_seconds) as deadline:
                return [await self._info(path, node, deadline)]
        await self._list(node)
        found: list[Info] = []
        after = 0
        while True:
            with trio.fail_after(self._timeout_seconds):
                page = await self._namespace.page(node, after=after)
            if not page:
                return found
            found += [self._entry_info(path, entry) for entry in page]
            after = page[-1].offset
            await trio.lowlevel.checkpoint()

    async def _list(self, folder: Node) -> None:
        """Wait for the whole of a first listing, each page of which has a timeout of its own: a process begins with an
        empty catalogue, and must not take for all what is a part."""
        with trio.fail_after(self._timeout_seconds):
            await self._namespace.prepare(folder)
        more = True
        while more:
            with trio.fail_after(self._timeout_seconds):
                more = await self._namespace.wait_for_entries(folder)

    async def _look_up(self, path: str) -> Node:
        node = ROOT
        with trio.fail_after(self._timeout_seconds):
            for name in filter(None, path.split("/")):
                node = await self._namespace.lookup(node, name)
                if node.kind is Kind.OWN:  # the files about a mount
                    raise NotInTree(name)
        return node

    async def _file_or_folder(self, path: str) -> Node:
        """The node of a path whose content is wanted: what a file says of a folder is then known."""
        node = await self._look_up(path)
        if isinstance(node, AboutFolderNode):
            with suppress(OperationNotOffered):  # with v1 alone it says what was opened by its id
                await self._list(node.folder)
        return node

    def _entry_info(self, folder: str, entry: Entry) -> Info:
        path = f"{folder}/{entry.name}" if folder else entry.name
        content = entry.content
        if isinstance(content, Folder):
            return self._described(path, Description(is_folder=True, modified_ns=_ns(content.modified_ms)))
        if content is None:
            return self._described(path, self._namespace.describe(entry.node))
        return self._described(path, self._namespace.describe_content(content))

    async def _info(self, path: str, node: Node, deadline: trio.CancelScope) -> Info:
        if node.kind in FOLDERS:
            return self._described(path, self._namespace.describe(node))
        content = await self._content(node)
        description = self._namespace.describe_content(content)
        if description.nbytes is None or (isinstance(content, Remote) and not description.is_exact):
            content, nbytes = await self._measured(node, content, deadline)
            description = self._namespace.describe_content(content)._replace(nbytes=nbytes)
        return self._described(path, description)

    def _described(self, path: str, description: Description) -> Info:
        modified_ns = description.modified_ns
        if modified_ns is None:
            at_ns = self._catalog.first_seen_ms * NS_PER_MS
        else:
            at_ns = clamped_ns(modified_ns // NS_PER_MS, now_ns=time.time_ns())
        return {
            "name": path,
            "size": 0 if description.is_folder else description.nbytes,
            "type": "directory" if description.is_folder else "file",
            "created": at_ns / 1e9,
            "mtime": at_ns / 1e9,
        }

    # -- contents --

    async def _content(self, node: Node) -> Content:
        """What the file holds now. A recording that turns out to be in progress, or to be finished, loses what was
        known of it before."""
        content = await self._namespace.content_of_now(node)
        if isinstance(content, Remote) and is_being_made(content):
            if content.key not in self._growing:
                self._growing[content.key] = True
                self._objects.forget(content.key)
        elif isinstance(content, Remote) and self._growing.pop(content.key, False):
            self._objects.growing.forget(content.key)
        return content

    async def _measured(self, node: Node, content: Content, deadline: trio.CancelScope) -> tuple[Content, int]:
        """The content of now and its size, which is asked for."""
        if isinstance(content, Document):
            return content, len(await self._namespace.load(content))
        if isinstance(content, Remote) and not is_being_made(content):
            try:
                await self._namespace.look_at(content)
            except RemoteObjectMissing:
                await self._opening.note_missing(content)
                raise
            content = await self._content(node)
        if isinstance(content, Remote) and is_being_made(content):
            with trio.move_on_after(LOOKUP_PATIENCE_SECONDS):
                try:
                    await self._objects.growing.look(content.key, content.sources)
                except CffsError:
                    pass  # an open reports it
            return content, self._objects.growing.last_nbytes(content.key) or 0
        nbytes = self._namespace.describe_content(content).nbytes
        if nbytes is None:  # the end alone shows it
            opened = await self._opened(node, deadline)
            opened.close()
            nbytes = opened.nbytes
        return content, nbytes

    async def fingerprint(self, path: str) -> str:
        """A digest of which object the path is, and in which version."""
        node = await self._file_or_folder(path)
        with trio.fail_after(self._timeout_seconds) as deadline:
            if node.kind in FOLDERS:
                parts: tuple[object, ...] = (path, self._namespace.describe(node).modified_ns)
            else:
                content = await self._content(node)
                if isinstance(content, Document):
                    return sha256(await self._namespace.load(content)).hexdigest()
                content, nbytes = await self._measured(node, content, deadline)
                known = self._namespace.known(content) if isinstance(content, Remote) else None
                parts = (path, nbytes) if known is None else (known.total_nbytes, known.validator)
                parts = (getattr(content, "key", ""), *parts)
        return sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()

    # -- bytes --

    async def open(self, path: str) -> OpenedFile:
        """Open the file. Its size is exact, for a recording in progress that of now."""
        node = await self._file_or_folder(path)
        with trio.fail_after(self._timeout_seconds) as deadline:
            return await self._opened(node, deadline)

    async def _opened(self, node: Node, deadline: trio.CancelScope) -> OpenedFile:
        if node.kind in FOLDERS:
            raise IsAFolder(node.kind.name)
        for openings_left in reversed(range(_MOST_OPENINGS)):
            content = await self._content(node)
            if isinstance(content, Document):
                return _in_memory(await self._namespace.load(content))
            if not isinstance(content, Remote):
                raise NotSupported(node.kind.name)
            self._namespace.require_readable(content)
            if is_being_made(content):
                return await self._opened_growing(content)
            file, was_known = await self._opening.open(content)
            try:
                if not file.is_settled:
                    await self._namespace.look_at(content)
                    now = await self._content(node)
                    is_another = file.is_changed or (isinstance(now, Remote) and is_being_made(now))
                    if is_another and openings_left:
                        file.close()
                        continue
                nbytes = await self._exact_nbytes(file, deadline)
            except BaseException:
                file.close()
                raise
            if not was_known:
                self._objects.revalidation.confirm(content.key)
            return OpenedFile(nbytes=nbytes, read=file.read, close=file.close)
        raise AssertionError  # the last opening returned or raised

    async def _exact_nbytes(self, file: OpenFile, deadline: trio.CancelScope) -> int:
        """The size of an open file; where the origin gives none, it is read to its end, each piece within a deadline of
        its own."""
        offset = 0
        while file.total_nbytes is None:
            deadline.deadline = trio.current_time() + self._timeout_seconds
            piece = await file.read(offset, _PIECE_NBYTES)
            if not piece:
                break
            offset += len(piece)
        return offset if file.total_nbytes is None else file.total_nbytes

    async def _opened_growing(self, content: Remote) -> OpenedFile:
        growing = self._objects.growing
        await growing.look(content.key, content.sources)
        file = growing.open(content.key, content.sources)
        return OpenedFile(nbytes=growing.last_nbytes(content.key) or 0, read=file.read, close=file.close)

    async def read_into(self, opened: OpenedFile, offset: int, target: memoryview) -> int:
        """Fill `target` with the bytes from `offset` on; returns how many there are before the end."""
        done = 0
        while done < len(target):
            with trio.fail_after(self._timeout_seconds):
                piece = await opened.read(offset + done, min(_PIECE_NBYTES, len(target) - done))
            if not piece:
                break
            target[done : done + len(piece)] = piece
            done += len(piece)
        return done

    async def read_range(self, opened: OpenedFile, start: int, stop: int) -> bytes:
        """The bytes of a range; fewer only at the end."""
        pieces = []
        while start < stop:
            with trio.fail_after(self._timeout_seconds):
                piece = await opened.read(start, min(_PIECE_NBYTES, stop - start))
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    async def read_slice(self, path: str, start: int | None, stop: int | None) -> bytes:
        """The bytes that a slice of the file has: negative positions count from the end, None is an end. All of them
        are of one version: where another one is found meanwhile, it is read from the start."""
        for openings_left in reversed(range(_MOST_OPENINGS)):
            opened = await self.open(path)
            try:
                first, last, _step = slice(start, stop).indices(opened.nbytes)
                return await self.read_range(opened, first, last)
            except RemoteObjectChanged:
                if not openings_left:
                    raise
            finally:
                opened.close()
        raise AssertionError  # the last opening returned or raised

    async def read_slices(
        self, slices: Sequence[Range], *, stops_at_once: bool
    ) -> list[bytes | CffsError | trio.TooSlowError]:
        """What `read_slice` returns of each, or raises; as many at once as there are connections. `stops_at_once`
        leaves out what has not begun once one has failed: then the result holds that failure."""
        answers: list[bytes | CffsError | trio.TooSlowError] = [b""] * len(slices)
        limiter = trio.CapacityLimiter(self._connections)

        async def answer(number: int, path: str, start: int | None, stop: int | None) -> None:
            async with limiter:
                try:
                    answers[number] = await self.read_slice(path, start, stop)
                except (CffsError, trio.TooSlowError) as problem:
                    answers[number] = problem
                    if stops_at_once:
                        nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for number, (path, start, stop) in enumerate(slices):
                nursery.start_soon(answer, number, path, start, stop)
        return answers


def _in_memory(body: bytes) -> OpenedFile:
    async def read(offset: int, nbytes: int) -> bytes:
        return body[offset : offset + nbytes]

    return OpenedFile(nbytes=len(body), read=read, close=partial(bool))


def _ns(unix_ms: int | None) -> int | None:
    return None if unix_ms is None else unix_ms * NS_PER_MS
