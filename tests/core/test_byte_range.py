import itertools

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange

#: Small enough that a set of its bytes is the model.
RANGES = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: ByteRange(min(ends), max(ends)))


def model(byte_range: ByteRange) -> set[int]:
    return set(range(byte_range.start, byte_range.stop))


@given(RANGES)
def test_size_and_truth_are_those_of_the_set(a: ByteRange) -> None:
    """nbytes counts its bytes and an empty range is false."""
    assert a.nbytes == len(model(a))
    assert bool(a) == bool(model(a))


@given(RANGES, RANGES)
def test_contains_and_overlaps_are_subset_and_intersection(a: ByteRange, b: ByteRange) -> None:
    """contains is the subset relation, overlaps a common byte."""
    assert a.contains(b) == (model(b) <= model(a))
    assert a.overlaps(b) == bool(model(a) & model(b))


@given(RANGES, st.integers(0, 80))
def test_clamping_is_intersection_with_the_object(a: ByteRange, nbytes: int) -> None:
    """clamped keeps the bytes below the object's end."""
    assert model(a.clamped(nbytes)) == {byte for byte in model(a) if byte < nbytes}


@given(RANGES, st.integers(1, 20))
def test_aligning_gives_the_smallest_aligned_superset(a: ByteRange, unit: int) -> None:
    """aligned starts and stops on multiples of the unit and holds exactly the units that the range touches."""
    aligned = a.aligned(unit)
    assert aligned.start % unit == aligned.stop % unit == 0
    assert {byte // unit for byte in model(aligned)} == {byte // unit for byte in model(a)}


@given(RANGES, st.lists(RANGES, max_size=8))
@example(ByteRange(0, 10), [ByteRange(2, 3), ByteRange(20, 30)])
def test_minus_is_set_difference_in_maximal_pieces(a: ByteRange, taken: list[ByteRange]) -> None:
    """minus yields the difference, ascending, in non-empty pieces that do not touch."""
    pieces = list(a.minus(taken))
    expected = model(a).difference(*(model(other) for other in taken))
    assert set().union(*(model(piece) for piece in pieces)) == expected
    assert all(pieces)
    assert all(left.stop < right.start for left, right in itertools.pairwise(pieces))


@given(st.integers(-10, 60), st.integers(-10, 60))
def test_nonsense_is_no_range(start: int, stop: int) -> None:
    """A negative start, or a stop before the start, is a ValueError."""
    assume(start < 0 or stop < start)
    with pytest.raises(ValueError, match="not a byte range"):
        ByteRange(start, stop)
