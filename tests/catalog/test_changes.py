"""Changed keys: coalesced, bounded, and never lost on the way to the listener."""

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from cffs.catalog.changes import MAX_PENDING, Changes


async def test_repeats_are_one(autojump_clock: trio.testing.MockClock) -> None:
    """A key that changed often is drained once, and not again."""
    changes = Changes()
    for _ in range(5):
        changes.add("a")
    changes.add("b")
    assert await changes.drain() == (frozenset({"a", "b"}), False)
    with trio.move_on_after(1) as scope:
        await changes.drain()
    assert scope.cancelled_caught


async def test_waits_for_a_change(autojump_clock: trio.testing.MockClock) -> None:
    """A listener that came first wakes at the first change."""
    changes = Changes()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def later() -> None:
            await trio.sleep(3)
            changes.add("a")

        assert await changes.drain() == (frozenset({"a"}), False)
    assert trio.current_time() >= 3


async def test_cancelled_listener_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """Cancelled while waiting, the next drain has what came meanwhile."""
    changes = Changes()
    with trio.move_on_after(1):
        await changes.drain()
    changes.add("a")
    assert await changes.drain() == (frozenset({"a"}), False)


@given(st.integers(1, 3 * MAX_PENDING))
async def test_overflow(count: int) -> None:
    """However many keys change, at most MAX_PENDING are kept; the listener learns that some are missing, and only
    then."""
    changes = Changes()
    for number in range(count):
        changes.add(str(number))
    keys, overflowed = await changes.drain()
    assert len(keys) <= MAX_PENDING
    assert overflowed == (count > MAX_PENDING)
    assert overflowed or len(keys) == count
    changes.add("after")
    assert await changes.drain() == (frozenset({"after"}), False)
