"""Sizes of objects that are not open: one request each, in single flight."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.byte_range import ByteRange
from tests.reader.simulated_link import MIB, Remote, laboratory, opened


async def test_probe_is_one_request_however_many_ask(autojump_clock: MockClock) -> None:
    """A size costs one request for one byte, shared by all callers at the time; that of an open file costs none."""
    async with laboratory(latency_seconds=0.05) as lab:
        lab.add(Remote(total=10 * MIB))
        sizes = []

        async def one() -> None:
            sizes.append((await lab.objects.probe(lab.key, (lab.source,))).total_nbytes)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        assert sizes == [10 * MIB] * 5
        assert lab.origin.asked == [(lab.key, ByteRange(0, 1))]
        await opened(lab)
        await one()
        assert lab.origin.requests == 1


async def test_probe_given_up_is_not_remembered(autojump_clock: MockClock) -> None:
    """When the last caller that waits for a size leaves, the request ends, and the next caller asks again."""
    async with laboratory(latency_seconds=10) as lab:
        lab.add(Remote(total=5))
        with trio.move_on_after(1):
            await lab.objects.probe(lab.key, (lab.source,))
        await wait_all_tasks_blocked()
        assert lab.origin.connections == 0
        lab.origin.latency_seconds = 0.1
        assert (await lab.objects.probe(lab.key, (lab.source,))).total_nbytes == 5


async def test_a_size_that_is_asked_for_ahead_is_no_demand(autojump_clock: MockClock) -> None:
    """It becomes demand when a stat waits for it, at no further request."""
    async with laboratory(latency_seconds=1) as lab:
        lab.add(Remote(total=MIB))
        lab.objects.probe_soon(lab.key, (lab.source,))
        await trio.sleep(0.1)
        (is_demand,) = lab.origin.are_demand
        assert not is_demand()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.objects.probe, lab.key, (lab.source,))
            await trio.sleep(0.1)
            assert is_demand()
        assert lab.origin.requests == 1
