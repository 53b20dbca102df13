"""The disk cache of the reader: in place where that is fast, else in a thread.

A block is written in place, which costs less than a thread does (measured: cffs/docs/performance.md#disk), until one
write took long; then a task writes for a while, from a short queue. A slow disk makes receivers wait. A disk that
stands still loses blocks instead, and is left alone for a while. What has arrived is never held back from a READ by a
write.

It owns the queue of writes and the verdict on the disk. It must not know objects, plans or the network.
"""

import logging
import resource
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.disk_file import BlockWrite, Transfer, WouldBlock
from cffs.cache.disk_format import blocks_of
from cffs.cache.types import ObjectVersion
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES, MIB
from cffs.core.wait_reasons import waits_for

log = logging.getLogger(__name__)

#: A write in place that waited and took longer than this is one of a disk under pressure; p99 of a good one is 0.2 ms.
SLOW_SECONDS = 0.005
#: For this long afterwards a thread writes; then writing in place is tried again.
SLOW_FOR_SECONDS = 1.0
#: What waits for the writing thread before receivers wait (what they have in hand comes on top): its memory is counted
#: nowhere else once it is evicted.
MAX_QUEUED_NBYTES = 4 * MIB
_BATCH = 8
#: Receivers wait for a slow disk as long as it writes at all; one that stood still for this long is left alone.
STUCK_SECONDS = 1.0
#: How long the end of a mount may take for what is still queued: a mount ends within 2 s, whatever happens.
REST_SECONDS = 0.5
#: Threads that read at a time; reading ahead makes more of them useless.
_READERS = 4


@dataclass(slots=True, eq=False)
class _Queued:
    """Blocks to be written or, without a write, to be published; `wanted` are those of them that still count."""

    version: ObjectVersion
    write: BlockWrite | None
    nbytes: int
    wanted: set[int]


class DiskTier:
    """What of object versions is on disk. Every method does nothing where there is no disk cache."""

    def __init__(self, disk: DiskCache | None, background: Background) -> None:
        self.hits = 0
        self._disk = disk if disk is not None and disk.limit_nbytes > 0 else None
        self._background = background
        self._slow_until = float("-inf")
        self._queue: deque[_Queued] = deque()
        self._queued_nbytes = 0
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

    @property
    def turn(self) -> int:
        """A value that differs once more or less is held on disk of any object."""
        return 0 if self._disk is None else self._disk.index.turn

    def is_pinned(self, key: str) -> bool:
        """True where the object is kept from eviction."""
        return self._disk is not None and self._disk.is_pinned(key)

    def takes(self, nbytes: int) -> bool:
        """True where an object of `nbytes` is likely to be kept whole."""
        return self._disk is not None and self._disk.takes(nbytes)

    def holds_all(self, version: ObjectVersion) -> bool:
        """True where every byte of the version is on disk."""
        return self._disk is not None and not version.is_private and self._disk.holds_all(version)

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not on disk, or None."""
        if self._disk is None or version.is_private:
            return within or None
        return self._disk.first_missing(version, within)

    # -- reading --

    async def read(self, version: ObjectVersion, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted` from its start, as far as the disk has them without a gap; None where it lacks the
        first. A checkpoint only where the disk has to be waited for; cancelled, nothing is changed."""
        found = await self._read(version, blocks_of(wanted), None)
        if found is None:
            return None
        run, data = found
        begin = wanted.start - run.start * BLOCK_NBYTES
        return data[begin : begin + wanted.nbytes] if len(data) > begin else None

    async def read_into(self, buffer: memoryview, version: ObjectVersion, indexes: range) -> int:
        """Read the blocks of `indexes`, as far as the disk has them without a gap, to the start of `buffer`, which has
        room for them. Return how many bytes of them are right.

        A checkpoint only where the disk has to be waited for. Cancelled, a thread may still write to the buffer, and
        holds a view of it for as long.
        """
        found = await self._read(version, indexes, buffer)
        return len(found[1]) if found is not None else 0

    async def _read(
        self, version: ObjectVersion, indexes: range, buffer: memoryview | None
    ) -> tuple[range, memoryview] | None:
        if self._disk is None:
            return None
        try:
            return self._disk.try_read(version, indexes, buffer)
        except WouldBlock:
            with waits_for("the disk cache"):
                return await self._read_in_thread(self._disk, version, indexes, buffer)

    async def _read_in_thread(
        self, disk: DiskCache, version: ObjectVersion, indexes: range, buffer: memoryview | None
    ) -> tuple[range, memoryview] | None:
        async with self._readers:
            read = disk.begin_read(version, indexes, buffer)
            if read is None:
                return None
            try:
                await trio.to_thread.run_sync(read.transfer.run, abandon_on_cancel=True)
            except OSError as problem:
                return disk.finish_read(read, problem)
            finally:
                read.transfer.discard()  # cancelled before it ran
            return disk.finish_read(read)

    # -- writing --

    def keep(self, version: ObjectVersion, run: range, data: memoryview) -> None:
        """Keep the blocks of `run`, which are complete, if the disk takes them: until a crash or, once `publish` was
        called for them, longer. Never a checkpoint."""
        begin = run.start
        while self._disk is not None and self._queued_nbytes < 2 * MAX_QUEUED_NBYTES:
            piece = self._disk.lacking(version, range(begin, run.stop)) if begin < run.stop else None
            if piece is None:
                return
            at = (piece.start - run.start) * BLOCK_NBYTES
            self._keep(self._disk, version, piece, data[at : at + len(piece) * BLOCK_NBYTES])
            begin = piece.stop

    def _keep(self, disk: DiskCache, version: ObjectVersion, run: range, data: memoryview) -> None:
        began_at = trio.current_time()
        if self._is_in_thread(began_at):
            write = disk.begin_write(version, run, data)
            if write is not None:
                self._enqueue(_Queued(version, write, len(data), set(run)))
            return
        waits = _waits_so_far()
        disk.write(version, run, data)
        if trio.current_time() - began_at > SLOW_SECONDS and _waits_so_far() > waits:
            self._slow_until = trio.current_time() + SLOW_FOR_SECONDS

    def publish(self, version: ObjectVersion, indexes: Iterable[int]) -> None:
        """Let these blocks, as far as they are kept, outlast a crash: the answers that they came from proved right."""
        if self._disk is None:
            return
        if self._is_in_thread(trio.current_time()):
            self._enqueue(_Queued(version, None, 0, set(indexes)))
            return
        transfer = self._disk.begin_publish(version, indexes)
        if transfer is not None:
            self._note_problem(_run(transfer))

    def _note_problem(self, problem: OSError | None) -> None:
        if problem is not None and self._disk is not None:
            self._disk.refuse(problem)

    def _is_in_thread(self, now: float) -> bool:
        return now < self._slow_until or self._is_writing

    def _enqueue(self, queued: "_Queued") -> None:
        self._queue.append(queued)
        self._queued_nbytes += queued.nbytes
        if not self._is_writing:
            self._is_writing = True
            self._background.start(self._write_queued)

    async def keep_up(self) -> None:
        """Return when the queue of writes has room, at the latest after a moment; for receivers. No checkpoint where it
        has."""
        await self._until_queued(MAX_QUEUED_NBYTES - 1)

    async def written(self) -> None:
        """Return when nothing waits to be written, or the disk takes nothing. No checkpoint where nothing waits."""
        await self._until_queued(-1)

    async def _until_queued(self, most_nbytes: int) -> None:
        while self._queue and self._queued_nbytes > most_nbytes and not self._is_stuck:
            if self._room.is_set():
                self._room = trio.Event()
            with waits_for("the disk cache to take what has come"), trio.move_on_after(STUCK_SECONDS) as waiting:
                await self._room.wait()
            if waiting.cancelled_caught and self._disk is not None:
                self._is_stuck = True
                self._disk.refuse(OSError(0, "it does not answer"))
                for queued in self._queue:
                    queued.wanted.clear()

    async def _write_queued(self) -> None:
        try:
            while self._queue:
                batch = self._batch()
                transfers = [self._transfer_of(queued) for queued in batch]
                problems = await trio.to_thread.run_sync(_run_all, transfers, abandon_on_cancel=True)
                for queued, problem in zip(batch, problems, strict=True):
                    self._finish(queued, problem)
                self._is_stuck = False
                self._room.set()
        except trio.Cancelled:
            self._write_rest()
            raise
        finally:
            self._is_writing = False

    def _write_rest(self) -> None:
        """Write what is queued in place, as far as that goes fast: the mount ends."""
        until = trio.current_time() + REST_SECONDS
        while self._queue and trio.current_time() < until:
            transfer = self._transfer_of(self._queue[0])
            self._finish(self._queue[0], _run(transfer) if transfer is not None else None)

    def _batch(self) -> list["_Queued"]:
        """What goes to the thread at once: each hand-over costs as much as writing a block. What is to be published
        waits for the writes before it."""
        batch: list[_Queued] = []
        for queued in self._queue:
            if queued.write is not None or not any(before.write is not None for before in batch):
                batch.append(queued)
            if len(batch) == _BATCH:
                break
        return batch

    def _transfer_of(self, queued: "_Queued") -> Transfer | None:
        """What is to be done for it; None where nothing of it is wanted any more."""
        if queued.write is None:
            return None if self._disk is None else self._disk.begin_publish(queued.version, sorted(queued.wanted))
        if queued.wanted:
            return queued.write.transfer
        queued.write.transfer.discard()
        return None

    def _finish(self, queued: "_Queued", problem: OSError | None) -> None:
        self._queue.remove(queued)
        self._queued_nbytes -= queued.nbytes
        if self._disk is None:
            return
        if queued.write is None:
            self._note_problem(problem)
        else:
            unwanted = set(queued.write.run) - queued.wanted
            self._disk.finish_write(queued.write, problem, unwanted=unwanted)

    # -- forgetting --

    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        """Drop every block that touches `unwanted` from the disk, and from what is on its way there."""
        if self._disk is None:
            return
        self._disk.forget(version, unwanted)
        for queued in self._queue:
            if queued.version.key == version.key:
                queued.wanted.difference_update(blocks_of(unwanted))

    def drop_object(self, key: str) -> None:
        """Drop every byte of the object from the disk."""
        if self._disk is None:
            return
        for queued in self._queue:
            if queued.version.key == key:
                queued.wanted.clear()
        self._disk.drop_object(key)


def _waits_so_far() -> int:
    """How often this thread has waited: one that is slow without that only shares its processor."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _run_all(transfers: list[Transfer | None]) -> list[OSError | None]:
    return [None if transfer is None else _run(transfer) for transfer in transfers]


def _run(transfer: Transfer) -> OSError | None:
    """Run a transfer where waiting is allowed; return what stopped it."""
    try:
        transfer.run()
    except OSError as problem:
        return problem
    return None
