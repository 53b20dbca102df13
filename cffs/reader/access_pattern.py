"""Whether one reader goes on in order or jumps, as its READs tell: pure.

It must not know what is held or asked for. `reader/planner` asks it about each READ.
"""

from typing import NamedTuple

from cffs.core.byte_range import ByteRange

#: Covers every probe of 64 KiB with the kernel's read-ahead of 128 KiB; a READ beyond means a reader in order.
FIRST_NBYTES = 256 * 1024
#: The kernel reorders the READs of one reader by about its read-ahead.
TOLERANCE_NBYTES = 1024 * 1024
TOLERANCE_WHILE_UNSURE_NBYTES = 128 * 1024
#: After a jump: the jump's own READ and two in order.
READS_TO_BE_SURE = 3
#: Tags at the end of a file (ID3v1, APE, the last chunk of a WAV): read beside the head's stream, in one piece.
TAIL_NBYTES = 64 * 1024


class AccessPattern(NamedTuple):
    """Where one open handle is: the run of READs in order that it is in."""

    run_start: int = 0
    next_offset: int = 0
    reads_in_run: int = 0
    #: The size of a first request from the file's start; who reads beyond it reads on.
    first_nbytes: int = FIRST_NBYTES

    @property
    def in_order_nbytes(self) -> int:
        """How far the run goes."""
        return self.next_offset - self.run_start

    @property
    def is_sequential(self) -> bool:
        """True for a reader that goes on reading, as far as can be told."""
        if self.run_start == 0:
            return self.next_offset > self.first_nbytes
        return self.reads_in_run >= READS_TO_BE_SURE


def observe(state: AccessPattern, wanted: ByteRange, total_nbytes: int | None) -> tuple[AccessPattern, bool]:
    """The state after a READ, and whether it was a jump. A look at the tail is neither in order nor a jump."""
    if state.reads_in_run == 0:
        return _run_of(state, wanted), False
    if is_near(state, wanted):
        if wanted.stop <= state.next_offset:
            return state, False
        return _gone_on(state, wanted.stop), False
    if total_nbytes is not None and total_nbytes - wanted.start <= TAIL_NBYTES:
        return state, False
    return _run_of(state, wanted), True


def _run_of(state: AccessPattern, wanted: ByteRange) -> AccessPattern:
    return AccessPattern(
        run_start=wanted.start, next_offset=wanted.stop, reads_in_run=1, first_nbytes=state.first_nbytes
    )


def _gone_on(state: AccessPattern, stop: int) -> AccessPattern:
    return AccessPattern(
        run_start=state.run_start,
        next_offset=stop,
        reads_in_run=state.reads_in_run + 1,
        first_nbytes=state.first_nbytes,
    )


def is_near(state: AccessPattern, wanted: ByteRange) -> bool:
    """True where a READ goes on where the run is, as far as the kernel keeps its order."""
    tolerance_nbytes = TOLERANCE_NBYTES if state.is_sequential else TOLERANCE_WHILE_UNSURE_NBYTES
    distance = max(wanted.start - state.next_offset, state.next_offset - wanted.stop, 0)
    return distance <= tolerance_nbytes


def goes_on(state: AccessPattern, read: ByteRange, quiet_stop: int) -> AccessPattern | None:
    """The state after `read` where the last plan's `quiet_stop` says that nothing need be planned, else None."""
    if read.stop > quiet_stop or not state.next_offset - TOLERANCE_NBYTES <= read.start <= state.next_offset:
        return None
    if read.stop <= state.next_offset:
        return state
    return _gone_on(state, read.stop)
