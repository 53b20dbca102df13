"""Bytes of object versions in memory, within one budget: what is arriving, what waits to be read, what is kept.

It must not know HTTP, FUSE, tasks or time. `reader/` leases a buffer, commits what it received and gets.
"""

from collections.abc import Callable

from cachetools import LRUCache

from cffs.cache.buffer_pool import SLAB_NBYTES, BufferPool
from cffs.cache.extents import Extent, ExtentState, ObjectExtents
from cffs.cache.types import MemoryCounters, ObjectVersion
from cffs.core.byte_range import ByteRange

#: A partly filled buffer is copied to its exact length when at least a page is saved.
_WORTH_SHRINKING_NBYTES = 4096
_EMPTY = memoryview(b"")


class MemoryCache:
    """Extents of object versions in at most `limit_nbytes` of memory.

    No method is a checkpoint. Views that `try_read` returned stay valid for as long as somebody holds them, whatever is
    evicted or dropped meanwhile (only then their memory is not counted any more).
    """

    def __init__(self, limit_nbytes: int, *, give_back: Callable[[], None] = lambda: None) -> None:
        """`give_back`: see SlabPool."""
        self.limit_nbytes = limit_nbytes
        self.counters = MemoryCounters()
        self._blobs: dict[ObjectVersion, ObjectExtents] = {}
        self._held_nbytes: dict[str, int] = {}
        #: Another value once more or less is held of any object.
        self.held_turn = 0
        self._slabs = BufferPool(give_back)
        self._extents_nbytes = 0
        self._evictable_nbytes = 0
        self._unread_nbytes = 0
        self._unread: dict[Extent, None] = {}
        self._consumed: dict[Extent, None] = {}
        # never evicts by itself: `_make_room` does, before anything is added
        self._kept: LRUCache[Extent, None] = LRUCache(maxsize=float("inf"))

    @property
    def used_nbytes(self) -> int:
        """All memory that counts against the budget."""
        self._slabs.settle(self.limit_nbytes - self._extents_nbytes)
        return self._extents_nbytes + self._slabs.idle_nbytes

    @property
    def largest_lease_nbytes(self) -> int:
        """The largest buffer worth leasing: a slab, but no more than a 32nd of the budget, so that each of 16
        connections can fill one and what they filled before still has half of the budget."""
        return max(1, min(SLAB_NBYTES, self.limit_nbytes // 32))

    def held_nbytes(self, key: str) -> int:
        """How many bytes of object `key` are here (for `st_blocks`)."""
        return self._held_nbytes.get(key, 0)

    def try_read(self, version: ObjectVersion, wanted: ByteRange, *, touches: bool = True) -> memoryview | None:
        """The bytes of `wanted`, read-only, or None where any is missing; without a copy where one extent has them all.

        Without `touches` that counts as no use of them: for bytes that are copied elsewhere, not read.
        """
        if not wanted:
            return _EMPTY
        blob = self._blobs.get(version)
        if blob is None:
            return None
        if not touches:
            return blob.bytes_of(wanted)
        extent = blob.extent_of(wanted)
        if extent is not None:
            self._note_read(extent, wanted.stop)
            return extent.bytes_of(wanted)
        data = blob.joined(wanted)
        if data is not None:
            for extent in blob.extents[blob.index_at(wanted.start) :]:
                if extent.start >= wanted.stop:
                    break
                if extent.filled_nbytes:
                    self._note_read(extent, min(extent.filled_stop, wanted.stop))
        return data

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not here, or None when all is."""
        blob = self._blobs.get(version)
        if blob is None:
            return within or None
        return blob.first_missing(within)

    def free_run(self, version: ObjectVersion, position: int, stop: int) -> tuple[bool, int]:
        """Whether the byte at `position` may be leased (neither here nor leased), and up to where, at most `stop`,
        the answer stays the same."""
        blob = self._blobs.get(version)
        return (True, stop) if blob is None else blob.free_run(position, stop)

    def lease(
        self, version: ObjectVersion, wanted: ByteRange, *, is_urgent: bool, is_passing: bool, is_ahead: bool = False
    ) -> Extent | None:
        """A buffer of exactly `wanted` to receive into, or None when there is no room for it now.

        `is_urgent` (somebody waits for it) may evict bytes that arrived and nobody read. `is_passing`: of a stream that
        is hardly read again. `is_ahead`: for nobody yet; what becomes of it is counted. Raises ValueError when `wanted`
        is empty or overlaps what is here or leased.
        """
        blob = self._blobs.get(version)
        if not wanted or (blob is not None and blob.free_run(wanted.start, wanted.stop) != (True, wanted.stop)):
            raise ValueError(f"cannot lease {wanted} of {version.key}")
        is_slab = wanted.nbytes == SLAB_NBYTES
        buffer = self._slabs.take_idle() if is_slab else None
        if buffer is None:
            if not self._make_room(wanted.nbytes, is_urgent=is_urgent):
                return None
            # what was just evicted may have been a slab
            buffer = self._slabs.take() if is_slab else memoryview(bytearray(wanted.nbytes))
        blob = self._blobs.setdefault(version, ObjectExtents(version))
        extent = Extent(blob=blob, start=wanted.start, buffer=buffer, is_passing=is_passing, is_ahead=is_ahead)
        blob.insert(extent)
        self._extents_nbytes += extent.capacity_nbytes
        return extent

    def commit(self, extent: Extent, nbytes: int) -> None:
        """The next `nbytes` of its vacant part are verified: from now on they are served. Nothing when it is gone."""
        if extent.standing is not ExtentState.FILLING:
            return
        if not 0 <= nbytes <= extent.capacity_nbytes - extent.filled_nbytes:
            raise ValueError(f"{nbytes} bytes do not fit into the rest of a lease")
        extent.filled_nbytes += nbytes
        self._note_held(extent.blob.version.key, nbytes)

    def seal(self, extent: Extent) -> None:
        """Ends a lease: what was committed stays, the rest of the buffer is given back. Nothing when it has ended."""
        if extent.standing is not ExtentState.FILLING:
            return
        if not extent.filled_nbytes:
            self._remove(extent)
            return
        spare_nbytes = extent.capacity_nbytes - extent.filled_nbytes
        if spare_nbytes >= _WORTH_SHRINKING_NBYTES:
            # the receiver may still hold a view of the old buffer: what is written to it goes nowhere
            extent.buffer = memoryview(bytearray(extent.buffer[: extent.filled_nbytes]))
            self._extents_nbytes -= spare_nbytes
        self._enlist(extent, self._standing_of(extent))

    def protect(self, version: ObjectVersion) -> None:
        """An open reader is interested: what arrives for it is not evicted unread."""
        blob = self._blobs.get(version)
        if blob is not None:
            blob.is_protected = True

    def abandon(self, version: ObjectVersion) -> None:
        """No open reader any more: what nobody read is the first to go."""
        blob = self._blobs.get(version)
        if blob is None:
            return
        blob.is_protected = False
        for extent in blob.extents:
            if extent.standing is ExtentState.UNREAD:
                self._delist(extent)
                self._enlist(extent, ExtentState.CONSUMED)

    def release(self, version: ObjectVersion, within: ByteRange) -> None:
        """The bytes of `within` are on disk too: they may go before anybody has read them."""
        blob = self._blobs.get(version)
        if blob is None:
            return
        for extent in blob.extents[max(0, blob.index_at(within.start)) : blob.index_at(within.stop) + 1]:
            is_within = within.start <= extent.start and extent.filled_stop <= within.stop
            if is_within and extent.standing is ExtentState.UNREAD:
                self._delist(extent)
                self._enlist(extent, ExtentState.CONSUMED)

    def drop_consumed(self, version: ObjectVersion, before_offset: int) -> None:
        """Frees the leading extents of a passing stream that were read to their end and stop before `before_offset`."""
        blob = self._blobs.get(version)
        if blob is None:
            return
        for extent in blob.extents[: blob.index_at(before_offset) + 1]:
            if extent.standing is ExtentState.CONSUMED and extent.filled_stop <= before_offset:
                self._remove(extent)

    def rename(self, old: ObjectVersion, new: ObjectVersion) -> None:
        """The bytes held as `old` are those of `new` (its total became known, or which object it is); `new` must hold
        nothing yet."""
        if new in self._blobs:
            self.drop(new)
        blob = self._blobs.pop(old, None)
        if blob is None:
            return
        blob.version = new
        self._blobs[new] = blob
        if new.key != old.key:
            nbytes = sum(extent.filled_nbytes for extent in blob.extents)
            self._note_held(old.key, -nbytes)
            self._note_held(new.key, nbytes)

    def _note_held(self, key: str, nbytes: int) -> None:
        self.held_turn += 1
        held_nbytes = self._held_nbytes.get(key, 0) + nbytes
        if held_nbytes > 0:
            self._held_nbytes[key] = held_nbytes
        else:
            self._held_nbytes.pop(key, None)

    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        """Drops every extent that touches `unwanted` (its bytes proved not to be trusted)."""
        blob = self._blobs.get(version)
        if blob is None:
            return
        for extent in list(blob.extents):
            if extent.start < unwanted.stop and unwanted.start < extent.claimed_stop:
                self._remove(extent)

    def drop(self, version: ObjectVersion) -> None:
        """Forgets all of `version`; leases on it stay writable and lead nowhere."""
        blob = self._blobs.get(version)
        for extent in list(blob.extents) if blob is not None else ():
            self._remove(extent)

    def drop_object(self, key: str) -> None:
        """Forgets every version of object `key`."""
        for version in [version for version in self._blobs if version.key == key]:
            self.drop(version)

    def _note_read(self, extent: Extent, stop: int) -> None:
        read_nbytes = stop - extent.start
        if read_nbytes > extent.read_nbytes:
            if extent.is_ahead:
                self.counters.prefetch_used_nbytes += read_nbytes - extent.read_nbytes
            extent.read_nbytes = read_nbytes
        match extent.standing:
            case ExtentState.KEPT:
                self._kept[extent] = None
            case ExtentState.UNREAD if extent.read_nbytes >= extent.filled_nbytes:
                self._delist(extent)
                self._enlist(extent, self._standing_of(extent))
            case ExtentState.CONSUMED if not extent.is_passing or read_nbytes < extent.filled_nbytes:
                # read again from somewhere before its end: worth keeping
                self._delist(extent)
                self._enlist(extent, ExtentState.KEPT)

    @staticmethod
    def _standing_of(extent: Extent) -> ExtentState:
        if extent.read_nbytes < extent.filled_nbytes:
            return ExtentState.UNREAD if extent.blob.is_protected else ExtentState.CONSUMED
        return ExtentState.CONSUMED if extent.is_passing else ExtentState.KEPT

    def _enlist(self, extent: Extent, standing: ExtentState) -> None:
        extent.standing = standing
        match standing:
            case ExtentState.UNREAD:
                self._unread[extent] = None
                self._unread_nbytes += extent.capacity_nbytes
            case ExtentState.CONSUMED:
                self._consumed[extent] = None
                self._evictable_nbytes += extent.capacity_nbytes
            case ExtentState.KEPT:
                self._kept[extent] = None
                self._evictable_nbytes += extent.capacity_nbytes

    def _delist(self, extent: Extent) -> None:
        match extent.standing:
            case ExtentState.UNREAD:
                del self._unread[extent]
                self._unread_nbytes -= extent.capacity_nbytes
            case ExtentState.CONSUMED:
                del self._consumed[extent]
                self._evictable_nbytes -= extent.capacity_nbytes
            case ExtentState.KEPT:
                self._kept.pop(extent, None)  # popitem() took it out already where it is evicted
                self._evictable_nbytes -= extent.capacity_nbytes

    def _remove(self, extent: Extent) -> None:
        self._delist(extent)
        extent.standing = ExtentState.GONE
        blob = extent.blob
        blob.remove(extent)
        if not blob.extents:
            del self._blobs[blob.version]
        self._extents_nbytes -= extent.capacity_nbytes
        self._slabs.note_gone(extent.capacity_nbytes)
        self._note_held(blob.version.key, -extent.filled_nbytes)
        if extent.is_ahead:
            self.counters.prefetch_wasted_nbytes += max(0, extent.filled_nbytes - extent.read_nbytes)

    def _first_to_go(self) -> Extent:
        if self._consumed:
            return next(iter(self._consumed))
        return self._kept.popitem()[0] if self._kept else next(iter(self._unread))

    def _make_room(self, nbytes: int, *, is_urgent: bool) -> bool:
        fixed_nbytes = self._extents_nbytes - self._evictable_nbytes - (self._unread_nbytes if is_urgent else 0)
        if fixed_nbytes + nbytes > self.limit_nbytes:
            return False
        while self.used_nbytes + nbytes > self.limit_nbytes:
            if self._slabs.idle_nbytes:
                if nbytes == SLAB_NBYTES:
                    break  # the lease takes that one
                self._slabs.trim(self.used_nbytes + nbytes - self.limit_nbytes)
            else:
                self.counters.evictions += 1
                self._remove(self._first_to_go())
        return True
