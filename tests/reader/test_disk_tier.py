"""The disk below the reader: no byte twice, no byte wrong, no READ disturbed."""

import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from cffs.cache.disk import DiskCache
from cffs.cache.disk_check import held_nbytes_in
from cffs.cache.disk_format import Layout
from cffs.cache.disk_index import files_below
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, MalformedAnswer, RemoteObjectChanged, TruncatedAnswer
from cffs.core.units import BLOCK_NBYTES
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, corrupting_fault, disk_in, laboratory

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
    """Open, read to the end, compare, close."""
    handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known() if knows else None)
    await compare(handle, remote, 0, remote.total, nbytes=nbytes)
    handle.close()


async def compare(handle: OpenFile, remote: Remote, start: int, stop: int, *, nbytes: int = 128 * KIB) -> None:
    for offset in range(start, stop, nbytes):
        count = min(nbytes, stop - offset)
        assert await handle.read(offset, count) == remote.content(offset, min(count, remote.total - offset))


def damage(folder: Path, *, at_block: int, of: Remote) -> None:
    """Flip a byte of a block."""
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


async def keep_all(handle: OpenFile) -> int:
    """Bring all of it to disk; return how much was not there. Fails where the disk does not take it."""
    nbytes = 0
    while (piece := await handle.keep_next()) is not None:
        assert piece
        nbytes += piece
    return nbytes


@pytest.mark.parametrize("total", [1, 128 * KIB, 300_001, 5 * MIB + 7, 20 * MIB])
@pytest.mark.parametrize("memory_nbytes", [2 * MIB, 64 * MIB])
async def test_what_memory_has_is_brought_to_disk(tmp_path, total, memory_nbytes, autojump_clock: MockClock):
    """After the disk was cleared, bringing a file there requests only what memory lacks. After a restart all of it is
    found, and bringing it once more does nothing."""
    remote = Remote(total=total)
    async with mounted(tmp_path, remote, memory_nbytes=memory_nbytes) as (lab, disk):
        await read_all(lab, remote)
        disk.index.clear(pinned_too=True)
        asked_nbytes, in_memory = lab.origin.sent_nbytes, lab.objects.report(lab.key).memory_nbytes
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert await keep_all(handle) == total
        assert lab.origin.sent_nbytes - asked_nbytes <= total - in_memory + BLOCK_NBYTES
        assert await keep_all(handle) == 0
        handle.close()
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.requests == 0


async def test_a_slow_disk_is_waited_for(tmp_path):
    """What a thread writes, because the disk is slow, is there when bringing it ends, and outlasts the mount."""
    remote = Remote(total=5 * MIB + 7)
    async with mounted(tmp_path, remote) as (lab, disk):
        lab.origin.latency_seconds = 0
        await read_all(lab, remote)
        disk.index.clear(pinned_too=True)
        lab.objects._dependencies.disk._slow_until = float("inf")
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert await keep_all(handle) == remote.total
        assert disk.held_nbytes(lab.key) == remote.total
        handle.close()
    async with mounted(tmp_path, remote) as (lab, _disk):
        await read_all(lab, remote)
        assert lab.origin.requests == 0


async def test_a_disk_that_takes_nothing_is_told(tmp_path, autojump_clock: MockClock):
    """Bringing a file to a disk that refuses it, or has no room, says so and does not go on for ever; bytes that cannot
    be had are the failure that they are."""
    remote = Remote(total=3 * MIB)
    async with mounted(tmp_path, remote) as (lab, disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        disk.refuse(OSError(0, "broken"))
        assert await handle.keep_next() == 0
        lab.origin.faults = [Fault(head=MalformedAnswer("simulated"))] * 9
        with pytest.raises(CffsError):
            while True:
                assert await handle.keep_next() == 0
                lab.objects._dependencies.memory.drop_object(lab.key)
        handle.close()
    async with mounted(tmp_path / "small", remote, limit_nbytes=2 * MIB) as (lab, _disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert [await handle.keep_next() for _ in range(3)][-1] == 0
        handle.close()


async def test_a_change_ends_bringing(tmp_path, autojump_clock: MockClock):
    """A new version that is noticed while a file is brought fails as a changed object, and leaves no byte of the old
    one."""
    remote = Remote(total=20 * MIB)
    async with mounted(tmp_path, remote, memory_nbytes=2 * MIB) as (lab, disk):
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        lab.origin.faults = [Fault(after_nbytes=3 * MIB, body=TruncatedAnswer("simulated"))] * 2
        assert await handle.keep_next()
        lab.add(Remote(total=20 * MIB, seed=1, validator='"v2"'))
        with pytest.raises(RemoteObjectChanged):
            await keep_all(handle)
        handle.close()
        assert disk.held_nbytes(lab.key) == 0


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
    """A mount that is killed while an answer is on its way leaves no byte of it that the next mount would serve: it may
    have been malformed. Once the answer has ended well, its blocks are found again."""
    remote = Remote(total=4 * MIB)
    async with mounted(tmp_path / "blocks", remote) as (lab, disk):
        if is_slow:
            lab.objects._dependencies.disk._slow_until = float("inf")
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
    """Fails with one errno, at the place where the disk is asked."""

    problem: OSError | None = None

    def _writable(self, version, nbytes):
        """Refuse."""
        file = super()._writable(version, nbytes)
        if file is not None and self.problem is not None:
            raise self.problem
        return file


@pytest.mark.parametrize("number", [28, 5, 30])
async def test_a_disk_that_refuses(tmp_path, number, caplog, autojump_clock: MockClock):
    """ENOSPC, EIO and EROFS cost one line of the log and no byte. What was written before is still served, and writing
    resumes by itself."""
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
        await trio.sleep(1)  # the disk is written after the READ
        assert lab.objects.held_nbytes(lab.key) == remote.total
    caplog.clear()


async def test_a_slow_disk_gets_a_thread(tmp_path):
    """While writes take long a thread does them; every block is on disk in the end, and no READ is wrong."""
    disk = disk_in(tmp_path)
    remote = Remote(total=8 * MIB)
    async with laboratory(disk=disk) as lab:
        lab.add(remote)
        tier = lab.objects._dependencies.disk
        tier._slow_until = float("inf")
        await read_all(lab, remote, nbytes=128 * KIB)
        with trio.fail_after(10):
            while disk.held_nbytes(lab.key) < remote.total:
                await trio.lowlevel.checkpoint()
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        tier.forget(handle._file.tracker.version, ByteRange(0, MIB))
        await compare(handle, remote, 0, remote.total)
        handle.close()


async def test_what_is_queued_at_the_end_is_written(tmp_path):
    """A mount that ends while a thread still writes loses no block."""
    remote = Remote(total=3 * MIB)
    async with mounted(tmp_path, remote) as (lab, _disk):
        lab.objects._dependencies.disk._slow_until = float("inf")
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
        version = handle._file.tracker.version
        for _ in range(20):
            with trio.CancelScope() as scope:
                scope.cancel()
                await lab.objects._dependencies.disk._read_in_thread(disk, version, range(8), None)
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
    """No byte is kept of an object that the service no longer has, in memory or on disk, unless it is pinned."""
    remote = Remote(total=300_001)
    async with mounted(tmp_path, remote) as (lab, disk):
        await read_all(lab, remote)
        await trio.sleep(1)  # the disk is written behind the reader
        assert disk.set_pinned(lab.key, pinned=is_pinned)
        lab.objects.let_go(lab.key)
        assert (disk.held_nbytes(lab.key) > 0) is is_pinned
        lab.objects.forget(lab.key)
        assert disk.held_nbytes(lab.key) == 0
