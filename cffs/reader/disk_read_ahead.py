"""Read-ahead from disk: one read and one buffer for many READs in order.

Measured (256 MiB, nothing in the system's page cache): READ by READ, with read-ahead requested by `posix_fadvise`, 0.8
s of CPU; by pieces 0.3 s. Measured and not kept: the next pieces read meanwhile in a thread (the system reads ahead
itself, and a thread costs what it saves); RWF_DONTCACHE (slower: it waits more often).

It owns the pieces on their way and the places where readers are expected to go on. It must not know versions' names,
plans or the network.
"""

import trio

from cffs.cache.buffer_pool import POOL_BUFFER_NBYTES
from cffs.cache.disk_format import blocks_of
from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from cffs.core.wait_reasons import waits_for
from cffs.reader.disk_tier import DiskTier

#: What the first piece holds; each that was brought quickly makes the next one twice as large, up to a pooled buffer.
_FIRST_NBYTES = 2 * BLOCK_NBYTES
#: A piece that took longer is one of a slow disk: the next one holds what its READ wants, which then waits for no more.
_QUICK_SECONDS = 0.05
#: How many places of one object are remembered where a reader would go on: more readers than one recording has.
_MOST_READERS = 8


class DiskReadAhead:
    """Pieces of one object on their way from disk to memory, and where its readers are expected to go on."""

    def __init__(self, memory: MemoryCache, disk: DiskTier) -> None:
        self._memory = memory
        self._disk = disk
        #: The blocks at which a reader would go on; the one noted longest ago goes first.
        self._next: dict[int, None] = {}
        self._most_nbytes = _FIRST_NBYTES
        self._coming: dict[ByteRange, trio.Event] = {}

    async def bring(self, version: ObjectVersion, missing: ByteRange) -> bool:
        """True where a piece with the first byte of `missing` was waited for: ask memory again. False where these bytes
        are to be read by themselves, because no reader goes on here or memory has no room.

        Memory lacks `missing`, and its first byte is on disk. A checkpoint only where the disk has to be waited for;
        cancelled, others that wait for this piece try again.
        """
        for piece, is_over in self._coming.items():
            if piece.start <= missing.start < piece.stop:
                with waits_for("the disk cache"):
                    await is_over.wait()
                return True
        is_going_on = missing.start // BLOCK_NBYTES in self._next
        self._next.pop(missing.start // BLOCK_NBYTES, None)
        piece = self._piece_for(version, missing) if is_going_on else ByteRange(0, 0)
        self._expect((piece or missing).stop // BLOCK_NBYTES)
        if piece and await self._read(version, piece):
            return True
        self._expect(missing.stop // BLOCK_NBYTES)
        return False

    async def _read(self, version: ObjectVersion, piece: ByteRange) -> bool:
        # its buffer is the one that is taken, and warm; the kernel may still ask for bytes a little before the piece
        self._memory.drop_consumed(version, max(0, piece.start - POOL_BUFFER_NBYTES))
        lease = self._memory.lease(version, piece, is_urgent=True, is_passing=True)
        if lease is None:
            return False
        is_over = self._coming[piece] = trio.Event()
        began_at = trio.current_time()
        try:
            nbytes = await self._disk.read_into(lease.vacant, version, blocks_of(piece))
            self._memory.commit(lease, nbytes)
        finally:
            self._memory.seal(lease)
            del self._coming[piece]
            is_over.set()
            is_quick = trio.current_time() - began_at < _QUICK_SECONDS
            self._most_nbytes = min(2 * self._most_nbytes, POOL_BUFFER_NBYTES) if is_quick else BLOCK_NBYTES
        return nbytes > 0

    def _piece_for(self, version: ObjectVersion, missing: ByteRange) -> ByteRange:
        """Whole blocks from the first of `missing` on, as far as they are on disk and not in memory, and no more than
        memory likes to give at once; empty where there are none."""
        start = missing.start - missing.start % BLOCK_NBYTES
        nbytes = min(max(self._most_nbytes, missing.stop - start), self._memory.largest_lease_nbytes)
        most = ByteRange(start, start + nbytes).clamped(version.total_nbytes or 0)
        is_free, stop = self._memory.free_run(version, start, most.stop)
        lacking = self._disk.first_missing(version, ByteRange(start, stop))
        if lacking is not None:
            stop = lacking.start
        if stop != version.total_nbytes:
            stop -= stop % BLOCK_NBYTES
        return ByteRange(start, stop) if is_free and stop > start else ByteRange(0, 0)

    def _expect(self, index: int) -> None:
        self._next[index] = None
        if len(self._next) > _MOST_READERS:
            del self._next[next(iter(self._next))]
