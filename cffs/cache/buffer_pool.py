"""A pool of 1 MiB buffers, two of them in one huge page.

Fresh memory costs page faults: with buffers that are used again, resident memory of a stream fell from 96 to 38 MiB,
and it was faster. Copying through small pages costs walks of a virtual machine's page tables: 256 MiB streamed took
0.32 s of CPU with buffers of the heap and 0.28 s with these (fresh mounts, ten of each, alternating).
cffs/docs/performance.md#sequential-reads has the measurements.

It owns the idle buffers; a buffer comes back by itself when its last view is gone. It must not know what is in them.
"""

import ctypes
import mmap
import weakref
from collections.abc import Callable
from contextlib import suppress

from cffs.core.units import MIB

#: Larger buffers run cold (one of 4 MiB measured a sixth of the speed), smaller ones cost more calls per byte.
POOL_BUFFER_NBYTES = MIB
#: The widest window of one stream and as much again; more would only be idle memory.
MAX_IDLE = 16
#: The size on x86 and most others; where it differs, the pages are small ones.
_HUGE_PAGE_NBYTES = 2 * MIB
#: When this much of small buffers was freed, the allocator is asked to return it, which takes half a millisecond.
_WORTH_GIVING_BACK_NBYTES = 8 * MIB

_Buffer = ctypes.c_ubyte * POOL_BUFFER_NBYTES
_Place = tuple[mmap.mmap, int]


class BufferPool:
    """The buffers of one MemoryCache. It never lends one that is still viewed: each loan is an object of its own over
    its place in memory, and the place is free again when the last view of that object is gone.

    So nothing that views a buffer may have a `__del__`: the garbage collector runs those later. Memory that is not
    counted: the other half of a huge page of which only one half was ever lent, at most one page.
    """

    def __init__(self, give_back: Callable[[], None]) -> None:
        """`give_back` asks the allocator to return memory that was freed: it keeps that of small buffers that gave way
        to pooled ones (measured: 56 MiB of 64)."""
        self._give_back = give_back
        self._loose_nbytes = 0
        self._idle: list[_Place] = []
        #: Places that came back, in whatever thread the last view was dropped, and were not sorted in yet.
        self._returned: list[_Place] = []
        #: Halves without memory whose other half is in use.
        self._bare: dict[mmap.mmap, int] = {}

    @property
    def idle_nbytes(self) -> int:
        """The memory held by idle buffers, as of the last `reclaim`."""
        return len(self._idle) * POOL_BUFFER_NBYTES

    def reclaim(self, room_nbytes: int) -> None:
        """Sort in the buffers that came back: as many as fit into `room_nbytes` together with the idle ones are
        kept."""
        while self._returned:
            place = self._returned.pop()
            if len(self._idle) < min(MAX_IDLE, room_nbytes // POOL_BUFFER_NBYTES):
                self._idle.append(place)
            else:
                self._free(place)

    def take_idle(self) -> memoryview | None:
        """An idle buffer with arbitrary bytes in it, or None."""
        return self._lent(self._idle.pop()) if self._idle else None

    def take(self) -> memoryview:
        """An idle buffer, else a fresh one. Raises OSError where the system has no more memory."""
        idle = self.take_idle()
        if idle is not None:
            return idle
        if self._loose_nbytes >= _WORTH_GIVING_BACK_NBYTES:
            self._loose_nbytes = 0
            self._give_back()
        if self._bare:
            return self._lent(self._bare.popitem())
        mapping = _mapped()
        self._bare[mapping] = POOL_BUFFER_NBYTES
        return self._lent((mapping, 0))

    def note_gone(self, nbytes: int) -> None:
        """Note that a buffer of the cache was freed: one that is not of the pool may have lain in the heap."""
        if nbytes != POOL_BUFFER_NBYTES:
            self._loose_nbytes += nbytes

    def trim(self, nbytes: int) -> None:
        """Free idle buffers of at least `nbytes` together, or all."""
        freed_nbytes = 0
        while self._idle and freed_nbytes < nbytes:
            self._free(self._idle.pop())
            freed_nbytes += POOL_BUFFER_NBYTES

    def _lent(self, place: _Place) -> memoryview:
        buffer = _Buffer.from_buffer(*place)
        # the list's method, not one of this object: what the registry of finalisers holds is never collected
        weakref.finalize(buffer, self._returned.append, place).atexit = False
        return memoryview(buffer).cast("B")

    def _free(self, place: _Place) -> None:
        mapping, offset = place
        if self._bare.pop(mapping, None) is not None:
            return  # both halves are free: the system has the page back when the last name for it is gone
        mapping.madvise(mmap.MADV_DONTNEED, offset, POOL_BUFFER_NBYTES)
        with suppress(OSError):  # as below; otherwise the system would fill it again, to make the page a huge one
            mapping.madvise(mmap.MADV_NOHUGEPAGE, offset, POOL_BUFFER_NBYTES)
        self._bare[mapping] = offset


def _mapped() -> mmap.mmap:
    """A huge page's worth of addresses, which the kernel aligns (since 6.7) and fills when they are first touched."""
    mapping = mmap.mmap(-1, _HUGE_PAGE_NBYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping
