"""Many readers at once: what they share (memory, a slow disk) is paid for once."""

import threading

import trio
from trio.testing import MockClock

from cffs.cache.disk import DiskCache
from cffs.cache.disk_file import BlockWrite, Transfer
from cffs.core.source import v2_recording
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Lab, Remote, laboratory

KIB = 1024


class LateWrite(Transfer):
    """A write for which the disk takes 5 ms more."""

    __slots__ = ()

    def run(self) -> int:
        """Wait first, in its thread."""
        threading.Event().wait(0.005)
        return super().run()


class SlowDisk(DiskCache):
    """Writes late, where a thread writes."""

    def begin_write(self, version, run, data):
        """Begin a write that takes longer."""
        write = super().begin_write(version, run, data)
        assert write is not None
        late = LateWrite(write.transfer._owned.pop(), write.transfer.pieces, is_write=True)
        return BlockWrite(write.file, write.run, write.slots, late)


async def opened(lab: Lab, number: int, nbytes: int) -> OpenFile:
    """A handle on the object of that number, `nbytes` long."""
    source, remote = v2_recording(number), Remote(total=nbytes, seed=number)
    lab.origin.objects[source.key] = remote
    known = Known(total_nbytes=nbytes, validator=remote.validator, source=source)
    return await lab.objects.open(source.key, (source,), known=known)


async def test_short_answers_wait_for_a_slow_disk(tmp_path):
    """Receivers of files of one buffer each wait for a slow disk too: while it writes at all, no block is lost."""
    disk = SlowDisk(tmp_path, limit_nbytes=2**30, timer=trio.current_time, wall_seconds=trio.current_time)
    files, nbytes = range(1, 61), 512 * KIB
    async with laboratory(disk=disk) as lab:
        tier = lab.objects._dependencies.disk
        tier._slow_until = float("inf")
        eight = trio.CapacityLimiter(8)

        async def copy(number: int) -> None:
            async with eight:
                handle = await opened(lab, number, nbytes)
                for offset in range(0, nbytes, 128 * KIB):
                    await handle.read(offset, 128 * KIB)
                handle.close()

        async with trio.open_nursery() as nursery:
            for number in files:
                nursery.start_soon(copy, number)
        with trio.fail_after(20):
            while tier._queue or tier._is_writing:
                await trio.sleep(0.01)
        held = [disk.held_nbytes(v2_recording(number).key) for number in files]
    disk.close()
    assert held == [nbytes] * len(files)


async def test_many_players_in_little_memory_fetch_hardly_a_byte_twice(autojump_clock: MockClock):
    """64 players of 64 files with 32 MiB: what comes ahead of each fits its share, so it is not evicted unread."""
    total = 8 * MIB
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6, memory_nbytes=32 * MIB) as lab:

        async def play(number: int) -> None:
            handle = await opened(lab, number, total)
            for offset in range(0, total, 128 * KIB):
                await handle.read(offset, 128 * KIB)
                await trio.sleep(0.2)
            handle.close()

        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(play, number)
        assert lab.origin.sent_nbytes <= 1.05 * 64 * total


async def test_a_player_waits_for_its_first_window_alone(autojump_clock: MockClock):
    """A reader slower than the link never waits again once its stream runs: its window moves before it ends."""
    total = 24 * MIB
    async with laboratory(latency_seconds=0.05, bytes_per_second=20e6) as lab:
        handle = await opened(lab, 1, total)
        waited_seconds = []
        for offset in range(0, total, 128 * KIB):
            began_at = trio.current_time()
            await handle.read(offset, 128 * KIB)
            waited_seconds.append(trio.current_time() - began_at)
            await trio.sleep(0.02)
        handle.close()
    assert max(waited_seconds[16:]) == 0
