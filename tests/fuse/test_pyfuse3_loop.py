"""The wait of pyfuse3's tasks, over a socket of packets in the kernel's place.

The tasks take the steps of pyfuse3's own loop.
"""

import itertools
import os
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from cffs.fuse.pyfuse3_loop import HandoffLock, SpinPolicy, TrioShim

END = b"end"


class Kernel:
    """Calls in order, and the tasks that answered them; a call that is `slow` waits until `released`."""

    def __init__(self, turns: TrioShim) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.turns = turns
        self.turn = HandoffLock()
        self.released = trio.Event()
        self.answered: list[tuple[bytes, str]] = []

    def ask(self, *calls: bytes) -> None:
        """The calls can be read from now on."""
        for call in calls:
            self.theirs.send(call)

    async def work(self, name: str) -> None:
        """One task of pyfuse3's `_session_loop`."""
        while True:
            async with self.turn:
                await self.turns.wait_readable(self.ours.fileno())
            call = os.read(self.ours.fileno(), 16)
            if not call:
                return
            if call.startswith(b"slow"):
                await self.released.wait()
            self.answered.append((call, name))

    async def until(self, count: int) -> None:
        """Return once so many calls are answered."""
        while len(self.answered) < count:
            await trio.lowlevel.checkpoint()


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    """Made within trio's loop, as the session's lock is."""
    made = Kernel(TrioShim(processors=2))
    yield made
    made.ours.close()
    made.theirs.close()


async def test_a_call_that_waits_holds_up_no_other(kernel: Kernel, nursery: trio.Nursery) -> None:
    """A task that waits within a call hands the turn to the next task, and gets in line again afterwards."""
    for name in ("one", "two", "three"):
        nursery.start_soon(kernel.work, name)
    kernel.ask(b"slow 1", b"slow 2", b"quick")
    await kernel.until(1)
    assert [call for call, _ in kernel.answered] == [b"quick"]
    kernel.released.set()
    await kernel.until(3)
    kernel.ask(*[b"quick"] * 20)
    await kernel.until(23)
    nursery.cancel_scope.cancel()


async def test_one_caller_is_served_by_one_task(kernel: Kernel, nursery: trio.Nursery) -> None:
    """A program that waits for each answer never pays for a change of tasks."""
    for name in ("one", "two"):
        nursery.start_soon(kernel.work, name)
    for count in range(50):
        kernel.ask(b"quick")
        await kernel.until(count + 1)
    assert len({name for _, name in kernel.answered}) == 1
    nursery.cancel_scope.cancel()


async def test_the_end_of_the_session_ends_every_task(kernel: Kernel) -> None:
    """A task that ends hands the turn on; otherwise the mount would never end."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for name in ("one", "two", "three", "four"):
                nursery.start_soon(kernel.work, name)
            await trio.testing.wait_all_tasks_blocked()
            kernel.theirs.close()


@pytest.mark.parametrize("is_the_holder", [True, False])
async def test_a_task_that_is_cancelled_takes_no_turn_along(
    kernel: Kernel, nursery: trio.Nursery, is_the_holder: bool
) -> None:
    """A task that is cancelled in its wait, or in line for it, leaves the others a session that works."""
    scopes = [trio.CancelScope(), trio.CancelScope()]

    async def cancellable(number: int) -> None:
        with scopes[number]:
            await kernel.work(str(number))

    for number in range(2):
        nursery.start_soon(cancellable, number)
        await trio.testing.wait_all_tasks_blocked()
    scopes[0 if is_the_holder else 1].cancel()
    await trio.testing.wait_all_tasks_blocked()
    kernel.ask(b"quick")
    with trio.fail_after(10):
        await kernel.until(1)
    assert kernel.answered == [(b"quick", "1" if is_the_holder else "0")]
    nursery.cancel_scope.cancel()


async def test_calls_without_end_leave_the_others_their_turns(kernel: Kernel, nursery: trio.Nursery) -> None:
    """While calls never stop coming, another task still runs at least every other time that eight were taken."""
    kernel.ask(*[b"quick"] * 80)
    seen: list[int] = []

    async def other() -> None:
        while len(kernel.answered) < 80:
            seen.append(len(kernel.answered))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    nursery.start_soon(kernel.work, "one")
    with trio.fail_after(10):
        await kernel.until(80)
    assert max(after - before for before, after in itertools.pairwise(seen)) <= 2 * 9
    nursery.cancel_scope.cancel()


async def test_a_call_that_follows_at_once_finds_nobody_asleep(nursery: trio.Nursery) -> None:
    """A call that arrives while other tasks have their turns is taken without going to sleep."""
    slept: list[int] = []

    async def asleep(descriptor: int) -> None:
        slept.append(descriptor)
        await trio.sleep_forever()

    kernel = Kernel(TrioShim(processors=2, now_seconds=lambda: 0.0, asleep=asleep))

    async def ask_later() -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        kernel.ask(b"quick")

    with kernel.ours, kernel.theirs:
        nursery.start_soon(ask_later)
        await kernel.turns.wait_readable(kernel.ours.fileno())
        assert not slept
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_lingering", [True, False])
async def test_closing_ends_the_wait(kernel: Kernel, nursery: trio.Nursery, is_lingering: bool) -> None:
    """Once the session is about to end, a task that sleeps, and one that is about to, does not wait for a call that
    never comes."""
    descriptor = kernel.ours.fileno()

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await kernel.turns.wait_readable(descriptor)

    nursery.start_soon(wait)
    if not is_lingering:
        await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.fail_after(10):
        await trio.lowlevel.checkpoint()
        kernel.turns.notify_closing(descriptor)


@given(st.lists(st.booleans(), max_size=300))
def test_lingering_in_vain_is_rare(found: list[bool]) -> None:
    """However calls come, the spins in vain are at most four for each call that a spin brought, and one in thirty-two
    of the others; with one processor there is none."""
    lingering, alone, vain = SpinPolicy(processors=2), SpinPolicy(processors=1), 0
    for has_call in found:
        assert not alone.is_worth_it()
        if lingering.is_worth_it():
            vain += not has_call
            lingering.note_outcome(has_call=has_call)
    assert vain <= 4 * (found.count(True) + 1) + len(found) // 32
