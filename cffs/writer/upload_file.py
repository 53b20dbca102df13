"""A file that is being written: its spool, who has it open, and how far it is on its way to the service.

It must not know the service, nor which names there are.
`writer/uploads` owns the drafts; each open handle of one is a `UploadHandle` of `writer/upload_file`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import trio

from cffs.core.errors import AlreadySent, CffsError, SpoolFailed, SpoolFull, TooLarge
from cffs.writer.spool import SpoolFile

#: Read from the spool at a time while it is sent.
CHUNK_NBYTES = 256 * 1024


class State(StrEnum):
    """What becomes of a draft, as status.json spells it."""

    WRITING = "writing"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    REMOVED = "removed"


@dataclass(slots=True, eq=False)
class UploadFile:
    """One file. Mutable, owned by `Uploads`; `number` tells it from all others of the mount's life.

    `failure` is why nothing more can become of it: of a write (then nothing is sent until it is emptied), or of the
    service. `writers` are the processes that opened it for writing.
    """

    number: int
    name: str
    spool: SpoolFile
    threads: trio.CapacityLimiter
    limit_nbytes: int
    modified_ms: int
    state: State = State.WRITING
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
        """How long it is."""
        return self.spool.nbytes

    async def write(self, offset: int, data: bytes) -> int:
        """All of `data`. Raises what stops it, and from then on for every later write and close: what lacks a piece
        is never sent."""
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
        """Exactly so long; emptied, it starts afresh, whatever failed before."""
        if not nbytes and self.state is State.WRITING:
            self.failure = None
        self.require_writable()
        if nbytes > self.limit_nbytes:
            raise TooLarge(f"{self.name}: more than --upload-limit ({self.limit_nbytes} bytes)")
        async with self._turn:
            await trio.to_thread.run_sync(self.spool.truncate, nbytes, limiter=self.threads)

    async def read(self, offset: int, nbytes: int) -> bytes:
        """What was written there."""
        return await trio.to_thread.run_sync(self.spool.read, offset, nbytes, limiter=self.threads)

    async def mark(self, mark: str) -> None:
        """What the next mount must know of it, should this one be killed."""
        await trio.to_thread.run_sync(self.spool.mark, mark, limiter=self.threads)

    def progressed(self, nbytes: int) -> None:
        """So many of its bytes were taken by the network."""
        self.sent_nbytes = nbytes

    async def sync(self) -> None:
        """On this machine's disk."""
        await trio.to_thread.run_sync(self.spool.sync, limiter=self.threads)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it from the start, piece by piece. Raises SpoolFailed where the disk gives less."""
        offset = 0
        while offset < self.nbytes:
            chunk = await self.read(offset, CHUNK_NBYTES)
            if not chunk:
                raise SpoolFailed(f"{self.name}: the spool lost bytes")
            yield chunk
            offset += len(chunk)

    def require_writable(self) -> None:
        """Raises why no byte can be taken."""
        if self.failure is not None:
            raise self.failure
        if self.state in (State.SENDING, State.SENT):
            raise AlreadySent(f"{self.name} is with the service already")


class Owner(Protocol):
    """What a handle tells whoever owns the drafts."""

    async def closed(self, draft: UploadFile) -> None:
        """A descriptor was closed."""
        ...

    async def checked(self, draft: UploadFile) -> None:
        """Raise what is known to be wrong with it."""
        ...

    def released(self, draft: UploadFile) -> None:
        """A handle is gone."""
        ...


class UploadHandle:
    """An open file. Every method raises a CffsError for its errno."""

    def __init__(self, owner: Owner, draft: UploadFile, *, writes: bool) -> None:
        self._owner = owner
        self._draft = draft
        self._writes = writes

    async def read(self, offset: int, nbytes: int) -> bytes:
        """What was written there; fewer bytes only at the end."""
        return await self._draft.read(offset, nbytes)

    async def write(self, offset: int, data: bytes) -> int:
        """All of it, into the spool."""
        return await self._draft.write(offset, data)

    async def truncate(self, nbytes: int) -> None:
        """Exactly so long."""
        if not self._writes:
            raise AlreadySent(self._draft.name)
        await self._draft.truncate(nbytes)

    async def flush(self) -> None:
        """A descriptor was closed; the last one sends. Raises what became of that."""
        if self._writes:
            await self._owner.closed(self._draft)

    async def fsync(self) -> None:
        """On this machine's disk; raises what is known to be wrong already. Sends nothing: more may be written."""
        if self._writes:
            await self._draft.sync()
            await self._owner.checked(self._draft)

    async def release(self) -> None:
        """Never a checkpoint."""
        self._owner.released(self._draft)
