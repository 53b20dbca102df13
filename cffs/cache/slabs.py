"""Buffers of 1 MiB that are used again, two of them in each huge page.

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

_Slab = ctypes.c_ubyte * SLAB_NBYTES
_Place = tuple[mmap.mmap, int]


class SlabPool:
    """Where slabs come from, owned by one MemoryCache. Never gives out one that is still viewed: each is an object of
    its own over its place in memory, which is free again when the last view of that object is gone."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        """`has_room` says, when a slab comes back, whether its memory may be kept; asked in any thread."""
        self._has_room = has_room
        self._idle: list[_Place] = []
        #: Addresses without memory, for as long as the process lives: at most as many as were ever in use together.
        self._bare: list[_Place] = []

    @property
    def idle_nbytes(self) -> int:
        """The memory held by slabs nobody uses."""
        return len(self._idle) * SLAB_NBYTES

    def take_idle(self) -> memoryview | None:
        """A slab with arbitrary bytes in it, or None when there is no idle one."""
        return self._lent(self._idle.pop()) if self._idle else None

    def take(self) -> memoryview:
        """An idle slab, else a fresh one."""
        if not self._idle and not self._bare:
            self._bare = _mapped()
        return self._lent((self._idle or self._bare).pop())

    def trim(self, nbytes: int) -> None:
        """Frees idle slabs of at least `nbytes` together, or all."""
        freed_nbytes = 0
        while self._idle and freed_nbytes < nbytes:
            self._free(self._idle.pop())
            freed_nbytes += SLAB_NBYTES

    def _lent(self, place: _Place) -> memoryview:
        slab = _Slab.from_buffer(*place)
        weakref.finalize(slab, self._came_back, place).atexit = False
        return memoryview(slab).cast("B")

    def _came_back(self, place: _Place) -> None:
        if len(self._idle) < MAX_IDLE and self._has_room():
            self._idle.append(place)
        else:
            self._free(place)

    def _free(self, place: _Place) -> None:
        mapping, offset = place
        mapping.madvise(mmap.MADV_DONTNEED, offset, SLAB_NBYTES)
        self._bare.append(place)


def _mapped() -> list[_Place]:
    """A huge page's worth of addresses, which the kernel aligns (since 6.7) and fills when they are touched first."""
    mapping = mmap.mmap(-1, _HUGE_PAGE_NBYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return [(mapping, offset) for offset in range(0, _HUGE_PAGE_NBYTES, SLAB_NBYTES)]
