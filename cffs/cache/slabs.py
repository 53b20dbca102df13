"""Buffers of 1 MiB that are used again: fresh ones cost page faults (readpath.md: RSS 96 -> 38 MiB, and faster).

It must not know what is in them. `cache/memory` takes and gives.
"""

#: Larger buffers run cold (a 4 MiB buffer measured a sixth of the speed), smaller ones cost more calls per byte.
SLAB_NBYTES = 1024 * 1024
#: The widest window of one stream and as much again; more would only be idle memory.
MAX_IDLE = 16


class SlabPool:
    """A free list of at most MAX_IDLE slabs, owned by one MemoryCache. Never gives out one that is still viewed."""

    def __init__(self) -> None:
        self._idle: list[bytearray] = []

    @property
    def idle_nbytes(self) -> int:
        """The memory held by slabs nobody uses."""
        return len(self._idle) * SLAB_NBYTES

    def take(self) -> bytearray | None:
        """A slab with arbitrary bytes in it, or None when there is no idle one."""
        return self._idle.pop() if self._idle else None

    def give(self, buffer: bytearray) -> bool:
        """Keeps `buffer` for later; False when it is no slab, is still viewed, or enough are idle."""
        if len(buffer) != SLAB_NBYTES or len(self._idle) >= MAX_IDLE or _is_viewed(buffer):
            return False
        self._idle.append(buffer)
        return True

    def trim(self, nbytes: int) -> None:
        """Frees idle slabs of at least `nbytes` together, or all."""
        freed = 0
        while self._idle and freed < nbytes:
            self._idle.pop()
            freed += SLAB_NBYTES


def _is_viewed(buffer: bytearray) -> bool:
    """True when a memoryview of it is alive: Python refuses to resize an exported bytearray, and one byte less and
    more again touches no memory otherwise."""
    try:
        last = buffer.pop()
    except BufferError:
        return True
    buffer.append(last)
    return False
