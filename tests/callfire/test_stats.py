"""The last errors: while a service is down, failures of one kind share a line."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.stats import Stats

KINDS = ("ServerFailure", "OriginUnreachable", "MalformedAnswer")
FAILURES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.booleans()), max_size=60)


@given(FAILURES)
def test_every_failure_is_counted_once(failures):
    """Each failure is counted under its kind, and the lines are at most ten.

    The last line is that of the last failure, and no two neighbouring lines of an API that is down are of one kind.
    """
    stats = Stats()
    for at_ns, (kind, number, is_down) in enumerate(failures):
        stats.count_failure(kind, f"{kind} for GET v2:{number}", at_ns=at_ns, is_down=is_down)
    assert stats.errors == {kind: n for kind in KINDS if (n := sum(one[0] == kind for one in failures))}
    lines = list(stats.last_errors)
    assert len(lines) <= 10
    if failures:
        assert (lines[-1].at_ns, lines[-1].kind) == (len(failures) - 1, failures[-1][0])
    if len(lines) < 10:
        assert sum(line.times for line in lines) == len(failures)
    if all(is_down for _kind, _number, is_down in failures):
        assert all(one.kind != other.kind for one, other in pairwise(lines))


def test_single_objects_keep_their_lines():
    """While the API works, each failing object has a line, and the attempts at one object share it."""
    stats = Stats()
    for number in (1, 1, 1, 2, 3):
        stats.count_failure("ServerFailure", f"GET v2:{number}", at_ns=number, is_down=False)
    assert [(line.line, line.times) for line in stats.last_errors] == [
        ("GET v2:1", 3),
        ("GET v2:2", 1),
        ("GET v2:3", 1),
    ]
