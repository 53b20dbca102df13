"""What files share: what an earlier probe found out about an origin, and memory."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.cache.memory import MemoryCache
from cffs.core.settings import ReaderSettings
from cffs.core.source import Api
from cffs.daemon.probe_command import expected_of
from cffs.reader.connection_scheduler import ConnectionScheduler
from cffs.reader.dependencies import OriginProfile, ReaderDependencies
from cffs.reader.disk_tier import DiskTier
from cffs.reader.folder_read_ahead import FolderReadAhead
from tests.reader.simulated_link import MIB, Facts, Origin, Remote, laboratory
from tests.reader.test_folder_read_ahead import copy, folder_of
from tests.reader.test_parallelism import seconds_of
from tests.speed.test_gates import KIB, opened, stream


async def test_a_gain_that_is_known_is_taken_at_once(autojump_clock: MockClock) -> None:
    """Where several connections are known to pay, a file of 8 MiB has them from its start and takes less than half of
    the time: it would be over before a trial ends."""
    seconds = []
    for gain in (None, 4.0):
        async with laboratory(latency_seconds=0.05) as lab:
            lab.origin.connection_bytes_per_second = 4e6
            lab.objects.expect(Api.V2, OriginProfile(parallel_gain=gain))
            seconds.append(await seconds_of(lab, lab.add(Remote(total=8 * MIB))))
    assert seconds[1] < 0.4 * seconds[0], seconds


async def test_a_gain_that_is_none_is_not_tried(autojump_clock: MockClock) -> None:
    """Where several connections are known to be no faster, a slow link is not cut into ranges to learn that again."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=10e6) as lab:
        lab.objects.expect(Api.V2, OriginProfile(parallel_gain=1.0))
        await seconds_of(lab, lab.add(Remote(total=64 * MIB)))
        assert lab.origin.requests <= 2
        assert lab.origin.most_connections <= 2


async def test_ranges_known_to_be_ignored_are_not_asked(autojump_clock: MockClock) -> None:
    """Where every range is answered with the whole, the whole is requested: a look at head and end costs one
    request."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        lab.objects.expect(Api.V2, OriginProfile(ignores_ranges=True))
        remote = lab.add(Remote(total=4 * MIB, ignores_ranges=True))
        handle = await opened(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream, handle, remote, 0, 64 * KIB)
            nursery.start_soon(stream, handle, remote, remote.total - 64 * KIB, remote.total)
        assert lab.origin.asked == [(lab.key, None)]
        assert lab.origin.sent_nbytes == remote.total


async def test_connections_are_warmed_without_a_request(autojump_clock: MockClock) -> None:
    """A reader of a folder in order has connections made ready, once a second at most, and without a request."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        files = folder_of(lab, 60, least=100_000, most=400_000)
        began_at = trio.current_time()
        await copy(lab, FolderReadAhead(lab.objects, memory_nbytes=64 * MIB), files, list(range(60)))
        seconds = trio.current_time() - began_at
        assert 1 <= len(lab.origin.warmed) <= 1 + seconds
        assert all(api is Api.V2 and 1 <= connections <= 8 for api, connections in lab.origin.warmed)
        assert lab.origin.requests == 60


def test_what_is_made_of_findings() -> None:
    """The least gain of any kind and the shortest first byte count; ranges are ignored only where every kind ignores
    them."""
    kept = {
        "v1": {"probed_at": "x", "wav": {"range": "ignored", "first_byte_ms": 80.0}},
        "v2": {
            "length_in_bytes": "mp3",
            "mp3": {"range": "ignored", "first_byte_ms": 70.5, "parallel_gain": 3.9},
            "media": {"range": "honoured", "first_byte_ms": 50, "parallel_gain": 1.1},
        },
    }
    assert expected_of(kept) == {
        Api.V1: OriginProfile(latency_seconds=0.08, ignores_ranges=True),
        Api.V2: OriginProfile(latency_seconds=0.05, parallel_gain=1.1),
    }
    assert expected_of({}) == dict.fromkeys(Api, OriginProfile())


def dependencies_with(memory_nbytes: int) -> ReaderDependencies:
    """The dependencies of a mount with that budget, in which nothing ever runs."""
    return ReaderDependencies(
        opener=Origin(),
        memory=MemoryCache(memory_nbytes),
        disk=DiskTier(None, None),
        background=None,
        settings=ReaderSettings(memory_nbytes=memory_nbytes, connections=16, timeout_seconds=30.0),
        listener=Facts(),
        scheduler=ConnectionScheduler(connections=16),
    )


@given(st.integers(MIB, 256 * MIB), st.floats(0, 100))
def test_buffers_of_streams_lie_on_one_grid(memory_nbytes: int, running_streams: float) -> None:
    """Whatever the budget and however many share it, buffers have 128 KiB times a power of two, or all that a tiny
    budget has."""
    dependencies = dependencies_with(memory_nbytes)
    dependencies.running_streams = running_streams
    most_nbytes = dependencies.memory.largest_lease_nbytes
    assert dependencies.stream_buffer_nbytes in {128 * KIB, 256 * KIB, 512 * KIB, MIB, min(most_nbytes, 128 * KIB)}
    assert dependencies.stream_buffer_nbytes <= most_nbytes
