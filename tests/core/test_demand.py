"""Whether somebody waits: what a task begins with, and who waits for its work."""

from collections.abc import Iterator

import pytest

from cffs.core import demand


@pytest.fixture(autouse=True)
def _context_restored() -> Iterator[None]:
    yield
    demand.begin(demand.always)


def test_where_nothing_was_begun_somebody_waits():
    """A task of which nothing is known is demand."""
    assert demand.current()()


def test_work_is_demand_while_one_of_its_callers_is():
    """A caller that works ahead of need makes no demand of what it waits for, until somebody waits for it."""
    callers, wanted = demand.Callers(), []
    assert not callers.is_demand()
    demand.begin(lambda: bool(wanted))
    ahead = callers.enter()
    assert len(callers) == 1
    assert not callers.is_demand()
    wanted.append("a reader")
    assert callers.is_demand()
    wanted.clear()
    demand.begin(demand.always)
    waiting = callers.enter()
    assert callers.is_demand()
    callers.leave(waiting)
    assert not callers.is_demand()
    callers.leave(ahead)
    assert not callers
