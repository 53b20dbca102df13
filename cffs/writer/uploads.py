"""The uploads of a mount, until each is sent, removed or given up.

A file that is written into media/ is sent once: by the close of its last descriptor, or by the rename from a temporary
name.

Owns the table of uploads by name and by number, which is changed without an await between looking and changing. It must
not know nodes, inodes or the kernel, nor how a file is sent.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import trio

from cffs.core.background import Background
from cffs.core.errors import (
    ActUncertain,
    AlreadyExists,
    Busy,
    CffsError,
    ContentRefused,
    SpoolFailed,
    StaleHandle,
)
from cffs.core.names import to_kernel
from cffs.writer.names import MediaName, media_name
from cffs.writer.open_descriptors import WriterState, find_writers, process_of
from cffs.writer.sender import Sender, require_content
from cffs.writer.spool import Spool
from cffs.writer.upload_file import UploadFile, UploadHandle, UploadState
from cffs.writer.uploaded_files import UploadedFiles

log = logging.getLogger(__name__)

#: Threads that may wait for the spool's disk at once. Other waits of the mount have threads of their own.
_THREADS = 8
#: As many refusals as status.json shows last errors.
_KEPT_REFUSALS = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not taken: when, under which name, and why. Its writer only saw a close fail."""

    at_ms: int
    name: str
    problem: CffsError

    def plain(self) -> dict[str, object]:
        """The refusal as status.json shows it."""
        at = datetime.fromtimestamp(self.at_ms // 1000, UTC)
        return {"time": at.isoformat(), "name": self.name, "reason": str(self.problem)}


class Uploads:
    """All uploads of one mount."""

    def __init__(
        self,
        *,
        spool: Spool,
        sender: Sender,
        background: Background,
        limit_nbytes: int,
        inode_of: Callable[[int], int],
        wall_ms: Callable[[], int],
    ) -> None:
        """`inode_of` returns the inode, on the mount, of the upload of a number; /proc shows it."""
        self.uploaded = UploadedFiles(limit_nbytes=limit_nbytes)
        self._spool = spool
        self._sender = sender
        self._background = background
        self._limit_nbytes = limit_nbytes
        self._inode_of = inode_of
        self._wall_ms = wall_ms
        self._threads = trio.CapacityLimiter(_THREADS)
        self._numbers = count(1)
        self._by_name: dict[str, UploadFile] = {}
        self._by_number: dict[int, UploadFile] = {}
        self._counts = {UploadState.SENT: 0, UploadState.REFUSED: 0}
        self._refusals: deque[Refusal] = deque(maxlen=_KEPT_REFUSALS)

    # -- names --

    def find(self, name: str) -> UploadFile | None:
        """The upload of that name; None where there is none."""
        return self._by_name.get(name)

    def get(self, number: int) -> UploadFile:
        """The upload of that number, also where it was sent or removed while it is open. Raises StaleHandle."""
        upload = self._by_number.get(number)
        if upload is None:
            raise StaleHandle(f"upload {number}")
        return upload

    async def create(self, name: str, pid: int) -> tuple[UploadFile, UploadHandle]:
        """A new file, opened for writing by the thread `pid`. Raises ContentRefused, SpoolFull or SpoolFailed."""
        try:
            media_name(name)
        except ContentRefused as problem:
            self._note_refusal(name, problem)
            raise
        upload = self._by_name.get(name)
        if upload is None:
            file = await trio.to_thread.run_sync(self._spool.make, name, limiter=self._threads)
            upload = UploadFile(
                number=next(self._numbers),
                name=name,
                spool=file,
                threads=self._threads,
                limit_nbytes=self._limit_nbytes,
                modified_ms=self._wall_ms(),
            )
            self._by_name[name] = self._by_number[upload.number] = upload
        return upload, self.open(upload, writes=True, pid=pid)

    def open(self, upload: UploadFile, *, writes: bool, pid: int) -> UploadHandle:
        """Open a further handle. Raises Busy where it would write a file that is being sent."""
        if writes and upload.state is not UploadState.WRITING:
            raise Busy(f"{upload.name} is on its way to the service")
        upload.handles += 1
        if writes:
            upload.writers.add(process_of(pid))
        return UploadHandle(self, upload, writes=writes)

    async def rename(self, upload: UploadFile, name: str, *, replaces: bool) -> None:
        """Rename an upload. Where `name` is one to be sent, and no descriptor can write any more, the file is sent,
        which is waited for.

        Raises ContentRefused for a name that cannot be written or a file that is empty, Busy while it is being sent,
        and what `Sender.send` raises; it then keeps its old name.
        """
        sent_as = media_name(name)
        if upload.state is not UploadState.WRITING:
            raise Busy(f"{upload.name} is on its way to the service")
        if upload.failure is not None:
            raise upload.failure
        other = self._by_name.get(name)
        if other is not None and not replaces:
            raise AlreadyExists(name)
        if other is not None and other.state is not UploadState.WRITING:
            raise Busy(f"{name} is on its way to the service")
        if sent_as is not None and not (await self._writer_state(upload)).is_open:
            if not upload.nbytes:
                raise ContentRefused(f"{upload.name} is empty")
            await self._send(upload, name, sent_as)
        if upload.state is UploadState.WRITING:
            await trio.to_thread.run_sync(upload.spool.rename, name, limiter=self._threads)
            self._forget_name(upload)
            upload.name = name
        other = self._by_name.get(name)
        if other is not None and other is not upload:
            self.remove(other)
        if upload.state is UploadState.WRITING:
            self._by_name[name] = upload

    def remove(self, upload: UploadFile) -> None:
        """Give the file up; a program that has it open goes on writing in vain. Raises Busy while it is being sent."""
        if upload.state is UploadState.SENDING:
            raise Busy(f"{upload.name} is on its way to the service")
        upload.state = UploadState.REMOVED
        self._forget_name(upload)
        self._forget(upload)

    # -- what was sent --

    def stand_in(self, media_id: int) -> UploadHandle | None:
        """A handle on what can be read of a media file that the service does not serve yet; None where nothing can."""
        upload = self.uploaded.stand_in(media_id)
        return None if upload is None else self.open(upload, writes=False, pid=0)

    def served(self, media_id: int) -> None:
        """The service serves the media file: nothing stands in for it any more."""
        upload = self.uploaded.drop(media_id)
        if upload is not None:
            self._forget(upload)

    def report(self) -> dict[str, object]:
        """The fields of status.json about uploads."""
        active = [
            {"name": upload.name, "state": str(upload.state), "bytes": upload.nbytes, "sent_bytes": upload.sent_nbytes}
            for upload in self._by_number.values()
            if upload.state in (UploadState.WRITING, UploadState.SENDING)
        ]
        counts = {str(state): number for state, number in self._counts.items()}
        return {"uploads": {**counts, "active": active, "refusals": [one.plain() for one in self._refusals]}}

    async def aclose(self) -> None:
        """The mount ends: files that were sent, or are empty, are removed; the others stay, and the next mount reports
        them. Shielded, since only this machine's files are touched."""
        with trio.CancelScope(shield=True):
            for upload in [*self.uploaded.drop_all(), *self._by_number.values()]:
                if upload.is_discarded:
                    continue
                if upload.state in (UploadState.SENT, UploadState.REMOVED, UploadState.REFUSED) or not upload.nbytes:
                    upload.is_discarded = True
                    await self._discard(upload)
                else:
                    log.warning("upload not sent, kept in the spool name=%s nbytes=%d", upload.name, upload.nbytes)

    # -- closing --

    async def close_descriptor(self, upload: UploadFile) -> None:
        """A descriptor was closed. Raises why the file was not sent, where it should have been."""
        if upload.state in (UploadState.SENDING, UploadState.SENT, UploadState.REFUSED):
            await upload.ended.wait()
        if upload.failure is not None:
            raise upload.failure
        sent_as = media_name(upload.name)
        if upload.state is not UploadState.WRITING or not upload.nbytes or sent_as is None:
            return
        seen = await self._writer_state(upload)
        if seen.was_killed:
            upload.failure = SpoolFailed(f"{upload.name}: the program that wrote it was killed; nothing is sent")
            log.warning("upload given up name=%s reason=its writer was killed", upload.name)
            return
        if not seen.is_open:
            await self._send(upload, upload.name, sent_as)

    async def check(self, upload: UploadFile) -> None:
        """Raise what is wrong already: a write that failed, or a beginning of another type (a hole at the start may
        still be filled)."""
        if upload.failure is not None:
            raise upload.failure
        sent_as = media_name(upload.name)
        if upload.state is UploadState.WRITING and sent_as is not None and (await upload.read(0, 16)).strip(b"\0"):
            await require_content(upload, sent_as, is_whole=False)

    def release(self, upload: UploadFile) -> None:
        """A handle was released. With the last one, a file that is not to be sent is removed."""
        upload.handles -= 1
        if upload.handles:
            return
        if upload.state is UploadState.WRITING and upload.failure is not None:
            self._note_refusal(
                upload.name, upload.failure
            )  # a write failed: too large, no room, or the writer was killed
        elif upload.state is UploadState.WRITING:
            sent_as = media_name(upload.name)
            if sent_as is None:
                return  # kept for the rename that sends it
            if upload.nbytes:  # every close saw another descriptor, which /proc no longer shows
                self._background.start(self._send_late, upload, sent_as)
                return
        if upload.state is UploadState.WRITING:
            self.remove(upload)
        else:
            self._forget(upload)

    async def _send_late(self, upload: UploadFile, sent_as: MediaName) -> None:
        try:
            await self._send(upload, upload.name, sent_as)
        except CffsError as problem:
            log.warning("upload failed after its last close name=%s reason=%s", upload.name, problem)
        finally:
            self._forget(upload)

    async def _writer_state(self, upload: UploadFile) -> WriterState:
        name, inode = to_kernel(upload.name), self._inode_of(upload.number)
        writers = frozenset(upload.writers)
        return await trio.to_thread.run_sync(lambda: find_writers(name, inode, writers), limiter=self._threads)

    async def _send(self, upload: UploadFile, name: str, sent_as: MediaName) -> None:
        """Send the file, or wait for the close that is sending it. Cancelled, it may have been sent, and is not sent
        again."""
        if upload.state is not UploadState.WRITING:  # another close was faster
            await upload.ended.wait()
            if upload.failure is not None:
                raise upload.failure
            return
        old_name, upload.state, upload.ended = upload.name, UploadState.SENDING, trio.Event()
        upload.failure = ActUncertain(f"the upload of {name}", "it was cut off")  # until it ends otherwise
        by_rename = name != old_name
        try:
            media_id = await self._sender.send(upload, name, sent_as)
        except CffsError as problem:
            upload.failure = problem
            upload.state = UploadState.REFUSED
            self._counts[UploadState.REFUSED] += 1
            self._note_refusal(name, problem)
            raise
        else:
            upload.failure, upload.state, upload.media_id = None, UploadState.SENT, media_id
            self._counts[UploadState.SENT] += 1
            for dropped in self.uploaded.add(name, media_id, upload):
                self._forget(dropped)
        finally:
            upload.sent_nbytes = 0 if upload.state is UploadState.REFUSED else upload.sent_nbytes
            upload.ended.set()
            if by_rename and upload.state is UploadState.REFUSED:
                upload.state, upload.failure = UploadState.WRITING, None  # a rename that failed changed nothing
            else:
                self._forget_name(upload)
            self._forget(upload)

    def _note_refusal(self, name: str, problem: CffsError) -> None:
        self._refusals.append(Refusal(self._wall_ms(), name, problem))

    def _forget_name(self, upload: UploadFile) -> None:
        if self._by_name.get(upload.name) is upload:
            del self._by_name[upload.name]

    def _forget(self, upload: UploadFile) -> None:
        """Keep nothing of a file that is not open, has no name, and is not read in the service's place."""
        if upload.handles or self._by_name.get(upload.name) is upload:
            return
        self._by_number.pop(upload.number, None)
        if not upload.is_discarded and not self.uploaded.keeps(upload):
            upload.is_discarded = True
            self._background.start(self._discard, upload)

    async def _discard(self, upload: UploadFile) -> None:
        await trio.to_thread.run_sync(upload.spool.discard, limiter=self._threads)
