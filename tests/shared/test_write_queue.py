"""Properties of the queue to the shared server: in order, and bounded."""

from functools import partial

import trio

from cffs.core.units import MIB
from cffs.shared.write_queue import MOST_QUEUED_NBYTES, MOST_WRITERS, WriteQueue
from tests.reader.simulated_link import NurseryBackground


async def test_writes_come_in_order(autojump_clock):
    """What was added is awaited one after the other, in its order."""
    done = []

    async def write(number):
        await trio.sleep(1 / (number + 1))
        done.append(number)

    async with trio.open_nursery() as nursery:
        queue = WriteQueue(NurseryBackground(nursery), is_up=lambda: True)
        for number in range(20):
            assert queue.add("lane", lambda number=number: write(number), nbytes=1000)
        assert done == []
    assert done == list(range(20))
    assert not queue.is_writing


async def test_lanes_are_written_at_once(autojump_clock):
    """Up to eight lanes are written at the same time, each in its order, and every one in the end."""
    done, running, most = [], 0, 0

    async def write(lane, number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        done.append((lane, number))

    async with trio.open_nursery() as nursery:
        queue = WriteQueue(NurseryBackground(nursery), is_up=lambda: True)
        for number in range(5):
            for lane in range(12):
                assert queue.add(lane, partial(write, lane, number))
    assert most == MOST_WRITERS
    assert not queue.is_writing
    assert len(done) == 60
    for lane in range(12):
        assert [number for one, number in done if one == lane] == list(range(5))


async def test_a_full_queue_takes_no_more(autojump_clock):
    """Beyond the bound nothing is queued, and adding never waits; there is room again once it was written."""
    written = 0

    async def write():
        nonlocal written
        await trio.sleep(1)
        written += 1

    async with trio.open_nursery() as nursery:
        queue = WriteQueue(NurseryBackground(nursery), is_up=lambda: True)
        assert sum(queue.add("lane", write, nbytes=MIB) for _ in range(100)) == MOST_QUEUED_NBYTES // MIB
        assert queue.dropped == 100 - MOST_QUEUED_NBYTES // MIB
        await trio.sleep(2.5)
        assert queue.add("lane", write, nbytes=MIB)
    assert written == MOST_QUEUED_NBYTES // MIB + 1


async def test_without_a_server_nothing_is_queued(autojump_clock):
    """A server that is gone costs nothing."""

    async def write():
        raise AssertionError

    async with trio.open_nursery() as nursery:
        queue = WriteQueue(NurseryBackground(nursery), is_up=lambda: False)
        assert not queue.add("lane", write)
