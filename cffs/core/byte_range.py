"""Half-open byte ranges and their arithmetic.

It owns how offsets are added, split and rounded. It must not know HTTP's inclusive form (`callfire/range_body`
does), nor what the bytes are. About ten ranges are made for each READ, so a range is a tuple.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self


class _Range(NamedTuple):
    start: int
    stop: int


class ByteRange(_Range):
    """The bytes from `start` up to and excluding `stop`. Empty when both are equal.

    Raises ValueError for a negative start or a stop before the start.
    """

    __slots__ = ()

    def __new__(cls, start: int, stop: int) -> Self:
        if not 0 <= start <= stop:
            raise ValueError(f"not a byte range: {start}..{stop}")
        return tuple.__new__(cls, (start, stop))

    @property
    def nbytes(self) -> int:
        """The number of bytes in it."""
        return self.stop - self.start

    def __bool__(self) -> bool:
        return self.stop > self.start

    def __str__(self) -> str:
        return f"[{self.start}, {self.stop})"

    def contains(self, other: "ByteRange") -> bool:
        """True when every byte of `other` is in this range (an empty range is in any)."""
        return not other or (self.start <= other.start and other.stop <= self.stop)

    def overlaps(self, other: "ByteRange") -> bool:
        """True when at least one byte is in both."""
        return max(self.start, other.start) < min(self.stop, other.stop)

    def clamped(self, nbytes: int) -> "ByteRange":
        """The part of it that lies in an object of `nbytes` bytes; empty, at the object's end, where none does."""
        return self if self.stop <= nbytes else ByteRange(min(self.start, nbytes), nbytes)

    def aligned(self, unit_nbytes: int) -> "ByteRange":
        """The smallest range that holds this one and starts and stops on multiples of `unit_nbytes`."""
        start = self.start - self.start % unit_nbytes
        return ByteRange(start, self.stop + -self.stop % unit_nbytes if self else start)

    def minus(self, taken: Iterable["ByteRange"]) -> Iterator["ByteRange"]:
        """The maximal pieces of it, ascending, that lie in none of `taken` (any order, overlaps allowed)."""
        position = self.start
        for other in sorted(taken):
            if not other or other.stop <= position:
                continue
            if other.start >= self.stop:
                break
            if other.start > position:
                yield ByteRange(position, other.start)
            position = other.stop
        if position < self.stop:
            yield ByteRange(position, self.stop)
