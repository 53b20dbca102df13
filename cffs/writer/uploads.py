"""The files that are being written into media/, by name, until each is sent, removed or given up.

It must not know nodes, inodes or the kernel, nor how a file is sent.
The tree makes, opens, renames and removes through it; `daemon/` shows its progress.

One draft is sent once: by the close of its last descriptor, or by the rename from a temporary name. Its table is
changed without an await between looking and changing.
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
from cffs.writer.open_descriptors import Look, look, process_of
from cffs.writer.sender import Sender, require_content
from cffs.writer.spool import Spool
from cffs.writer.upload_file import State, UploadFile, UploadHandle
from cffs.writer.uploaded_files import UploadedFiles

log = logging.getLogger(__name__)

#: Threads that may wait for the spool's disk at once; others of the mount have their own.
_THREADS = 8
#: As many as status shows of the last errors.
_KEPT_REFUSALS = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not taken: when, under which name, and why, for who only saw its close fail."""

    at_ms: int
    name: str
    problem: CffsError

    def plain(self) -> dict[str, object]:
        """For status.json."""
        at = datetime.fromtimestamp(self.at_ms // 1000, UTC)
        return {"time": at.isoformat(), "name": self.name, "reason": str(self.problem)}


class Uploads:
    """The drafts of one mount."""

    def __init__(
        self,
        *,
        spool: Spool,
        sending: Sender,
        background: Background,
        limit_nbytes: int,
        inode_of: Callable[[int], int],
        wall_ms: Callable[[], int],
    ) -> None:
        """`inode_of` tells the number on the mount of the draft of that number, which /proc shows."""
        self.sent = UploadedFiles(limit_nbytes=limit_nbytes)
        self._spool = spool
        self._sending = sending
        self._background = background
        self._limit_nbytes = limit_nbytes
        self._inode_of = inode_of
        self._wall_ms = wall_ms
        self._threads = trio.CapacityLimiter(_THREADS)
        self._numbers = count(1)
        self._by_name: dict[str, UploadFile] = {}
        self._by_number: dict[int, UploadFile] = {}
        self._counts = {State.SENT: 0, State.REFUSED: 0}
        self._refusals: deque[Refusal] = deque(maxlen=_KEPT_REFUSALS)

    # -- names --

    def find(self, name: str) -> UploadFile | None:
        """The draft of that name."""
        return self._by_name.get(name)

    def draft(self, number: int) -> UploadFile:
        """The draft of that number, also one sent or removed while somebody has it open. Raises StaleHandle."""
        draft = self._by_number.get(number)
        if draft is None:
            raise StaleHandle(f"upload {number}")
        return draft

    async def create(self, name: str, pid: int) -> tuple[UploadFile, UploadHandle]:
        """A new file, opened for writing by the thread `pid`. Raises ContentRefused, SpoolFull or SpoolFailed."""
        try:
            media_name(name)
        except ContentRefused as problem:
            self._note_refusal(name, problem)
            raise
        draft = self._by_name.get(name)
        if draft is None:
            file = await trio.to_thread.run_sync(self._spool.make, name, limiter=self._threads)
            draft = UploadFile(
                number=next(self._numbers),
                name=name,
                spool=file,
                threads=self._threads,
                limit_nbytes=self._limit_nbytes,
                modified_ms=self._wall_ms(),
            )
            self._by_name[name] = self._by_number[draft.number] = draft
        return draft, self.open(draft, writes=True, pid=pid)

    def open(self, draft: UploadFile, *, writes: bool, pid: int) -> UploadHandle:
        """One more handle. Raises Busy where it is to be written while it is sent."""
        if writes and draft.state is not State.WRITING:
            raise Busy(f"{draft.name} is on its way to the service")
        draft.handles += 1
        if writes:
            draft.writers.add(process_of(pid))
        return UploadHandle(self, draft, writes=writes)

    async def rename(self, draft: UploadFile, name: str, *, replaces: bool) -> None:
        """The draft is called `name`; where that is a name to be sent and nobody writes any more, it is sent, and this
        lasts as long as that does.

        Raises ContentRefused for a name that cannot be written or a draft that is empty, Busy while it is sent, and
        what `Sender.send` raises; then its name is the old one.
        """
        sent_as = media_name(name)
        if draft.state is not State.WRITING:
            raise Busy(f"{draft.name} is on its way to the service")
        if draft.failure is not None:
            raise draft.failure
        other = self._by_name.get(name)
        if other is not None and not replaces:
            raise AlreadyExists(name)
        if other is not None and other.state is not State.WRITING:
            raise Busy(f"{name} is on its way to the service")
        if sent_as is not None and not (await self._look(draft)).is_open:
            if not draft.nbytes:
                raise ContentRefused(f"{draft.name} is empty")
            await self._send(draft, name, sent_as)
        if draft.state is State.WRITING:
            await trio.to_thread.run_sync(draft.spool.rename, name, limiter=self._threads)
            self._forget_name(draft)
            draft.name = name
        other = self._by_name.get(name)
        if other is not None and other is not draft:
            self.remove(other)
        if draft.state is State.WRITING:
            self._by_name[name] = draft

    def remove(self, draft: UploadFile) -> None:
        """It is given up; whoever has it open goes on writing for nothing. Raises Busy while it is sent."""
        if draft.state is State.SENDING:
            raise Busy(f"{draft.name} is on its way to the service")
        draft.state = State.REMOVED
        self._forget_name(draft)
        self._forget(draft)

    # -- what was sent --

    def stand_in(self, media_id: int) -> UploadHandle | None:
        """What can be read of a file that the service does not give out yet, opened; None where nothing can."""
        draft = self.sent.stand_in(media_id)
        return None if draft is None else self.open(draft, writes=False, pid=0)

    def served(self, media_id: int) -> None:
        """The service gives it out: nothing stands in for it any more."""
        draft = self.sent.drop(media_id)
        if draft is not None:
            self._forget(draft)

    def report(self) -> dict[str, object]:
        """The fields of status.json about uploads."""
        active = [
            {"name": draft.name, "state": str(draft.state), "bytes": draft.nbytes, "sent_bytes": draft.sent_nbytes}
            for draft in self._by_number.values()
            if draft.state in (State.WRITING, State.SENDING)
        ]
        counts = {str(state): number for state, number in self._counts.items()}
        return {"uploads": {**counts, "active": active, "refusals": [one.plain() for one in self._refusals]}}

    async def aclose(self) -> None:
        """The mount ends: what was sent or holds nothing is removed, the rest stays and is told of by the next mount.
        Shielded; files of this machine only."""
        with trio.CancelScope(shield=True):
            for draft in [*self.sent.drop_all(), *self._by_number.values()]:
                if draft.is_discarded:
                    continue
                if draft.state in (State.SENT, State.REMOVED, State.REFUSED) or not draft.nbytes:
                    draft.is_discarded = True
                    await self._discard(draft)
                else:
                    log.warning("upload not sent name=%s nbytes=%d; it is kept in the spool", draft.name, draft.nbytes)

    # -- closing --

    async def closed(self, draft: UploadFile) -> None:
        """A descriptor was closed. Raises why nothing was sent that should have been."""
        if draft.state in (State.SENDING, State.SENT, State.REFUSED):
            await draft.ended.wait()
        if draft.failure is not None:
            raise draft.failure
        sent_as = media_name(draft.name)
        if draft.state is not State.WRITING or not draft.nbytes or sent_as is None:
            return
        seen = await self._look(draft)
        if seen.was_killed:
            draft.failure = SpoolFailed(f"{draft.name}: whoever wrote it was killed; nothing is sent")
            log.warning("upload given up name=%s reason=its writer was killed", draft.name)
            return
        if not seen.is_open:
            await self._send(draft, draft.name, sent_as)

    async def checked(self, draft: UploadFile) -> None:
        """Raises what is wrong already: a write that failed, or a beginning that is of another type (a hole at the
        start may still be filled)."""
        if draft.failure is not None:
            raise draft.failure
        sent_as = media_name(draft.name)
        if draft.state is State.WRITING and sent_as is not None and (await draft.read(0, 16)).strip(b"\0"):
            await require_content(draft, sent_as, is_whole=False)

    def released(self, draft: UploadFile) -> None:
        """A handle is gone; with the last one whatever is not to be sent goes too."""
        draft.handles -= 1
        if draft.handles:
            return
        if draft.state is State.WRITING and draft.failure is not None:
            self._note_refusal(draft.name, draft.failure)  # of a write: too large, no room, the writer killed
        elif draft.state is State.WRITING:
            sent_as = media_name(draft.name)
            if sent_as is None:
                return  # kept for the rename that sends it
            if draft.nbytes:  # every close saw a descriptor that /proc shows no more
                self._background.start(self._send_late, draft, sent_as)
                return
        if draft.state is State.WRITING:
            self.remove(draft)
        else:
            self._forget(draft)

    async def _send_late(self, draft: UploadFile, sent_as: MediaName) -> None:
        try:
            await self._send(draft, draft.name, sent_as)
        except CffsError as problem:
            log.warning("upload failed after its last close name=%s reason=%s", draft.name, problem)
        finally:
            self._forget(draft)

    async def _look(self, draft: UploadFile) -> Look:
        name, inode = to_kernel(draft.name), self._inode_of(draft.number)
        writers = frozenset(draft.writers)
        return await trio.to_thread.run_sync(lambda: look(name, inode, writers), limiter=self._threads)

    async def _send(self, draft: UploadFile, name: str, sent_as: MediaName) -> None:
        """Send it, or wait for whoever does. Cancelled, it may have been sent; it is not sent again."""
        if draft.state is not State.WRITING:  # another close was faster
            await draft.ended.wait()
            if draft.failure is not None:
                raise draft.failure
            return
        old_name, draft.state, draft.ended = draft.name, State.SENDING, trio.Event()
        draft.failure = ActUncertain(f"the upload of {name}", "it was cut off")  # until it ends otherwise
        by_rename = name != old_name
        try:
            media_id = await self._sending.send(draft, name, sent_as)
        except CffsError as problem:
            draft.failure = problem
            draft.state = State.REFUSED
            self._counts[State.REFUSED] += 1
            self._note_refusal(name, problem)
            raise
        else:
            draft.failure, draft.state, draft.media_id = None, State.SENT, media_id
            self._counts[State.SENT] += 1
            for dropped in self.sent.add(name, media_id, draft):
                self._forget(dropped)
        finally:
            draft.sent_nbytes = 0 if draft.state is State.REFUSED else draft.sent_nbytes
            draft.ended.set()
            if by_rename and draft.state is State.REFUSED:
                draft.state, draft.failure = State.WRITING, None  # a rename that failed changed nothing
            else:
                self._forget_name(draft)
            self._forget(draft)

    def _note_refusal(self, name: str, problem: CffsError) -> None:
        self._refusals.append(Refusal(self._wall_ms(), name, problem))

    def _forget_name(self, draft: UploadFile) -> None:
        if self._by_name.get(draft.name) is draft:
            del self._by_name[draft.name]

    def _forget(self, draft: UploadFile) -> None:
        """Nothing is kept of what nobody has open, may still name, or reads in the service's place."""
        if draft.handles or self._by_name.get(draft.name) is draft:
            return
        self._by_number.pop(draft.number, None)
        if not draft.is_discarded and not self.sent.keeps(draft):
            draft.is_discarded = True
            self._background.start(self._discard, draft)

    async def _discard(self, draft: UploadFile) -> None:
        await trio.to_thread.run_sync(draft.spool.discard, limiter=self._threads)
