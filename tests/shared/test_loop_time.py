"""Laws of loop time: a loop that stands is not the server's, and waits end."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cffs.shared.loop_time import Look, LoopClock

LIMIT = 0.05
SLICE = 0.005
STALLS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 400)), max_size=8)


async def reply(after_seconds: float) -> str:
    """What a server answers after so long."""
    await trio.sleep(after_seconds)
    return "the answer"


async def limited(clock: LoopClock, after_seconds: float) -> str | None:
    """The answer, within the limit."""
    with clock.limit_at(clock.after(LIMIT)):
        return await reply(after_seconds)
    return None


async def stall(mock: trio.testing.MockClock, at: float, seconds: float) -> None:
    """Stop the loop for so long."""
    await trio.sleep(at)
    mock.jump(seconds)


@pytest.fixture
async def clock(nursery):
    """A clock that runs."""
    running = LoopClock()
    nursery.start_soon(running.run)
    return running


async def test_silence_has_its_end(autojump_clock, clock):
    """On an idle machine a limit is what it says, or a slice less."""
    for _ in range(3):
        began_at = trio.current_time()
        assert await limited(clock, 60) is None
        assert LIMIT - SLICE - 1e-9 <= trio.current_time() - began_at <= LIMIT + 1e-9
        await trio.sleep(0.0031)
    assert await limited(clock, LIMIT - 2 * SLICE) == "the answer"


async def test_an_answer_that_came_while_the_loop_stood_is_taken(autojump_clock, clock, nursery):
    """A loop that did not run for 200 ms has an answer that came after 5 ms, at whatever moment it stood."""
    for after_ms in range(45):
        for at_ms in range(0, 45, 2):
            nursery.start_soon(stall, autojump_clock, at_ms / 1000, 0.2)
            assert await limited(clock, after_ms / 1000) == "the answer", (after_ms, at_ms)
            await trio.sleep(0.3)


@given(stalls=STALLS, after_ms=st.integers(0, 2000))
def test_stalls_count_as_one_slice(stalls, after_ms):
    """However often the loop stands, an answer within the limit of the time in which it ran is taken, and one that does
    not come ends the wait by ten times the limit of the wall clock, or when the loop runs again."""

    async def main() -> None:
        clock, mock = LoopClock(), trio.lowlevel.current_clock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            for at_ms, for_ms in stalls:
                nursery.start_soon(stall, mock, at_ms / 1000, for_ms / 1000)
            began_at = trio.current_time()
            found = await limited(clock, after_ms / 1000)
            took = trio.current_time() - began_at
            stood = sum(for_ms for _, for_ms in stalls) / 1000
            assert found is not None or took <= LIMIT + stood + SLICE
            if after_ms <= 1000 * (LIMIT - 2 * SLICE) and stood <= 8 * LIMIT:
                assert found == "the answer"
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_clock_that_stands_ends_a_wait_too(autojump_clock):
    """Where no task counts, and where the loop is busy without end, ten times the limit is the end."""
    began_at = trio.current_time()
    assert await limited(LoopClock(), 60) is None
    assert trio.current_time() - began_at == pytest.approx(10 * LIMIT)


async def test_an_idle_clock_wakes_nothing(autojump_clock, clock):
    """While nothing is limited, time passes at one stroke."""
    assert await limited(clock, 0.01) == "the answer"
    await trio.sleep(0.1)
    before = clock.now()
    await trio.sleep(1000)
    assert clock.now() == before


async def test_the_calls_of_a_look_share_its_time(autojump_clock, clock):
    """The first call has its deadline by itself; all that follow have together what is left."""
    look = Look(clock, LIMIT)
    assert await look.within(limited(clock, 0.02)) == "the answer"
    assert not look.is_late
    assert await look.within(reply(0.015)) == "the answer"
    began_at = trio.current_time()
    assert await look.within(reply(60)) is None
    assert trio.current_time() - began_at <= LIMIT - 0.035 + 1e-9
    assert look.is_late
    began_at = trio.current_time()
    assert await look.within(reply(60)) is None
    assert trio.current_time() - began_at <= SLICE + 1e-9
