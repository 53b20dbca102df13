"""The bytes of one object that are here: memory first, then disk.

A block is written to disk once the buffer with its last byte is full or its answer has ended, whichever answer that is.
It owns no bytes, only the order of the tiers and the version that they are asked for. It must not know what is on its
way or which readers there are.

Checklist for adding an `await` here or in a caller: afterwards the version may be another, and what was held or missing
before must be asked again; a view that was got before stays valid.
"""

from collections.abc import Iterable

from cffs.cache.disk_format import blocks_of
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES, MIB
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.disk_read_ahead import DiskReadAhead
from cffs.reader.version_tracker import VersionTracker

#: Kept behind a passing reader of a file that cannot be kept whole: the kernel reorders READs, players step back.
_KEEP_BEHIND_NBYTES = 2 * MIB


def _bytes_of(run: range) -> ByteRange:
    return ByteRange(run.start * BLOCK_NBYTES, run.stop * BLOCK_NBYTES)


class TieredCache:
    """Memory first, then disk. Only `read`, `keep`, `keep_from_memory` and `keep_up` are ever checkpoints."""

    def __init__(self, tracker: VersionTracker, dependencies: ReaderDependencies) -> None:
        self._tracker = tracker
        self._memory = dependencies.memory
        self._disk = dependencies.disk
        self._disk_read_ahead = DiskReadAhead(dependencies.memory, dependencies.disk)

    # -- what is here --

    def try_read(self, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted`, where memory has all of them, else None. Never a checkpoint."""
        return self._memory.try_read(self._tracker.version, wanted)

    def missing_in_memory(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that memory lacks, or None."""
        return self._memory.first_missing(self._tracker.version, within)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that neither memory nor disk has, or None."""
        position = within.start
        while position < within.stop:
            gap = self.missing_in_memory(ByteRange(position, within.stop))
            if gap is None:
                return None
            missing = self._on_disk_missing(gap)
            if missing is not None:
                return missing
            position = gap.stop
        return None

    def has_any(self) -> bool:
        """True where a byte of the object is here."""
        whole = ByteRange(0, self._tracker.total_nbytes or 0)
        return bool(whole) and self.first_missing(whole) != whole

    def is_whole(self) -> bool:
        """True where memory has all of the object, or the disk has."""
        tracker = self._tracker
        if tracker.total_nbytes is None:
            return False
        if self._memory.held_nbytes(tracker.key) == tracker.total_nbytes:
            return True
        return self._disk.holds_all(tracker.version)

    async def read(self, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted` from its start, as far as one tier has them in one piece. None where the first byte
        that memory lacks is not on disk either.

        A checkpoint only where the disk has to be waited for. Cancelled, nothing is changed.
        """
        while (missing := self.missing_in_memory(wanted)) is not None:
            on_disk_missing = self._on_disk_missing(missing)
            if on_disk_missing is not None and on_disk_missing.start == missing.start:
                return None
            if missing.start > wanted.start:
                return self.try_read(ByteRange(wanted.start, missing.start))
            if not await self._disk_read_ahead.bring(self._tracker.version, missing):
                return await self._disk.read(self._tracker.version, missing)
        return self.try_read(wanted)

    def _copy_of(self, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted` to be copied to disk, where memory has all of them: that counts as no use of them."""
        return self._memory.try_read(self._tracker.version, wanted, touches=False)

    def _on_disk_missing(self, within: ByteRange) -> ByteRange | None:
        return self._disk.first_missing(self._tracker.version, within)

    def missing_on_disk(self) -> ByteRange | None:
        """The first maximal piece of the object, whose size is known, that is not on disk, or None."""
        return self._on_disk_missing(ByteRange(0, self._tracker.total_nbytes or 0))

    # -- what arrives --

    def note_arrival(self, since: ByteRange, *, may_go: bool = False) -> None:
        """Write the blocks to disk that are complete since the bytes of `since` were committed. `may_go`: memory need
        not keep those until they are read."""
        tracker = self._tracker
        total_nbytes = tracker.total_nbytes
        if total_nbytes is None or not self._disk.is_on or tracker.is_changed or tracker.version.is_private:
            return
        blocks = blocks_of(since)
        begin = blocks.start
        while begin < blocks.stop:
            whole = ByteRange(begin * BLOCK_NBYTES, blocks.stop * BLOCK_NBYTES).clamped(total_nbytes)
            gap = self.missing_in_memory(whole)
            run = blocks[begin - blocks.start :] if gap is None else range(begin, gap.start // BLOCK_NBYTES)
            data = self._copy_of(_bytes_of(run).clamped(total_nbytes)) if run else None
            if data is not None:
                self._disk.keep(tracker.version, run, data)
                if may_go and self._disk.takes(total_nbytes):
                    self._memory.release(tracker.version, _bytes_of(run).clamped(total_nbytes))
            begin = blocks.stop if gap is None else max(run.stop + 1, gap.stop // BLOCK_NBYTES)

    async def keep_from_memory(self, within: ByteRange, *, unproven: Iterable[ByteRange]) -> int:
        """Write to disk what memory has of `within`, which begins with a block. Return how many bytes are there now
        that were not.

        No checkpoint where there is nothing to do. `unproven`: see `publish`.
        """
        missing = self._on_disk_missing(within)
        version, nbytes = self._tracker.version, 0
        for index in blocks_of(missing) if missing is not None else ():
            block = _bytes_of(range(index, index + 1)).clamped(within.stop)
            data = self._copy_of(block) if self._on_disk_missing(block) == block else None
            if data is not None:
                await self.keep(block.start, data, unproven=unproven)
                if version != self._tracker.version:
                    break
                nbytes += block.nbytes if self._on_disk_missing(block) is None else 0
        return nbytes

    async def keep(self, start: int, data: memoryview, *, unproven: Iterable[ByteRange]) -> None:
        """Write `data` to disk. It begins with the block at `start` and ends with a block or with the object.

        Returns when the disk has it, or takes nothing. Always a checkpoint where the disk is written by a thread;
        cancelled, what is queued is written all the same. `unproven`: see `publish`.
        """
        version, kept = self._tracker.version, ByteRange(start, start + len(data))
        self._disk.keep(version, blocks_of(kept), data)
        await self._disk.written()
        if version == self._tracker.version:
            self.publish(kept, unproven=unproven)
            await self._disk.written()

    def publish(self, proven: ByteRange, *, unproven: Iterable[ByteRange]) -> None:
        """Let what is on disk outlast a crash: the blocks that only answers brought that ended well (`proven`), and
        none that go on (`unproven`)."""
        if not self._disk.is_on or self._tracker.is_changed or self._tracker.version.is_private:
            return
        going_on = [blocks_of(other) for other in unproven if other]
        indexes = [index for index in blocks_of(proven) if not any(index in other for other in going_on)]
        self._disk.publish(self._tracker.version, indexes)

    def note_version_change(self, old: ObjectVersion) -> None:
        """Keep what was held as the version `old` as that of the version of now."""
        new = self._tracker.version
        if new == old:
            return
        self._memory.rename(old, new)
        if not old.is_private:
            self._disk.drop_object(new.key)  # no request is made any more for the version that names it
        elif new.total_nbytes is not None and not new.is_private:
            self.note_arrival(ByteRange(0, min(new.total_nbytes, self._memory.limit_nbytes)))

    def note_passed(self, offset: int) -> None:
        """Free what lies behind all readers, who are beyond `offset`, of an object that cannot be kept whole."""
        total_nbytes = self._tracker.total_nbytes
        if total_nbytes is None or total_nbytes > self._memory.limit_nbytes // 2:
            self._memory.drop_consumed(self._tracker.version, max(0, offset - _KEEP_BEHIND_NBYTES))

    async def keep_up(self) -> None:
        """Wait for a moment, in a receiver, until a slow disk has caught up. A checkpoint only where the disk has to be
        waited for."""
        await self._disk.keep_up()

    # -- forgetting --

    def forget(self, unwanted: ByteRange) -> None:
        """Drop what touches `unwanted`: it proved untrustworthy."""
        self._memory.forget(self._tracker.version, unwanted)
        self._disk.forget(self._tracker.version, unwanted)

    def drop(self) -> None:
        """Drop every byte of the version, and of any version on disk."""
        self._memory.drop(self._tracker.version)
        self._disk.drop_object(self._tracker.key)
