"""The request limiter in virtual time: stalled requests do not count."""

import pytest
import trio

from cffs.callfire.request_limiter import CROWDED_SECONDS, RequestLimiter


async def test_the_limiter_passes_over_what_is_stalled(autojump_clock):
    """Where two of two slots make no progress, a third request waits one second, not for ever; moving ones count."""
    limiter = RequestLimiter(2, most=4)
    entered = []

    async def hold(name, moving):
        slot = await limiter.enter()
        entered.append((name, trio.current_time()))
        for _ in range(20):
            await trio.sleep(0.5)
            if moving:
                slot.note_progress()
        limiter.leave(slot)

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        for name, moving in (("a", False), ("b", False), ("c", True), ("d", True), ("e", True)):
            nursery.start_soon(hold, name, moving)
            await trio.testing.wait_all_tasks_blocked()
    waits = [at - began for _, at in entered]
    assert waits[:2] == [0, 0]
    assert waits[2] == pytest.approx(1, abs=0.01)
    assert waits[3] == pytest.approx(1, abs=0.01)
    assert waits[4] >= 10


@pytest.mark.parametrize("limit", [2, 16])
@pytest.mark.parametrize("hangs_behind_its_head", [False, True])
async def test_the_limiter_lets_a_healthy_request_by_a_crowd(autojump_clock, limit, hangs_behind_its_head):
    """After two hundred that hang, one more request runs after little more than the second in which the first stop
    counting.

    It does not matter whether they hang before or after their head. Before that, no more than may move at a time are
    let in.
    """
    limiter = RequestLimiter(limit, most=256)
    began = trio.current_time()

    async def hang():
        slot = await limiter.enter()
        if hangs_behind_its_head:
            slot.note_progress()
        await trio.sleep(20)
        limiter.leave(slot)

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(hang)
        await trio.sleep(0.9)
        assert len(limiter._slots) == limit
        slot = await limiter.enter()
        assert trio.current_time() - began < (1.1 + 200 / limit * CROWDED_SECONDS if hangs_behind_its_head else 1.2)
        limiter.leave(slot)
        nursery.cancel_scope.cancel()


async def test_who_moves_counts_also_in_a_crowd(autojump_clock):
    """While others hang, no more than the limit receive at a time."""
    limiter, moving, most = RequestLimiter(3, most=256), 0, 0

    async def hang():
        await limiter.enter()
        await trio.sleep_forever()

    async def move():
        nonlocal moving, most
        slot = await limiter.enter()
        moving += 1
        for _ in range(100):
            slot.note_progress()
            most = max(most, moving)
            await trio.sleep(CROWDED_SECONDS / 3)
        moving -= 1
        limiter.leave(slot)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(hang)
        await trio.sleep(1.5)
        async with trio.open_nursery() as others:
            for _ in range(12):
                others.start_soon(move)
        assert most == 3
        nursery.cancel_scope.cancel()
