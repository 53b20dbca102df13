"""One open handle of a file that is being written, or that was sent just now and is read from the spool.

It must not know how files are sent. `writer/uploads` makes them; the tree hands them on as its `WritableFile`.
"""

from typing import Protocol

from cffs.core.errors import AlreadySent
from cffs.writer.upload_file import UploadFile


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
