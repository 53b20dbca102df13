"""A file that is being written: spool file, open handles, progress.

Owns the state of one upload. It must not know the service, nor which other names there are.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import trio

from cffs.core.errors import AlreadySent, CffsError, SpoolFailed, SpoolFull, TooLarge
from cffs.writer.spool import SpoolFile

#: How much is read from the spool at a time while the file is sent.
CHUNK_NBYTES = 256 * 1024


class UploadState(StrEnum):
    """What becomes of a upload, as status.json spells it."""

    WRITING = "writing"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    REMOVED = "removed"


@dataclass(slots=True, eq=False)
class UploadFile:
    """One file. Mutable, owned by `Uploads`; `number` distinguishes it from all others of the mount's life.

    `failure` is why it cannot go on: a write failed (then nothing is sent until the file is emptied), or the service
    refused it. `writers` are the processes that opened it for writing.
    """

    number: int
    name: str
    spool: SpoolFile
    threads: trio.CapacityLimiter
    limit_nbytes: int
    modified_ms: int
    state: UploadState = UploadState.WRITING
    failure: CffsError | None = None
    media_id: int | None = None
    sent_nbytes: int = 0
    handles: int = 0
    writers: set[int] = field(default_factory=set)
    ended: trio.Event = field(default_factory=trio.Event)
    is_discarded: bool = False
    _turn: trio.Lock = field(default_factory=trio.Lock)

    @property
    def nbytes(self) -> int:
        """The length of the file."""
        return self.spool.nbytes

    async def write(self, offset: int, data: bytes) -> int:
        """Write all of `data`. Raises what stops it, and raises that from every later write and close as well: a file
        that lacks a piece is never sent. Always a checkpoint."""
        self.require_writable()
        if offset + len(data) > self.limit_nbytes:
            self.failure = TooLarge(f"{self.name}: more than --upload-limit ({self.limit_nbytes} bytes)")
            raise self.failure
        async with self._turn:
            try:
                return await trio.to_thread.run_sync(self.spool.write, offset, data, limiter=self.threads)
            except (SpoolFull, SpoolFailed) as problem:
                self.failure = problem
                raise

    async def truncate(self, nbytes: int) -> None:
        """Make the file exactly `nbytes` long. Emptied, it starts afresh, whatever failed before. Always a
        checkpoint."""
        if not nbytes and self.state is UploadState.WRITING:
            self.failure = None
        self.require_writable()
        if nbytes > self.limit_nbytes:
            raise TooLarge(f"{self.name}: more than --upload-limit ({self.limit_nbytes} bytes)")
        async with self._turn:
            await trio.to_thread.run_sync(self.spool.truncate, nbytes, limiter=self.threads)

    async def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes that were written at the offset."""
        return await trio.to_thread.run_sync(self.spool.read, offset, nbytes, limiter=self.threads)

    async def mark(self, mark: str) -> None:
        """Mark the spool file for the next mount, in case this one is killed."""
        await trio.to_thread.run_sync(self.spool.mark, mark, limiter=self.threads)

    def progressed(self, nbytes: int) -> None:
        """The network took `nbytes` of the file's bytes."""
        self.sent_nbytes = nbytes

    async def sync(self) -> None:
        """Have the file on this machine's disk."""
        await trio.to_thread.run_sync(self.spool.sync, limiter=self.threads)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The whole file from its start, piece by piece. Raises SpoolFailed where the disk gives less."""
        offset = 0
        while offset < self.nbytes:
            chunk = await self.read(offset, CHUNK_NBYTES)
            if not chunk:
                raise SpoolFailed(f"{self.name}: the spool lost bytes")
            yield chunk
            offset += len(chunk)

    def require_writable(self) -> None:
        """Raise the reason why no byte can be taken, if there is one."""
        if self.failure is not None:
            raise self.failure
        if self.state in (UploadState.SENDING, UploadState.SENT):
            raise AlreadySent(f"{self.name} is with the service already")


class UploadOwner(Protocol):
    """What the handles of an upload report to."""

    async def close_descriptor(self, upload: UploadFile) -> None:
        """A descriptor was closed."""
        ...

    async def check(self, upload: UploadFile) -> None:
        """Raise what is known to be wrong with the upload."""
        ...

    def release(self, upload: UploadFile) -> None:
        """A handle was released."""
        ...


class UploadHandle:
    """An open handle of an upload. Every method raises a CffsError for its errno."""

    def __init__(self, owner: UploadOwner, upload: UploadFile, *, writes: bool) -> None:
        self._owner = owner
        self._upload = upload
        self._writes = writes

    async def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes that were written at the offset; fewer only at the end."""
        return await self._upload.read(offset, nbytes)

    async def write(self, offset: int, data: bytes) -> int:
        """Write all of `data` into the spool."""
        return await self._upload.write(offset, data)

    async def truncate(self, nbytes: int) -> None:
        """Make the file exactly `nbytes` long."""
        if not self._writes:
            raise AlreadySent(self._upload.name)
        await self._upload.truncate(nbytes)

    async def flush(self) -> None:
        """A descriptor was closed; the last one sends the file. Raises why that failed."""
        if self._writes:
            await self._owner.close_descriptor(self._upload)

    async def fsync(self) -> None:
        """Have the file on this machine's disk. Raises what is known to be wrong already; sends nothing, since more may
        be written."""
        if self._writes:
            await self._upload.sync()
            await self._owner.check(self._upload)

    async def release(self) -> None:
        """The last descriptor of the handle was closed. Never a checkpoint."""
        self._owner.release(self._upload)
