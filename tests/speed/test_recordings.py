"""A recording of up to 16 MiB costs a handful of requests, however it is read.

The whole reader takes part, over a slow link.
"""

import random
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.core.byte_range import ByteRange
from cffs.core.source import v2_recording
from cffs.reader.cursor import FIRST_NBYTES, TAIL_NBYTES
from cffs.reader.object_info import Known
from cffs.reader.read_ahead_policy import SMALL_FILE_NBYTES, WHOLE_FILE_NBYTES
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Lab, Remote, disk_in, laboratory

KIB = 1024
LATENCY_SECONDS = 0.05
READ_SECONDS = 15.0


async def opened(lab: Lab, number: int = 1, *, knows: bool = True) -> OpenFile:
    """The object of that number, which is at the origin already."""
    source = v2_recording(number)
    remote = lab.origin.objects[source.key]
    known = Known(total_nbytes=remote.total, validator=remote.validator, source=source)
    return await lab.objects.open(source.key, (source,), known=known if knows else None)


async def check(handle: OpenFile, remote: Remote, offset: int, nbytes: int) -> None:
    """A READ of true bytes, in time."""
    with trio.fail_after(READ_SECONDS):
        data = await handle.read(offset, nbytes)
    assert data == remote.content(offset, max(0, min(nbytes, remote.total - offset)))


# ---- any pattern ----

KINDS = ("anywhere", "head", "tail", "on", "on", "close", "sleep")


class Readers:
    """Handles on one recording that follow a list of steps."""

    def __init__(self, lab: Lab, remote: Remote) -> None:
        self.lab, self.remote = lab, remote
        self.handles: dict[int, OpenFile] = {}
        self.next_offsets: dict[int, int] = {}

    async def do(self, who: int, kind: str, number: int) -> None:
        """One step; `number` is its place, or its length."""
        total = self.remote.total
        match kind:
            case "anywhere":
                await self.read(who, number % total, 16 * KIB)
            case "head":
                await self.read(who, number % min(total, FIRST_NBYTES), 4 * KIB)
            case "tail":
                await self.read(who, total - 1 - number % min(total, TAIL_NBYTES), 4 * KIB)
            case "on":
                for _ in range(1 + number % 6):
                    await self.read(who, self.next_offsets.get(who, 0), 128 * KIB)
            case "close":
                handle = self.handles.pop(who, None)
                self.next_offsets.pop(who, None)
                if handle is not None:
                    handle.close()
            case "sleep":
                await trio.sleep([0.001, 0.02, 0.3, 7.0, 25.0][number % 5])

    async def read(self, who: int, offset: int, nbytes: int) -> None:
        """Read by a handle of its own, opened where there is none."""
        if who not in self.handles:
            handle = await opened(self.lab)
            if who in self.handles:
                handle.close()
            else:
                self.handles[who] = handle
        await check(self.handles[who], self.remote, offset, nbytes)
        self.next_offsets[who] = offset + nbytes


def steps_of(seed: int) -> list[list[tuple[int, str, int]]]:
    """Many steps, mostly one after the other, by a few habits, because lists that hypothesis draws are short."""
    dice = random.Random(seed)
    kinds = dice.choices(KINDS, k=dice.randint(2, 6))
    most_together = dice.choice([1, 1, 3])
    return [
        [
            (dice.randrange(3), dice.choice(kinds), dice.randrange(WHOLE_FILE_NBYTES))
            for _ in range(dice.randint(1, most_together))
        ]
        for _ in range(dice.randint(3, 30))
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    total=st.one_of(st.integers(SMALL_FILE_NBYTES + 1, WHOLE_FILE_NBYTES), st.integers(1, 3 * MIB)),
    rate=st.sampled_from([20e6, 100e6, 1e9]),
    has_disk=st.booleans(),
    read_ahead_nbytes=st.sampled_from([128 * KIB, MIB]),
    steps=st.integers(0, 2**32).map(steps_of),
)
def test_any_pattern_is_a_handful_of_requests(
    total: int, rate: float, has_disk: bool, read_ahead_nbytes: int, steps: list[list[tuple[int, str, int]]]
) -> None:
    """Several readers, each on its own or at once, that read anywhere and on, close, come again and pause: at most five
    requests, and half a MiB more than the file."""

    async def main(folder: Path) -> None:
        disk = disk_in(folder) if has_disk else None
        async with laboratory(
            latency_seconds=LATENCY_SECONDS, bytes_per_second=rate, read_ahead_nbytes=read_ahead_nbytes, disk=disk
        ) as lab:
            remote = lab.add(Remote(total=total))
            readers = Readers(lab, remote)
            for together in steps:
                async with trio.open_nursery() as nursery:
                    for step in together:
                        nursery.start_soon(readers.do, *step)
            await trio.sleep(20)
            assert lab.origin.requests <= 5
            assert lab.origin.sent_nbytes <= total + 512 * KIB
            assert lab.cache.used_nbytes <= lab.cache.limit_nbytes
        if disk is not None:
            disk.close()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=MockClock(autojump_threshold=0))


# ---- single readers ----


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    total=st.one_of(st.integers(SMALL_FILE_NBYTES + 1, WHOLE_FILE_NBYTES), st.integers(1, 3 * MIB)),
    rate=st.sampled_from([4e6, 20e6, 100e6, 1e9]),
    knows=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_four_latencies_and_the_transfer(total: int, rate: float, knows: bool, seed: int) -> None:
    """One reader that reads anywhere, in order, at the head and the tail, without a pause: no longer than that."""

    async def main() -> None:
        async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=rate) as lab:
            remote = lab.add(Remote(total=total))
            began_at = trio.current_time()
            readers = Readers(lab, remote)
            readers.handles[0] = await opened(lab, knows=knows)
            for together in steps_of(seed):
                for _, kind, number in together:
                    if kind not in ("close", "sleep"):
                        await readers.do(0, kind, number)
            assert trio.current_time() - began_at <= 4 * LATENCY_SECONDS + 1.05 * (total + 512 * KIB) / rate
            assert lab.origin.requests <= 5

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("rate", [3.5e6, 20e6, 100e6, 1e9])
@pytest.mark.parametrize("seed", range(4))
async def test_sixty_random_reads(rate: float, seed: int, autojump_clock: MockClock) -> None:
    """Sixty READs of 16 KiB anywhere in 5 MB: three requests, and no longer than four latencies and the transfer."""
    dice = random.Random(seed)
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=rate) as lab:
        remote = lab.add(Remote(total=5_000_000))
        handle = await opened(lab)
        began_at = trio.current_time()
        for _ in range(60):
            await check(handle, remote, dice.randrange(remote.total // 4096) * 4096, 16 * KIB)
        seconds = trio.current_time() - began_at
        assert lab.origin.requests <= 5
        assert lab.origin.sent_nbytes <= remote.total + 512 * KIB
        assert seconds <= 4 * LATENCY_SECONDS + 1.1 * remote.total / rate


@pytest.mark.parametrize("total", [600_000, 5_000_000, WHOLE_FILE_NBYTES])
async def test_head_and_tail_and_then_elsewhere(total: int, autojump_clock: MockClock) -> None:
    """Head and tail are two requests of their pieces, one READ elsewhere is a third; the second one brings what is
    missing by one request from there on and one for what lies before, side by side."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=1e9) as lab:
        remote = lab.add(Remote(total=total))
        handle = await opened(lab)
        await check(handle, remote, 0, 64 * KIB)
        await check(handle, remote, total - 4 * KIB, 4 * KIB)
        assert lab.origin.requests == 2
        assert lab.origin.sent_nbytes <= FIRST_NBYTES + TAIL_NBYTES + 4 * KIB
        middle = (total + FIRST_NBYTES) // 2 // 4096 * 4096
        began_at = trio.current_time()
        await check(handle, remote, middle, 16 * KIB)
        assert lab.origin.asked[2:] == [(lab.key, ByteRange(middle, middle + 16 * KIB))]
        await check(handle, remote, middle + 32 * KIB, 16 * KIB)
        asked = lab.origin.asked[3:]
        assert sorted(wanted.start for _, wanted in asked if wanted) == [FIRST_NBYTES, middle + 32 * KIB]
        for offset in range(0, total, 128 * KIB):
            await check(handle, remote, offset, 128 * KIB)
        assert trio.current_time() - began_at <= 2 * LATENCY_SECONDS + 1.1 * total / 1e9
        assert lab.origin.requests == 5


async def test_a_player_in_real_time(autojump_clock: MockClock) -> None:
    """A program that plays sixteen minutes in as much time pauses each connection until it is given up: five requests
    all the same; one that stops after a minute has not brought the rest."""
    for seconds_played in (60, 1000):
        async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=20e6) as lab:
            remote = lab.add(Remote(total=16_000_000))
            handle = await opened(lab)
            for offset in range(0, 16_000 * seconds_played, 128 * KIB):
                await check(handle, remote, offset, 128 * KIB)
                await trio.sleep(128 * KIB / 16_000)
            handle.close()
            await trio.sleep(20)
            assert lab.origin.requests <= 5
            if seconds_played == 60:
                assert lab.origin.sent_nbytes <= 4 * MIB


@pytest.mark.parametrize("pause_seconds", [0.001, 7.0, 60.0])
async def test_who_comes_again_and_again(pause_seconds: float, autojump_clock: MockClock) -> None:
    """A program that opens, reads a little further than the last time, and closes, fifty times: five requests, whether
    the file is still remembered or only its cost."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=20e6) as lab:
        remote = lab.add(Remote(total=10 * MIB))
        for step in range(1, 50):
            handle = await opened(lab)
            await check(handle, remote, step * 200 * KIB, 4 * KIB)
            handle.close()
            await trio.sleep(pause_seconds)
        assert lab.origin.requests <= 5
        assert lab.origin.sent_nbytes <= remote.total + 512 * KIB


async def test_two_readers_share(autojump_clock: MockClock) -> None:
    """Two programs that read one recording here and there at once have it for the five requests and the bytes of
    one."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=20e6) as lab:
        remote = lab.add(Remote(total=8 * MIB))

        async def seek(seed: int) -> None:
            dice = random.Random(seed)
            handle = await opened(lab)
            for _ in range(40):
                await check(handle, remote, dice.randrange(remote.total), 16 * KIB)
            handle.close()

        async with trio.open_nursery() as nursery:
            for seed in range(2):
                nursery.start_soon(seek, seed)
        assert lab.origin.requests <= 5
        assert lab.origin.sent_nbytes <= remote.total + 512 * KIB


# ---- the end of a larger file beside its stream ----


@pytest.mark.parametrize("total", [10 * MIB, 60 * MIB, 300 * MIB])
@pytest.mark.parametrize("read_nbytes", [64 * KIB, 128 * KIB, MIB])
@pytest.mark.parametrize("tail_nbytes", [128, 4 * KIB, 60 * KIB])
async def test_a_tail_beside_a_stream(
    total: int, read_nbytes: int, tail_nbytes: int, autojump_clock: MockClock
) -> None:
    """Two MiB read in order, then the end: that is a request of its own, and the stream is not pulled along; then the
    reader goes on where it was, with each byte fetched once."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=50e6) as lab:
        remote = lab.add(Remote(total=total))
        handle = await opened(lab)
        for offset in range(0, 2 * MIB, read_nbytes):
            await check(handle, remote, offset, read_nbytes)
        before, began_at = lab.origin.requests, trio.current_time()
        await check(handle, remote, total - tail_nbytes, tail_nbytes)
        assert lab.origin.requests == before + 1
        assert trio.current_time() - began_at <= LATENCY_SECONDS + 2 * MIB / 50e6
        await trio.sleep(1)
        assert lab.origin.sent_nbytes <= 6 * MIB
        for offset in range(2 * MIB, total, read_nbytes):
            await check(handle, remote, offset, read_nbytes)
        assert lab.origin.sent_nbytes == total
        assert lab.origin.requests <= before + 2 + total // (64 * MIB)


async def test_a_jump_ahead_of_a_stream(autojump_clock: MockClock) -> None:
    """A jump far ahead in a larger file asks for what it reads, also where another reader's stream is on its way there,
    which goes on; a short one waits for the stream."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=60 * MIB))
        first, second = await opened(lab), await opened(lab)
        for offset in range(0, 2 * MIB, 128 * KIB):
            await check(first, remote, offset, 128 * KIB)
        await check(second, remote, 40 * MIB, 64 * KIB)
        assert lab.origin.asked[2:] == [(lab.key, ByteRange(40 * MIB, 40 * MIB + 64 * KIB))]
        for offset in range(2 * MIB, 60 * MIB, 128 * KIB):
            await check(first, remote, offset, 128 * KIB)
        assert lab.origin.requests == 4
        assert lab.origin.sent_nbytes == remote.total
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=60 * MIB))
        handle = await opened(lab)
        for offset in range(0, 2 * MIB, 128 * KIB):
            await check(handle, remote, offset, 128 * KIB)
        await check(handle, remote, 5 * MIB, 64 * KIB)
        assert lab.origin.requests == 2


# ---- what cannot be kept, what is slow, and who else waits ----


async def test_memory_smaller_than_the_file(autojump_clock: MockClock) -> None:
    """Without a disk cache, and with memory for less than twice the file, READs here and there cost what they read: no
    whole file is fetched, let alone again and again."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, memory_nbytes=4 * MIB) as lab:
        remote = lab.add(Remote(total=10 * MIB))
        handle, dice = await opened(lab), random.Random(2)
        for _ in range(100):
            await check(handle, remote, dice.randrange(FIRST_NBYTES // 4096, remote.total // 4096) * 4096, 16 * KIB)
        assert lab.origin.sent_nbytes <= 100 * 16 * KIB + TAIL_NBYTES
        assert lab.cache.used_nbytes <= 4 * MIB


async def test_memory_smaller_than_the_file_and_a_disk(tmp_path: Path, autojump_clock: MockClock) -> None:
    """With a disk cache that takes it, the file is kept there, and costs its five requests; where the disk is too small
    for it, each READ costs what it reads."""
    for disk_nbytes, most_requests in ((2**30, 5), (4 * MIB, 1000)):
        disk = disk_in(tmp_path / str(disk_nbytes), limit_nbytes=disk_nbytes)
        async with laboratory(latency_seconds=LATENCY_SECONDS, memory_nbytes=4 * MIB, disk=disk) as lab:
            remote = lab.add(Remote(total=10 * MIB))
            handle, dice = await opened(lab), random.Random(2)
            for _ in range(100):
                await check(handle, remote, dice.randrange(FIRST_NBYTES // 4096, remote.total // 4096) * 4096, 16 * KIB)
            assert lab.origin.requests <= most_requests
            assert lab.origin.sent_nbytes <= remote.total + 512 * KIB
            assert lab.cache.used_nbytes <= 4 * MIB
        disk.close()


async def test_more_files_than_memory(autojump_clock: MockClock) -> None:
    """Twenty recordings read here and there in turn, without a disk cache and with memory for three: none is fetched
    whole twice."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, memory_nbytes=32 * MIB) as lab:
        remotes = {number: Remote(total=8 * MIB, seed=number) for number in range(1, 21)}
        lab.origin.objects = {v2_recording(number).key: remote for number, remote in remotes.items()}
        dice = random.Random(3)
        for _ in range(600):
            number = dice.choice(list(remotes))
            handle = await opened(lab, number)
            await check(handle, remotes[number], dice.randrange(8 * MIB // 4096) * 4096, 16 * KIB)
            handle.close()
        assert lab.origin.sent_nbytes <= 20 * (8 * MIB + 512 * KIB) + 600 * FIRST_NBYTES
        assert lab.cache.used_nbytes <= 32 * MIB


async def test_a_slow_link(autojump_clock: MockClock) -> None:
    """Where the whole file needs longer than a READ may wait, each READ costs what it reads, and none is late."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=200e3) as lab:
        remote = lab.add(Remote(total=16_000_000))
        handle, dice = await opened(lab), random.Random(4)
        await check(handle, remote, 0, 64 * KIB)
        await trio.sleep(5)
        for _ in range(20):
            with trio.fail_after(2.5):
                await check(handle, remote, dice.randrange(remote.total), 16 * KIB)
        assert lab.origin.sent_nbytes <= FIRST_NBYTES + 20 * 20 * KIB + TAIL_NBYTES


async def test_a_link_that_turns_slow(autojump_clock: MockClock) -> None:
    """Where the link turns slow while a file is brought whole, a READ that comes after megabytes of it has a request of
    its own before it is late."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=16_000_000))
        handle = await opened(lab)
        await check(handle, remote, 0, 64 * KIB)
        await check(handle, remote, 1_000_000, 16 * KIB)
        lab.origin.bytes_per_second = 500e3
        await check(handle, remote, 2_000_000, 16 * KIB)
        for offset in (15_000_000, 9_000_000, 12_000_000):
            with trio.fail_after(12):
                await check(handle, remote, offset, 16 * KIB)


async def test_what_is_brought_yields_to_who_waits(autojump_clock: MockClock) -> None:
    """Sixteen slow connections bring eight recordings whole, for which no reader waits: another reader has one of them
    within seconds, and all eight come whole in the end."""
    async with laboratory(latency_seconds=LATENCY_SECONDS, memory_nbytes=512 * MIB) as lab:
        lab.origin.connection_bytes_per_second = 3.5e6
        remotes = {number: Remote(total=16_000_000, seed=number) for number in range(1, 10)}
        lab.origin.objects = {v2_recording(number).key: remote for number, remote in remotes.items()}
        handles = [await opened(lab, number) for number in range(1, 9)]

        async def seek(handle: OpenFile, remote: Remote) -> None:
            for offset in (5_000_000, 10_000_000):
                await check(handle, remote, offset, 16 * KIB)

        async with trio.open_nursery() as nursery:
            for number, handle in enumerate(handles, 1):
                nursery.start_soon(seek, handle, remotes[number])
        assert lab.origin.connections == 16
        handle = await opened(lab, 9)
        with trio.fail_after(2.5):
            await check(handle, remotes[9], 0, 64 * KIB)
        await trio.sleep(60)
        before = lab.origin.requests
        for number, handle in enumerate(handles, 1):
            await check(handle, remotes[number], 1_000_000, 128 * KIB)
            await check(handle, remotes[number], 15_000_000, 128 * KIB)
        assert lab.origin.requests == before
