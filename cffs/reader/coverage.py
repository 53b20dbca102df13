"""What of a file is held and what is on its way, as the read-ahead policy sees it.

It owns the view without a run that the policy is about to cut off (`Cut`). It must not know memory, disk or requests.
Pure.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from cffs.core.byte_range import ByteRange


class Coming(NamedTuple):
    """A run on its way: its next byte, up to where it can no longer be cut, where it ends, and whether its answer has
    begun."""

    position: int
    fixed_stop: int
    stop: int
    has_begun: bool = True


class Coverage(Protocol):
    """What of a file is held, and what is on its way."""

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not held, or None."""
        ...

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is neither held nor on its way, or None."""
        ...

    def coming(self, offset: int) -> Coming | None:
        """What is on its way to bring the byte at `offset`, or None."""
        ...


class Cut:
    """A coverage without the end of a run on its way that is to be cut off."""

    def __init__(self, coverage: Coverage, cut: ByteRange) -> None:
        self._coverage = coverage
        self._cut = cut

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        """See Coverage."""
        return self._coverage.first_absent(within)

    def coming(self, offset: int) -> Coming | None:
        """See Coverage; None for a byte that is cut off."""
        return None if self._cut.start <= offset < self._cut.stop else self._coverage.coming(offset)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """See Coverage; what is cut off is missing, except where it is held."""
        position, found = within.start, None
        while position < within.stop:
            piece = self._next_missing(ByteRange(position, within.stop))
            if piece is None or (found is not None and piece.start != found.stop):
                break
            found = piece if found is None else ByteRange(found.start, piece.stop)
            position = piece.stop
        return found

    def _next_missing(self, within: ByteRange) -> ByteRange | None:
        """The next missing piece, or perhaps only its beginning."""
        other = self._coverage.first_missing(within)
        start, stop = max(within.start, self._cut.start), min(within.stop, self._cut.stop)
        taken = self._coverage.first_absent(ByteRange(start, stop)) if start < stop else None
        return min((piece for piece in (other, taken) if piece is not None), default=None)


def missing(coverage: Coverage, within: ByteRange) -> Iterator[ByteRange]:
    """The maximal pieces of `within` that are neither held nor on their way, ascending."""
    while within:
        piece = coverage.first_missing(within)
        if piece is None:
            return
        yield piece
        within = ByteRange(piece.stop, within.stop)
