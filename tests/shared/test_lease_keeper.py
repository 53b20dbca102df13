"""Properties of keeping leases: those that bring something are renewed."""

from itertools import pairwise

import pytest
import trio

from cffs.shared.lease_keeper import LeaseKeeper
from cffs.shared.leases import IDLE_SECONDS, FetchLease
from tests.reader.simulated_link import NurseryBackground

LEASE = FetchLease(b"key", "token", 40)


class Renewals:
    """Leases that take down what is renewed, and when."""

    def __init__(self):
        self.seen = []

    async def renew(self, lease, reached):
        """See Leases."""
        self.seen.append((trio.current_time(), lease.token, reached))
        await trio.sleep(0.03)


@pytest.fixture
def renewals():
    """What was renewed."""
    return Renewals()


@pytest.fixture
async def keeper(nursery, renewals):
    """A keeper whose server takes 30 ms."""
    return LeaseKeeper(renewals, NurseryBackground(nursery))


async def test_a_fetch_that_moves_is_never_taken_for_slow(autojump_clock, keeper, renewals):
    """While blocks come, each half second or faster, there is a renewal within every second, with how far it came."""
    kept = keeper.keep(LEASE)
    for reached in range(1, 20):
        await trio.sleep(0.45)
        kept.moved(reached)
    times = [0.0, *(time for time, _, _ in renewals.seen)]
    assert max(after - before for before, after in pairwise(times)) < IDLE_SECONDS
    assert [reached for _, _, reached in renewals.seen] == list(range(1, 19))


async def test_a_fetch_that_brings_nothing_is_not_renewed(autojump_clock, keeper, renewals):
    """Standing still, it is said once how far it had come."""
    kept = keeper.keep(LEASE)
    await trio.sleep(5)
    assert renewals.seen == []
    kept.moved(3)
    await trio.sleep(5)
    assert [reached for _, _, reached in renewals.seen] == [3]


async def test_what_came_and_waits_to_be_written_is_renewed(autojump_clock, keeper, renewals):
    """It counts as alive and whole until it is written, for a quarter of a minute at most."""
    kept = keeper.keep(LEASE)
    kept.came()
    await trio.sleep(5)
    assert {reached for _, _, reached in renewals.seen} == {LEASE.stop}
    assert len(renewals.seen) > 5 / IDLE_SECONDS
    kept.release()
    await trio.sleep(0.4)
    seen = len(renewals.seen)
    await trio.sleep(5)
    assert len(renewals.seen) == seen
    keeper.keep(LEASE).came()
    await trio.sleep(60)
    assert 15 / IDLE_SECONDS < len(renewals.seen) - seen < 40


async def test_many_leases_are_renewed_together(autojump_clock, keeper, renewals):
    """A hundred take no longer than one, and nothing runs once all are released."""
    kept = [keeper.keep(FetchLease(b"key", str(number), 4)) for number in range(100)]
    for one in kept:
        one.came()
    await trio.sleep(1)
    times = {time for time, _, _ in renewals.seen}
    assert len(renewals.seen) == 100 * len(times)
    for one in kept:
        one.release()
    await trio.sleep(1)
    seen = len(renewals.seen)
    keeper.keep(LEASE).came()
    await trio.sleep(0.5)
    assert len(renewals.seen) == seen + 1
