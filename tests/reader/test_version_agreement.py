"""Answers that do not show their version: reading goes on where bytes are proven."""

from collections.abc import Awaitable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.errors import CffsError, RemoteObjectChanged
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, disk_in, laboratory
from tests.reader.test_remote_file_table import KIB, NOW, NOW_NS, opened, whole


async def test_nothing_is_given_before_it_is_proven(autojump_clock: MockClock) -> None:
    """What has come of the one answer of the whole is given to no reader, though it is here, before it has proved to be
    of the version that readers have."""
    async with laboratory(bytes_per_second=1e6) as lab:
        lab.origin.machines[lab.key] = [Remote(total=20 * MIB, seed=n, validator=f'"{n}"') for n in range(3)]
        known = Known(total_nbytes=20 * MIB)
        handle = await lab.objects.open(lab.key, (lab.source,), known=known)
        await handle.read(3 * MIB, 4096)
        failures: list[type[CffsError]] = []

        async def reading(offset: int) -> None:
            try:
                await handle.read(offset, 4096)
            except CffsError as error:
                failures.append(type(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reading, 12 * MIB)
            await trio.sleep(1.5)
            assert lab.objects.held_nbytes(lab.key) > MIB
            assert handle.try_read(0, 4096) is None
            nursery.start_soon(reading, 0)
        assert failures == [RemoteObjectChanged] * 2


@pytest.mark.parametrize("validator", [None, NOW])
async def test_bytes_that_differ_with_each_answer(autojump_clock: MockClock, validator: str | None) -> None:
    """Where the bytes of the machines differ as well, a reader that was given some of the one gets no more of the
    other. The next open takes the object from one answer, whichever machine sends it."""
    versions = [
        Remote(total=3 * MIB, seed=seed, validator=validator or f'"{seed}"', last_modified_ns=validator and NOW_NS)
        for seed in range(3)
    ]
    async with laboratory() as lab:
        lab.origin.machines[lab.key] = versions
        first = await opened(lab)
        await first.read(0, 4096)
        with pytest.raises(RemoteObjectChanged):
            await whole(first)
        first.close()
        assert len(lab.facts.changed_keys) == 1
        for _ in range(3):
            handle = await opened(lab)
            body = await whole(handle)
            assert body in [version.content(0, version.total) for version in versions]
            handle.close()
            lab.cache.drop_object(lab.key)
            await trio.sleep(6)
        assert len(lab.facts.changed_keys) == 1


async def test_what_nobody_was_given_stands_in_nobodys_way(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Bytes on disk from an earlier mount that are now of another version are dropped: no reader has a byte of them."""
    old, new = Remote(total=3 * MIB), Remote(total=3 * MIB, seed=1, validator='"v2"')
    kept = {}
    for remote in (old, new):
        disk = disk_in(tmp_path / "disk")
        async with laboratory(disk=disk) as lab:
            lab.facts.kept = dict(kept)
            lab.add(remote)
            handle = await opened(lab)
            for offset in (0, 2 * MIB) if remote is old else (MIB, 0, 2 * MIB):
                assert await handle.read(offset, 128 * KIB) == remote.content(offset, 128 * KIB)
            kept = lab.facts.kept
            assert lab.facts.changed_keys == []
        disk.close()


def reopened(lab: Lab) -> Awaitable[OpenFile]:
    """Open as an inode is opened that the kernel may have pages of, if it was opened before."""
    known = lab.facts.kept.get(lab.key)
    return lab.objects.open(lab.key, (lab.source,), known=known, reader="inode", has_pages=known is not None)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_pages_from_before(autojump_clock: MockClock, *, is_whole: bool) -> None:
    """A reader that keeps bytes from an earlier open is given none of an answer that names another version. Where
    answers are known to differ, that shows at the next open and not in the middle of a READ."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=3 * MIB, changes_validator=True))
        handle = await reopened(lab)
        assert await (whole(handle) if is_whole else handle.read(0, KIB))
        handle.close()
        lab.cache.drop_object(lab.key)
        await trio.sleep(6)
        again = await reopened(lab)
        if is_whole:
            assert lab.facts.changed_keys == [lab.key], "at open"
            assert await whole(again) == remote.content(0, remote.total)
        else:
            with pytest.raises(RemoteObjectChanged):
                await again.read(2 * MIB, KIB)
        await lab.objects.open(lab.key, (lab.source,), reader="another inode")


@pytest.mark.parametrize("is_same", [True, False])
async def test_pages_of_a_file_of_one_answer(autojump_clock: MockClock, *, is_same: bool) -> None:
    """A reader that keeps a part of a file that came in one answer reads on under whatever name the file comes the next
    time, as long as its bytes are equal."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300_000))
        handle = await reopened(lab)
        assert await handle.read(0, KIB)
        await wait_all_tasks_blocked()  # the rest of the one answer arrives
        handle.close()
        lab.cache.drop_object(lab.key)
        await trio.sleep(6)
        lab.add(Remote(total=300_000, seed=int(not is_same), validator='"v2"'))
        again = await reopened(lab)
        if is_same:
            assert await again.read(200_000, KIB) == remote.content(200_000, KIB)
            assert lab.facts.changed_keys == []
        else:
            with pytest.raises(RemoteObjectChanged):
                await again.read(200_000, KIB)


async def test_a_proof_that_takes_its_time(autojump_clock: MockClock) -> None:
    """While the one answer of the whole comes, no reader is given a byte. One whose deadline is shorter leaves, a
    broken connection is resumed, and then all readers read on."""
    async with laboratory(bytes_per_second=1e6) as lab:
        remote = lab.add(Remote(total=20 * MIB, changes_validator=True))
        known = Known(total_nbytes=remote.total, validator='"before"')
        handle = await lab.objects.open(lab.key, (lab.source,), known=known)
        other = await lab.objects.open(lab.key, (lab.source,), known=known)
        assert await handle.read(MIB, 4096) == remote.content(MIB, 4096)
        lab.origin.faults = [Fault(), Fault(after_nbytes=700_000)]
        with trio.move_on_after(0.9) as scope:
            await other.read(12 * MIB, 4096)
        assert scope.cancelled_caught
        assert lab.origin.asked[-1] == (lab.key, None)
        await trio.sleep(5.1)  # handles from before a timeout are refused at once for so long
        assert await other.read(0, 4096) == remote.content(0, 4096)
        assert await handle.read(MIB + 4096, MIB) == remote.content(MIB + 4096, MIB)
        assert lab.facts.changed_keys == []


@pytest.mark.parametrize("tier", ["memory", "disk"])
async def test_bytes_of_a_cache_pin_their_version(autojump_clock: MockClock, tmp_path: Path, tier: str) -> None:
    """A reader that was given bytes that were here already, all of which were evicted since, is given none of an answer
    that names another version: it holds bytes of the first one, though no answer of this mount brought them."""
    old, new = Remote(total=3 * MIB), Remote(total=3 * MIB, seed=1, validator='"v2"')
    disk = disk_in(tmp_path / "disk")
    async with laboratory(disk=disk) as lab:
        lab.add(old)
        first = await opened(lab)
        await whole(first)
        first.close()
        await trio.sleep(6)
        if tier == "disk":
            lab.cache.drop_object(lab.key)
        else:
            disk.index.clear(pinned_too=True)
        handle = await opened(lab)
        assert await handle.read(MIB, 4096) == old.content(MIB, 4096)
        lab.add(new)
        lab.cache.drop_object(lab.key)
        disk.index.clear(pinned_too=True)
        with pytest.raises(RemoteObjectChanged):
            await handle.read(2 * MIB, 4096)
        assert lab.facts.changed_keys == [lab.key]
    disk.close()


async def test_a_known_size_is_not_given_to_another_version(autojump_clock: MockClock) -> None:
    """An answer that names another version and does not state its size is refused where readers were shown the size of
    the version before: it might end earlier or later."""
    async with laboratory() as lab:
        lab.add(Remote(total=3 * MIB))
        first = await opened(lab)
        await whole(first)
        first.close()
        await trio.sleep(6)
        lab.cache.drop_object(lab.key)
        handle = await opened(lab)
        assert handle.total_nbytes == 3 * MIB
        new = Remote(total=3 * MIB + 2, seed=1, validator='"v2"', ignores_ranges=True, tells_length=False)
        lab.add(new)
        with pytest.raises(RemoteObjectChanged):
            await handle.read(MIB, 4096)
        assert await whole(await opened(lab)) == new.content(0, new.total)
