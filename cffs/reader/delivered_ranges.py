"""Which bytes of an object readers were given, and proofs that another answer has the same ones there. Pure.

It must not know answers or why a proof is wanted. Owned by one RemoteFile.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Protocol

import xxhash

from cffs.core.byte_range import ByteRange

#: Of a reader that reads here and there in more places than that nothing is remembered (nor can be proven).
_MOST_RUNS = 1000
#: So much is compared at a time.
_PIECE_NBYTES = 1024 * 1024
#: More is not kept for a comparison: the views hold memory that nobody counts.
_MOST_NBYTES = 16 * 1024 * 1024


class DeliveredRanges:
    """Runs of bytes, apart from each other and ascending."""

    def __init__(self) -> None:
        #: True where readers may have other bytes than these: pages of an earlier life of the file, or too many runs.
        self.is_unsure = False
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __bool__(self) -> bool:
        """True where anybody may have a byte."""
        return self.is_unsure or bool(self._starts)

    def add(self, run: ByteRange) -> None:
        """A reader was given these."""
        if not run:
            return
        first = bisect_left(self._stops, run.start)  # the first that ends at or behind its start
        last = bisect_right(self._starts, run.stop)  # behind the last that starts at or before its end
        start, stop = run
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]
        if len(self._starts) > _MOST_RUNS:
            self._starts, self._stops, self.is_unsure = [], [], True

    def proof(self, bytes_of: Callable[[ByteRange], memoryview | None]) -> "ProofByBytes | None":
        """What another answer must have; None where that is not known, not here any more, or too much. `bytes_of` gives
        what is here."""
        if self.is_unsure or sum(self._stops) - sum(self._starts) > _MOST_NBYTES:
            return None
        pieces = list[tuple[ByteRange, memoryview]]()
        for start, stop in zip(self._starts, self._stops, strict=True):
            for begin in range(start, stop, _PIECE_NBYTES):
                piece = ByteRange(begin, min(begin + _PIECE_NBYTES, stop))
                data = bytes_of(piece)
                if data is None:
                    return None
                pieces.append((piece, data))
        return ProofByBytes(pieces)


class Proof(Protocol):
    """That an answer, which comes from its first byte on, has the bytes that were given out."""

    @property
    def stop(self) -> int:
        """Once the answer has come so far, everything can be compared."""
        ...

    @property
    def is_complete(self) -> bool:
        """True where everything was compared, and is the same."""
        ...

    def compare(self, position: int, bytes_of: Callable[[ByteRange], memoryview | None]) -> bool:
        """The answer has come up to `position`; False where a byte of it is another one than was given out, or not here
        to be compared. `bytes_of` gives what has come of it."""
        ...

    def restart(self) -> None:
        """Another answer begins."""
        ...


class ProofByBytes:
    """The same where what was given out is here."""

    def __init__(self, pieces: list[tuple[ByteRange, memoryview]]) -> None:
        self._pieces = pieces
        self._proven = 0

    @property
    def stop(self) -> int:
        """See Proof."""
        return self._pieces[-1][0].stop if self._pieces else 0

    @property
    def is_complete(self) -> bool:
        """See Proof."""
        return self._proven == len(self._pieces)

    def compare(self, position: int, bytes_of: Callable[[ByteRange], memoryview | None]) -> bool:
        """See Proof."""
        while not self.is_complete and self._pieces[self._proven][0].stop <= position:
            piece, data = self._pieces[self._proven]
            if bytes_of(piece) != data:
                return False
            self._proven += 1
        return True

    def restart(self) -> None:
        """See Proof."""
        self._proven = 0


class ProofByDigest:
    """The same where only the digest of the whole is known."""

    def __init__(self, digest: int, total_nbytes: int) -> None:
        self._digest = digest
        self.stop = total_nbytes
        self.is_complete = False

    def compare(self, position: int, bytes_of: Callable[[ByteRange], memoryview | None]) -> bool:
        """See Proof."""
        if position < self.stop:
            return True
        data = bytes_of(ByteRange(0, self.stop))
        self.is_complete = data is not None and digest_of(data) == self._digest
        return self.is_complete

    def restart(self) -> None:
        """See Proof."""


def digest_of(whole: memoryview) -> int:
    """What tells the bytes of one object from others, as long as nobody means to deceive."""
    return xxhash.xxh3_128_intdigest(whole)
