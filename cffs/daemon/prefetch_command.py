"""The control socket's commands for `cffs prefetch`.

They have all of a file in the disk cache. Reading a file is not enough: a read that memory serves leaves nothing to be
written to disk.

Owns what the client hears while it waits. It must not know how bytes are found or kept.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from cffs.cache.disk import DiskCache
from cffs.core import demand
from cffs.core.errors import CffsError, DeadlineExceeded, UsageError
from cffs.core.ids import Inode
from cffs.daemon.control import Command, Progress
from cffs.fuse.errnos import errno_of
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Remote
from cffs.tree.namespace import Namespace

log = logging.getLogger(__name__)

#: How often the client hears that the work goes on.
_PROGRESS_SECONDS = 1.0
#: A piece that the disk did not take is tried once more: making room for it may have failed only for a moment.
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchCommand:
    """The commands of one mount. One piece may take `budget_seconds`, as one READ of the kernel may."""

    namespace: Namespace
    objects: ObjectRegistry
    disk: DiskCache
    budget_seconds: float

    def commands(self) -> dict[str, Command]:
        """The commands, by their names on the control socket."""
        return {"cache-bring": self.bring, "cache-lost": self.lost}

    async def bring(self, arguments: Mapping[str, object], send_progress: Progress) -> object:
        """Have all of the file `inode`, which the client has open, on disk, and pinned there where `pinned` asks for
        it.

        Returns `{"object", "bytes", "brought"}` once it is; `{"errno"}` or `{"problem"}` where it cannot be. A rendered
        file has nothing to bring.
        """
        inode, is_pinned = arguments.get("inode"), arguments.get("pinned") is True
        if not isinstance(inode, int) or isinstance(inode, bool):
            raise UsageError("inode is a number")
        content = self._content(inode)
        if content is None:
            return {"object": "", "bytes": 0, "brought": 0}
        is_heard = True

        async def report_progress() -> None:
            nonlocal is_heard
            try:
                while True:
                    await trio.sleep(_PROGRESS_SECONDS)
                    await send_progress({"object": content.key})
            except trio.BrokenResourceError:
                is_heard = False
                nursery.cancel_scope.cancel()

        outcome: Mapping[str, object] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_progress)
            outcome = await self._outcome(content, is_pinned=is_pinned)
            nursery.cancel_scope.cancel()
        if not is_heard:
            raise trio.BrokenResourceError("the client is gone")
        return outcome

    async def _outcome(self, content: Remote, *, is_pinned: bool) -> Mapping[str, object]:
        works_for = demand.current()
        demand.begin(demand.never)  # under `--rate` what a program waits for goes first
        try:
            self.namespace.require_readable(content)
            if is_being_made(content):
                return {"problem": "it is still being recorded, and kept once it is finished"}
            return await self._brought(content, is_pinned=is_pinned)
        except CffsError as error:
            log.info("prefetch failed object=%s reason=%s", content.key, error)
            return {"errno": errno_of(error)}
        finally:
            demand.begin(works_for)  # a client may ask for more over its connection

    async def lost(self, arguments: Mapping[str, object], _progress: Progress) -> object:
        """Of `objects` (names and sizes, as `bring` returned them), those that are no longer wholly on disk."""
        objects = arguments.get("objects")
        if not isinstance(objects, Mapping):
            raise UsageError("objects is a table")
        return {"lost": [key for key, nbytes in objects.items() if self.disk.held_nbytes(str(key)) != nbytes]}

    def _content(self, inode: int) -> Remote | None:
        content = self.namespace.content(self.namespace.inodes.node(Inode(inode)))
        return content if isinstance(content, Remote) else None

    async def _brought(self, content: Remote, *, is_pinned: bool) -> Mapping[str, object]:
        with _deadline(self.budget_seconds):
            file = await self.objects.open(
                content.key, content.sources, known=self.namespace.known(content), hint_nbytes=content.hint_nbytes
            )
        try:
            if file.total_nbytes is None:
                return {"problem": "the service does not give its size, so it cannot be kept"}
            brought = await self._keep(file)
            if brought is None:
                return {"problem": self.disk.trouble or "there is no room for it in the disk cache (--cache-size)"}
            if is_pinned and file.total_nbytes and not self.disk.set_pinned(content.key, pinned=True):
                return {"problem": "it cannot be pinned: its file has left the disk cache"}
            return {"object": content.key, "bytes": file.total_nbytes, "brought": brought}
        finally:
            file.close()

    async def _keep(self, file: OpenFile) -> int | None:
        """Returns how many bytes were brought to disk; None where the disk does not take them."""
        brought = tries = 0
        while True:
            with _deadline(self.budget_seconds):
                nbytes = await file.keep_next()
            if nbytes is None:
                return brought
            tries = 0 if nbytes else tries + 1
            if tries == _TRIES:
                return None
            brought += nbytes


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise DeadlineExceeded(f"nothing came within {seconds:.0f} s") from None
