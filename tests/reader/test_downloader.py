"""Answers that break off, come short, or hold the whole are received."""

import pytest
import trio
from trio.testing import MockClock

from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    MalformedAnswer,
    OriginUnreachable,
    RemoteObjectChanged,
    TruncatedAnswer,
)
from tests.reader.simulated_link import KIB, MIB, Fault, Remote, check, check_all, corrupting_fault, laboratory, opened


async def test_origin_that_ignores_ranges(autojump_clock: MockClock) -> None:
    """A 200 to a range is streamed once: head, middle and tail, for several readers, cost one request."""
    for knows in (True, False):
        async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
            remote = lab.add(Remote(total=20 * MIB, ignores_ranges=True))
            handle = await opened(lab, knows=knows)
            async with trio.open_nursery() as nursery:
                for offset in (10 * MIB, 0, 19 * MIB):
                    nursery.start_soon(check, handle, remote, offset, 128 * KIB)
            await check_all(handle, remote)
            assert lab.origin.sent_nbytes <= remote.total
            # concurrent first READs may each have made a request before the first answer came
            assert lab.origin.requests <= 3


async def test_origin_that_ignores_ranges_with_small_memory(autojump_clock: MockClock) -> None:
    """A file larger than the memory on such an origin is read in order within the budget, with one request; going back
    starts again."""
    async with laboratory(memory_nbytes=8 * MIB) as lab:
        remote = lab.add(Remote(total=40 * MIB, ignores_ranges=True))
        handle = await opened(lab)
        await check_all(handle, remote)
        assert lab.origin.requests == 1
        await check(handle, remote, 100, 4096)
        await check(handle, remote, 30 * MIB, 4096)
        assert lab.cache.used_nbytes <= 8 * MIB


async def test_going_back_before_an_answer_of_the_whole(autojump_clock: MockClock) -> None:
    """A reader that jumps back to evicted bytes, while the one answer of the whole is past them, gets them in time:
    another answer starts from the first byte."""
    async with laboratory(memory_nbytes=4 * MIB, latency_seconds=0.05, bytes_per_second=20e6) as lab:
        remote = lab.add(Remote(total=12 * MIB))
        handle = await opened(lab)
        remote.ignores_ranges = True
        for offset in (0, 6 * MIB + 1, 89_139, 11 * MIB, 5):
            with trio.fail_after(15):
                await check(handle, remote, offset, 4096)
        assert lab.origin.requests <= 3


async def test_range_without_total(autojump_clock: MockClock) -> None:
    """A 206 that does not state the total is not trusted with the rest: the whole is requested."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=2 * MIB, tells_total=False))
        handle = await opened(lab, knows=False)
        assert handle.total_nbytes == 2 * MIB
        await check_all(handle, remote)
        assert lab.origin.asked[1:] == [(lab.key, None)]


@pytest.mark.parametrize("error", [TruncatedAnswer("cut"), OriginUnreachable("reset"), DeadlineExceeded("stalled")])
async def test_broken_body_is_resumed(error: CffsError, autojump_clock: MockClock) -> None:
    """A body that breaks off is resumed where it ended; no byte is fetched twice."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300 * KIB))
        lab.origin.faults += [Fault(after_nbytes=nbytes, body=error) for nbytes in (100_000, 0, 1)]
        handle = await opened(lab)
        await check_all(handle, remote)
        assert [asked.start for _, asked in lab.origin.asked if asked] == [0, 100_000, 100_000, 100_001]
        assert lab.origin.sent_nbytes == remote.total


async def test_broken_whole_body_is_resumed(autojump_clock: MockClock) -> None:
    """Where ranges are ignored, a resumed body is received again up to where it broke off, and compared."""
    for validator in ('"v1"', None):
        async with laboratory() as lab:
            remote = lab.add(Remote(total=2 * MIB, ignores_ranges=True, validator=validator))
            lab.origin.faults.append(Fault(after_nbytes=MIB))
            await check_all(await opened(lab), remote)
            assert lab.origin.requests == 2


async def test_resumed_body_of_another_version(autojump_clock: MockClock) -> None:
    """Without validator and length, a resumed body whose beginning differs is another version: ESTALE, not a mix."""
    async with laboratory(memory_nbytes=8 * MIB) as lab:
        old = lab.add(Remote(total=20 * MIB, ignores_ranges=True, tells_length=False, validator=None))
        lab.origin.faults.append(Fault(after_nbytes=6 * MIB))
        handle = await opened(lab, knows=False)
        lab.origin.objects[lab.key] = Remote(
            total=20 * MIB, seed=1, ignores_ranges=True, tells_length=False, validator=None
        )
        with pytest.raises(RemoteObjectChanged):
            await check_all(handle, old)


async def test_four_tries_without_progress(autojump_clock: MockClock) -> None:
    """After four attempts in a row that brought nothing, the error reaches the reader; the next READ asks again."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=100_000))
        handle = await opened(lab)
        lab.origin.faults += [Fault(after_nbytes=0) for _ in range(4)]
        with pytest.raises(TruncatedAnswer):
            await handle.read(0, 4096)
        assert lab.origin.requests == 4
        await check(handle, remote, 0, 4096)


async def test_short_partial_answers(autojump_clock: MockClock) -> None:
    """A 206 that holds less than was requested is followed by another request for the rest."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300_000))
        lab.origin.faults += [Fault(answers_nbytes=100_000), Fault(answers_nbytes=150_000)]
        await check_all(await opened(lab), remote)
        assert lab.origin.requests == 3


async def test_malformed_body_leaves_nothing(autojump_clock: MockClock) -> None:
    """Bytes of an answer that proved malformed are not served later."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300_000))
        handle = await opened(lab)
        lab.origin.faults.append(corrupting_fault(100_000))
        with pytest.raises(MalformedAnswer):
            await handle.read(200_000, 4096)
        assert lab.objects.held_nbytes(lab.key) == 0
        await check_all(handle, remote)
