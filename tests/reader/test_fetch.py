"""The buffers of a fetch: laws of a pure function, and what they mean for READs."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.core import demand
from cffs.core.byte_range import ByteRange
from cffs.reader.fetch import Fetch
from tests.reader.simulated_link import Remote, laboratory

KIB, MIB = 1024, 1024 * 1024


async def _fetch(wanted: ByteRange, came_nbytes: int, window_nbytes: int, *, is_stream: bool) -> Fetch:
    fetch = Fetch(wanted, is_stream=is_stream, limit=wanted.start)
    fetch.advance(came_nbytes)
    fetch.raise_limit(fetch.position + window_nbytes)
    return fetch


fetches = st.builds(
    lambda start, nbytes, came, window, is_stream: trio.run(
        lambda: _fetch(ByteRange(start, start + nbytes), came % nbytes, window, is_stream=is_stream)
    ),
    st.integers(0, 16 * MIB),
    st.integers(1, 64 * MIB),
    st.integers(0, 64 * MIB),
    st.integers(0, 16 * MIB),
    st.booleans(),
)


@given(fetches, st.integers(1, MIB))
def test_buffer_is_never_empty_nor_beyond_what_is_to_come(fetch: Fetch, most_nbytes: int) -> None:
    """Every buffer holds at least a byte, at most what may be had at once, and nothing past the end of the fetch."""
    stop = fetch.buffer_stop(most_nbytes)
    assert fetch.position < stop <= min(fetch.stop, fetch.position + most_nbytes)


@given(fetches, st.sampled_from([128 * KIB, 256 * KIB, 512 * KIB, MIB]))
def test_no_read_of_128_kib_lies_in_two_full_buffers(fetch: Fetch, most_nbytes: int) -> None:
    """A buffer that ends before its fetch does ends on a multiple of 128 KiB, where the kernel's READs end too."""
    stop = fetch.buffer_stop(most_nbytes)
    assert stop in (fetch.stop, fetch.position + 128 * KIB) or stop % (128 * KIB) == 0


@given(st.integers(0, 16 * MIB), st.integers(4 * MIB, 32 * MIB), st.integers(0, 16 * MIB))
def test_running_stream_gets_whole_buffers(start: int, came_nbytes: int, window_nbytes: int) -> None:
    """From its second buffer on, a stream that has come far fills whole buffers of the grid, wherever its window
    ends."""
    wanted = ByteRange(start, start + came_nbytes + 8 * MIB)
    fetch = trio.run(lambda: _fetch(wanted, came_nbytes, window_nbytes, is_stream=True))
    fetch.position = fetch.buffer_stop(MIB)
    assert fetch.position % MIB == 0
    assert fetch.buffer_stop(MIB) == fetch.position + MIB


async def test_a_fetch_is_demand_while_a_reader_waits(autojump_clock: MockClock) -> None:
    """A prefetch is none until a READ waits for its bytes; a command that brings a file to disk makes none of it."""

    async def read(is_awaited: demand.IsAwaited) -> None:
        demand.begin(is_awaited)
        await handle.read(0, 100)

    async with laboratory(latency_seconds=3) as lab:
        lab.add(Remote(total=MIB))
        handle = lab.objects.prefetch(lab.key, (lab.source,), known=lab.known(), ranges=[ByteRange(0, MIB)])
        await trio.sleep(0.1)
        (is_demand,) = lab.origin.are_demand
        assert not is_demand()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, demand.never)
            await trio.sleep(0.1)
            assert not is_demand()
            nursery.start_soon(read, demand.always)
            await trio.sleep(0.1)
            assert is_demand()
        assert not is_demand()
        assert lab.origin.requests == 1
        handle.close()
