"""One open handle on a remote file: what `fuse/` holds, and where its reader is.

It must not know fetches; it asks its RemoteFile, which reads and writes the place kept here.
"""

from typing import TYPE_CHECKING

import trio

from cffs.reader.planner import ReaderState

if TYPE_CHECKING:
    from cffs.reader.remote_file import RemoteFile


class OpenFile:
    """One open handle: where its reader is. Owned by the handle table of `fuse/`; `close` it exactly once."""

    def __init__(self, file: "RemoteFile") -> None:
        self._file = file
        self.state = ReaderState()
        self.receive_stop = 0
        self.quiet_stop = 0
        #: Up to here what lies behind the reader was looked at for being freed.
        self.swept_stop = 0
        self.opened_at = trio.current_time()

    @property
    def total_nbytes(self) -> int | None:
        """The exact size; None while the origin has not told it (then the handle must be direct I/O)."""
        return self._file.identity.total_nbytes

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

    def wants(self, start: int, stop: int) -> bool:
        """True where its reader, going on, meets a byte of that run within its window."""
        return self.state.next_offset <= stop and start <= max(self.receive_stop, self.state.next_offset)

    async def read(self, offset: int, nbytes: int) -> memoryview:
        """The bytes there; fewer only at the true end, read-only, valid for as long as it is held.

        A checkpoint only when it has to wait. Cancelled, what it waited for is dropped unless others want it. Raises
        CffsError.
        """
        return await self._file.read(self, offset, nbytes)

    def bring(self, hint_nbytes: int) -> None:
        """Begins to fetch all of it; waits for nothing. Never a checkpoint."""
        self._file.bring(hint_nbytes)

    def close(self) -> None:
        """Ends it; what only it wanted is given up. Never a checkpoint."""
        self._file.detach(self)
