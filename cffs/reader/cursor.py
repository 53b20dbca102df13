"""Where one reader of a file is, how it reads, and what readers were given.

It owns the access pattern of one open handle (the run of READs in order that it is in, or the jump it made), its
read-ahead window, and the set of ranges that all handles of a file have delivered. It must not know fetches, caches or
clocks. It has no I/O and no await.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from cffs.core.byte_range import ByteRange
from cffs.core.units import KIB, MIB

#: Covers every probe of 64 KiB with the kernel's read-ahead of 128 KiB; a READ beyond it is one of a sequential reader.
FIRST_NBYTES = 256 * KIB
#: The kernel reorders the READs of one reader by about its read-ahead.
TOLERANCE_NBYTES = MIB
TOLERANCE_WHILE_UNSURE_NBYTES = 128 * KIB
#: After a jump: the READ that jumped and two in order.
READS_TO_BE_SURE = 3
#: Tags at the end of a file (ID3v1, APE, the last chunk of a WAV): read beside the stream from the head, in one piece.
TAIL_NBYTES = 64 * KIB
#: More separate ranges than this are not remembered, and nothing can be proven about them.
_MOST_RANGES = 1000


class AccessPattern(NamedTuple):
    """The run of READs in order that a reader is in."""

    run_start: int = 0
    next_offset: int = 0
    reads_in_run: int = 0
    #: The size of a first request from the start of the file; a reader that reads beyond it reads on.
    first_nbytes: int = FIRST_NBYTES

    @property
    def in_order_nbytes(self) -> int:
        """The length of the run."""
        return self.next_offset - self.run_start

    @property
    def is_sequential(self) -> bool:
        """True for a reader that is expected to read on."""
        if self.run_start == 0:
            return self.next_offset > self.first_nbytes
        return self.reads_in_run >= READS_TO_BE_SURE


class Cursor:
    """The place of one reader. Owned by one open handle, changed by the file that serves it and by its read-ahead."""

    def __init__(self, *, first_nbytes: int, opened_at: float) -> None:
        """`first_nbytes`: see AccessPattern. `opened_at` is trio's time."""
        self.opened_at = opened_at
        self.pattern = AccessPattern(first_nbytes=first_nbytes)
        #: Where the read-ahead window ends.
        self.receive_stop = 0
        #: READs in order that end here or before need no plan.
        self.quiet_stop = 0
        #: The window is moved again once the reader has come this far.
        self.window_due = 0
        #: Memory up to here was already searched for bytes to free behind the reader.
        self.swept_stop = 0
        #: Memory up to here was already searched for bytes that are not on disk (`DiskFill`).
        self.kept_stop = 0
        #: The furthest byte read, and whether the reader looked at the end, as programs do that look for tags.
        self.furthest_stop = 0
        self.has_read_tail = False
        #: What was prefetched for it before its first READ.
        self.early: tuple[ByteRange, ...] = ()

    def goes_on(self, read: ByteRange) -> bool:
        """Move on by `read` and return True, where the last plan said that it needs none; else change nothing."""
        pattern = self.pattern
        if read.stop > self.quiet_stop or not (
            pattern.next_offset - TOLERANCE_NBYTES <= read.start <= pattern.next_offset
        ):
            return False
        if read.stop > pattern.next_offset:
            self.pattern = _gone_on(pattern, read.stop)
        return True

    def wants(self, start: int, stop: int) -> bool:
        """True where the reader, going on, meets a byte of that range within its window, or has it prefetched."""
        if any(start < early.stop and early.start < stop for early in self.early):
            return True
        return self.pattern.next_offset <= stop and start <= max(self.receive_stop, self.pattern.next_offset)

    def note_read(self, read: ByteRange, total_nbytes: int | None) -> None:
        """Remember that `read` of a file of `total_nbytes` was served."""
        is_apart = read.start > self.furthest_stop
        if is_apart and total_nbytes is not None and total_nbytes - read.start <= TAIL_NBYTES:
            self.has_read_tail = True
        elif read.stop > self.furthest_stop:
            self.furthest_stop = read.stop


def observe(pattern: AccessPattern, wanted: ByteRange, total_nbytes: int | None) -> tuple[AccessPattern, bool]:
    """Return the pattern after a READ, and whether the READ was a jump. A look at the tail is neither in order nor a
    jump."""
    if pattern.reads_in_run == 0:
        return _run_of(pattern, wanted), False
    if is_near(pattern, wanted):
        if wanted.stop <= pattern.next_offset:
            return pattern, False
        return _gone_on(pattern, wanted.stop), False
    if total_nbytes is not None and total_nbytes - wanted.start <= TAIL_NBYTES:
        return pattern, False
    return _run_of(pattern, wanted), True


def is_near(pattern: AccessPattern, wanted: ByteRange) -> bool:
    """True where a READ continues the run, as far as the kernel keeps the order of READs."""
    tolerance_nbytes = TOLERANCE_NBYTES if pattern.is_sequential else TOLERANCE_WHILE_UNSURE_NBYTES
    distance = max(wanted.start - pattern.next_offset, pattern.next_offset - wanted.stop, 0)
    return distance <= tolerance_nbytes


def _run_of(pattern: AccessPattern, wanted: ByteRange) -> AccessPattern:
    return AccessPattern(
        run_start=wanted.start, next_offset=wanted.stop, reads_in_run=1, first_nbytes=pattern.first_nbytes
    )


def _gone_on(pattern: AccessPattern, stop: int) -> AccessPattern:
    return AccessPattern(
        run_start=pattern.run_start,
        next_offset=stop,
        reads_in_run=pattern.reads_in_run + 1,
        first_nbytes=pattern.first_nbytes,
    )


class DeliveredRanges:
    """The ranges that the readers of one file were given: ascending, apart from each other."""

    def __init__(self) -> None:
        #: True where readers may have other bytes too: the kernel's pages of an earlier open, or too many ranges.
        self.is_unsure = False
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __bool__(self) -> bool:
        """True where a reader may have a byte."""
        return self.is_unsure or bool(self._starts)

    def __iter__(self) -> Iterator[ByteRange]:
        return map(ByteRange, self._starts, self._stops)

    @property
    def nbytes(self) -> int:
        """How many bytes that is."""
        return sum(self._stops) - sum(self._starts)

    def add(self, delivered: ByteRange) -> None:
        """Remember that a reader was given these bytes."""
        if not delivered:
            return
        start, stop = delivered
        first = bisect_left(self._stops, start)  # the first range that ends at or after its start
        last = bisect_right(self._starts, stop)  # one past the last range that starts at or before its end
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]
        if len(self._starts) > _MOST_RANGES:
            self._starts, self._stops, self.is_unsure = [], [], True
