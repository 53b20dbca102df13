"""The disk below the reader: nothing on it is fetched again, nothing wrong comes from it, it never disturbs a READ."""

import os
import shutil
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.cache.disk import DiskCache
from cffs.cache.disk_check import held_nbytes_in
from cffs.cache.disk_file import Transfer, WouldBlock
from cffs.cache.disk_format import BLOCK_NBYTES, Layout
from cffs.cache.disk_index import files_below
from cffs.cache.version import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, MalformedAnswer
from cffs.reader.remote_file import OpenFile
from tests.reader.link import MIB, Fault, Lab, Remote, corrupting_fault, disk_in, laboratory

KIB = 1024


@asynccontextmanager
async def mounted(folder: Path, remote: Remote, *, limit_nbytes: int = 2**30, memory_nbytes: int = 64 * MIB):
    """A reader over what an earlier one left in `folder`."""
    disk = disk_in(folder, limit_nbytes=limit_nbytes)
    async with laboratory(latency_seconds=0.05, memory_nbytes=memory_nbytes, disk=disk) as lab:
        lab.add(remote)
        yield lab, disk
    disk.close()


async def read_all(lab: Lab, remote: Remote, *, nbytes: int = 128 * KIB, knows: bool = True) -> None:
    """Opens, reads to the end, compares, closes."""
    handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known() if knows else None)
    await compare(handle, remote, 0, remote.total, nbytes=nbytes)
    handle.close()


async def compare(handle: OpenFile, remote: Remote, start: int, stop: int, *, nbytes: int = 128 * KIB) -> None:
    for offset in range(start, stop, nbytes):
        count = min(nbytes, stop - offset)
        assert await handle.read(offset, count) == remote.content(offset, min(count, remote.total - offset))


def damage(folder: Path, *, at_block: int, of: Remote) -> None:
    """Flips a byte of a block."""
    (path,) = files_below(folder)
    with path.open("r+b") as file:
        file.seek(Layout(of.total).block_offset(at_block) + 77)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("total", [1, 128 * KIB, 300_001, 512 * KIB, 5 * MIB + 7])
@pytest.mark.parametrize("memory_nbytes", [MIB, 64 * MIB])
async def test_second_read_after_a_restart_is_free(tmp_path, total, memory_nbytes, autojump_clock: MockClock):
    """What was read whole is on disk: after a restart every way to read it costs no request, whatever the memory."""
    remote = Remote(total=total)
    async with mounted(tmp_path, remote, memory_nbytes=memory_nbytes) as (lab, _disk):
        await read_all(lab, remote, knows=False)
        assert lab.origin.sent_nbytes == total
    async with mounted(tmp_path, remote) as (lab, disk):
        for nbytes in (128 * KIB, MIB, 68 * KIB, 4096 * 3):
            await read_all(lab, remote, nbytes=nbytes)
        assert lab.origin.requests == 0
        assert lab.objects.held_nbytes(lab.key) == total
        assert lab.objects.disk_hits > 0
        assert disk.corrupt_blocks == 0


async def test_what_is_on_disk_is_never_planned(tmp_path, autojump_clock: MockClock):
    """A stream over a file of which a part is on disk fetches exactly the rest, ahead of the reader."""
    remote = Remote(total=40 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        await compare(handle, remote, 10 * MIB, 20 * MIB)
        handle.close()
        fetched_nbytes = lab.origin.sent_nbytes
    async with mounted(tmp_path, remote) as (lab, _disk):
        held_nbytes = lab.objects.held_nbytes(lab.key)
        assert 10 * MIB <= held_nbytes <= fetched_nbytes
        await read_all(lab, remote)
        assert lab.origin.sent_nbytes == remote.total - held_nbytes
        assert lab.origin.requests <= 4


async def test_a_damaged_block_costs_a_request(tmp_path, autojump_clock: MockClock):
    """A flipped byte costs one request for its block, is counted, and is mended on disk."""
    remote = Remote(total=3 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    damage(tmp_path, at_block=5, of=remote)
    async with mounted(tmp_path, remote) as (lab, disk):
        await read_all(lab, remote, nbytes=MIB)
        assert lab.origin.requests == 1
        assert lab.origin.sent_nbytes == BLOCK_NBYTES
        assert disk.corrupt_blocks == 1
    async with mounted(tmp_path, remote) as (lab, disk):
        await read_all(lab, remote)
        assert (lab.origin.requests, disk.corrupt_blocks) == (0, 0)


async def test_no_byte_of_a_malformed_answer_stays(tmp_path, autojump_clock: MockClock):
    """Bytes of an answer that proves malformed leave the disk too: the next mount reads the true ones."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path, remote) as (lab, disk):
        lab.origin.faults = [corrupting_fault(700 * KIB)]
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        with pytest.raises(MalformedAnswer):
            await handle.read(0, MIB)
        handle.close()
        assert disk.held_nbytes(lab.key) == 0
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)


@pytest.mark.parametrize("is_slow", [False, True])
async def test_killed_before_the_verdict(tmp_path, is_slow):
    """Killed while an answer is on its way, a mount leaves no byte of it that the next one would serve: it may have
    been malformed. Once the answer has ended as it should, its blocks are found again."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path / "blocks", remote) as (lab, disk):
        if is_slow:
            lab.objects._tools.disk._slow_until = float("inf")
        lab.origin.latency_seconds = 0
        lab.origin.faults = [Fault(after_nbytes=3 * MIB, stalls=True, corrupts=True)]
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        with trio.fail_after(10):
            assert await handle.read(0, 2 * MIB) != remote.content(0, 2 * MIB)
            while disk.held_nbytes(lab.key) < MIB:
                await trio.sleep(0.001)
        shutil.copytree(tmp_path / "blocks", tmp_path / "as-killed")
        lab.objects.forget(lab.key)
        handle.close()
        await read_all(lab, remote)
        with trio.fail_after(10):
            (path,) = files_below(tmp_path / "blocks")
            while held_nbytes_in(path) < remote.total:  # the answer's end comes a moment after its last byte
                await trio.sleep(0.001)
        shutil.copytree(tmp_path / "blocks", tmp_path / "killed-later")
    async with mounted(tmp_path / "as-killed", remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.sent_nbytes == remote.total
    async with mounted(tmp_path / "killed-later", remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.requests == 0


async def test_a_changed_object_leaves_the_disk(tmp_path, autojump_clock: MockClock):
    """When the origin has another version, the old one's bytes go, and the new one is kept."""
    old, new = Remote(total=8 * MIB), Remote(total=8 * MIB, seed=5, validator='"v2"')
    async with mounted(tmp_path, old) as (lab, _disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        await compare(handle, old, 0, 128 * KIB)
        lab.add(new)
        with pytest.raises(CffsError):
            await compare(handle, old, 128 * KIB, 8 * MIB)
        assert lab.objects.held_nbytes(lab.key) == 0
        handle.close()
        await read_all(lab, new)
    async with mounted(tmp_path, new) as (lab, _disk):
        await read_all(lab, new)
        assert lab.origin.requests == 0


@pytest.mark.parametrize("tells_length", [True, False])
async def test_an_origin_without_ranges(tmp_path, tells_length, autojump_clock: MockClock):
    """An answer of the whole, with or without its length, is on disk once its end is known."""
    remote = Remote(total=3 * MIB + 5, ignores_ranges=True, tells_length=tells_length)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote, knows=False)
        assert lab.origin.sent_nbytes == remote.total
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.requests == 0


async def test_size_zero_keeps_none(tmp_path, autojump_clock: MockClock):
    """With a limit of 0 nothing is kept, and what an earlier mount kept goes."""
    remote = Remote(total=MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    async with mounted(tmp_path, remote, limit_nbytes=0) as (lab, _disk):
        assert list(files_below(tmp_path)) == []
        await read_all(lab, remote)
        assert lab.origin.requests > 0
        assert list(files_below(tmp_path)) == []


async def test_eviction_under_readers(tmp_path, autojump_clock: MockClock):
    """With room for two files of eight read in turns, bytes are true and the limit holds."""
    async with laboratory(disk=(disk := disk_in(tmp_path, limit_nbytes=3 * MIB)), memory_nbytes=4 * MIB) as lab:
        remotes = {f"many/{number}": Remote(total=MIB + number, seed=number) for number in range(8)}
        lab.origin.objects.update({lab.key: Remote(total=1)})
        for _ in range(3):
            for key, remote in remotes.items():
                lab.origin.objects[lab.key] = remote
                handle = await lab.objects.open(key, (lab.source,))
                await compare(handle, remote, 0, remote.total)
                handle.close()
                assert disk.used_nbytes <= 3 * MIB + BLOCK_NBYTES
                await trio.sleep(10)


class BadDisk(DiskCache):
    """Fails as told, at the place where the disk is asked."""

    problem: OSError | None = None

    def _writable(self, version, nbytes):
        """Refuses."""
        file = super()._writable(version, nbytes)
        if file is not None and self.problem is not None:
            raise self.problem
        return file


@pytest.mark.parametrize("number", [28, 5, 30])
async def test_a_disk_that_refuses(tmp_path, number, caplog, autojump_clock: MockClock):
    """ENOSPC, EIO and EROFS cost one line and no byte; what was written before is still served, and it mends itself."""
    disk = BadDisk(tmp_path, limit_nbytes=2**30, timer=trio.current_time, wall_seconds=trio.current_time)
    remote = Remote(total=6 * MIB)
    async with laboratory(disk=disk, memory_nbytes=MIB) as lab:
        lab.add(remote)
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        await compare(handle, remote, 0, 2 * MIB)
        disk.problem = OSError(number, os.strerror(number))
        await compare(handle, remote, 2 * MIB, 6 * MIB)
        assert len([record for record in caplog.records if "pauses" in record.message]) == 1
        sent_nbytes = lab.origin.sent_nbytes
        await compare(handle, remote, 0, MIB)
        assert lab.origin.sent_nbytes == sent_nbytes
        disk.problem = None
        handle.close()
        await trio.sleep(60)
        lab.cache.drop_object(lab.key)  # what memory has is not written later
        await read_all(lab, remote)
        await read_all(lab, remote)
        await trio.sleep(1)  # the disk is written behind the reader
        assert lab.objects.held_nbytes(lab.key) == remote.total
    caplog.clear()


async def test_a_slow_disk_gets_a_thread(tmp_path):
    """While writes take long a thread does them; every block is on disk in the end, and no READ is wrong."""
    disk = disk_in(tmp_path)
    remote = Remote(total=8 * MIB)
    async with laboratory(disk=disk) as lab:
        lab.add(remote)
        tier = lab.objects._tools.disk
        tier._slow_until = float("inf")
        await read_all(lab, remote, nbytes=128 * KIB)
        with trio.fail_after(10):
            while disk.held_nbytes(lab.key) < remote.total:
                await trio.lowlevel.checkpoint()
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        tier.forget(handle._file.identity.version, ByteRange(0, MIB))
        await compare(handle, remote, 0, remote.total)
        handle.close()


async def test_what_is_queued_at_the_end_is_written(tmp_path):
    """A mount that ends while a thread still writes loses no block."""
    remote = Remote(total=3 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        lab.objects._tools.disk._slow_until = float("inf")
        await read_all(lab, remote)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    assert lab.origin.requests == 0


async def test_cold_blocks_are_read_in_a_thread(tmp_path):
    """A block that is not in the system's page cache is read in a thread, right, by several readers at once."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    os.sync()
    (path,) = files_below(tmp_path)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    async with mounted(tmp_path, remote) as (lab, _disk), trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(read_all, lab, remote)
    assert lab.origin.requests == 0


async def test_a_reader_that_leaves_while_the_disk_is_read(tmp_path):
    """A READ cancelled while a thread reads for it leaves no descriptor behind, and the next one is right."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
    async with mounted(tmp_path, remote) as (lab, disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        await handle.read(0, 4096)
        descriptors = len(os.listdir("/proc/self/fd"))
        version = handle._file.identity.version
        for _ in range(20):
            with trio.CancelScope() as scope:
                scope.cancel()
                await lab.objects._tools.disk._read_in_thread(disk, version, range(8), None)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        await compare(handle, remote, 0, remote.total)
        handle.close()


async def test_a_stalled_answer_leaves_what_came_on_disk(tmp_path, autojump_clock: MockClock):
    """Whole blocks of an answer that broke off are kept: only the rest is fetched after a restart."""
    remote = Remote(total=2 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        lab.origin.faults = [Fault(after_nbytes=200 * KIB, stalls=True)]
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        with trio.move_on_after(5):
            await handle.read(0, 512 * KIB)
        handle.close()
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.sent_nbytes == remote.total - BLOCK_NBYTES


@pytest.mark.parametrize("is_pinned", [True, False])
async def test_bytes_of_what_is_gone(tmp_path, is_pinned, autojump_clock: MockClock):
    """Of an object that the service has no more no byte is kept, in memory or on disk, unless it is pinned."""
    remote = Remote(total=300_001)
    async with mounted(tmp_path, remote) as (lab, disk):
        await read_all(lab, remote)
        await trio.sleep(1)  # the disk is written behind the reader
        assert disk.set_pinned(lab.key, pinned=is_pinned)
        lab.objects.let_go(lab.key)
        assert (disk.held_nbytes(lab.key) > 0) is is_pinned
        lab.objects.forget(lab.key)
        assert disk.held_nbytes(lab.key) == 0


class CountedDisk(DiskCache):
    """Notes what is read at once; with `is_cold` nothing is ever in the system's page cache."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, limit_nbytes=2**30, timer=trio.current_time, wall_seconds=trio.current_time)
        self.reads: list[range] = []
        self.is_cold = False
        self.hangs: threading.Event | None = None

    def read_now(self, version, indexes, buffer=None):
        """Notes it."""
        self.reads.append(indexes)
        if self.is_cold:
            raise WouldBlock
        return super().read_now(version, indexes, buffer)

    def begin_read(self, version, indexes, buffer=None):
        """With `hangs`, threads wait for it."""
        read = super().begin_read(version, indexes, buffer)
        return read if read is None or self.hangs is None else replace(read, transfer=Hung(read.transfer, self.hangs))


class Hung(Transfer):
    """One that a thread runs when told to."""

    __slots__ = ("_told",)

    def __init__(self, transfer: Transfer, told: threading.Event) -> None:
        super().__init__(transfer._owned.pop(), transfer.pieces, is_write=False)
        self._told = told

    def run(self) -> int:
        """Waits first."""
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
    """A reader who goes on costs one read of the disk a MiB, two readers of one object no more each, and what lies
    behind them does not fill the memory."""
    remote = Remote(total=20 * MIB + 5)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        for offset in range(0, 10 * MIB, 128 * KIB):
            await compare(handle, remote, offset, offset + 128 * KIB)
            await compare(handle, remote, 10 * MIB + offset, 10 * MIB + offset + 128 * KIB)
        assert len(disk.reads) <= 24
        assert lab.cache.used_nbytes <= 4 * MIB


async def test_who_jumps_reads_nothing_beside(tmp_path):
    """A reader who never goes on has no block read that it does not touch."""
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
    """Four readers who go on and jump as they like, all at once, get true bytes without a request, in any memory."""
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
    """The reader whose READ began a piece gives up while the disk hangs: who waits for the same piece is served as soon
    as it answers, and what still comes for the first goes nowhere."""
    remote = Remote(total=4 * MIB)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        await compare(handle, remote, 0, 128 * KIB)
        disk.is_cold = True
        tier = lab.objects._tools.disk
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
    """A READ for which the disk hangs ends when it is given up; the thread's bytes, which come later, reach no buffer
    that is in use again."""
    remote, other = Remote(total=4 * MIB), Remote(total=8 * MIB, seed=3)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        await compare(handle, remote, 0, 2 * MIB)
        ahead = lab.cache.first_missing(handle._file.identity.version, ByteRange(2 * MIB, remote.total))
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
    """Where a piece takes long, the READs that follow wait for their own bytes alone; a quick one has pieces again."""
    remote = Remote(total=20 * MIB)
    async with remounted(tmp_path, remote) as (lab, disk, handle):
        tier = lab.objects._tools.disk
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
