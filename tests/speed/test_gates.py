"""Speed as counts and virtual seconds, each on a simulated link."""

import random
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.source import Source, v2_recording
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, laboratory

KIB = 1024


async def stream(handle: OpenFile, remote: Remote, start: int, stop: int, *, read_nbytes: int = 128 * KIB) -> None:
    """Read [start, stop) as the kernel does for a program that reads on, and compare."""
    for offset in range(start, stop, read_nbytes):
        nbytes = min(read_nbytes, stop - offset)
        data = await handle.read(offset, nbytes)
        assert data == remote.content(offset, min(nbytes, remote.total - offset))


async def opened(lab: Lab, *, knows: bool = True, hint_nbytes: int | None = None) -> OpenFile:
    return await lab.objects.open(lab.key, (lab.source,), known=lab.known() if knows else None, hint_nbytes=hint_nbytes)


async def test_small_file_costs_one_request(autojump_clock: MockClock) -> None:
    """A file of up to 512 KiB costs one request from open to end, its own bytes and one latency, whatever is known."""
    for total in (1, 4096, 300_001, 512 * KIB):
        for knows, hint_nbytes in ((True, None), (False, None), (False, total), (False, 4 * total)):
            async with laboratory(latency_seconds=0.05) as lab:
                remote = lab.add(Remote(total=total))
                began_at = trio.current_time()
                handle = await opened(lab, knows=knows, hint_nbytes=hint_nbytes)
                assert handle.total_nbytes == total
                await stream(handle, remote, 0, total)
                handle.close()
                assert lab.origin.requests == 1
                assert lab.origin.sent_nbytes == total
                assert trio.current_time() - began_at < 0.06


async def test_probe_of_big_file(autojump_clock: MockClock) -> None:
    """The first 64 KiB of a big file, then close: one request of at most 256 KiB."""
    for knows in (True, False):
        async with laboratory(latency_seconds=0.05) as lab:
            remote = lab.add(Remote(total=100 * MIB))
            handle = await opened(lab, knows=knows, hint_nbytes=100 * MIB)
            await stream(handle, remote, 0, 64 * KIB)
            handle.close()
            await trio.sleep(10)
            assert lab.origin.requests == 1
            assert lab.origin.sent_nbytes <= 256 * KIB


async def test_probe_of_big_file_with_wide_read_ahead(autojump_clock: MockClock) -> None:
    """Where the kernel reads 1 MiB ahead, and so 416 KiB for a program that wants 64: one request of 512 KiB."""
    async with laboratory(latency_seconds=0.05, read_ahead_nbytes=MIB) as lab:
        remote = lab.add(Remote(total=100 * MIB))
        handle = await opened(lab)
        for start, stop in ((0, 32 * KIB), (32 * KIB, 160 * KIB), (160 * KIB, 416 * KIB)):
            await stream(handle, remote, start, stop, read_nbytes=256 * KIB)
        handle.close()
        await trio.sleep(10)
        assert lab.origin.requests == 1
        assert lab.origin.sent_nbytes <= 512 * KIB


async def test_random_reads_are_exact(autojump_clock: MockClock) -> None:
    """Random reads of 64 KiB fetch at most 1.1 times what is read."""
    async with laboratory(latency_seconds=0.05) as lab:
        remote = lab.add(Remote(total=256 * MIB))
        handle = await opened(lab)
        dice = random.Random(1)
        read_nbytes = 0
        for _ in range(200):
            offset = dice.randrange(remote.total - 64 * KIB)
            begin = offset - offset % 4096  # the READs that the kernel makes of it
            nbytes = offset + 64 * KIB + -(offset + 64 * KIB) % 4096 - begin
            data = await handle.read(begin, nbytes)
            assert data == remote.content(begin, min(nbytes, remote.total - begin))
            read_nbytes += 64 * KIB
        assert lab.origin.sent_nbytes <= 1.1 * read_nbytes
        assert lab.origin.requests <= 205


async def test_stream_of_256_mib(autojump_clock: MockClock) -> None:
    """256 MiB at 50 ms and 100 MB/s: at most 8 requests, each byte once, the link's time and a tenth."""
    for read_nbytes in (128 * KIB, MIB):  # the kernel's READs with its own read-ahead, and with 1 MiB set by root
        async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
            remote = lab.add(Remote(total=256 * MIB))
            handle = await opened(lab)
            began_at = trio.current_time()
            await stream(handle, remote, 0, remote.total, read_nbytes=read_nbytes)
            assert lab.origin.requests <= 8
            assert lab.origin.sent_nbytes == remote.total
            assert trio.current_time() - began_at <= 1.1 * (0.05 + remote.total / 100e6)
            assert lab.cache.used_nbytes <= lab.cache.limit_nbytes


async def test_stream_of_a_fast_link(autojump_clock: MockClock) -> None:
    """256 MiB at 50 ms and 1.5 GB/s in READs of 1 MiB: after the first latency hardly a moment without bytes, though a
    request holds less than a latency brings."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=1.5e9) as lab:
        remote = lab.add(Remote(total=256 * MIB))
        handle = await opened(lab)
        began_at = trio.current_time()
        await stream(handle, remote, 0, remote.total, read_nbytes=MIB)
        assert trio.current_time() - began_at <= 0.05 + remote.total / 1.5e9 + 0.008


async def test_second_read_is_free(autojump_clock: MockClock) -> None:
    """A second read of what fits the budget costs no request, also by another handle and after the grace period."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=20 * MIB))
        for pause_seconds in (0, 1, 60):
            handle = await opened(lab)
            await stream(handle, remote, 0, remote.total)
            handle.close()
            await trio.sleep(pause_seconds)
        assert lab.origin.sent_nbytes == remote.total
        assert lab.origin.requests <= 2


async def test_hundred_readers_of_one_cold_file(autojump_clock: MockClock) -> None:
    """A hundred readers of one cold file fetch it once."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=4 * MIB))

        async def one() -> None:
            handle = await opened(lab, knows=False, hint_nbytes=remote.total)
            await stream(handle, remote, 0, remote.total)
            handle.close()

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(one)
        assert lab.origin.sent_nbytes == remote.total
        assert lab.origin.requests <= 3


async def test_sixteen_readers_at_sixteen_offsets(autojump_clock: MockClock) -> None:
    """Sixteen readers that start at sixteen places of one file fetch at most 1.1 copies, 8 connections at a time."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=128 * MIB))

        async def one(index: int) -> None:
            handle = await opened(lab)
            part = remote.total // 16
            await stream(handle, remote, index * part, (index + 1) * part)
            handle.close()

        async with trio.open_nursery() as nursery:
            for index in range(16):
                nursery.start_soon(partial(one, index))
        assert lab.origin.sent_nbytes <= 1.1 * remote.total
        assert lab.origin.most_connections <= 8


async def test_head_then_tail(autojump_clock: MockClock) -> None:
    """A look at the head and one at the tail are two requests, and the reader of the head goes on undisturbed."""
    async with laboratory(latency_seconds=0.05) as lab:
        remote = lab.add(Remote(total=10 * MIB))
        handle = await opened(lab)
        await stream(handle, remote, 0, 16 * KIB)
        await stream(handle, remote, remote.total - 4096, remote.total)
        await stream(handle, remote, remote.total - 16 * KIB, remote.total)
        assert lab.origin.requests == 2
        await stream(handle, remote, 16 * KIB, remote.total)
        assert lab.origin.requests == 3
        assert lab.origin.sent_nbytes == remote.total


async def test_first_byte_takes_one_latency(autojump_clock: MockClock) -> None:
    """The first 64 KiB of a cold file are there after one latency."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=100 * MIB))
        began_at = trio.current_time()
        handle = await opened(lab)
        await stream(handle, remote, 0, 64 * KIB)
        assert trio.current_time() - began_at < 0.055


@pytest.mark.parametrize("stalls_after_nbytes", [None, 4096])
async def test_hanging_objects_delay_nobody(stalls_after_nbytes: int | None, autojump_clock: MockClock) -> None:
    """With 150 objects that hang, before their heads or in their bodies, a cold good one that is asked for last waits
    for a second, its own latency, and a tenth or two for all of them; once they all hang, hardly at all."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=300 * KIB))
        hanging = [v2_recording(1000 + number) for number in range(150)]
        for source in hanging:
            lab.origin.objects[source.key] = Remote(total=300 * KIB)
        if stalls_after_nbytes is None:
            lab.origin.hanging = {source.key for source in hanging}
        else:
            stalls = Fault(after_nbytes=stalls_after_nbytes, stalls=True)
            lab.origin.faults_of = {source.key: stalls for source in hanging}

        async def hang(source: Source) -> None:
            known = Known(total_nbytes=300 * KIB, validator=remote.validator, source=source)
            await (await lab.objects.open(source.key, (source,), known=known)).read(0, 128 * KIB)

        async with trio.open_nursery() as nursery:
            for source in hanging:
                nursery.start_soon(hang, source)
            await wait_all_tasks_blocked()
            for most_seconds in (1.5 if stalls_after_nbytes else 1.3, 0.3):
                began_at = trio.current_time()
                handle = await opened(lab)
                await stream(handle, remote, 0, remote.total)
                handle.close()
                assert trio.current_time() - began_at <= most_seconds
                lab.objects.forget(lab.key)
            assert len(lab.origin.asked) == 152
            nursery.cancel_scope.cancel()


async def test_moving_connections_count(autojump_clock: MockClock) -> None:
    """However many files are read at once, no more than `--connections` move, 8 of one file."""
    async with laboratory(latency_seconds=0.3, bytes_per_second=10e6) as lab:
        sources = [v2_recording(1000 + number) for number in range(100)]

        async def read(source: Source) -> None:
            lab.origin.objects[source.key] = remote = Remote(total=300 * KIB)
            known = Known(total_nbytes=remote.total, validator=remote.validator, source=source)
            handle = await lab.objects.open(source.key, (source,), known=known)
            await stream(handle, remote, 0, remote.total)

        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(read, source)
        assert lab.origin.most_connections <= 16


async def test_paused_reader_is_not_run_away_from(autojump_clock: MockClock) -> None:
    """A reader that stops has at most its window fetched ahead of it, and after a while no connection."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=100 * MIB))
        handle = await opened(lab)
        await stream(handle, remote, 0, 2 * MIB)
        await trio.sleep(60)
        assert lab.origin.sent_nbytes <= 2 * MIB + 2 * MIB + MIB
        assert lab.origin.connections == 0
        await stream(handle, remote, 2 * MIB, 20 * MIB)
        assert lab.origin.requests == 3
