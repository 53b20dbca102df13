"""What to ask the origin for, given what one reader has read so far: pure, deterministic, never awaited.

It must not know tasks, clocks, HTTP or memory; it sees what is held or on its way through `Coverage`.
`reader/remote_file` calls it once for each READ. The numbers are measured: readpath.md section 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cffs.core.byte_range import ByteRange

PAGE_NBYTES = 4096
#: One request from open to end (contract 5).
SMALL_FILE_NBYTES = 512 * 1024
#: Covers every probe of 64 KiB with the kernel's read-ahead of 128 KiB; a READ beyond means a reader in order.
FIRST_NBYTES = 256 * 1024
#: The same where the kernel reads ahead by more.
FIRST_NBYTES_WIDE_READ_AHEAD = 512 * 1024
WIDE_READ_AHEAD_NBYTES = 512 * 1024
#: One connection for long, but its end bounds what closing early may waste, and what a killed daemon leaves unsettled
#: on disk. 256 MiB were 5 % faster at 50 ms.
LONG_NBYTES = 64 * 1024 * 1024
MIN_WINDOW_NBYTES = 1024 * 1024
MAX_WINDOW_NBYTES = 8 * 1024 * 1024
#: Where several connections pay for one stream: a request's share of the window, and how wide the window is.
PART_NBYTES = 4 * 1024 * 1024
_MIN_PART_NBYTES = 256 * 1024
_PARALLEL_RAMP = 4
_MIN_PARALLEL_WINDOW_NBYTES = 8 * 1024 * 1024
#: How far to look for what is covered already, so that most READs of a stream need no plan.
_LOOK_AHEAD_NBYTES = 16 * 1024 * 1024
#: The kernel reorders the READs of one reader by about its read-ahead.
TOLERANCE_NBYTES = 1024 * 1024
TOLERANCE_WHILE_UNSURE_NBYTES = 128 * 1024
#: After a jump: the jump's own READ and two in order.
READS_TO_BE_SURE = 3
#: Tags at the end of a file (ID3v1, APE, the last chunk of a WAV): read beside the head's stream, in one piece.
TAIL_NBYTES = 20 * 1024


class Coverage(Protocol):
    """What needs no request: held, or on its way."""

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is neither held nor on its way, or None."""
        ...


class ReaderState(NamedTuple):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerLimits:
    """What the mount allows: the widest window that memory has room for now, how far ahead of the reader the next
    request must start to arrive in time, and how many connections a stream gets."""

    window_cap_nbytes: int = MAX_WINDOW_NBYTES
    lead_nbytes: int = MIN_WINDOW_NBYTES
    depth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFetch:
    """One request to make. A stream is received only as far as the reader's window; anything else at once."""

    wanted: ByteRange
    is_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What follows from one READ. `receive_stop` is where this reader's window ends; `is_jump` says that the streams
    it had are of no use to it any more."""

    state: ReaderState
    fetches: tuple[PlannedFetch, ...]
    receive_stop: int
    is_jump: bool
    #: READs that go on in order and end here or before need no plan (see `goes_on`).
    quiet_stop: int = 0


def plan(
    state: ReaderState, read: ByteRange, coverage: Coverage, *, total_nbytes: int | None, limits: PlannerLimits
) -> Plan:
    """What to do about `read`, the next READ of a handle in `state`; all of it is covered afterwards.

    Calling it again with the state it returned and the same READ changes no state (a caller that waited may replan).
    """
    wanted = read if total_nbytes is None else read.clamped(total_nbytes)
    if not wanted:
        return Plan(state=state, fetches=(), receive_stop=state.next_offset, is_jump=False)
    after, is_jump = observe(state, wanted, total_nbytes)
    window_nbytes = _window_nbytes(after, limits)
    receive_stop = after.next_offset + (window_nbytes if after.is_sequential else 0)
    if total_nbytes is None:
        fetches = [PlannedFetch(wanted=piece, is_stream=False) for piece in _missing(coverage, wanted)]
        return Plan(state=after, fetches=tuple(fetches), receive_stop=receive_stop, is_jump=is_jump)
    whole = ByteRange(0, total_nbytes)
    fetches = []
    quiet_stop = 0
    if total_nbytes <= SMALL_FILE_NBYTES:
        needed = whole
    elif after.is_sequential and after.next_offset >= wanted.stop and _is_near(after, wanted):
        needed = wanted.aligned(PAGE_NBYTES).clamped(total_nbytes)
        if limits.depth > 1:
            lead_nbytes = window_nbytes
            streams, covered_stop = _parts(after, wanted, coverage, total_nbytes, window_nbytes, limits.depth)
        else:
            lead_nbytes = max(window_nbytes, limits.lead_nbytes)
            streams, covered_stop = _stream(after, wanted, coverage, total_nbytes, lead_nbytes)
        quiet_stop = total_nbytes if covered_stop == total_nbytes else max(0, covered_stop - lead_nbytes)
        fetches += [PlannedFetch(wanted=stream, is_stream=True) for stream in streams]
    elif wanted.start == 0 and wanted.nbytes <= state.first_nbytes:
        needed = ByteRange(0, state.first_nbytes).clamped(total_nbytes)
    elif total_nbytes - wanted.start <= TAIL_NBYTES:
        needed = ByteRange(total_nbytes - TAIL_NBYTES, total_nbytes).aligned(PAGE_NBYTES).clamped(total_nbytes)
    else:
        needed = wanted.aligned(PAGE_NBYTES).clamped(total_nbytes)
    taken = [fetch.wanted for fetch in fetches]
    for gap in _missing(coverage, needed):
        fetches.extend(PlannedFetch(wanted=piece, is_stream=False) for piece in gap.minus(taken))
    return Plan(state=after, fetches=tuple(fetches), receive_stop=receive_stop, is_jump=is_jump, quiet_stop=quiet_stop)


def goes_on(state: ReaderState, read: ByteRange, quiet_stop: int) -> ReaderState | None:
    """The state after `read` where the last plan's `quiet_stop` says that nothing need be planned, else None."""
    if read.stop > quiet_stop or not state.next_offset - TOLERANCE_NBYTES <= read.start <= state.next_offset:
        return None
    if read.stop <= state.next_offset:
        return state
    return _gone_on(state, read.stop)


def receive_stop_of(state: ReaderState, limits: PlannerLimits) -> int:
    """Where the window of a sequential reader ends now."""
    return state.next_offset + _window_nbytes(state, limits)


def _window_nbytes(state: ReaderState, limits: PlannerLimits) -> int:
    if limits.depth > 1:
        wide_nbytes = max(_PARALLEL_RAMP * state.in_order_nbytes, _MIN_PARALLEL_WINDOW_NBYTES)
        return min(wide_nbytes, limits.depth * PART_NBYTES, limits.window_cap_nbytes)
    return min(max(state.in_order_nbytes, MIN_WINDOW_NBYTES), MAX_WINDOW_NBYTES, limits.window_cap_nbytes)


def observe(state: ReaderState, wanted: ByteRange, total_nbytes: int | None) -> tuple[ReaderState, bool]:
    """The state after a READ, and whether it was a jump. A look at the tail is neither in order nor a jump."""
    if state.reads_in_run == 0:
        return _run_of(state, wanted), False
    if _is_near(state, wanted):
        if wanted.stop <= state.next_offset:
            return state, False
        return _gone_on(state, wanted.stop), False
    if total_nbytes is not None and total_nbytes - wanted.start <= TAIL_NBYTES:
        return state, False
    return _run_of(state, wanted), True


def _run_of(state: ReaderState, wanted: ByteRange) -> ReaderState:
    return ReaderState(run_start=wanted.start, next_offset=wanted.stop, reads_in_run=1, first_nbytes=state.first_nbytes)


def _gone_on(state: ReaderState, stop: int) -> ReaderState:
    return ReaderState(
        run_start=state.run_start,
        next_offset=stop,
        reads_in_run=state.reads_in_run + 1,
        first_nbytes=state.first_nbytes,
    )


def _is_near(state: ReaderState, wanted: ByteRange) -> bool:
    tolerance_nbytes = TOLERANCE_NBYTES if state.is_sequential else TOLERANCE_WHILE_UNSURE_NBYTES
    distance = max(wanted.start - state.next_offset, state.next_offset - wanted.stop, 0)
    return distance <= tolerance_nbytes


def _stream(
    state: ReaderState, wanted: ByteRange, coverage: Coverage, total_nbytes: int, lead_nbytes: int
) -> tuple[list[ByteRange], int]:
    """The next long request of a sequential reader, once its bytes are near enough to be wanted soon, and up to where
    all is covered with it."""
    look = ByteRange(wanted.start, min(state.next_offset + lead_nbytes + _LOOK_AHEAD_NBYTES, total_nbytes))
    gap = coverage.first_missing(look)
    if gap is None:
        return [], look.stop
    if gap.start >= state.next_offset + lead_nbytes:
        return [], gap.start
    left_nbytes = total_nbytes - gap.start
    # no short last request for a file a little longer than a long one
    nbytes = left_nbytes if left_nbytes <= LONG_NBYTES * 5 // 4 else LONG_NBYTES
    stream = coverage.first_missing(ByteRange(gap.start, gap.start + nbytes))
    return ([], gap.start) if stream is None else ([stream], stream.stop)


def _parts(
    state: ReaderState, wanted: ByteRange, coverage: Coverage, total_nbytes: int, window_nbytes: int, depth: int
) -> tuple[list[ByteRange], int]:
    """The requests of a sequential reader from a host that gives each connection little: as many as start within its
    window, cut on one grid, and up to where all is covered with them."""
    part_nbytes = min(max(window_nbytes // depth, _MIN_PART_NBYTES), PART_NBYTES)
    part_nbytes -= part_nbytes % _MIN_PART_NBYTES
    stop = min(state.next_offset + window_nbytes, total_nbytes)
    last = min(stop + -stop % part_nbytes, total_nbytes)
    parts = []
    for gap in _missing(coverage, ByteRange(min(wanted.start, last), last)):
        start = gap.start
        while start < gap.stop:
            end = min(start - start % part_nbytes + part_nbytes, gap.stop)
            parts.append(ByteRange(start, end))
            start = end
    return parts, last


def _missing(coverage: Coverage, within: ByteRange) -> Iterator[ByteRange]:
    while within:
        piece = coverage.first_missing(within)
        if piece is None:
            return
        yield piece
        within = ByteRange(piece.stop, within.stop)
