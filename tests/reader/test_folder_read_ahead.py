"""Folder read-ahead: counts, virtual seconds, and waste where a reader stops."""

import random

import pytest
import trio
from trio.testing import MockClock

from cffs.core.source import v2_recording
from cffs.reader.folder_read_ahead import FolderReadAhead, FolderRun, NextFile
from cffs.reader.object_info import Known
from tests.reader.simulated_link import MIB, Lab, Remote, laboratory

KIB = 1024


def folder_of(lab: Lab, count: int, *, least: int = 100_000, most: int = 1_000_000) -> list[tuple[NextFile, Remote]]:
    """`count` files of 100 KB to 1 MB with known sizes."""
    dice, files = random.Random(3), []
    for index in range(count):
        source = v2_recording(1000 + index)
        remote = lab.origin.objects[source.key] = Remote(total=dice.randrange(least, most), seed=index)
        known = Known(total_nbytes=remote.total, validator=remote.validator, source=source)
        files.append((NextFile(index=index, key=source.key, sources=(source,), known=known, hint_nbytes=None), remote))
    return files


async def copy(
    lab: Lab,
    siblings: FolderReadAhead | None,
    files: list[tuple[NextFile, Remote]],
    order: list[int],
    *,
    nbytes: int = MIB,
    tail_nbytes: int = 0,
) -> float:
    """Open, read and close files as cp does, or their first `nbytes` and their last; the virtual seconds it took."""
    began_at = trio.current_time()
    for index in order:
        file, remote = files[index]
        handle = await lab.objects.open(file.key, file.sources, known=file.known)
        if siblings is not None:
            siblings.opened(
                "folder",
                index,
                key=file.key,
                file=handle,
                following=lambda count, index=index: [file for file, _ in files[index + 1 : index + 1 + count]],
            )
        for offset in range(0, min(remote.total, nbytes), 128 * KIB):
            assert await handle.read(offset, 128 * KIB) == remote.content(offset, min(128 * KIB, remote.total - offset))
        if tail_nbytes:
            begin = remote.total - tail_nbytes
            assert await handle.read(begin, tail_nbytes) == remote.content(begin, tail_nbytes)
        handle.close()
    return trio.current_time() - began_at


async def test_folder_in_order(autojump_clock: MockClock) -> None:
    """200 files in order take less than an eighth of the time without prefetch. Nothing is fetched twice; each file
    costs one request, or two where it is over 512 KiB and was not prefetched."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        alone_seconds = await copy(lab, None, files, list(range(200)))
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        seconds = await copy(lab, siblings, files, list(range(200)))
        assert seconds < alone_seconds / 8, (seconds, alone_seconds)
        assert lab.origin.sent_nbytes == sum(remote.total for _, remote in files)
        assert lab.origin.requests <= 204
        assert lab.origin.most_connections <= 16
        siblings.close()
        assert lab.objects.counters.open_files == 0


async def test_reader_that_stops(autojump_clock: MockClock) -> None:
    """A reader that stops after 20 files has wasted at most 0.3 of what it read."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        await copy(lab, siblings, files, list(range(20)))
        await trio.sleep(10)
        read_nbytes = sum(remote.total for _, remote in files[:20])
        assert lab.origin.sent_nbytes <= 1.3 * read_nbytes


async def test_what_is_counted(autojump_clock: MockClock) -> None:
    """Prefetched bytes that are read count as used, those that are evicted unread as wasted."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 40)
        await copy(lab, FolderReadAhead(lab.objects, memory_nbytes=64 * MIB), files, list(range(20)))
        assert lab.objects.counters.prefetch_started >= 18
        used_nbytes = lab.cache.counters.prefetch_used_nbytes
        assert sum(remote.total for _, remote in files[2:20]) <= used_nbytes
        assert used_nbytes <= sum(remote.total for _, remote in files[:20])
        assert lab.cache.counters.prefetch_wasted_nbytes == 0
        await trio.sleep(60)
        for file, _ in files[20:]:
            lab.cache.drop_object(file.key)
        unread = {key for key, _ in lab.origin.asked} & {file.key for file, _ in files[20:]}
        wasted_nbytes = sum(lab.origin.objects[key].total for key in unread)
        assert lab.cache.counters.prefetch_wasted_nbytes == wasted_nbytes > 0


@pytest.mark.parametrize("tail_nbytes", [0, 128])
async def test_folder_of_heads(tail_nbytes: int, autojump_clock: MockClock) -> None:
    """Where only heads are read (and tags at the ends), only those are prefetched: less than an eighth of the time of
    one after another, and at most 1.3 times the bytes."""
    order = list(range(100))
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 100, least=2 * MIB, most=30 * MIB)
        alone_seconds = await copy(lab, None, files, order, nbytes=64 * KIB, tail_nbytes=tail_nbytes)
        alone_nbytes, alone_requests = lab.origin.sent_nbytes, lab.origin.requests
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 100, least=2 * MIB, most=30 * MIB)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        seconds = await copy(lab, siblings, files, order, nbytes=64 * KIB, tail_nbytes=tail_nbytes)
        assert seconds < alone_seconds / 8, (seconds, alone_seconds)
        assert lab.origin.sent_nbytes <= 1.3 * alone_nbytes
        assert lab.origin.requests <= alone_requests


async def test_files_that_are_only_opened(autojump_clock: MockClock) -> None:
    """A program that opens files in order and reads nothing (`test -r`) costs the two that could not be foreseen."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 50)
        await copy(lab, FolderReadAhead(lab.objects, memory_nbytes=64 * MIB), files, list(range(50)), nbytes=0)
        assert lab.origin.requests <= 2


async def test_heads_and_then_whole_files(autojump_clock: MockClock) -> None:
    """A reader that begins to read whole files has them prefetched whole three files later."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 60, least=2 * MIB, most=3 * MIB)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        await copy(lab, siblings, files, list(range(20)), nbytes=64 * KIB)
        await copy(lab, siblings, files, list(range(20, 40)), nbytes=3 * MIB)
        before = lab.origin.requests
        seconds = await copy(lab, siblings, files, list(range(40, 60)), nbytes=3 * MIB)
        assert lab.origin.requests - before <= 20
        assert seconds < 20 * 0.05


async def test_folder_out_of_order(autojump_clock: MockClock) -> None:
    """Opens in no order cause no prefetch."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        order = [index * 37 % 200 for index in range(60)]
        await copy(lab, FolderReadAhead(lab.objects, memory_nbytes=64 * MIB), files, order)
        assert lab.origin.sent_nbytes == sum(files[index][1].total for index in order)


def test_how_far_ahead() -> None:
    """2 after the second open in order, doubled by each open of a prefetched file, 16 at most; a jump starts over."""
    run, ahead = FolderRun(), []
    for index in range(7):
        run = run.opened(index, 1, was_prefetched=index > 1)
        ahead.append(run.ahead)
    assert ahead == [0, 2, 4, 8, 16, 16, 16]
    assert run.opened(100, 1, was_prefetched=False).ahead == 0
    assert run.opened(5, 1, was_prefetched=False) == run
