"""The cost of a badly behaved origin or cache folder."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from cffs.core.errors import CffsError, RemoteObjectChanged
from cffs.core.units import BLOCK_NBYTES
from tests.reader.simulated_link import MIB, Fault, Remote, disk_in, laboratory
from tests.reader.test_disk_tier import damage
from tests.speed.test_gates import KIB, opened, stream


@pytest.mark.parametrize("tells_length", [True, False])
async def test_an_origin_without_ranges(tells_length: bool, autojump_clock: MockClock) -> None:
    """Ranges ignored, with or without a length: ten readers and a look at the end cost one answer of the whole, its
    bytes once, and the link's time."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=20 * MIB, ignores_ranges=True, tells_length=tells_length))
        began_at = trio.current_time()
        first = await opened(lab, knows=False)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(stream, await opened(lab, knows=False), remote, 0, remote.total)
            nursery.start_soon(stream, first, remote, remote.total - 64 * KIB, remote.total)
        assert lab.origin.requests == 1
        assert lab.origin.sent_nbytes == remote.total
        assert trio.current_time() - began_at <= 1.1 * (0.05 + remote.total / 100e6)


async def test_answers_one_byte_short(autojump_clock: MockClock) -> None:
    """Answers that say, rightly, that they hold one byte less than was asked for: every byte once, a request more
    each."""
    async with laboratory(latency_seconds=0.05) as lab:
        remote = lab.add(Remote(total=512 * KIB))
        lab.origin.faults = [Fault(answers_nbytes=512 * KIB - 1)]
        await stream(await opened(lab), remote, 0, remote.total)
        assert lab.origin.requests == 2
        assert lab.origin.sent_nbytes == remote.total


async def test_an_object_that_changes_between_two_ranges(autojump_clock: MockClock) -> None:
    """The second range shows that the file changed, and so does the beginning of one answer of the whole: its reader
    has an error, and a new open has the new version whole, by one request."""
    async with laboratory(latency_seconds=0.05) as lab:
        old = lab.add(Remote(total=20 * MIB))
        handle = await opened(lab)
        await stream(handle, old, 0, 64 * KIB)
        new = lab.add(replace(old, seed=9, validator='"v2"'))
        before = lab.origin.requests
        with pytest.raises(RemoteObjectChanged):
            await handle.read(10 * MIB, 64 * KIB)
        assert lab.origin.requests == before + 2
        sent_nbytes = lab.origin.sent_nbytes
        assert sent_nbytes <= 2 * 256 * KIB
        await stream(await opened(lab), new, 0, new.total)
        assert lab.origin.sent_nbytes == sent_nbytes + new.total
        assert lab.origin.requests == before + 3


async def test_second_read_after_a_restart(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A file that was read is read again after a restart, and with the network gone, without a request."""
    remote = Remote(total=20 * MIB)
    for is_offline in (False, True, True):
        async with laboratory(latency_seconds=0.05, disk=(disk := disk_in(tmp_path))) as lab:
            lab.add(remote)
            handle = await opened(lab)
            lab.origin.hanging = {lab.key} if is_offline else set()
            await stream(handle, remote, 0, remote.total)
            assert lab.origin.requests <= (0 if is_offline else 2)
        disk.close()


async def test_a_cache_folder_that_rots(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Each rotten block costs one request for itself; without the network it is an error, and its neighbours read."""
    remote = Remote(total=4 * MIB)
    for state in ("whole", "rotten", "rotten and offline"):
        async with laboratory(latency_seconds=0.05, timeout_seconds=5, disk=(disk := disk_in(tmp_path))) as lab:
            lab.add(remote)
            handle = await opened(lab)
            if state == "rotten and offline":
                lab.origin.hanging = {lab.key}
                await stream(handle, remote, 0, 5 * BLOCK_NBYTES)
                with pytest.raises((CffsError, trio.TooSlowError)), trio.fail_after(5):
                    await handle.read(5 * BLOCK_NBYTES, 4096)
                await stream(handle, remote, 6 * BLOCK_NBYTES, remote.total)
            else:
                await stream(handle, remote, 0, remote.total)
            if state == "rotten":
                assert (lab.origin.requests, lab.origin.sent_nbytes) == (1, BLOCK_NBYTES)
            handle.close()
        disk.close()
        damage(tmp_path, at_block=5, of=remote)


async def test_a_size_that_is_only_said(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Objects that claim a tebibyte cost what came of them: memory, disk, bytes and requests."""
    disk = disk_in(tmp_path)
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6, memory_nbytes=8 * MIB, disk=disk) as lab:
        lab.add(Remote(total=2**40))
        tracemalloc.start()
        try:
            handle = await opened(lab, knows=False)
            for offset in (0, 128 * KIB, 2**40 - 4096, 2**39):
                await handle.read(offset, 4096)
            handle.close()
            assert tracemalloc.get_traced_memory()[1] < 2 * 8 * MIB
        finally:
            tracemalloc.stop()
        assert lab.origin.requests <= 4
        assert lab.origin.sent_nbytes <= 2 * MIB
        assert sum(path.stat().st_blocks * 512 for path in tmp_path.glob("*/*")) <= 4 * MIB
    disk.close()
