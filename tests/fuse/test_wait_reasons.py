"""What inflight.json says a call waits for is what it waits for."""

from collections.abc import Awaitable, Callable

import trio

from cffs.fuse.guard import CallTable
from tests.fuse.test_reading import account, recordings

#: It takes a moment; on a busy machine it takes longer.
SECONDS = 10


async def told_while(calls: CallTable, act: Callable[[], Awaitable[object]], expected: str) -> None:
    """Begin `act`, and give it up once a call is said to wait for what is expected; nothing is in flight then."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(act)
        told: set[str] = set()
        with trio.move_on_after(SECONDS):
            while not any(expected in line for line in told):
                await trio.sleep(0.005)
                told |= {call.waits_for.text() for call in calls.waiting()}
        assert any(expected in line for line in told), told
        nursery.cancel_scope.cancel()
    assert calls.waiting() == []


async def test_a_read_says_whom_it_waits_for(world):
    """A service that does not answer is named by its host."""
    made = account()
    hung = recordings(made)[0]
    async with world(made, timeout_seconds=60.0, budget_seconds=60.0) as mount:
        await mount.kernel.inode(f"recordings/{hung}.mp3")
        mount.standin.faults.add("hang", path=f"{hung}.mp3")
        await told_while(mount.calls, lambda: mount.kernel.read(f"recordings/{hung}.mp3"), "127.0.0.1 to answer")


async def test_a_lookup_says_whom_it_asks(world):
    """A name that is not known yet is a question to an API, and so is a first listing."""
    async with world(account()) as mount:
        mount.standin.faults.add("hang", path="/calls")
        await told_while(mount.calls, lambda: mount.kernel.stat("calls/987654321"), "a question to v2: 127.0.0.1")
