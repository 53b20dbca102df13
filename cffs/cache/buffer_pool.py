"""Buffers of 1 MiB that are used again, two of them in a huge page.

It must not know what is in them. `cache/memory` takes them; they come back by themselves.

Fresh memory costs page faults (readpath.md: RSS 96 -> 38 MiB, and faster), and copying through small pages costs looks
into the tables of a virtual machine: 256 MiB streamed took 0.32 s of processor with buffers of the heap, 0.28 s with
these (fresh mounts, ten of each by turns).
"""

import ctypes
import mmap
import weakref
from collections.abc import Callable
from contextlib import suppress

#: Larger buffers run cold (a 4 MiB buffer measured a sixth of the speed), smaller ones cost more calls per byte.
SLAB_NBYTES = 1024 * 1024
#: The widest window of one stream and as much again; more would only be idle memory.
MAX_IDLE = 16
#: x86 and most others; where it is another size the pages are small ones.
_HUGE_PAGE_NBYTES = 2 * 1024 * 1024
#: So much of small buffers is worth telling the allocator: half a millisecond.
_WORTH_GIVING_BACK_NBYTES = 8 * 1024 * 1024

_Slab = ctypes.c_ubyte * SLAB_NBYTES
_Place = tuple[mmap.mmap, int]


class BufferPool:
    """Where slabs come from, owned by one MemoryCache. Never gives out one that is still viewed: each is an object of
    its own over its place in memory, which is free again when the last view of that object is gone. (So nothing that
    views one may have a `__del__`: the collector calls those later.)

    Not counted: the other half of a huge page of which only one was ever taken, of one page at most.
    """

    def __init__(self, give_back: Callable[[], None]) -> None:
        """`give_back` tells the allocator that much of what was freed will not be wanted again: of small buffers that
        gave way to slabs it keeps the memory (measured: 56 MiB of 64)."""
        self._give_back = give_back
        self._loose_nbytes = 0
        self._idle: list[_Place] = []
        #: Came back in whatever thread let go of them; nobody has looked at them yet.
        self._returned: list[_Place] = []
        #: Halves without memory whose other half is in use.
        self._bare: dict[mmap.mmap, int] = {}

    @property
    def idle_nbytes(self) -> int:
        """The memory held by slabs nobody uses, as of the last `settle`."""
        return len(self._idle) * SLAB_NBYTES

    def settle(self, room_nbytes: int) -> None:
        """Of the slabs that came back by now, keeps what fits into `room_nbytes` with those that are idle already."""
        while self._returned:
            place = self._returned.pop()
            if len(self._idle) < min(MAX_IDLE, room_nbytes // SLAB_NBYTES):
                self._idle.append(place)
            else:
                self._free(place)

    def take_idle(self) -> memoryview | None:
        """A slab with arbitrary bytes in it, or None when there is no idle one."""
        return self._lent(self._idle.pop()) if self._idle else None

    def take(self) -> memoryview:
        """An idle slab, else a fresh one. Raises OSError where the system has no more memory."""
        idle = self.take_idle()
        if idle is not None:
            return idle
        if self._loose_nbytes >= _WORTH_GIVING_BACK_NBYTES:
            self._loose_nbytes = 0
            self._give_back()
        if self._bare:
            return self._lent(self._bare.popitem())
        mapping = _mapped()
        self._bare[mapping] = SLAB_NBYTES
        return self._lent((mapping, 0))

    def note_gone(self, nbytes: int) -> None:
        """A buffer of the cache's was freed; one that is no slab may have lain in the heap."""
        if nbytes != SLAB_NBYTES:
            self._loose_nbytes += nbytes

    def trim(self, nbytes: int) -> None:
        """Frees idle slabs of at least `nbytes` together, or all."""
        freed_nbytes = 0
        while self._idle and freed_nbytes < nbytes:
            self._free(self._idle.pop())
            freed_nbytes += SLAB_NBYTES

    def _lent(self, place: _Place) -> memoryview:
        slab = _Slab.from_buffer(*place)
        # the list's method and not ours: what the registry of finalisers holds is never collected
        weakref.finalize(slab, self._returned.append, place).atexit = False
        return memoryview(slab).cast("B")

    def _free(self, place: _Place) -> None:
        mapping, offset = place
        if self._bare.pop(mapping, None) is not None:
            return  # both halves: the system has it back with the last name for it
        mapping.madvise(mmap.MADV_DONTNEED, offset, SLAB_NBYTES)
        with suppress(OSError):  # as below; else the system fills it again, to make the page a huge one
            mapping.madvise(mmap.MADV_NOHUGEPAGE, offset, SLAB_NBYTES)
        self._bare[mapping] = offset


def _mapped() -> mmap.mmap:
    """A huge page's worth of addresses, which the kernel aligns (since 6.7) and fills when they are touched first."""
    mapping = mmap.mmap(-1, _HUGE_PAGE_NBYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping
