"""One open handle on a remote file: what `fuse/` holds, and where its reader is.

It must not know fetches; it asks its RemoteFile, which reads and writes the place kept here.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.source import Api
from cffs.reader.planner import TAIL_NBYTES, AccessPattern

if TYPE_CHECKING:
    from cffs.reader.remote_file import RemoteFile


class OpenFile:
    """One open handle: where its reader is. Owned by the handle table of `fuse/`; `close` it exactly once."""

    def __init__(self, file: "RemoteFile", *, first_nbytes: int) -> None:
        """`first_nbytes`: see ReaderState."""
        self._file = file
        self.state = AccessPattern(first_nbytes=first_nbytes)
        self.receive_stop = 0
        self.quiet_stop = 0
        #: Its window stands where it is until the reader has come so far.
        self.window_due = 0
        #: Up to here what lies behind the reader was looked at for being freed.
        self.swept_stop = 0
        #: The furthest byte it read, and whether it looked at the end as programs that look for tags do.
        self.furthest_stop = 0
        self.has_read_tail = False
        #: Up to here memory was looked through for what is not on disk (see keep_next).
        self.kept_stop = 0
        self.is_closed = False
        #: What was begun for it before anybody read.
        self.early: tuple[ByteRange, ...] = ()
        self.opened_at = trio.current_time()

    @property
    def key(self) -> str:
        """Of its object."""
        return self._file.identity.key

    @property
    def total_nbytes(self) -> int | None:
        """The exact size; None while the origin has not told it (then the handle must be direct I/O)."""
        return self._file.identity.total_nbytes

    @property
    def api(self) -> Api:
        """Where its bytes come from, or are asked first."""
        return self._file.identity.sources[0].api

    @property
    def last_modified_ns(self) -> int | None:
        """Last-Modified, where the origin told it."""
        return self._file.identity.last_modified_ns

    @property
    def arrived_nbytes(self) -> int:
        """How far the object is known to reach: what stat must exceed while the total is not known."""
        return self._file.arrived_nbytes

    @property
    def is_changed(self) -> bool:
        """True once the origin has another version: every further uncached READ raises RemoteObjectChanged."""
        return self._file.identity.is_changed

    @property
    def is_settled(self) -> bool:
        """False as long as it is not known whether the object is still being made."""
        return self._file.identity.is_settled

    @property
    def is_shared(self) -> bool:
        """True where others have the file open as well."""
        return self._file.is_shared

    @property
    def answered_ms(self) -> int | None:
        """When the service told of it first."""
        return self._file.identity.answered_ms

    async def look(self) -> None:
        """See RemoteFile.look."""
        await self._file.look()

    def take_first_piece(self) -> None:
        """See RemoteFile.take_first_piece."""
        self._file.take_first_piece(self)

    def leave_first_piece(self) -> None:
        """See RemoteFile.leave_first_piece."""
        self._file.leave_first_piece()

    async def learn(self, hint_nbytes: int | None) -> None:
        """See RemoteFile.learn."""
        await self._file.learn(hint_nbytes)

    def wants(self, start: int, stop: int) -> bool:
        """True where its reader, going on, meets a byte of that run within its window, or it was begun for it."""
        if any(start < piece.stop and piece.start < stop for piece in self.early):
            return True
        return self.state.next_offset <= stop and start <= max(self.receive_stop, self.state.next_offset)

    def note_read(self, read: ByteRange) -> None:
        """It was served."""
        total_nbytes = self.total_nbytes
        is_apart = read.start > self.furthest_stop
        if is_apart and total_nbytes is not None and total_nbytes - read.start <= TAIL_NBYTES:
            self.has_read_tail = True
        elif read.stop > self.furthest_stop:
            self.furthest_stop = read.stop

    def read_now(self, offset: int, nbytes: int) -> memoryview | None:
        """As `read` where memory has it all, else None. Never a checkpoint."""
        return self._file.read_now(self, offset, nbytes)

    async def read(self, offset: int, nbytes: int) -> memoryview:
        """The bytes there; fewer only at the true end, read-only, valid for as long as it is held.

        A checkpoint only when it has to wait. Cancelled, what it waited for is dropped unless others want it. Raises
        CffsError.
        """
        return await self._file.read(self, offset, nbytes)

    async def read_missing(self, offset: int, nbytes: int) -> memoryview:
        """As `read`, for who was just told by `read_now` that memory lacks some of it."""
        return await self._file.read_missing(self, offset, nbytes)

    async def keep_next(self) -> int | None:
        """Brings the next piece that is not on disk there, from memory or from the service: how many bytes it has, 0
        where the disk did not take it, None once all of it is there. The size must be known. Cancelled, what came
        stays. Raises CffsError."""
        return await self._file.keep_next(self)

    def bring(self, pieces: Iterable[ByteRange]) -> None:
        """Begins to fetch what is missing of them, after all that somebody waits for. Never a checkpoint."""
        self.early = tuple(pieces)
        self._file.bring(self.early)

    def close(self) -> None:
        """Ends it; what only it wanted is given up. Never a checkpoint."""
        self.is_closed = True
        self._file.detach(self)
