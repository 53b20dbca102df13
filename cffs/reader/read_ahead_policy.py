"""The read-ahead policy: what to request next, given what one reader has read.

A file of up to 16 MiB, a recording, costs at most five requests however it is read, by all its readers together. The
first ones bring what is wanted and no more: the head, the tail, a piece elsewhere, a stream as far as its reader's
window. All that is missing (`completion`) is brought where a fourth request would be needed, at the second piece
elsewhere, or, with several connections, at the first stream, by what is left of the five requests.

That needs a file that can be kept. Any other file is fetched as it is read, by exact ranges for jumps and long requests
for sequential readers: a file of more than 16 MiB, one that fits neither its share of memory nor the disk cache, one
that was evicted after it had been brought whole, and any file where the link is so slow that a READ would wait for
seconds.

It owns the thresholds, which are measured: cffs/docs/reading.md#read-ahead-policy. It must not know tasks, clocks,
HTTP or memory; it sees what is held or on its way through `Coverage`. Pure, and deterministic.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from cffs.core.byte_range import ByteRange
from cffs.core.units import KIB, MIB
from cffs.reader.completion import requests_for
from cffs.reader.coverage import Coverage, Cut, missing
from cffs.reader.cursor import TAIL_NBYTES, AccessPattern, is_near, observe

PAGE_NBYTES = 4096
#: One request from open to end.
SMALL_FILE_NBYTES = 512 * KIB
#: A recording: worth having whole where it is read here and there.
WHOLE_FILE_NBYTES = 16 * MIB
#: The most requests for such a file, and how many of them are for no more than what is plainly wanted: two can always
#: bring the rest.
MOST_REQUESTS = 5
_FRUGAL_REQUESTS = 3
#: The size of a first request where the kernel reads ahead by more than usual.
FIRST_NBYTES_WIDE_READ_AHEAD = 512 * KIB
WIDE_READ_AHEAD_NBYTES = 512 * KIB
#: A long request uses one connection for long, but its end bounds what an early close may waste, and what a killed
#: daemon leaves unpublished on disk. 256 MiB were 5 % faster at 50 ms.
LONG_NBYTES = 64 * MIB
#: What is left of a file is one request up to here: there is no short last one.
_LAST_LONG_NBYTES = LONG_NBYTES * 5 // 4
MIN_WINDOW_NBYTES = MIB
MAX_WINDOW_NBYTES = 8 * MIB
#: Where several connections serve one stream: the share of the window of each request, and how wide the window is.
PART_NBYTES = 4 * MIB
_MIN_PART_NBYTES = 256 * KIB
_PARALLEL_RAMP = 4
_MIN_PARALLEL_WINDOW_NBYTES = 8 * MIB
#: How far to look for what is covered already, so that most READs of a stream need no plan.
_LOOK_AHEAD_NBYTES = 16 * MIB
#: What is on its way and no further ahead than this is waited for, however slow the link.
_SHORT_REACH_NBYTES = MIB
#: The stream of a larger file is read on through at most this much for a READ ahead of it: bytes cost too.
_LONG_REACH_NBYTES = 8 * MIB
#: The stream of a recording is read on through further than its bytes are worth: the rest is likely to be wanted too,
#: and what the network already holds of a stream that is cut was sent for nothing.
_REACHES_OF_RECORDING = 4


class Spent(NamedTuple):
    """What a file has cost so far: how many requests, and of which kinds."""

    requests: int = 0
    #: A piece was fetched alone that is neither of the head nor of the tail.
    has_jumped: bool = False
    #: All of it was requested: what is missing now could not be kept.
    is_whole: bool = False


_NOTHING_SPENT = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """What the mount allows, and what this origin's requests and bytes cost.

    `window_cap_nbytes` is the widest window that memory has room for now; `lead_nbytes` how far ahead of the reader the
    next request must start to arrive in time; `depth` how many connections a stream gets; `whole_nbytes` the largest
    file that can be kept whole. `reach_nbytes` arrive on a connection in the time that a request of its own would take,
    `patience_nbytes` in the time that a READ may be made to wait.
    """

    window_cap_nbytes: int = MAX_WINDOW_NBYTES
    lead_nbytes: int = MIN_WINDOW_NBYTES
    depth: int = 1
    whole_nbytes: int = WHOLE_FILE_NBYTES
    reach_nbytes: int = _SHORT_REACH_NBYTES
    patience_nbytes: int = WHOLE_FILE_NBYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFetch:
    """One request to make. A stream is received only as far as the reader's window, anything else at once. One that
    `must_finish` is received also where its reader leaves: it would cost another request."""

    wanted: ByteRange
    is_stream: bool = False
    must_finish: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What follows from one READ. `receive_stop` is where this reader's window ends; `is_jump` says that its streams
    are of no use to it any more; `cut_at` is where what is on its way to that byte ends now."""

    pattern: AccessPattern
    spent: Spent
    fetches: tuple[PlannedFetch, ...]
    receive_stop: int
    is_jump: bool
    cut_at: int | None = None
    #: READs that go on in order and end here or before need no plan (`Cursor.goes_on`).
    quiet_stop: int = 0


class _Place(Enum):
    """Where a READ lies."""

    ON = auto()  # in order, of a reader that goes on
    HEAD = auto()
    TAIL = auto()
    ELSEWHERE = auto()


def plan(
    pattern: AccessPattern,
    read: ByteRange,
    coverage: Coverage,
    *,
    total_nbytes: int | None,
    limits: PlanLimits,
    spent: Spent = _NOTHING_SPENT,
    is_late: bool = False,
) -> Plan:
    """Decide what to do about `read`, the next READ of a reader with that `pattern`; all of it is covered afterwards.

    `spent` is the cost of the file, whichever reader caused it; the caller counts the requests. `is_late`: the READ has
    waited so long already that one more request is worthwhile. A call with the returned pattern and the same READ
    changes no pattern, so a caller that waited may plan again.
    """
    wanted = read if total_nbytes is None else read.clamped(total_nbytes)
    if not wanted:
        return Plan(pattern=pattern, spent=spent, fetches=(), receive_stop=pattern.next_offset, is_jump=False)
    after, is_jump = observe(pattern, wanted, total_nbytes)
    window_nbytes = _window_nbytes(after, limits)
    receive_stop = after.next_offset + (window_nbytes if after.is_sequential else 0)
    if total_nbytes is None or total_nbytes <= SMALL_FILE_NBYTES:
        needed = wanted if total_nbytes is None else ByteRange(0, total_nbytes)
        fetches = _alone(missing(coverage, needed), must_finish=total_nbytes is not None)
        return Plan(pattern=after, spent=spent, fetches=fetches, receive_stop=receive_stop, is_jump=is_jump)
    is_recording = _is_recording(coverage, total_nbytes, limits, spent)
    place = _place_of(pattern, after, wanted, total_nbytes, is_recording=is_recording)
    needed = _needed(place, wanted, pattern, total_nbytes)
    cut = None
    if place is not _Place.ON:
        cut = _cut(needed, place, coverage, limits, spent, is_recording=is_recording, is_late=is_late)
    view = coverage if cut is None else Cut(coverage, cut)
    streams, quiet_stop = list[ByteRange](), 0
    if place is _Place.ON:
        streams, quiet_stop = _ahead(after, wanted, coverage, total_nbytes, window_nbytes, limits)
    pieces = [piece for gap in missing(view, needed) for piece in gap.minus(streams)]
    if is_recording:
        spent, fetches = _of_recording(place, streams, pieces, view, total_nbytes, limits, spent)
    elif spent.is_whole and cut is not None:  # it was to come whole, and still is
        fetches = _alone(_few(missing(view, cut), cut.start, view, most=1, depth=limits.depth), must_finish=True)
    else:
        fetches = (*_streams(streams), *_alone(pieces))
    return Plan(
        pattern=after,
        spent=spent,
        fetches=fetches,
        receive_stop=receive_stop,
        is_jump=is_jump and not is_recording and not spent.is_whole,
        cut_at=None if cut is None else cut.start,
        quiet_stop=quiet_stop,
    )


def _of_recording(
    place: _Place,
    streams: list[ByteRange],
    pieces: list[ByteRange],
    coverage: Coverage,
    total_nbytes: int,
    limits: PlanLimits,
    spent: Spent,
) -> tuple[Spent, tuple[PlannedFetch, ...]]:
    """What is plainly wanted, while the file has cost little; after that all that is missing of it."""
    first_offset = min((piece.start for piece in (*streams, *pieces)), default=None)
    if first_offset is None:
        return spent, ()
    wanted = _few(pieces, first_offset, coverage, most=1, depth=limits.depth)
    has_come_again = spent.has_jumped if place is _Place.ELSEWHERE else limits.depth > 1 and bool(streams)
    if not has_come_again and spent.requests + len(streams) + len(wanted) <= _FRUGAL_REQUESTS:
        spent = spent._replace(has_jumped=spent.has_jumped or place is _Place.ELSEWHERE)
        return spent, (*_streams(streams), *_alone(wanted, must_finish=True))
    gaps = missing(coverage, ByteRange(0, total_nbytes))
    most = MOST_REQUESTS - min(spent.requests, _FRUGAL_REQUESTS)
    wanted = _few(gaps, first_offset, coverage, most=most, depth=limits.depth)
    return spent._replace(is_whole=True), _alone(wanted, must_finish=True)


def _few(gaps: Iterable[ByteRange], first_offset: int, coverage: Coverage, *, most: int, depth: int) -> list[ByteRange]:
    def is_held(between: ByteRange) -> bool:
        return coverage.first_absent(between) is None

    return requests_for(gaps, first_offset, is_held=is_held, most=most, depth=depth)


def _streams(ranges: Iterable[ByteRange]) -> tuple[PlannedFetch, ...]:
    return tuple(PlannedFetch(wanted=wanted, is_stream=True) for wanted in ranges)


def _alone(ranges: Iterable[ByteRange], *, must_finish: bool = False) -> tuple[PlannedFetch, ...]:
    return tuple(PlannedFetch(wanted=wanted, must_finish=must_finish) for wanted in ranges)


def _is_recording(coverage: Coverage, total_nbytes: int, limits: PlanLimits, spent: Spent) -> bool:
    """True where the file may be brought whole: it can be kept, was not brought before, and comes soon enough."""
    if spent.is_whole or total_nbytes > min(limits.whole_nbytes, WHOLE_FILE_NBYTES):
        return False
    gaps = missing(coverage, ByteRange(0, total_nbytes))
    return sum(gap.nbytes for gap in gaps) <= limits.patience_nbytes


def _place_of(
    pattern: AccessPattern, after: AccessPattern, wanted: ByteRange, total_nbytes: int, *, is_recording: bool
) -> _Place:
    is_in_head = wanted.stop <= pattern.first_nbytes
    if is_in_head and is_recording:
        return _Place.HEAD
    if after.is_sequential and after.next_offset >= wanted.stop and is_near(after, wanted):
        return _Place.ON
    if is_in_head and wanted.start == 0:
        return _Place.HEAD
    return _Place.TAIL if total_nbytes - wanted.start <= TAIL_NBYTES else _Place.ELSEWHERE


def _needed(place: _Place, wanted: ByteRange, pattern: AccessPattern, total_nbytes: int) -> ByteRange:
    match place:
        case _Place.HEAD:
            needed = ByteRange(0, pattern.first_nbytes)
        case _Place.TAIL:
            needed = ByteRange(total_nbytes - TAIL_NBYTES, total_nbytes)
        case _:
            needed = wanted
    return needed.aligned(PAGE_NBYTES).clamped(total_nbytes)


def _cut(
    needed: ByteRange,
    place: _Place,
    coverage: Coverage,
    limits: PlanLimits,
    spent: Spent,
    *,
    is_recording: bool,
    is_late: bool,
) -> ByteRange | None:
    """What to cut off a run on its way, because a READ would wait too long for the rest of it, or read too much of it
    on."""
    absent = coverage.first_absent(needed)
    coming = None if absent is None else coverage.coming(absent.start)
    if absent is None or coming is None or (is_late and not coming.has_begun):
        return None  # another request would begin as late
    if is_late or (place is _Place.TAIL and not spent.is_whole):
        reach_nbytes = _SHORT_REACH_NBYTES
    elif spent.is_whole:
        return None  # all of it is wanted: what the network already holds of it would be sent twice
    elif is_recording:
        reach_nbytes = max(_REACHES_OF_RECORDING * limits.reach_nbytes, _SHORT_REACH_NBYTES)
    else:
        reach_nbytes = min(max(limits.reach_nbytes, _SHORT_REACH_NBYTES), _LONG_REACH_NBYTES)
    start = absent.start - absent.start % PAGE_NBYTES
    if start - coming.position <= reach_nbytes or start < coming.fixed_stop:
        return None
    return ByteRange(start, coming.stop)


def interrupted(spent: Spent) -> Spent:
    """The cost of a file after a fetch that was to complete it ended early: the next READ tries it again."""
    return spent._replace(requests=_FRUGAL_REQUESTS, is_whole=False) if spent.is_whole else spent


def receive_stop_of(pattern: AccessPattern, limits: PlanLimits) -> int:
    """Where the window of a sequential reader ends now."""
    return pattern.next_offset + _window_nbytes(pattern, limits)


def _window_nbytes(pattern: AccessPattern, limits: PlanLimits) -> int:
    if limits.depth > 1:
        wide_nbytes = max(_PARALLEL_RAMP * pattern.in_order_nbytes, _MIN_PARALLEL_WINDOW_NBYTES)
        return min(wide_nbytes, limits.depth * PART_NBYTES, limits.window_cap_nbytes)
    return min(max(pattern.in_order_nbytes, MIN_WINDOW_NBYTES), MAX_WINDOW_NBYTES, limits.window_cap_nbytes)


def _ahead(
    pattern: AccessPattern,
    wanted: ByteRange,
    coverage: Coverage,
    total_nbytes: int,
    window_nbytes: int,
    limits: PlanLimits,
) -> tuple[list[ByteRange], int]:
    """The next long requests of a sequential reader, and up to where its READs need no plan with them."""
    if limits.depth > 1:
        lead_nbytes = window_nbytes
        streams, covered_stop = _parts(pattern, wanted, coverage, total_nbytes, window_nbytes, limits.depth)
    else:
        lead_nbytes = max(window_nbytes, limits.lead_nbytes)
        streams, covered_stop = _stream(pattern, wanted, coverage, total_nbytes, lead_nbytes)
    return streams, total_nbytes if covered_stop == total_nbytes else max(0, covered_stop - lead_nbytes)


def _stream(
    pattern: AccessPattern, wanted: ByteRange, coverage: Coverage, total_nbytes: int, lead_nbytes: int
) -> tuple[list[ByteRange], int]:
    """The next long request of a sequential reader, once its bytes are near enough to be wanted soon, and up to where
    all is covered with it."""
    look = ByteRange(wanted.start, min(pattern.next_offset + lead_nbytes + _LOOK_AHEAD_NBYTES, total_nbytes))
    gap = coverage.first_missing(look)
    if gap is None:
        return [], look.stop
    if gap.start >= pattern.next_offset + lead_nbytes:
        return [], gap.start
    left_nbytes = total_nbytes - gap.start
    nbytes = left_nbytes if left_nbytes <= _LAST_LONG_NBYTES else LONG_NBYTES
    stream = next(missing(coverage, ByteRange(gap.start, gap.start + nbytes)))
    return [stream], stream.stop


def _parts(
    pattern: AccessPattern, wanted: ByteRange, coverage: Coverage, total_nbytes: int, window_nbytes: int, depth: int
) -> tuple[list[ByteRange], int]:
    """The requests of a sequential reader from a host that gives each connection little: as many as start within its
    window, cut on one grid, and up to where all is covered with them."""
    part_nbytes = max(window_nbytes // depth, _MIN_PART_NBYTES)
    part_nbytes -= part_nbytes % _MIN_PART_NBYTES
    stop = pattern.next_offset + window_nbytes
    last = min(stop + -stop % part_nbytes, total_nbytes)
    parts = []
    for gap in missing(coverage, ByteRange(wanted.start, last)):
        start = gap.start
        while start < gap.stop:
            end = min(start - start % part_nbytes + part_nbytes, gap.stop)
            parts.append(ByteRange(start, end))
            start = end
    return parts, last
