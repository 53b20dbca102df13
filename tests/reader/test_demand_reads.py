"""What readers wait for, and what becomes of it when they leave."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.errors import (
    DeadlineExceeded,
)
from cffs.core.source import v2_recording
from tests.reader.simulated_link import (
    KIB,
    MIB,
    Fault,
    Remote,
    check,
    check_all,
    laboratory,
    opened,
)


async def test_read_beyond_the_end(autojump_clock: MockClock) -> None:
    """A READ across the end is short; one beyond it is empty and makes no request."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=MIB + 100))
        handle = await opened(lab)
        await check(handle, remote, MIB, 4096)
        requests = lab.origin.requests
        assert await handle.read(2 * MIB, 4096) == b""
        assert lab.origin.requests == requests


async def test_origin_without_length(autojump_clock: MockClock) -> None:
    """Where no length is stated, open waits for the end, and the size is exact."""
    async with laboratory(bytes_per_second=10e6) as lab:
        remote = lab.add(Remote(total=5 * MIB, ignores_ranges=True, tells_length=False, validator=None))
        handle = await opened(lab, knows=False)
        assert handle.total_nbytes == 5 * MIB
        await check_all(handle, remote)
        assert lab.origin.requests == 1
        assert lab.facts.learned_facts[-1].total_nbytes == 5 * MIB


async def test_origin_without_length_that_takes_too_long(autojump_clock: MockClock) -> None:
    """Where the end has not come after a third of the timeout, the size stays unknown; READs end at the true end."""
    async with laboratory(bytes_per_second=1e6, memory_nbytes=16 * MIB) as lab:
        remote = lab.add(Remote(total=30 * MIB + 17, ignores_ranges=True, tells_length=False))
        began_at = trio.current_time()
        handle = await opened(lab, knows=False)
        assert trio.current_time() - began_at == pytest.approx(10)
        assert handle.total_nbytes is None
        assert handle.arrived_nbytes >= 7 * MIB
        await check_all(handle, remote)
        assert await handle.read(remote.total, 4096) == b""
        assert handle.total_nbytes == remote.total
        assert lab.origin.requests == 1
        assert lab.cache.used_nbytes <= 16 * MIB


async def test_origin_without_length_that_begins_late(autojump_clock: MockClock) -> None:
    """Where the first byte takes longer than the third of the timeout that open waits for an end, an end that follows
    at once is still waited for."""
    async with laboratory(latency_seconds=12, bytes_per_second=10e6) as lab:
        remote = lab.add(Remote(total=5 * MIB, ignores_ranges=True, tells_length=False))
        with trio.fail_after(15):
            handle = await opened(lab, knows=False)
        assert handle.total_nbytes == remote.total
        await check_all(handle, remote)
        assert lab.origin.requests == 1


async def test_late_answer_serves_who_came_later(autojump_clock: MockClock) -> None:
    """An answer that the first opener did not wait for serves an opener that came meanwhile, and its READs too."""
    async with laboratory(latency_seconds=16) as lab:
        remote = lab.add(Remote(total=10 * MIB))

        async def wait_in_vain() -> None:
            with trio.move_on_after(15):
                await opened(lab, knows=False)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_in_vain)
            await trio.sleep(14)
            with trio.fail_after(15):
                handle = await opened(lab, knows=False)
        assert lab.origin.requests == 1
        lab.origin.latency_seconds = 0.05
        await check(handle, remote, 0, 4096)
        await check(handle, remote, 5 * MIB, 4096)
        assert lab.origin.requests == 2


async def test_reader_that_gives_up_leaves_the_others(autojump_clock: MockClock) -> None:
    """A reader that is cancelled takes no byte from others that wait for the same one."""
    async with laboratory(latency_seconds=5) as lab:
        remote = lab.add(Remote(total=100_000))
        handle, other = await opened(lab), await opened(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check, other, remote, 0, 4096)
            with trio.move_on_after(1) as scope:
                await handle.read(0, 4096)
            assert scope.cancelled_caught
        assert lab.origin.requests == 1


async def test_last_reader_out_drops_the_fetch(autojump_clock: MockClock) -> None:
    """A fetch whose last waiter timed out is dropped at once. Handles from before fail at once for 5 s; a new open
    starts afresh."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=100_000))
        lab.origin.faults.append(Fault(after_nbytes=0, stalls=True))
        handle = await opened(lab)
        with trio.move_on_after(15) as scope:
            await handle.read(0, 4096)
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert lab.origin.connections == 0
        with pytest.raises(DeadlineExceeded):
            await handle.read(0, 4096)
        assert lab.origin.requests == 1
        await trio.sleep(0.1)
        await check(await opened(lab), remote, 0, 4096)
        await check(handle, remote, 0, 4096)


async def test_a_drip_is_dropped_with_its_last_reader(autojump_clock: MockClock) -> None:
    """An answer that moves too slowly for its reader is dropped when that reader runs out of time, and is not left to
    the next open. An answer whose reader closed is left to come."""
    for closes in (False, True):
        async with laboratory(bytes_per_second=64e3, memory_nbytes=MIB) as lab:
            remote = lab.add(Remote(total=500_000))
            handle = await opened(lab)
            with trio.move_on_after(2):
                await handle.read(0 if closes else 400_000, 4096)
            if closes:
                handle.close()
            await wait_all_tasks_blocked()
            assert lab.origin.connections == closes
            lab.origin.bytes_per_second = 1e9
            await trio.sleep(1)
            await check(await opened(lab), remote, 400_000, 4096)
            assert lab.origin.requests == (1 if closes else 2)


async def test_large_reads_with_little_memory(autojump_clock: MockClock) -> None:
    """READs that are together larger than the memory all end, in time and right."""
    async with laboratory(latency_seconds=0.01, bytes_per_second=20e6, memory_nbytes=2 * MIB) as lab:
        remote = lab.add(Remote(total=40 * MIB))
        handle = await opened(lab)
        with trio.fail_after(15):
            async with trio.open_nursery() as nursery:
                for index in range(16):
                    nursery.start_soon(check, handle, remote, index * 2 * MIB, MIB)
        assert lab.cache.used_nbytes <= 2 * MIB


async def test_many_sequential_readers_within_a_small_budget(autojump_clock: MockClock) -> None:
    """Forty readers of forty files, with 8 MiB of memory and 4 connections: all bytes are right, and the budget
    holds."""
    async with laboratory(latency_seconds=0.01, bytes_per_second=100e6, memory_nbytes=8 * MIB, connections=4) as lab:

        async def one(index: int) -> None:
            source = v2_recording(100 + index)
            remote = lab.origin.objects[source.key] = Remote(total=3 * MIB, seed=index)
            handle = await lab.objects.open(source.key, (source,))
            for offset in range(0, remote.total, 128 * KIB):
                with trio.fail_after(15):
                    await check(handle, remote, offset, 128 * KIB)
                assert lab.cache.used_nbytes <= 8 * MIB
            handle.close()

        async with trio.open_nursery() as nursery:
            for index in range(40):
                nursery.start_soon(one, index)
        assert lab.origin.most_connections <= 4
