"""The thresholds of the read-ahead policy: one below, at, and one above each.

The expected numbers follow from the policy's constants, by the reasons under cffs/docs/reading.md#read-ahead-policy.
"""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange
from cffs.reader import read_ahead_policy as policy
from cffs.reader.coverage import Coming
from cffs.reader.cursor import FIRST_NBYTES, READS_TO_BE_SURE, TAIL_NBYTES, AccessPattern
from cffs.reader.read_ahead_policy import (
    LONG_NBYTES,
    MAX_WINDOW_NBYTES,
    MIN_WINDOW_NBYTES,
    MOST_REQUESTS,
    PAGE_NBYTES,
    PART_NBYTES,
    SMALL_FILE_NBYTES,
    WHOLE_FILE_NBYTES,
    Plan,
    PlanLimits,
    PlannedFetch,
    Spent,
    interrupted,
    plan,
    receive_stop_of,
)
from tests.reader.listed_coverage import Covered, asked

KIB, MIB = 1024, 1024 * 1024
#: Neither can come whole; the second has an end that is on no page, and less in its last page than a tail.
BIG, ODD = 600 * MIB, 40 * MIB + 1234
RECORDING = 10 * MIB
FRESH = AccessPattern()
#: A reader that looked at the head, and reads on nowhere.
LOOKED = AccessPattern(run_start=0, next_offset=PAGE_NBYTES, reads_in_run=1)
LIMITS, UNSPENT = PlanLimits(), Spent()
SHORT, LONG_REACH = policy._SHORT_REACH_NBYTES, policy._LONG_REACH_NBYTES
FRUGAL, REACHES = policy._FRUGAL_REQUESTS, policy._REACHES_OF_RECORDING
MIN_PART, LOOK_AHEAD = policy._MIN_PART_NBYTES, policy._LOOK_AHEAD_NBYTES
LEAST_PARALLEL_WINDOW, RAMP = policy._MIN_PARALLEL_WINDOW_NBYTES, policy._PARALLEL_RAMP


def alone(start: int, stop: int, *, must_finish: bool) -> PlannedFetch:
    return PlannedFetch(wanted=ByteRange(start, stop), is_stream=False, must_finish=must_finish)


def stream(start: int, stop: int) -> PlannedFetch:
    return PlannedFetch(wanted=ByteRange(start, stop), is_stream=True, must_finish=False)


def in_order(start: int, stop: int) -> AccessPattern:
    """A reader that is sure to read on, and has read from `start` to `stop`."""
    return AccessPattern(run_start=start, next_offset=stop, reads_in_run=READS_TO_BE_SURE)


def jumped(start: int, stop: int, *, first_nbytes: int = FIRST_NBYTES) -> AccessPattern:
    """A reader whose only READ was that."""
    return AccessPattern(run_start=start, next_offset=stop, reads_in_run=1, first_nbytes=first_nbytes)


def planned_for(
    start: int,
    stop: int,
    *,
    total: int | None,
    pattern: AccessPattern = LOOKED,
    held: tuple[tuple[int, int], ...] = (),
    coming: tuple[Coming, ...] = (),
    limits: PlanLimits = LIMITS,
    spent: Spent = UNSPENT,
    is_late: bool = False,
) -> Plan:
    covered = Covered([ByteRange(*ends) for ends in held], list(coming))
    read = ByteRange(start, stop)
    return plan(pattern, read, covered, total_nbytes=total, limits=limits, spent=spent, is_late=is_late)


# ---- the size of the file ----


@pytest.mark.parametrize("start", [BIG, BIG + 5])
def test_a_read_beyond_the_end_changes_nothing(start: int) -> None:
    """Nothing is wanted at the end or beyond it: the pattern, the cost and the window stay."""
    pattern, spent = in_order(MIB, 5 * MIB), Spent(requests=2, has_jumped=True)
    expected = Plan(pattern=pattern, spent=spent, fetches=(), receive_stop=pattern.next_offset, is_jump=False)
    assert planned_for(start, start + 9, total=BIG, pattern=pattern, spent=spent) == expected


def test_a_read_over_the_end_ends_there() -> None:
    """What a READ asks for beyond the end is no part of the run."""
    planned = planned_for(BIG - 100, BIG + 100, total=BIG, pattern=in_order(0, BIG - 100), held=((0, BIG),))
    assert planned.pattern.next_offset == BIG


def test_a_file_of_unknown_size_is_fetched_as_it_is_read() -> None:
    """Only what is wanted, not on pages, and left with its reader. A jump is one; a reader that reads on has a window
    at once."""
    assert planned_for(7, 5000, total=None, pattern=FRESH) == Plan(
        pattern=jumped(7, 5000),
        spent=Spent(),
        fetches=(alone(7, 5000, must_finish=False),),
        receive_stop=5000,
        is_jump=False,
    )
    planned = planned_for(50 * MIB, 50 * MIB + 9, total=None)
    assert (planned.is_jump, asked(planned)) == (True, [(50 * MIB, 50 * MIB + 9)])
    planned = planned_for(0, 2 * MIB, total=None, pattern=FRESH)
    assert planned.receive_stop == 2 * MIB + 2 * MIB  # the window is as wide as what was read in order


@pytest.mark.parametrize(
    ("total", "brought"),
    [
        (SMALL_FILE_NBYTES - 1, SMALL_FILE_NBYTES - 1),
        (SMALL_FILE_NBYTES, SMALL_FILE_NBYTES),
        (SMALL_FILE_NBYTES + 1, FIRST_NBYTES),
    ],
)
def test_a_small_file_comes_whole(total: int, brought: int) -> None:
    """Up to 512 KiB the first READ requests all of it; one byte more, and it requests the head. Both must finish."""
    assert planned_for(0, 100, total=total, pattern=FRESH) == Plan(
        pattern=jumped(0, 100),
        spent=Spent(),
        fetches=(alone(0, brought, must_finish=True),),
        receive_stop=100,
        is_jump=False,
    )


def test_what_is_missing_of_a_small_file_is_requested() -> None:
    """Where a part is held, the other parts come."""
    planned = planned_for(0, 9, total=MIB // 4, pattern=FRESH, held=((0, PAGE_NBYTES),))
    assert asked(planned) == [(PAGE_NBYTES, MIB // 4)]


@pytest.mark.parametrize(
    ("total", "limits", "spent", "comes_whole"),
    [
        (WHOLE_FILE_NBYTES - 1, LIMITS, Spent(), True),
        (WHOLE_FILE_NBYTES, LIMITS, Spent(), True),
        (WHOLE_FILE_NBYTES + 1, replace(LIMITS, whole_nbytes=BIG, patience_nbytes=BIG), Spent(), False),
        (RECORDING, replace(LIMITS, whole_nbytes=RECORDING), Spent(), True),
        (RECORDING, replace(LIMITS, whole_nbytes=RECORDING - 1), Spent(), False),
        (RECORDING, replace(LIMITS, patience_nbytes=RECORDING), Spent(), True),
        (RECORDING, replace(LIMITS, patience_nbytes=RECORDING - 1), Spent(), False),
        (RECORDING, LIMITS, Spent(requests=4, is_whole=True), False),
    ],
)
def test_what_is_a_recording(total: int, limits: PlanLimits, spent: Spent, *, comes_whole: bool) -> None:
    """A file may come whole up to 16 MiB, where it can be kept, comes within a READ's patience, and did not come whole
    before. A piece of it then must finish, and is not a jump for its reader's streams."""
    planned = planned_for(5 * MIB, 5 * MIB + 9, total=total, limits=limits, spent=spent)
    assert planned == Plan(
        pattern=jumped(5 * MIB, 5 * MIB + 9),
        spent=spent._replace(has_jumped=comes_whole),
        fetches=(alone(5 * MIB, 5 * MIB + PAGE_NBYTES, must_finish=comes_whole),),
        receive_stop=5 * MIB + 9,
        is_jump=not comes_whole and not spent.is_whole,
    )


def test_patience_counts_what_is_missing() -> None:
    """What is held already need not come within a READ's patience."""
    limits = replace(LIMITS, patience_nbytes=RECORDING - MIB)
    for held_nbytes, comes_whole in ((MIB, True), (MIB - 1, False)):
        planned = planned_for(5 * MIB, 5 * MIB + 9, total=RECORDING, limits=limits, held=((0, held_nbytes),))
        assert planned.fetches[0].must_finish == comes_whole


# ---- the place of a READ ----

HEAD = (0, FIRST_NBYTES)


@pytest.mark.parametrize(
    ("total", "first_nbytes", "read", "brought"),
    [
        # of a recording, all that lies in the head is of it
        (RECORDING, FIRST_NBYTES, (128 * KIB, FIRST_NBYTES - 1), HEAD),
        (RECORDING, FIRST_NBYTES, (128 * KIB, FIRST_NBYTES), HEAD),
        (RECORDING, FIRST_NBYTES, (128 * KIB, FIRST_NBYTES + 1), (128 * KIB, FIRST_NBYTES + PAGE_NBYTES)),
        (RECORDING, 2 * FIRST_NBYTES, (128 * KIB, 2 * FIRST_NBYTES), (0, 2 * FIRST_NBYTES)),
        # of another file, what begins with it
        (BIG, FIRST_NBYTES, (0, FIRST_NBYTES - 1), HEAD),
        (BIG, FIRST_NBYTES, (0, FIRST_NBYTES), HEAD),
        (BIG, FIRST_NBYTES, (1, PAGE_NBYTES + 1), (0, 2 * PAGE_NBYTES)),
        # the tail, on pages; a page before it is a jump
        (ODD, FIRST_NBYTES, (ODD - TAIL_NBYTES - 1, ODD - TAIL_NBYTES), (40 * MIB - TAIL_NBYTES, 40 * MIB - 60 * KIB)),
        (ODD, FIRST_NBYTES, (ODD - TAIL_NBYTES, ODD - TAIL_NBYTES + 1), (40 * MIB - TAIL_NBYTES, ODD)),
        (ODD, FIRST_NBYTES, (ODD - TAIL_NBYTES + 1, ODD - TAIL_NBYTES + 2), (40 * MIB - TAIL_NBYTES, ODD)),
        (ODD, FIRST_NBYTES, (ODD - 1, ODD), (40 * MIB - TAIL_NBYTES, ODD)),
    ],
)
def test_the_place_of_a_first_read(
    total: int, first_nbytes: int, read: tuple[int, int], brought: tuple[int, int]
) -> None:
    """The head and the tail come in one piece each, whatever part of them is read; elsewhere the pages that are
    read."""
    pattern = AccessPattern(first_nbytes=first_nbytes)
    planned = planned_for(*read, total=total, pattern=pattern)
    assert planned == Plan(
        pattern=jumped(*read, first_nbytes=first_nbytes),
        spent=Spent(has_jumped=total == RECORDING and brought[0] != 0),
        fetches=(alone(*brought, must_finish=total == RECORDING),),
        receive_stop=read[1],
        is_jump=False,
    )


def test_a_bulk_reader_is_no_reader_of_the_head() -> None:
    """A first READ of one byte more than the head is one of a reader that reads on."""
    planned = planned_for(0, FIRST_NBYTES + 1, total=BIG, pattern=FRESH)
    assert planned.fetches == (stream(0, LONG_NBYTES),)


# ---- a recording's five requests ----


@pytest.mark.parametrize(
    ("spent", "is_whole"),
    [
        (Spent(requests=0), False),
        (Spent(requests=FRUGAL - 1), False),
        (Spent(requests=FRUGAL), True),
        (Spent(requests=FRUGAL + 1), True),
        (Spent(requests=0, has_jumped=True), True),
    ],
)
def test_a_piece_elsewhere_once(spent: Spent, *, is_whole: bool) -> None:
    """A piece elsewhere comes alone if it is the first, and one of the first three requests. Else all that is missing
    comes, from the READ on first."""
    planned = planned_for(5 * MIB, 5 * MIB + 1, total=RECORDING, held=(HEAD,), spent=spent)
    piece = alone(5 * MIB, 5 * MIB + PAGE_NBYTES, must_finish=True)
    rest = (alone(5 * MIB, RECORDING, must_finish=True), alone(FIRST_NBYTES, 5 * MIB, must_finish=True))
    assert planned.fetches == (rest if is_whole else (piece,))
    assert planned.spent == spent._replace(has_jumped=spent.has_jumped or not is_whole, is_whole=is_whole)


@pytest.mark.parametrize("has_jumped", [False, True])
@pytest.mark.parametrize("depth", [1, 8])
def test_the_tail_is_no_piece_elsewhere(depth: int, *, has_jumped: bool) -> None:
    """The tail comes alone also after a piece elsewhere, and on a link of several connections; it changes nothing of
    what was spent."""
    spent = Spent(requests=2, has_jumped=has_jumped)
    limits = replace(LIMITS, depth=depth)
    planned = planned_for(RECORDING - 1, RECORDING, total=RECORDING, spent=spent, limits=limits)
    assert planned.fetches == (alone(RECORDING - TAIL_NBYTES, RECORDING, must_finish=True),)
    assert planned.spent == spent


def test_what_is_held_costs_nothing() -> None:
    """Where nothing is missing, nothing is requested or spent, however much was."""
    spent = Spent(requests=MOST_REQUESTS, has_jumped=True)
    planned = planned_for(5 * MIB, 6 * MIB, total=RECORDING, held=((5 * MIB, 6 * MIB),), spent=spent)
    assert (planned.fetches, planned.spent) == ((), spent)


def test_what_is_wanted_is_one_request() -> None:
    """A head of which the middle is held costs one request, not two. A gap that is the file's first byte counts."""
    middle = (100 * KIB, 120 * KIB)
    planned = planned_for(0, 9, total=RECORDING, pattern=FRESH, held=(middle,))
    assert planned.fetches == (alone(*HEAD, must_finish=True),)
    planned = planned_for(5 * MIB, 6 * MIB, total=RECORDING, held=((1, 5 * MIB), (6 * MIB, RECORDING)))
    assert asked(planned) == [(5 * MIB, 6 * MIB)]
    spent = Spent(requests=1, has_jumped=True)
    planned = planned_for(5 * MIB, 6 * MIB, total=RECORDING, held=((1, 5 * MIB), (6 * MIB, RECORDING)), spent=spent)
    assert asked(planned) == [(5 * MIB, 6 * MIB), (0, 1)]


@pytest.mark.parametrize("requests", range(MOST_REQUESTS + 2))
def test_the_count_of_requests_is_kept(requests: int) -> None:
    """What completes a file is as many requests as are left of the five, and two where more than three were made: held
    pieces between are fetched again."""
    held = tuple((at * MIB, (at + 1) * MIB) for at in range(1, 12, 2))  # seven gaps
    spent = Spent(requests=requests, has_jumped=True)
    planned = planned_for(4 * MIB, 4 * MIB + 9, total=13 * MIB, held=held, spent=spent)
    assert len(planned.fetches) == max(MOST_REQUESTS - requests, MOST_REQUESTS - FRUGAL)
    assert planned.spent.is_whole is True
    gaps = ByteRange(0, 13 * MIB).minus(ByteRange(*ends) for ends in held)
    wanted = [fetch.wanted for fetch in planned.fetches]
    assert not [piece for gap in gaps for piece in gap.minus(wanted)]


def test_a_recording_comes_by_several_connections() -> None:
    """Where several connections pay, what completes a file is cut for them, up to the count."""
    spent = Spent(requests=1, has_jumped=True)
    limits = replace(LIMITS, depth=8)
    planned = planned_for(4 * MIB, 4 * MIB + 9, total=16 * MIB, limits=limits, spent=spent)
    # [0, 4) and [4, 16), of which the longest is halved twice: [4, 10), [10, 16); [4, 7), [7, 10)
    assert asked(planned) == [(at * MIB, to * MIB) for at, to in ((4, 7), (0, 4), (7, 10), (10, 16))]


@pytest.mark.parametrize(
    ("depth", "requests", "has_jumped", "is_whole"),
    [
        (1, FRUGAL - 1, False, False),
        (1, FRUGAL - 1, True, False),
        (1, FRUGAL, False, True),
        (2, 0, False, True),
        (8, 0, False, True),
    ],
)
def test_a_stream_of_a_recording(depth: int, requests: int, *, has_jumped: bool, is_whole: bool) -> None:
    """A reader that reads on gets a stream as one of the first three requests, also after a piece elsewhere. After
    them, and where several connections pay, all that is missing comes."""
    spent = Spent(requests=requests, has_jumped=has_jumped)
    limits = replace(LIMITS, depth=depth)
    planned = planned_for(
        MIB, 2 * MIB, total=2 * MIB + 100, pattern=in_order(0, MIB), held=((0, MIB),), limits=limits, spent=spent
    )
    at, end = MIB, 2 * MIB + 100
    wanted = (alone(at, end, must_finish=True),)
    if depth > 1:  # halved on a grid of half a MiB
        wanted = (alone(at, MIB + MIB // 2, must_finish=True), alone(MIB + MIB // 2, end, must_finish=True))
    assert planned.fetches == (wanted if is_whole else (stream(at, end),))
    assert planned.spent == spent._replace(is_whole=is_whole)


@pytest.mark.parametrize(("requests", "is_whole"), [(FRUGAL - 2, False), (FRUGAL - 1, True)])
def test_a_stream_and_a_piece_count_as_two(requests: int, *, is_whole: bool) -> None:
    """A READ that lacks bytes before and after held ones costs a stream and a piece."""
    hole = (MIB + 100 * KIB, MIB + 200 * KIB)
    spent = Spent(requests=requests)
    planned = planned_for(MIB, 2 * MIB, total=RECORDING, pattern=in_order(0, MIB), held=((0, MIB), hole), spent=spent)
    frugal = (stream(MIB, hole[0]), alone(hole[1], 2 * MIB, must_finish=True))
    rest = (alone(MIB, hole[0], must_finish=True), alone(hole[1], RECORDING, must_finish=True))
    assert planned.fetches == (rest if is_whole else frugal)


@pytest.mark.parametrize("requests", [0, FRUGAL, MOST_REQUESTS])
def test_an_interrupted_file_is_tried_again(requests: int) -> None:
    """After a fetch that was to complete it broke off, a file has the two requests left that can bring all of it. One
    that was not to come whole keeps its cost."""
    spent = Spent(requests=requests, has_jumped=True, is_whole=True)
    assert interrupted(spent) == (FRUGAL, True, False)
    assert interrupted(spent)._asdict() == {"requests": FRUGAL, "has_jumped": True, "is_whole": False}
    assert interrupted(spent._replace(is_whole=False)) == spent._replace(is_whole=False)
    assert interrupted(spent).is_whole is False


# ---- read on, or cut ----

#: A jump to here, on no page.
AT = 20 * MIB + 100
PAGE_OF_AT = 20 * MIB


def is_cut(
    distance: int,
    *,
    total: int = BIG,
    limits: PlanLimits = LIMITS,
    spent: Spent = UNSPENT,
    is_late: bool = False,
    has_begun: bool = True,
    at: int = AT,
) -> bool:
    """Whether a run that is `distance` before the page of a READ is cut there, and brings no byte of it."""
    page = at - at % PAGE_NBYTES
    coming = Coming(page - distance, page - distance, total, has_begun)
    planned = planned_for(at, at + 9, total=total, coming=(coming,), limits=limits, spent=spent, is_late=is_late)
    assert planned.cut_at in (None, page)
    assert bool(planned.fetches) == (planned.cut_at is not None)
    return planned.cut_at is not None


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (0, SHORT),
        (SHORT - 1, SHORT),
        (SHORT, SHORT),
        (SHORT + 1, SHORT + 1),
        (LONG_REACH - 1, LONG_REACH - 1),
        (LONG_REACH, LONG_REACH),
        (LONG_REACH + 1, LONG_REACH),
    ],
)
def test_the_reach_of_a_stream(reach: int, expected: int) -> None:
    """A READ ahead of a stream waits for it within the reach of the link, which counts as 1 MiB at least and 8 MiB at
    most. One byte further it is cut."""
    limits = replace(LIMITS, reach_nbytes=reach)
    assert not is_cut(expected, limits=limits)
    assert is_cut(expected + 1, limits=limits)


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (0, SHORT),
        (SHORT // REACHES, SHORT),
        (SHORT // REACHES + 1, SHORT + REACHES),
        (2 * MIB, 2 * REACHES * MIB),  # no most of 8 MiB
        (2 * MIB + 1, 2 * REACHES * MIB + REACHES),
    ],
)
def test_the_reach_of_a_recordings_stream(reach: int, expected: int) -> None:
    """A recording's stream is read on through four times as far, and at least 1 MiB."""
    limits = replace(LIMITS, reach_nbytes=reach)
    assert not is_cut(expected, total=WHOLE_FILE_NBYTES, at=12 * MIB, limits=limits)
    assert is_cut(expected + 1, total=WHOLE_FILE_NBYTES, at=12 * MIB, limits=limits)


@pytest.mark.parametrize("total", [BIG, WHOLE_FILE_NBYTES])
@pytest.mark.parametrize("is_whole", [False, True])
def test_the_reach_of_a_late_read(total: int, *, is_whole: bool) -> None:
    """A READ that has waited long waits for the next MiB alone, also where all of the file was to come; but another
    request would not begin sooner than one whose answer has not begun."""
    limits = replace(LIMITS, reach_nbytes=LONG_REACH)
    spent = Spent(requests=2, is_whole=is_whole)
    for has_begun in (False, True):
        for distance in (SHORT, SHORT + 1):
            found = is_cut(
                distance, total=total, at=12 * MIB, limits=limits, spent=spent, is_late=True, has_begun=has_begun
            )
            assert found == (has_begun and distance > SHORT)
    assert is_cut(LONG_REACH + 1, has_begun=False)  # not late: far is far


def test_a_read_is_not_late_unless_its_caller_says_so() -> None:
    """A first plan waits for a stream as far as the link reaches."""
    coming = Coming(PAGE_OF_AT - 2 * SHORT, PAGE_OF_AT - 2 * SHORT, BIG)
    limits = replace(LIMITS, reach_nbytes=2 * SHORT)
    planned = plan(LOOKED, ByteRange(AT, AT + 9), Covered([], [coming]), total_nbytes=BIG, limits=limits)
    assert planned.cut_at is None


@pytest.mark.parametrize(
    ("is_tail", "is_whole", "expected"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_the_tail_does_not_wait_for_a_stream(*, is_tail: bool, is_whole: bool, expected: bool) -> None:
    """A look at the tail waits for the next MiB alone, and a READ elsewhere as far as the link reaches. Where all was
    to come, both wait for it."""
    limits = replace(LIMITS, reach_nbytes=LONG_REACH)
    at = 30 * MIB - TAIL_NBYTES if is_tail else 20 * MIB
    spent = Spent(is_whole=is_whole)
    assert is_cut(SHORT + 1, total=30 * MIB, at=at, limits=limits, spent=spent) == expected
    assert not is_cut(SHORT, total=30 * MIB, at=at, limits=limits, spent=spent)


def test_what_comes_whole_is_never_cut_for_a_jump() -> None:
    """All of it is wanted, however far the READ."""
    assert not is_cut(12 * MIB, total=BIG, spent=Spent(is_whole=True))


@pytest.mark.parametrize(("fixed", "cut"), [(-1, True), (0, True), (1, False), (MIB, False)])
def test_what_is_in_a_buffer_is_not_cut(fixed: int, *, cut: bool) -> None:
    """A run is cut no earlier than it can be."""
    coming = Coming(5 * MIB, PAGE_OF_AT + fixed, BIG)
    assert planned_for(AT, AT + 9, total=BIG, coming=(coming,)).cut_at == (PAGE_OF_AT if cut else None)


def test_a_cut_stream_and_its_jump() -> None:
    """The whole plan of a jump ahead of a far stream: the pages that it reads and no others, and no late READ."""
    coming = Coming(MIB, MIB, BIG)
    assert planned_for(AT, AT + 9, total=BIG, coming=(coming,)) == Plan(
        pattern=jumped(AT, AT + 9),
        spent=Spent(),
        fetches=(alone(PAGE_OF_AT, PAGE_OF_AT + PAGE_NBYTES, must_finish=False),),
        receive_stop=AT + 9,
        is_jump=True,
        cut_at=PAGE_OF_AT,
        quiet_stop=0,
    )


def test_a_cut_begins_where_the_first_byte_is_lacking() -> None:
    """What is held of a READ needs no request; the cut is at the page of the first byte that is not. What is held
    altogether cuts nothing."""
    coming = Coming(MIB, MIB, BIG)
    planned = planned_for(AT, AT + MIB, total=BIG, coming=(coming,), held=((PAGE_OF_AT, PAGE_OF_AT + 5000),))
    assert planned.cut_at == PAGE_OF_AT + PAGE_NBYTES
    assert asked(planned) == [(PAGE_OF_AT + 5000, PAGE_OF_AT + MIB + PAGE_NBYTES)]
    planned = planned_for(AT, AT + 9, total=BIG, coming=(coming,), held=((PAGE_OF_AT, PAGE_OF_AT + PAGE_NBYTES),))
    assert (planned.cut_at, planned.fetches) == (None, ())


def test_a_reader_that_reads_on_cuts_nothing() -> None:
    """A READ in order waits for its stream, however far behind that is."""
    coming = Coming(MIB, MIB, BIG)
    planned = planned_for(AT, AT + MIB, total=BIG, pattern=in_order(AT - MIB, AT), coming=(coming,))
    assert (planned.cut_at, planned.fetches) == (None, ())


def test_what_is_cut_off_a_whole_file_comes_by_one_request() -> None:
    """A late READ of a file that was to come whole requests the rest, and all of it: one request, also over a piece
    between that is held."""
    coming = Coming(MIB, MIB, RECORDING)
    spent = Spent(requests=4, has_jumped=True, is_whole=True)
    held = ((7 * MIB, 7 * MIB + 64 * KIB),)
    at = 5 * MIB + 100
    planned = planned_for(
        at, at + 9, total=RECORDING, pattern=LOOKED, coming=(coming,), held=held, spent=spent, is_late=True
    )
    assert planned == Plan(
        pattern=jumped(at, at + 9),
        spent=spent,
        fetches=(alone(5 * MIB, RECORDING, must_finish=True),),
        receive_stop=at + 9,
        is_jump=False,
        cut_at=5 * MIB,
    )


@given(
    total=st.sampled_from([BIG, WHOLE_FILE_NBYTES]),
    reach=st.integers(0, 16 * MIB),
    distance=st.integers(0, 11 * MIB),
    more=st.integers(0, MIB),
    has_begun=st.booleans(),
    is_late=st.booleans(),
    is_whole=st.booleans(),
)
def test_far_is_far(
    total: int, reach: int, distance: int, more: int, *, has_begun: bool, is_late: bool, is_whole: bool
) -> None:
    """What is cut at a distance is cut at any greater one, and with any smaller reach; nothing within 1 MiB is."""
    limits, spent = replace(LIMITS, reach_nbytes=reach), Spent(is_whole=is_whole)

    def cut(distance: int, limits: PlanLimits) -> bool:
        return is_cut(
            distance, total=total, at=12 * MIB, limits=limits, spent=spent, is_late=is_late, has_begun=has_begun
        )

    if cut(distance, limits):
        assert distance > SHORT
        assert cut(min(distance + more, 12 * MIB), limits)
        assert cut(distance, replace(limits, reach_nbytes=reach // 2))


# ---- the window ----


@pytest.mark.parametrize(
    ("depth", "nbytes", "cap", "window"),
    [
        (1, MIN_WINDOW_NBYTES - 1, BIG, MIN_WINDOW_NBYTES),
        (1, MIN_WINDOW_NBYTES, BIG, MIN_WINDOW_NBYTES),
        (1, MIN_WINDOW_NBYTES + 1, BIG, MIN_WINDOW_NBYTES + 1),
        (1, MAX_WINDOW_NBYTES - 1, BIG, MAX_WINDOW_NBYTES - 1),
        (1, MAX_WINDOW_NBYTES, BIG, MAX_WINDOW_NBYTES),
        (1, MAX_WINDOW_NBYTES + 1, BIG, MAX_WINDOW_NBYTES),
        (1, 5 * MIB, 3 * MIB, 3 * MIB),
        (1, MIB, 4096, 4096),  # memory has no room for more
        # several connections: four times what was read, as many parts as there are connections
        (2, MIB, BIG, LEAST_PARALLEL_WINDOW),
        (2, 5 * MIB, BIG, 2 * PART_NBYTES),
        (8, LEAST_PARALLEL_WINDOW // RAMP, BIG, LEAST_PARALLEL_WINDOW),
        (8, LEAST_PARALLEL_WINDOW // RAMP + 1, BIG, LEAST_PARALLEL_WINDOW + RAMP),
        (8, 8 * PART_NBYTES // RAMP - 1, BIG, 8 * PART_NBYTES - RAMP),
        (8, 8 * PART_NBYTES // RAMP + 1, BIG, 8 * PART_NBYTES),
        (8, 6 * MIB, 5 * MIB, 5 * MIB),
    ],
)
def test_the_window(depth: int, nbytes: int, cap: int, window: int) -> None:
    """The window of a reader that has read so much in order, and where it ends: in a plan, and between plans."""
    limits = PlanLimits(depth=depth, window_cap_nbytes=cap)
    pattern = in_order(50 * MIB, 50 * MIB + nbytes)
    assert receive_stop_of(pattern, limits) == 50 * MIB + nbytes + window
    end = pattern.next_offset
    planned = planned_for(end - 9, end, total=BIG, pattern=pattern, held=((0, BIG),), limits=limits)
    assert planned.receive_stop == end + window


def test_a_reader_that_is_not_sure_has_no_window() -> None:
    """After two READs in order after a jump nothing is received ahead; after the third it is."""
    for reads, window in ((READS_TO_BE_SURE - 2, 0), (READS_TO_BE_SURE - 1, MIN_WINDOW_NBYTES)):
        pattern = replace_reads(in_order(50 * MIB, 50 * MIB + 9), reads)
        planned = planned_for(50 * MIB + 9, 50 * MIB + 18, total=BIG, pattern=pattern, held=((0, BIG),))
        assert planned.receive_stop == 50 * MIB + 18 + window


def replace_reads(pattern: AccessPattern, reads: int) -> AccessPattern:
    return pattern._replace(reads_in_run=reads)


# ---- the next long request ----

#: A reader in the middle of a file whose window is 1 MiB, and its next READ.
ON = in_order(100 * MIB - 512 * KIB, 100 * MIB)
ON_READ = (100 * MIB, 100 * MIB + 128 * KIB)
ON_NEXT = ON_READ[1]


@pytest.mark.parametrize("lead", [0, MIN_WINDOW_NBYTES, 10 * MIB, 24 * MIB])
def test_when_a_long_request_leaves(lead: int) -> None:
    """The next long request leaves once its first byte is nearer than the lead, or the window where that is more."""
    limits = replace(LIMITS, lead_nbytes=lead)
    lead_nbytes = max(lead, MIN_WINDOW_NBYTES)

    def with_held_to(stop: int) -> Plan:
        return planned_for(*ON_READ, total=BIG, pattern=ON, held=((0, stop),), limits=limits)

    near = ON_NEXT + lead_nbytes - 1
    assert with_held_to(near).fetches == (stream(near, near + LONG_NBYTES),)
    assert with_held_to(near).quiet_stop == near + LONG_NBYTES - lead_nbytes
    assert with_held_to(near + 1).fetches == ()
    assert with_held_to(near + 1).quiet_stop == ON_NEXT
    # all that is looked at is held: READs are quiet until the lead before its end
    look_stop = ON_NEXT + lead_nbytes + LOOK_AHEAD
    for held_stop in (look_stop - 1, look_stop, look_stop + 1):
        planned = with_held_to(held_stop)
        assert (planned.fetches, planned.quiet_stop) == ((), min(held_stop, look_stop) - lead_nbytes)


@pytest.mark.parametrize(
    ("left", "nbytes"),
    [
        (1, 1),
        (LONG_NBYTES, LONG_NBYTES),
        (LONG_NBYTES + LONG_NBYTES // 4 - 1, LONG_NBYTES + LONG_NBYTES // 4 - 1),
        (LONG_NBYTES + LONG_NBYTES // 4, LONG_NBYTES + LONG_NBYTES // 4),
        (LONG_NBYTES + LONG_NBYTES // 4 + 1, LONG_NBYTES),
    ],
)
def test_the_length_of_a_long_request(left: int, nbytes: int) -> None:
    """A long request has 64 MiB, or up to a quarter more where that is all that is left. One that reaches the end
    leaves no READ to plan."""
    held = ((0, ON_NEXT),)
    total = ON_NEXT + left
    planned = planned_for(*ON_READ, total=total, pattern=ON, held=held)
    assert planned.fetches == (stream(ON_NEXT, ON_NEXT + nbytes),)
    assert planned.quiet_stop == (total if nbytes == left else ON_NEXT + nbytes - MIN_WINDOW_NBYTES)


def test_a_stream_as_long_as_the_lead_is_quiet_nowhere() -> None:
    """Where what is covered ends within the lead, the next READ is planned."""
    limits = replace(LIMITS, lead_nbytes=32 * MIB)
    planned = planned_for(0, MIB, total=BIG, pattern=FRESH, held=((2 * MIB, 3 * MIB),), limits=limits)
    assert (planned.fetches, planned.quiet_stop) == ((stream(0, 2 * MIB),), 0)


# ---- parallel ranges ----


@pytest.mark.parametrize(
    ("depth", "nbytes", "cap", "part"),
    [
        (2, MIB, BIG, LEAST_PARALLEL_WINDOW // 2),
        (8, MIB, BIG, LEAST_PARALLEL_WINDOW // 8),
        (8, 20 * MIB, BIG, PART_NBYTES),
        # 12.5 MiB by 8 are six and a quarter of the smallest part
        (8, 3 * MIB + 128 * KIB, BIG, 6 * MIN_PART),
        # not even in bytes
        (3, LEAST_PARALLEL_WINDOW // RAMP + 1, BIG, 10 * MIN_PART),
        # no room: the smallest
        (8, MIB, 8 * MIN_PART - 1, MIN_PART),
        (8, MIB, MIB, MIN_PART),
        (8, MIB, 2 * 8 * MIN_PART, 2 * MIN_PART),
        (8, MIB, 2 * 8 * MIN_PART - 1, MIN_PART),
    ],
)
def test_parallel_ranges(depth: int, nbytes: int, cap: int, part: int) -> None:
    """The window's share of each connection, in multiples of 256 KiB, on one grid from the file's start; all that
    begins in the window."""
    limits = PlanLimits(depth=depth, window_cap_nbytes=cap)
    at = 96 * MIB + 77
    pattern = in_order(at - nbytes + 9, at)
    planned = planned_for(at, at + 9, total=BIG, pattern=pattern, held=((0, at),), limits=limits)
    window_stop = planned.receive_stop
    bounds = [at, *range(at + -at % part, window_stop + part, part)]
    assert planned.fetches == tuple(stream(start, stop) for start, stop in pairwise(bounds))
    assert all(isinstance(bound, int) for fetch in planned.fetches for bound in fetch.wanted)
    assert bounds[-2] < window_stop <= bounds[-1]
    assert planned.quiet_stop == bounds[-1] - (window_stop - (at + 9))


@pytest.mark.parametrize(("over", "reaches_end"), [(-1, True), (0, True), (1, False)])
def test_parallel_ranges_end_with_the_file(over: int, *, reaches_end: bool) -> None:
    """The last range ends with the file; then no READ needs a plan."""
    part, limits = LEAST_PARALLEL_WINDOW // 8, PlanLimits(depth=8)
    held_stop = 96 * MIB
    pattern = in_order(95 * MIB, held_stop)
    read_stop = held_stop + 1
    last = held_stop + LEAST_PARALLEL_WINDOW + part  # on the grid
    limits = replace(limits, window_cap_nbytes=LEAST_PARALLEL_WINDOW)
    total = last + over
    planned = planned_for(held_stop, read_stop, total=total, pattern=pattern, held=((0, held_stop),), limits=limits)
    assert planned.fetches[-1] == stream(last - part, min(last, total))
    assert planned.quiet_stop == (total if reaches_end else last - LEAST_PARALLEL_WINDOW)


@given(
    at=st.integers(MIB, 300 * MIB),
    nbytes=st.integers(1, MIB),
    held=st.lists(st.tuples(st.integers(0, 300 * MIB), st.integers(0, 40 * MIB)), max_size=4),
    near=st.lists(st.tuples(st.integers(0, 32 * MIB), st.integers(0, 8 * MIB)), max_size=4),
    lead=st.integers(0, 32 * MIB),
    depth=st.sampled_from([1, 2, 8]),
    left=st.integers(1, 100 * MIB),
)
def test_quiet_reads_are_covered(
    at: int,
    nbytes: int,
    held: list[tuple[int, int]],
    near: list[tuple[int, int]],
    lead: int,
    depth: int,
    left: int,
) -> None:
    """Up to where a plan says that READs in order need none, all is held or on its way with it."""
    ranges = [ByteRange(start, start + length) for start, length in held]
    ranges += [ByteRange(at + start, at + start + length) for start, length in near]
    covered = Covered(ranges)
    total = at + nbytes + left
    read, limits = ByteRange(at, at + nbytes), PlanLimits(lead_nbytes=lead, depth=depth)
    planned = plan(in_order(at - MIB, at), read, covered, total_nbytes=total, limits=limits)
    brought = [fetch.wanted for fetch in planned.fetches]
    assert not list(ByteRange(at, max(at, min(planned.quiet_stop, total))).minus([*ranges, *brought]))
    assert planned.quiet_stop <= total
