"""The memory cache: bytes of object versions, within one budget.

It owns the buffers, the order of eviction and the counters. It must not know HTTP, FUSE, tasks or time.
"""

from collections.abc import Callable

from cachetools import LRUCache

from cffs.cache.buffer_pool import POOL_BUFFER_NBYTES, BufferPool
from cffs.cache.extents import Extent, ExtentState, ObjectExtents
from cffs.cache.types import MemoryCounters, ObjectVersion
from cffs.core.byte_range import ByteRange

#: A partly filled buffer is copied to its exact length when that saves at least a page.
_WORTH_SHRINKING_NBYTES = 4096
_EMPTY = memoryview(b"")


class MemoryCache:
    """Extents of object versions in at most `limit_nbytes` of memory.

    No method is a checkpoint. Views that `try_read` returned stay valid for as long as they are held, whatever is
    evicted or dropped meanwhile; only their memory is not counted any more then.
    """

    def __init__(self, limit_nbytes: int, *, give_back: Callable[[], None] = lambda: None) -> None:
        """`give_back`: see BufferPool."""
        self.limit_nbytes = limit_nbytes
        self.counters = MemoryCounters()
        self._objects: dict[ObjectVersion, ObjectExtents] = {}
        self._held_nbytes: dict[str, int] = {}
        #: A value that differs once more or less is held of any object.
        self.held_turn = 0
        self._pool = BufferPool(give_back)
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
        self._pool.reclaim(self.limit_nbytes - self._extents_nbytes)
        return self._extents_nbytes + self._pool.idle_nbytes

    @property
    def largest_lease_nbytes(self) -> int:
        """The largest buffer worth leasing: one of the pool, but no more than a 32nd of the budget, so that each of 16
        connections can fill one while what they filled before still has half of the budget."""
        return max(1, min(POOL_BUFFER_NBYTES, self.limit_nbytes // 32))

    def held_nbytes(self, key: str) -> int:
        """How many bytes of object `key` are here (for `st_blocks`)."""
        return self._held_nbytes.get(key, 0)

    def try_read(self, version: ObjectVersion, wanted: ByteRange, *, touches: bool = True) -> memoryview | None:
        """The bytes of `wanted`, read-only, or None where any is missing; without a copy where one extent has them all.

        Without `touches` that counts as no use of them: for bytes that are copied elsewhere, not read.
        """
        if not wanted:
            return _EMPTY
        held = self._objects.get(version)
        if held is None:
            return None
        if not touches:
            return held.bytes_of(wanted)
        extent = held.extent_of(wanted)
        if extent is not None:
            self._note_read(extent, wanted.stop)
            return extent.bytes_of(wanted)
        data = held.joined(wanted)
        if data is not None:
            for extent in held.extents[held.index_at(wanted.start) :]:
                if extent.start >= wanted.stop:
                    break
                if extent.filled_nbytes:
                    self._note_read(extent, min(extent.filled_stop, wanted.stop))
        return data

    def first_missing(self, version: ObjectVersion, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not here, or None when all is."""
        held = self._objects.get(version)
        if held is None:
            return within or None
        return held.first_missing(within)

    def free_run(self, version: ObjectVersion, position: int, stop: int) -> tuple[bool, int]:
        """Whether the byte at `position` may be leased (it is neither here nor leased), and up to where, at most
        `stop`, the answer stays the same."""
        held = self._objects.get(version)
        return (True, stop) if held is None else held.free_run(position, stop)

    def lease(
        self, version: ObjectVersion, wanted: ByteRange, *, is_urgent: bool, is_passing: bool, is_ahead: bool = False
    ) -> Extent | None:
        """Return a buffer of exactly `wanted` to receive into, or None when there is no room for it now.

        With `is_urgent`, because a reader waits for it, it may evict bytes that arrived and were not read. `is_passing`
        says that it is of a stream that is hardly read again; `is_ahead` that no reader has asked for it, so that its
        use is counted. Raises ValueError when `wanted` is empty or overlaps what is here or leased.
        """
        held = self._objects.get(version)
        if not wanted or (held is not None and held.free_run(wanted.start, wanted.stop) != (True, wanted.stop)):
            raise ValueError(f"cannot lease {wanted} of {version.key}")
        is_pooled = wanted.nbytes == POOL_BUFFER_NBYTES
        buffer = self._pool.take_idle() if is_pooled else None
        if buffer is None:
            if not self._make_room(wanted.nbytes, is_urgent=is_urgent):
                return None
            # what was just evicted may have been a buffer of the pool
            buffer = self._pool.take() if is_pooled else memoryview(bytearray(wanted.nbytes))
        held = self._objects.setdefault(version, ObjectExtents(version))
        extent = Extent(owner=held, start=wanted.start, buffer=buffer, is_passing=is_passing, is_ahead=is_ahead)
        held.insert(extent)
        self._extents_nbytes += extent.capacity_nbytes
        return extent

    def commit(self, extent: Extent, nbytes: int) -> None:
        """Mark the next `nbytes` of the vacant part as verified: from now on they are served. Nothing when the extent
        is gone."""
        if extent.state is not ExtentState.FILLING:
            return
        if not 0 <= nbytes <= extent.capacity_nbytes - extent.filled_nbytes:
            raise ValueError(f"{nbytes} bytes do not fit into the rest of a lease")
        extent.filled_nbytes += nbytes
        self._note_held(extent.owner.version.key, nbytes)

    def seal(self, extent: Extent) -> None:
        """End a lease: what was committed stays, and the rest of the buffer is given back. Nothing when it has
        ended."""
        if extent.state is not ExtentState.FILLING:
            return
        if not extent.filled_nbytes:
            self._remove(extent)
            return
        spare_nbytes = extent.capacity_nbytes - extent.filled_nbytes
        if spare_nbytes >= _WORTH_SHRINKING_NBYTES:
            # the receiver may still hold a view of the old buffer: what it writes there goes nowhere
            extent.buffer = memoryview(bytearray(extent.buffer[: extent.filled_nbytes]))
            self._extents_nbytes -= spare_nbytes
        self._enlist(extent, self._state_of(extent))

    def protect(self, version: ObjectVersion) -> None:
        """Note that a reader has the version open: what arrives for it is not evicted unread."""
        held = self._objects.get(version)
        if held is not None:
            held.is_protected = True

    def abandon(self, version: ObjectVersion) -> None:
        """Note that no reader has the version open any more: what was not read is the first to go."""
        held = self._objects.get(version)
        if held is None:
            return
        held.is_protected = False
        for extent in held.extents:
            if extent.state is ExtentState.UNREAD:
                self._delist(extent)
                self._enlist(extent, ExtentState.CONSUMED)

    def release(self, version: ObjectVersion, within: ByteRange) -> None:
        """Let the bytes of `within` go before they are read: they are on disk too."""
        held = self._objects.get(version)
        if held is None:
            return
        for extent in held.extents[max(0, held.index_at(within.start)) : held.index_at(within.stop) + 1]:
            is_within = within.start <= extent.start and extent.filled_stop <= within.stop
            if is_within and extent.state is ExtentState.UNREAD:
                self._delist(extent)
                self._enlist(extent, ExtentState.CONSUMED)

    def drop_consumed(self, version: ObjectVersion, before_offset: int) -> None:
        """Free the leading extents of a passing stream that were read to their end and stop before `before_offset`."""
        held = self._objects.get(version)
        if held is None:
            return
        for extent in held.extents[: held.index_at(before_offset) + 1]:
            if extent.state is ExtentState.CONSUMED and extent.filled_stop <= before_offset:
                self._remove(extent)

    def rename(self, old: ObjectVersion, new: ObjectVersion) -> None:
        """Keep the bytes held as `old` as those of `new`: its total, or which object it is, became known. `new` must
        hold nothing yet."""
        if new in self._objects:
            self.drop(new)
        held = self._objects.pop(old, None)
        if held is None:
            return
        held.version = new
        self._objects[new] = held
        if new.key != old.key:
            nbytes = sum(extent.filled_nbytes for extent in held.extents)
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
        """Drop every extent that touches `unwanted`: its bytes proved untrustworthy."""
        held = self._objects.get(version)
        if held is None:
            return
        for extent in list(held.extents):
            if extent.start < unwanted.stop and unwanted.start < extent.claimed_stop:
                self._remove(extent)

    def drop(self, version: ObjectVersion) -> None:
        """Drop all of `version`; leases on it stay writable and lead nowhere."""
        held = self._objects.get(version)
        for extent in list(held.extents) if held is not None else ():
            self._remove(extent)

    def drop_object(self, key: str) -> None:
        """Drop every version of object `key`."""
        for version in [version for version in self._objects if version.key == key]:
            self.drop(version)

    def _note_read(self, extent: Extent, stop: int) -> None:
        read_nbytes = stop - extent.start
        if read_nbytes > extent.read_nbytes:
            if extent.is_ahead:
                self.counters.prefetch_used_nbytes += read_nbytes - extent.read_nbytes
            extent.read_nbytes = read_nbytes
        match extent.state:
            case ExtentState.KEPT:
                self._kept[extent] = None
            case ExtentState.UNREAD if extent.read_nbytes >= extent.filled_nbytes:
                self._delist(extent)
                self._enlist(extent, self._state_of(extent))
            case ExtentState.CONSUMED if not extent.is_passing or read_nbytes < extent.filled_nbytes:
                # read again from somewhere before its end: worth keeping
                self._delist(extent)
                self._enlist(extent, ExtentState.KEPT)

    @staticmethod
    def _state_of(extent: Extent) -> ExtentState:
        if extent.read_nbytes < extent.filled_nbytes:
            return ExtentState.UNREAD if extent.owner.is_protected else ExtentState.CONSUMED
        return ExtentState.CONSUMED if extent.is_passing else ExtentState.KEPT

    def _enlist(self, extent: Extent, state: ExtentState) -> None:
        extent.state = state
        match state:
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
        match extent.state:
            case ExtentState.UNREAD:
                del self._unread[extent]
                self._unread_nbytes -= extent.capacity_nbytes
            case ExtentState.CONSUMED:
                del self._consumed[extent]
                self._evictable_nbytes -= extent.capacity_nbytes
            case ExtentState.KEPT:
                self._kept.pop(extent, None)  # popitem() has taken it out already where it is being evicted
                self._evictable_nbytes -= extent.capacity_nbytes

    def _remove(self, extent: Extent) -> None:
        self._delist(extent)
        extent.state = ExtentState.GONE
        held = extent.owner
        held.remove(extent)
        if not held.extents:
            del self._objects[held.version]
        self._extents_nbytes -= extent.capacity_nbytes
        self._pool.note_gone(extent.capacity_nbytes)
        self._note_held(held.version.key, -extent.filled_nbytes)
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
            if self._pool.idle_nbytes:
                if nbytes == POOL_BUFFER_NBYTES:
                    break  # the lease takes this one
                self._pool.trim(self.used_nbytes + nbytes - self.limit_nbytes)
            else:
                self.counters.evictions += 1
                self._remove(self._first_to_go())
        return True
