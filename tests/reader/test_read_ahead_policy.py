"""Laws of the read-ahead policy, whatever the reader does, and rules by example."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange
from cffs.reader.coverage import Coming
from cffs.reader.cursor import FIRST_NBYTES, TAIL_NBYTES, AccessPattern
from cffs.reader.read_ahead_policy import (
    LONG_NBYTES,
    MAX_WINDOW_NBYTES,
    PART_NBYTES,
    SMALL_FILE_NBYTES,
    WHOLE_FILE_NBYTES,
    Plan,
    PlanLimits,
    Spent,
    plan,
)
from tests.reader.listed_coverage import Covered, asked

KIB, MIB = 1024, 1024 * 1024
LIMITS = PlanLimits()


def run(reads: list[tuple[int, int]], *, total: int | None, covered: Covered | None = None) -> list[Plan]:
    """The plans for a sequence of READs (offset, nbytes), of which all fetches have come before the next."""
    covered = Covered() if covered is None else covered
    state, spent, plans = AccessPattern(), Spent(), []
    for offset, nbytes in reads:
        read = ByteRange(offset, offset + nbytes)
        planned = plan(state, read, covered, total_nbytes=total, limits=LIMITS, spent=spent)
        state = planned.pattern
        spent = planned.spent._replace(requests=spent.requests + len(planned.fetches))
        covered.ranges.extend(fetch.wanted for fetch in planned.fetches)
        plans.append(planned)
    return plans


TOTALS = st.one_of(
    st.none(), st.integers(0, 900 * MIB), st.integers(0, 2 * SMALL_FILE_NBYTES), st.integers(0, WHOLE_FILE_NBYTES)
)
SPENT = st.builds(Spent, requests=st.integers(0, 9), has_jumped=st.booleans(), is_whole=st.booleans())


def overlap_nbytes(one: ByteRange, others: list[ByteRange]) -> int:
    return one.nbytes - sum(piece.nbytes for piece in one.minus(others))


@given(total=TOTALS, data=st.data())
def test_laws(total: int | None, data: st.DataObject) -> None:
    """Laws of any plan. Nothing beyond the end, nothing on its way, nothing twice, no more than the window; held bytes
    again only where that saves a recording's request. All that a READ needs is covered afterwards. A run is cut only
    where it is far from its READ, and all that is cut off for a recording is requested. Equal questions have equal
    answers."""
    size = 900 * MIB if total is None else total
    offsets = st.integers(0, size + MIB)
    runs = st.lists(st.tuples(offsets, st.integers(0, 10 * MIB)), max_size=4)
    covered = Covered([ByteRange(start, start + nbytes) for start, nbytes in data.draw(runs)])
    for start, nbytes in data.draw(runs):
        for gap in ByteRange(start, min(start + nbytes, max(start, size))).minus([*covered.ranges, *covered.runs()]):
            fixed_stop = data.draw(st.integers(gap.start, gap.stop))
            covered.on_its_way.append(Coming(gap.start, fixed_stop, gap.stop))
            break
    limits = PlanLimits(
        window_cap_nbytes=data.draw(st.integers(4096, 8 * MIB)),
        lead_nbytes=data.draw(st.integers(0, 32 * MIB)),
        depth=data.draw(st.sampled_from([1, 1, 2, 8])),
        whole_nbytes=data.draw(st.sampled_from([0, MIB, WHOLE_FILE_NBYTES])),
        reach_nbytes=data.draw(st.integers(0, 32 * MIB)),
        patience_nbytes=data.draw(st.integers(0, 32 * MIB)),
    )
    widest_nbytes = MAX_WINDOW_NBYTES if limits.depth == 1 else limits.depth * PART_NBYTES
    state = AccessPattern(first_nbytes=data.draw(st.sampled_from([FIRST_NBYTES, 2 * FIRST_NBYTES])))
    spent = data.draw(SPENT)
    may_be_whole = total is not None and SMALL_FILE_NBYTES < total <= limits.whole_nbytes
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.one_of(offsets, st.just(state.next_offset), st.just(0)))
        read = ByteRange(start, start + data.draw(st.integers(0, MIB)))
        planned = plan(state, read, covered, total_nbytes=total, limits=limits, spent=spent)
        assert planned == plan(state, read, covered, total_nbytes=total, limits=limits, spent=spent)
        wanted = read if total is None else read.clamped(total)
        if planned.cut_at is not None:
            taken_off = covered.cut(planned.cut_at, within=wanted)
            if spent.is_whole:
                brought = [fetch.wanted for fetch in planned.fetches]
                assert not list(taken_off.minus([*brought, *covered.ranges, *covered.runs()]))
        taken = covered.runs()
        for fetch in planned.fetches:
            assert fetch.wanted
            assert total is None or fetch.wanted.stop <= total
            assert not any(fetch.wanted.overlaps(other) for other in taken)
            taken.append(fetch.wanted)
            if not fetch.is_stream and not fetch.must_finish:
                whole_or_first = max(SMALL_FILE_NBYTES, state.first_nbytes)
                assert fetch.wanted.nbytes <= max(whole_or_first, wanted.nbytes + 8 * KIB, TAIL_NBYTES + 8 * KIB)
            assert fetch.wanted.nbytes <= LONG_NBYTES * 5 // 4
        again_nbytes = sum(overlap_nbytes(fetch.wanted, covered.ranges) for fetch in planned.fetches)
        if not may_be_whole:
            assert not again_nbytes
        elif not planned.spent.is_whole:
            assert again_nbytes <= SMALL_FILE_NBYTES
        assert not list(wanted.minus([*taken, *covered.ranges]))
        if planned.spent.is_whole and not spent.is_whole:
            assert may_be_whole
            assert not list(ByteRange(0, total).minus([*taken, *covered.ranges]))
        if limits.depth > 1 and not may_be_whole:
            assert all(fetch.wanted.nbytes <= PART_NBYTES for fetch in planned.fetches if fetch.is_stream)
            assert len([fetch for fetch in planned.fetches if fetch.is_stream]) <= 2 * limits.depth + len(taken) + 2
        assert planned.receive_stop - planned.pattern.next_offset <= min(limits.window_cap_nbytes, widest_nbytes)
        covered.ranges += [fetch.wanted for fetch in planned.fetches]
        spent = planned.spent._replace(requests=spent.requests + len(planned.fetches))
        again = plan(planned.pattern, read, covered, total_nbytes=total, limits=limits, spent=spent)
        assert again.pattern == planned.pattern
        assert not again.is_jump
        assert again.cut_at is None
        assert not [fetch for fetch in again.fetches if not fetch.is_stream]
        state = planned.pattern


@pytest.mark.parametrize("total", [1, 4097, SMALL_FILE_NBYTES])
def test_small_file_is_one_request(total: int) -> None:
    """Any READ of a small file requests all of it."""
    assert asked(run([(0, 4096)], total=total)[0]) == [(0, total)]
    assert asked(run([(max(0, total - 10), 4096)], total=total)[0]) == [(0, total)]


def test_first_read_of_big_file() -> None:
    """A first READ of up to 256 KiB requests 256 KiB; a larger one is a bulk reader's and requests a long range."""
    assert asked(run([(0, 128 * KIB)], total=600 * MIB)[0]) == [(0, 256 * KIB)]
    assert asked(run([(0, MIB)], total=600 * MIB)[0]) == [(0, LONG_NBYTES)]


def test_reading_on_is_a_long_request() -> None:
    """The READ that ends beyond the first 256 KiB begins a long request after them, and none follows until its end."""
    reads = [(offset, 128 * KIB) for offset in range(0, 4 * MIB, 128 * KIB)]
    plans = run(reads, total=600 * MIB)
    assert [asked(planned) for planned in plans[:3]] == [
        [(0, 256 * KIB)],
        [],
        [(256 * KIB, 256 * KIB + LONG_NBYTES)],
    ]
    assert not any(planned.fetches for planned in plans[3:])


def test_kernel_reordering_is_in_order() -> None:
    """READs that overtake each other within 1 MiB are no jumps."""
    reads = [(0, 128), (256, 128), (128, 128), (512, 128), (384, 128), (768, 128), (640, 128)]
    plans = run([(offset * KIB, nbytes * KIB) for offset, nbytes in reads], total=100 * MIB)
    assert not any(planned.is_jump for planned in plans)
    assert sum(len(planned.fetches) for planned in plans) <= 3


def test_jump_is_exact_then_sequential_again() -> None:
    """A jump fetches what is asked, page-aligned; after two more READs in order a long request follows."""
    at = 50 * MIB
    plans = run(
        [(0, 128 * KIB), (at + 100, 1000), (at + 128 * KIB, 128 * KIB), (at + 256 * KIB, 128 * KIB)], total=100 * MIB
    )
    assert plans[1].is_jump
    assert asked(plans[1]) == [(at, at + 4096)]
    assert asked(plans[2]) == [(at + 128 * KIB, at + 256 * KIB)]
    assert plans[3].fetches[0].is_stream
    assert plans[3].fetches[0].wanted.start == at + 256 * KIB


def test_tail_is_no_jump() -> None:
    """A look at the last 64 KiB fetches them in one piece and leaves the run of the head alone."""
    total = 40 * MIB + 1234
    plans = run([(0, 16 * KIB), (total - 128, 128), (total - 8 * KIB, 8 * KIB), (16 * KIB, 16 * KIB)], total=total)
    assert not any(planned.is_jump for planned in plans)
    assert [len(planned.fetches) for planned in plans] == [1, 1, 0, 0]
    assert plans[1].fetches[0].wanted.nbytes <= TAIL_NBYTES + 4 * KIB


def test_stream_stops_before_what_is_covered() -> None:
    """A long request ends where bytes are held or on their way for another reader."""
    covered = Covered([ByteRange(10 * MIB, 20 * MIB)])
    plans = run([(0, MIB)], total=100 * MIB, covered=covered)
    assert asked(plans[0]) == [(0, 10 * MIB)]


def test_parts_side_by_side() -> None:
    """Where several connections pay, a sequential reader gets parts as far as its window, on one grid, each once."""
    limits = PlanLimits(depth=8, window_cap_nbytes=32 * MIB)
    covered, state, parts = Covered(), AccessPattern(), []
    for offset in range(0, 40 * MIB, MIB):
        planned = plan(state, ByteRange(offset, offset + MIB), covered, total_nbytes=200 * MIB, limits=limits)
        state = planned.pattern
        covered.ranges.extend(fetch.wanted for fetch in planned.fetches)
        parts += asked(planned)
    assert parts[:8] == [(number * MIB, (number + 1) * MIB) for number in range(8)]
    assert all(start == stop for (_, stop), (start, _) in pairwise(parts))
    assert parts[-1][1] - parts[-1][0] == PART_NBYTES
    assert 40 * MIB + 32 * MIB <= parts[-1][1] <= 40 * MIB + 36 * MIB
