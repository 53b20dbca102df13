"""The disk cache as the reader uses it: what may wait for the disk goes to a thread, what does not is done in place.

It must not know objects, plans or the network. Owned by Objects, lent to each remote file's holdings.

A block is written in place, which costs less than a thread does (measured), until one write took long; then a task
writes for a while, from a short queue. A disk that is slow makes those wait who receive; one that stands still loses
blocks instead, and is left alone for a while. What has arrived is never held back from a READ by a write.
"""

import logging
from collections import deque
from dataclasses import dataclass

import trio

from cffs.cache.disk import BlockWrite, DiskCache, blocks_of
from cffs.cache.disk_file import WouldBlock
from cffs.cache.disk_format import BLOCK_NBYTES
from cffs.cache.version import ObjectVersion
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange

log = logging.getLogger(__name__)

#: A write in place that took longer than this is one of a disk under pressure; p99 of a good one is 0.2 ms.
SLOW_SECONDS = 0.005
#: For so long afterwards a thread writes; then it is tried in place again.
SLOW_FOR_SECONDS = 1.0
#: Blocks that wait for the writing thread before receivers do (what they have in hand comes on top): their memory is
#: counted nowhere else once it is evicted.
MAX_QUEUED = 32
#: How many of them go to the thread at once: each time costs as much as writing a block.
_BATCH = 8
#: Receivers wait for a disk that is slow, as long as it writes at all; one that stood still for so long is left alone.
STUCK_SECONDS = 1.0
#: How long the end of a mount may take for what is still queued (contract 10 allows 2 s for everything).
REST_SECONDS = 0.5
#: Threads that read at a time; reading ahead makes more of them useless.
_READERS = 4


@dataclass(slots=True)
class _Queued:
    write: BlockWrite
    version: ObjectVersion
    is_wanted: bool = True


class DiskTier:
    """What of object versions is on disk; all of it does nothing where there is no disk cache."""

    def __init__(self, disk: DiskCache | None, background: Background) -> None:
        self.hits = 0
        self._disk = disk if disk is not None and disk.limit_nbytes > 0 else None
        self._background = background
        self._slow_until = float("-inf")
        self._queue: deque[_Queued] = deque()
        self._is_writing = False
        self._is_stuck = False
        self._room = trio.Event()
        self._readers = trio.CapacityLimiter(_READERS)

    @property
    def is_on(self) -> bool:
        """False where nothing is ever kept."""
        return self._disk is not None

    # -- what is there --

    def held_nbytes(self, key: str) -> int:
        """How many bytes of the object are on disk."""
        return 0 if self._disk is None else self._disk.held_nbytes(key)

    def is_pinned(self, key: str) -> bool:
        """True where the object is kept from eviction."""
        return self._disk is not None and self._disk.is_pinned(key)

    def holds_all(self, version: ObjectVersion) -> bool:
        """True where every byte of the version is on disk."""
        return self._disk is not None and self._disk.holds_all(version)

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not on disk, or None."""
        if self._disk is None:
            return within or None
        return self._disk.first_missing(version, within)

    # -- reading --

    async def read(self, version: ObjectVersion, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted` from its start on, as far as the disk has them without a gap; None where it has not
        the first. A checkpoint only where the disk has to be waited for; cancelled, nothing is changed."""
        if self._disk is None:
            return None
        indexes = blocks_of(wanted)
        try:
            found = self._disk.read_now(version, indexes)
        except WouldBlock:
            found = await self._read_in_thread(self._disk, version, indexes)
        if found is None:
            return None
        run, data = found
        begin = wanted.start - run.start * BLOCK_NBYTES
        return data[begin : begin + wanted.nbytes] if len(data) > begin else None

    async def _read_in_thread(
        self, disk: DiskCache, version: ObjectVersion, indexes: range
    ) -> tuple[range, memoryview] | None:
        async with self._readers:
            read = disk.begin_read(version, indexes)
            if read is None:
                return None
            try:
                await trio.to_thread.run_sync(read.transfer.run, abandon_on_cancel=True)
            except OSError as problem:
                return disk.was_read(read, problem)
            finally:
                read.transfer.discard()  # cancelled before it ran
            return disk.was_read(read)

    # -- writing --

    def keep(self, version: ObjectVersion, index: int, data: memoryview) -> None:
        """Block `index` is complete and verified: it is kept if the disk takes it. Never a checkpoint."""
        if self._disk is None or len(self._queue) >= 2 * MAX_QUEUED:
            return
        began_at = trio.current_time()
        write = self._disk.begin_write(version, index, data)
        if write is None:
            return
        if began_at < self._slow_until or self._is_writing:
            self._queue.append(_Queued(write, version))
            if not self._is_writing:
                self._is_writing = True
                self._background.start(self._write_queued)
            return
        problem: OSError | None = None
        try:
            write.transfer.run()
        except OSError as raised:
            problem = raised
        self._disk.was_written(write, problem)
        if trio.current_time() - began_at > SLOW_SECONDS:
            self._slow_until = trio.current_time() + SLOW_FOR_SECONDS

    async def keep_up(self) -> None:
        """For who receives: returns when the queue of writes has room, at the latest after a moment. No checkpoint
        where it has."""
        while len(self._queue) >= MAX_QUEUED and not self._is_stuck:
            if self._room.is_set():
                self._room = trio.Event()
            with trio.move_on_after(STUCK_SECONDS) as waiting:
                await self._room.wait()
            if waiting.cancelled_caught and self._disk is not None:
                self._is_stuck = True
                self._disk.pause("it does not answer")
                for queued in self._queue:
                    queued.is_wanted = False

    async def _write_queued(self) -> None:
        try:
            while self._queue:
                batch = [self._queue[number] for number in range(min(len(self._queue), _BATCH))]
                problems = await trio.to_thread.run_sync(_write_all, batch, abandon_on_cancel=True)
                self._were_written(problems)
                self._is_stuck = False
                self._room.set()
        except trio.Cancelled:
            self._write_rest()
            raise
        finally:
            self._is_writing = False

    def _write_rest(self) -> None:
        """The mount ends: what is queued is written in place, as far as that goes fast."""
        until = trio.current_time() + REST_SECONDS
        while self._queue and trio.current_time() < until:
            self._were_written(_write_all([self._queue[0]]))

    def _were_written(self, problems: list[OSError | None]) -> None:
        for problem in problems:
            queued = self._queue.popleft()
            if self._disk is not None:
                self._disk.was_written(queued.write, problem, is_wanted=queued.is_wanted)

    # -- forgetting --

    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        """Every block that touches `unwanted` leaves the disk, and what of it is on its way there."""
        if self._disk is None:
            return
        self._disk.forget(version, unwanted)
        for queued in self._queue:
            if queued.version.key == version.key and queued.write.index in blocks_of(unwanted):
                queued.is_wanted = False

    def drop_object(self, key: str) -> None:
        """Every byte of the object leaves the disk."""
        if self._disk is None:
            return
        for queued in self._queue:
            queued.is_wanted = queued.is_wanted and queued.version.key != key
        self._disk.drop_object(key)


def _write_all(batch: list[_Queued]) -> list[OSError | None]:
    """Runs in a thread. What another has begun to write already is left to it."""
    problems: list[OSError | None] = []
    for queued in batch:
        try:
            if queued.is_wanted:
                queued.write.transfer.run()
            else:
                queued.write.transfer.discard()
            problems.append(None)
        except OSError as problem:
            problems.append(problem)
    return problems
