"""Reading a folder in order: counts, virtual seconds, and what is wasted when the reader stops."""

import random

import trio
from trio.testing import MockClock

from cffs.core.source import v2_recording
from cffs.reader.facts import Known
from cffs.reader.siblings import FolderRun, Sibling, Siblings
from tests.reader.link import MIB, Lab, Remote, laboratory

KIB = 1024


def folder_of(lab: Lab, count: int) -> list[tuple[Sibling, Remote]]:
    """`count` files of 100 KB to 1 MB with known sizes."""
    dice, files = random.Random(3), []
    for index in range(count):
        source = v2_recording(1000 + index)
        remote = lab.origin.objects[source.key] = Remote(total=dice.randrange(100_000, 1_000_000), seed=index)
        known = Known(total_nbytes=remote.total, validator=remote.validator, source=source)
        files.append((Sibling(index=index, key=source.key, sources=(source,), known=known, hint_nbytes=None), remote))
    return files


async def copy(
    lab: Lab, siblings: Siblings | None, files: list[tuple[Sibling, Remote]], order: list[int], *, nbytes: int = MIB
) -> float:
    """Opens, reads and closes files as cp does; the virtual seconds it took."""
    began_at = trio.current_time()
    for index in order:
        file, remote = files[index]
        handle = await lab.objects.open(file.key, file.sources, known=file.known)
        if siblings is not None:
            siblings.opened(
                "folder",
                index,
                key=file.key,
                nbytes=handle.total_nbytes,
                following=lambda count, index=index: [file for file, _ in files[index + 1 : index + 1 + count]],
            )
        for offset in range(0, min(remote.total, nbytes), 128 * KIB):
            assert await handle.read(offset, 128 * KIB) == remote.content(offset, min(128 * KIB, remote.total - offset))
        handle.close()
    return trio.current_time() - began_at


async def test_folder_in_order(autojump_clock: MockClock) -> None:
    """200 files in order take less than a sixth of the time without; nothing is fetched twice, one request a file or
    two where the file is over 512 KiB and was not brought."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        alone_seconds = await copy(lab, None, files, list(range(200)))
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        siblings = Siblings(lab.objects, memory_nbytes=64 * MIB)
        seconds = await copy(lab, siblings, files, list(range(200)))
        assert seconds < alone_seconds / 6
        assert lab.origin.sent_nbytes == sum(remote.total for _, remote in files)
        assert lab.origin.requests <= 204
        assert lab.origin.most_connections <= 16
        siblings.close()
        assert lab.objects.counters.open_files == 0


async def test_reader_that_stops(autojump_clock: MockClock) -> None:
    """A reader that stops after 20 files has wasted at most 0.3 of what it read."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        siblings = Siblings(lab.objects, memory_nbytes=64 * MIB)
        await copy(lab, siblings, files, list(range(20)))
        await trio.sleep(10)
        read_nbytes = sum(remote.total for _, remote in files[:20])
        assert lab.origin.sent_nbytes <= 1.3 * read_nbytes


async def test_folder_out_of_order(autojump_clock: MockClock) -> None:
    """Opens in no order bring nothing early."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 200)
        order = [index * 37 % 200 for index in range(60)]
        await copy(lab, Siblings(lab.objects, memory_nbytes=64 * MIB), files, order)
        assert lab.origin.sent_nbytes == sum(files[index][1].total for index in order)


def test_how_far_ahead() -> None:
    """2 after the second open in order, doubled by each that was brought, 16 at most; a jump starts over."""
    run, ahead = FolderRun(), []
    for index in range(7):
        run = run.opened(index, 1, was_brought=index > 1)
        ahead.append(run.ahead)
    assert ahead == [0, 2, 4, 8, 16, 16, 16]
    assert run.opened(100, 1, was_brought=False).ahead == 0
    assert run.opened(5, 1, was_brought=False) == run
