"""Read-ahead from disk: few reads, right bytes, and no reader waits for another's."""

import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.cache.disk import DiskCache
from cffs.cache.disk_file import Transfer, WouldBlock
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from tests.reader.simulated_link import MIB, Remote, laboratory
from tests.reader.test_disk_tier import KIB, compare, damage, mounted, read_all


class CountedDisk(DiskCache):
    """Counts its reads on the loop; with `is_cold` nothing is ever in the system's page cache."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, limit_nbytes=2**30, timer=trio.current_time, wall_seconds=trio.current_time)
        self.reads: list[range] = []
        self.is_cold = False
        self.hangs: threading.Event | None = None

    def try_read(self, version, indexes, buffer=None):
        """Count it."""
        self.reads.append(indexes)
        if self.is_cold:
            raise WouldBlock
        return super().try_read(version, indexes, buffer)

    def begin_read(self, version, indexes, buffer=None):
        """With `hangs`, threads wait for it."""
        read = super().begin_read(version, indexes, buffer)
        return read if read is None or self.hangs is None else replace(read, transfer=Hung(read.transfer, self.hangs))


class Hung(Transfer):
    """A transfer that a thread runs when the test lets it."""

    __slots__ = ("_told",)

    def __init__(self, transfer: Transfer, told: threading.Event) -> None:
        super().__init__(transfer._owned.pop(), transfer.pieces, is_write=False)
        self._told = told

    def run(self) -> int:
        """Wait first."""
        self._told.wait(10)
        return super().run()


@asynccontextmanager
async def remounted(folder: Path, remote: Remote, *, memory_nbytes: int = 64 * MIB):
    """A reader over a disk that has all of the object, which is open."""
    async with mounted(folder, remote) as (lab, _disk):
        await read_all(lab, remote)
    disk = CountedDisk(folder)
    disk.scan()
    async with laboratory(memory_nbytes=memory_nbytes, disk=disk) as lab:
        lab.add(remote)
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        yield lab, disk, handle
        handle.close()
        assert lab.origin.requests == 0
    disk.close()


async def test_who_goes_on_is_served_by_pieces(tmp_path):
    """A reader that goes on costs one read of the disk per MiB, and two readers of one object cost no more. What lies
    behind them does not fill the memory."""
    remote = Remote(total=20 * MIB + 5)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        for offset in range(0, 10 * MIB, 128 * KIB):
            await compare(handle, remote, offset, offset + 128 * KIB)
            await compare(handle, remote, 10 * MIB + offset, 10 * MIB + offset + 128 * KIB)
        assert len(disk.reads) <= 24
        assert lab.cache.used_nbytes <= 5 * MIB


async def test_who_jumps_reads_nothing_beside(tmp_path):
    """A reader that never goes on has no block read that it does not touch."""
    remote = Remote(total=20 * MIB)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        for offset in range(19 * MIB, 0, -MIB):
            await compare(handle, remote, offset + 5000, offset + 5000 + 64 * KIB, nbytes=64 * KIB)
        assert all(len(read) == 1 for read in disk.reads)
        assert lab.cache.used_nbytes == 0


@given(
    reads=st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 3 * MIB), st.integers(1, 300_000)), max_size=30
    ),
    memory_nbytes=st.sampled_from([MIB, 5 * MIB, 64 * MIB]),
    is_cold=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_readers_of_a_disk_are_right(tmp_path, reads, memory_nbytes, is_cold):
    """Four readers that go on and jump in any order, side by side, get true bytes without a request, in any memory."""
    remote = Remote(total=3 * MIB + 77)
    async with remounted(tmp_path, remote, memory_nbytes=memory_nbytes) as (_lab, disk, handle):
        disk.is_cold = is_cold

        async def run(reader: int) -> None:
            position = 0
            for owner, jump, nbytes in reads:
                if owner == reader:
                    position = position if jump is None else jump
                    wanted = ByteRange(position, position + nbytes).clamped(remote.total)
                    assert await handle.read(position, nbytes) == remote.content(wanted.start, wanted.nbytes)
                    position = wanted.stop

        async with trio.open_nursery() as nursery:
            for reader in range(4):
                nursery.start_soon(run, reader)
        assert disk.corrupt_blocks == 0


async def test_a_piece_given_up_is_brought_for_others(tmp_path):
    """The reader whose READ began a piece gives up while the disk hangs. Another that waits for the same piece is
    served as soon as the disk answers, and what still comes for the first one goes nowhere."""
    remote = Remote(total=4 * MIB)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        await compare(handle, remote, 0, 128 * KIB)
        disk.is_cold = True
        tier = lab.objects._dependencies.disk
        for _ in range(4):
            tier._readers.acquire_on_behalf_of_nowait(object())  # all threads hang
        async with trio.open_nursery() as nursery:
            given_up = trio.CancelScope()

            async def give_up() -> None:
                with given_up:
                    await handle.read(128 * KIB, 128 * KIB)

            nursery.start_soon(give_up)
            await wait_all_tasks_blocked()
            nursery.start_soon(compare, handle, remote, 256 * KIB, MIB)
            await wait_all_tasks_blocked()
            given_up.cancel()
            await wait_all_tasks_blocked()
            tier._readers.total_tokens += 4
        assert given_up.cancelled_caught


async def test_a_disk_that_hangs_costs_its_reader_alone(tmp_path):
    """A READ for which the disk hangs ends when it is given up. The thread's bytes, which come later, reach no buffer
    that is in use again."""
    remote, other = Remote(total=4 * MIB), Remote(total=8 * MIB, seed=3)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        await compare(handle, remote, 0, 2 * MIB)
        ahead = lab.cache.first_missing(handle._file.tracker.version, ByteRange(2 * MIB, remote.total))
        disk.is_cold, disk.hangs = True, threading.Event()
        with trio.move_on_after(0.05) as given_up:
            await handle.read(ahead.start, 128 * KIB)
        assert given_up.cancelled_caught
        told, disk.hangs = disk.hangs, None
        version = ObjectVersion("other", None, other.total)
        leases = [
            lab.cache.lease(version, ByteRange(at, at + MIB), is_urgent=True, is_passing=True)
            for at in range(0, other.total, MIB)
        ]
        for lease in leases:
            lease.vacant[:] = other.content(lease.start, MIB)
        told.set()
        await compare(handle, remote, 2 * MIB, 4 * MIB)
        assert all(lease.buffer == other.content(lease.start, MIB) for lease in leases)


async def test_a_slow_disk_holds_no_read_for_a_piece(tmp_path, autojump_clock: MockClock):
    """Where a piece takes long, the READs that follow wait for their own bytes alone; a quick piece brings pieces
    back."""
    remote = Remote(total=20 * MIB)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        tier = lab.objects._dependencies.disk
        await compare(handle, remote, 0, 4 * MIB)
        assert max(len(read) for read in disk.reads) == 8
        disk.reads.clear()
        quick_read, tier.read_into = tier.read_into, partial(_slowly, tier.read_into)
        await compare(handle, remote, 4 * MIB, 8 * MIB)
        assert sorted(len(read) for read in disk.reads)[-3] == 1
        disk.reads.clear()
        tier.read_into = quick_read
        await compare(handle, remote, 8 * MIB, 16 * MIB)
        assert max(len(read) for read in disk.reads) == 8


async def _slowly(read_into, *arguments) -> int:
    await trio.sleep(0.5)
    return await read_into(*arguments)


async def test_a_damaged_block_within_a_piece(tmp_path):
    """A piece is served up to its damaged block, which costs its own request and no other."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    damage(tmp_path, at_block=13, of=remote)
    async with mounted(tmp_path, remote) as (lab, disk):
        await read_all(lab, remote)
        assert (lab.origin.requests, lab.origin.sent_nbytes) == (1, BLOCK_NBYTES)
        assert disk.corrupt_blocks == 1
