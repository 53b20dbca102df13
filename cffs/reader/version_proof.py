"""Proofs that another answer has the bytes that readers were given.

It must not know fetches, or why a proof is wanted.
"""

from collections.abc import Callable
from typing import Protocol

import xxhash

from cffs.core.byte_range import ByteRange
from cffs.core.units import MIB
from cffs.reader.cursor import DeliveredRanges

#: How much is compared at a time.
_PIECE_NBYTES = MIB
#: More is not kept for a comparison: the views hold memory that no budget counts.
_MOST_NBYTES = 16 * MIB

BytesOf = Callable[[ByteRange], memoryview | None]


class Proof(Protocol):
    """A comparison of what readers have with an answer that begins with the first byte of the object."""

    @property
    def stop(self) -> int:
        """Once the answer has come this far, everything can be compared."""
        ...

    @property
    def is_complete(self) -> bool:
        """True where everything was compared and is equal."""
        ...

    def compare(self, position: int, bytes_of: BytesOf) -> bool:
        """Compare the answer, which has come up to `position`. False where one of its bytes differs from what readers
        have, or is not here to be compared. `bytes_of` returns what has come of the answer."""
        ...

    def restart(self) -> None:
        """Begin again, with another answer."""
        ...


class ProofByBytes:
    """A proof by comparison, where what readers were given is still in memory."""

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

    def compare(self, position: int, bytes_of: BytesOf) -> bool:
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
    """A proof by digest, where an earlier file knew the digest of the whole object."""

    def __init__(self, digest: int, total_nbytes: int) -> None:
        self._digest = digest
        self.stop = total_nbytes
        self.is_complete = False

    def compare(self, position: int, bytes_of: BytesOf) -> bool:
        """See Proof."""
        if position < self.stop:
            return True
        data = bytes_of(ByteRange(0, self.stop))
        self.is_complete = data is not None and digest_of(data) == self._digest
        return self.is_complete

    def restart(self) -> None:
        """See Proof."""


def proof_of(delivered: DeliveredRanges, bytes_of: BytesOf) -> ProofByBytes | None:
    """Return what another answer must have to continue what readers were given.

    None where that is not known, no longer in memory, or too much. `bytes_of` returns what is in memory.
    """
    if delivered.is_unsure or delivered.nbytes > _MOST_NBYTES:
        return None
    pieces = list[tuple[ByteRange, memoryview]]()
    for start, stop in delivered:
        for begin in range(start, stop, _PIECE_NBYTES):
            piece = ByteRange(begin, min(begin + _PIECE_NBYTES, stop))
            data = bytes_of(piece)
            if data is None:
                return None
            pieces.append((piece, data))
    return ProofByBytes(pieces)


def digest_of(whole: memoryview) -> int:
    """A digest that distinguishes the bytes of one object from others, as long as there is no intent to deceive."""
    return xxhash.xxh3_128_intdigest(whole)
