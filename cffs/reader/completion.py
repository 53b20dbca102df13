"""The requests that complete a file: few, and with hardly a byte fetched twice.

It owns the trade between a request and the bytes it saves. It must not know readers, clocks, or which requests are on
their way, except as its arguments say. Pure.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

from cffs.core.byte_range import ByteRange
from cffs.core.units import KIB

#: One request for what lies before the READ that needs it, one for what follows.
_USUAL_REQUESTS = 2
#: How much that is held already may be fetched again where that saves a request. What keeps the requests at their most
#: is not held to it.
SPARE_NBYTES = 512 * KIB
#: Less is not worth a connection of its own.
_LEAST_PART_NBYTES = 512 * KIB


def requests_for(
    gaps: Iterable[ByteRange],
    first_offset: int,
    *,
    is_held: Callable[[ByteRange], bool],
    most: int,
    depth: int = 1,
) -> list[ByteRange]:
    """Return ranges that cover `gaps` (ascending, apart), first the one that brings the byte at `first_offset` soonest.

    One range begins at that byte where that is possible. Usually there are two, or as many as `depth` connections are
    worth. To have no more than `most`, ranges are joined over bytes between them that are held, which come again. They
    are not joined over bytes that are on their way, so there may be more.
    """
    pieces = list(_split_at(gaps, first_offset))
    spare_nbytes = SPARE_NBYTES
    while len(pieces) > _USUAL_REQUESTS:
        between = _shortest_between(pieces, is_held)
        if between is None or between.nbytes > spare_nbytes:
            break
        spare_nbytes -= between.nbytes
        pieces = _joined(pieces, between)
    while len(pieces) > most:
        between = _shortest_between(pieces, is_held, may_touch=True)
        if between is None:
            break
        pieces = _joined(pieces, between)
    while pieces and len(pieces) < min(most, depth):
        longest = max(pieces, key=lambda piece: piece.nbytes)
        if longest.nbytes < 2 * _LEAST_PART_NBYTES:
            break
        middle = longest.start + longest.nbytes // 2
        pieces = list(_split_at(pieces, middle - middle % _LEAST_PART_NBYTES))
    return sorted(pieces, key=lambda piece: (not piece.start <= first_offset < piece.stop, piece))


def _split_at(pieces: Iterable[ByteRange], offset: int) -> Iterable[ByteRange]:
    for piece in pieces:
        if piece.start < offset < piece.stop:
            yield ByteRange(piece.start, offset)
            yield ByteRange(offset, piece.stop)
        else:
            yield piece


def _shortest_between(
    pieces: list[ByteRange], is_held: Callable[[ByteRange], bool], *, may_touch: bool = False
) -> ByteRange | None:
    """What lies between two neighbours and is held; empty where they touch."""
    between = [ByteRange(one.stop, other.start) for one, other in pairwise(pieces)]
    held = [gap for gap in between if (is_held(gap) if gap else may_touch)]
    return min(held, key=lambda gap: gap.nbytes, default=None)


def _joined(pieces: list[ByteRange], between: ByteRange) -> list[ByteRange]:
    index = next(index for index, piece in enumerate(pieces) if piece.stop == between.start)
    return [*pieces[:index], ByteRange(pieces[index].start, pieces[index + 1].stop), *pieces[index + 2 :]]
