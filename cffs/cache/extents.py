"""Sorted runs of bytes of one object version, and the arithmetic to find one.

It owns no budget: it must not know about limits or eviction.
"""

from bisect import bisect_left, bisect_right
from enum import Enum, auto

from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange


class ExtentState(Enum):
    """What may happen to an extent when room is needed."""

    FILLING = auto()  # a receiver writes into it
    UNREAD = auto()  # arrived, and an open reader has not read all of it
    CONSUMED = auto()  # read to its end by a passing stream, given up by its readers, or on disk too: first to go
    KEPT = auto()  # read, and worth keeping: the least recently used goes first
    GONE = auto()  # no longer in the cache


class Extent:
    """A run of bytes in one buffer, from `start`; the first `filled_nbytes` are verified.

    Owned by MemoryCache. The holder of the lease may only write into `vacant`.
    """

    __slots__ = ("buffer", "filled_nbytes", "is_ahead", "is_passing", "owner", "read_nbytes", "start", "state")

    def __init__(
        self, *, owner: "ObjectExtents", start: int, buffer: memoryview, is_passing: bool, is_ahead: bool
    ) -> None:
        self.owner = owner
        self.start = start
        self.buffer = buffer
        self.is_passing = is_passing
        self.is_ahead = is_ahead
        self.filled_nbytes = 0
        self.read_nbytes = 0
        self.state = ExtentState.FILLING

    @property
    def capacity_nbytes(self) -> int:
        """The memory it occupies."""
        return len(self.buffer)

    @property
    def filled_stop(self) -> int:
        """Where its verified bytes end."""
        return self.start + self.filled_nbytes

    @property
    def claimed_stop(self) -> int:
        """Where the bytes end that it has or, while it fills, will have."""
        return self.start + (len(self.buffer) if self.state is ExtentState.FILLING else self.filled_nbytes)

    def bytes_of(self, wanted: ByteRange) -> memoryview:
        """These bytes, read-only; the caller knows that the extent has them."""
        return self.buffer[wanted.start - self.start : wanted.stop - self.start].toreadonly()

    @property
    def vacant(self) -> memoryview:
        """The part still to be received; empty when full."""
        return self.buffer[self.filled_nbytes :]


class ObjectExtents:
    """The extents of one object version, ascending, never overlapping."""

    __slots__ = ("extents", "is_protected", "starts", "version")

    def __init__(self, version: ObjectVersion) -> None:
        self.version = version
        self.is_protected = True
        self.starts: list[int] = []
        self.extents: list[Extent] = []

    def index_at(self, offset: int) -> int:
        """The index of the last extent that starts at or before `offset`; -1 when there is none."""
        return bisect_right(self.starts, offset) - 1

    def insert(self, extent: Extent) -> None:
        """Add an extent in its place; the caller knows that it overlaps none."""
        index = bisect_left(self.starts, extent.start)
        self.starts.insert(index, extent.start)
        self.extents.insert(index, extent)

    def remove(self, extent: Extent) -> None:
        """Take an extent out."""
        index = bisect_left(self.starts, extent.start)
        del self.starts[index]
        del self.extents[index]

    def extent_of(self, wanted: ByteRange) -> Extent | None:
        """The extent that has all of `wanted`, or None."""
        start, stop = wanted
        index = bisect_right(self.starts, start) - 1
        if index < 0:
            return None
        extent = self.extents[index]
        return extent if stop <= extent.start + extent.filled_nbytes else None

    def bytes_of(self, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted`, read-only, or None when any is missing; without a copy where one extent has them
        all."""
        extent = self.extent_of(wanted)
        return self.joined(wanted) if extent is None else extent.bytes_of(wanted)

    def joined(self, wanted: ByteRange) -> memoryview | None:
        """A copy of the bytes of `wanted`, put together from several extents, or None when any is missing."""
        index = self.index_at(wanted.start)
        if index < 0 or self.first_missing(wanted) is not None:
            return None
        joined = bytearray(wanted.nbytes)
        for extent in self.extents[index:]:
            start, stop = max(extent.start, wanted.start), min(extent.filled_stop, wanted.stop)
            if start >= wanted.stop:
                break
            if stop > start:
                joined[start - wanted.start : stop - wanted.start] = extent.bytes_of(ByteRange(start, stop))
        return memoryview(joined).toreadonly()

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` whose bytes are not here, or None when all are."""
        position = within.start
        index = max(self.index_at(position), 0)
        while index < len(self.extents) and position < within.stop:
            extent = self.extents[index]
            if extent.start > position:
                return ByteRange(position, min(self._next_filled_start(index, within.stop), within.stop))
            position = max(position, extent.filled_stop)
            index += 1
        return ByteRange(position, within.stop) if position < within.stop else None

    def _next_filled_start(self, index: int, before: int) -> int:
        while index < len(self.extents) and self.extents[index].start < before:
            if self.extents[index].filled_nbytes:
                return self.extents[index].start
            index += 1
        return before

    def free_run(self, position: int, stop: int) -> tuple[bool, int]:
        """Whether `position` is free of extents, and up to where (at most `stop`) that stays so."""
        index = self.index_at(position)
        if index >= 0 and position < self.extents[index].claimed_stop:
            return False, min(self.extents[index].claimed_stop, stop)
        following = index + 1
        return True, min(self.starts[following], stop) if following < len(self.starts) else stop
