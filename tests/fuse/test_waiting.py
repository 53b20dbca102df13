"""What inflight.json says a call waits for is what it waits for."""

from collections.abc import Awaitable, Callable

import trio

from cffs.cache.version import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.fuse.operations import Operations
from tests.fuse.test_reading import account, recordings

#: Found out in a moment; a machine that is busy takes longer.
SECONDS = 10


async def told_while(operations: Operations, act: Callable[[], Awaitable[object]], expected: str) -> None:
    """`act` is begun and given up once a call is said to wait for what is expected; nothing is in flight then."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(act)
        told: set[str] = set()
        with trio.move_on_after(SECONDS):
            while not any(expected in line for line in told):
                await trio.sleep(0.005)
                told |= {call.waits_for.told() for call in operations.calls.waiting()}
        assert any(expected in line for line in told), told
        nursery.cancel_scope.cancel()
    assert operations.calls.waiting() == []


async def test_a_call_says_what_it_waits_for(world):
    """A service that does not answer, one that stops in a body, a pause it asked for, a free connection, memory:
    each is told."""
    made = account()
    hung, stalled, queued, full, paused = recordings(made)[:5]
    async with world(made, connections=2, timeout_seconds=60.0, budget_seconds=60.0) as mount:
        kernel, operations = mount.kernel, mount.operations
        for number in recordings(made)[:5]:
            await kernel.inode(f"recordings/{number}.mp3")

        async def read(number: int) -> None:
            await kernel.read(f"recordings/{number}.mp3")

        faults = mount.standin.faults
        faults.add("hang", path=f"{hung}.mp3")
        await told_while(operations, lambda: read(hung), "127.0.0.1 to answer")
        faults.add("stall", path=f"{stalled}.mp3", at=20_000)
        await told_while(operations, lambda: read(stalled), "bytes from v2")

        async def read_three() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, hung)
                nursery.start_soon(read, stalled)
                nursery.start_soon(read, queued)

        await told_while(operations, read_three, "a connection to be free")
        cache = operations._objects._tools.cache
        lease = cache.lease(
            ObjectVersion("all", None, cache.limit_nbytes),
            ByteRange(0, cache.limit_nbytes - cache.used_nbytes),
            is_urgent=True,
            is_passing=False,
        )
        assert lease is not None
        await told_while(operations, lambda: read(full), "room in memory")
        cache.seal(lease)
        faults.add("status", path=f"{paused}.mp3", code=429, retry_after=30, times=1)
        await told_while(operations, lambda: read(paused), "the end of the pause that v2 asked for")


async def test_a_lookup_says_whom_it_asks(world):
    """A name that nobody knows yet is a question to an API, and so is a first listing."""
    async with world(account()) as mount:
        mount.standin.faults.add("hang", path="/calls")
        await told_while(mount.operations, lambda: mount.kernel.stat("calls/987654321"), "a question to v2: 127.0.0.1")
