"""How pyfuse3's tasks wait for the kernel's next call: at hand while calls follow one another, asleep otherwise.

It must not know what a call is. `daemon/fuse_session` puts it in the place of pyfuse3's `trio`, as the library's own
`pyfuse3.asyncio` does; only the lock and the wait of its loop are other than trio's.

Why: a program that waits for each answer, as `find` and `ls -l` do, asks again some 10 us after it. Asleep by then,
a virtual processor takes 30 us to wake, and twice as much passes in trio's lock and epoll: `find` over 10,000 folders
took 2.4 s of an empty file system with trio's own, 1.1 s with this (2 cores, kernel 6.18).
"""

import os
import select
import time
from collections.abc import Awaitable, Callable

import trio

#: Twice what the next call of a program that waits for each answer takes; longer gave nothing (100 us: the same).
LINGER_SECONDS = 50e-6
#: So many times in vain, and only one call in some thirty is lingered for: a program that computes between its calls
#: would pay with a processor that it could use.
_VAIN_LIMIT = 4
_RETRY_CALLS = 32
#: Calls that are here already are taken without looking whether others want to run; a READ takes some 50 us.
_CALLS_IN_A_ROW = 8


class SpinPolicy:
    """Whether waiting awake is worth it. Pure but for what it was told."""

    def __init__(self, *, processors: int) -> None:
        """With one processor the caller could not even ask while we look."""
        self._is_possible = processors > 1
        self._vain = 0

    def is_worth_it(self) -> bool:
        """Ask once a call."""
        if self._vain < _VAIN_LIMIT:
            return self._is_possible
        self._vain += 1
        return self._is_possible and self._vain % _RETRY_CALLS == 0

    def ended(self, *, has_call: bool) -> None:
        """Tell what it brought."""
        self._vain = 0 if has_call else self._vain + 1


class HandoffLock:
    """Whose turn it is to wait for the kernel, in place of a lock: whoever had it keeps it, until it waits for anything
    else or ends; then it is the next one's. Taking and leaving it is no checkpoint where it is free."""

    def __init__(self) -> None:
        """Within trio's loop, whose every step it is told of."""
        self._holder: trio.lowlevel.Task | None = None
        self._is_waiting = False
        self._others = trio.lowlevel.ParkingLot()
        trio.lowlevel.add_instrument(_Steps(self.stepped))

    async def __aenter__(self) -> None:
        task = trio.lowlevel.current_task()
        if self._holder is None:
            self._holder = task
        elif self._holder is not task:
            await self._others.park()  # the one before has made us the holder; cancelled, nothing was given
        self._is_waiting = True

    async def __aexit__(self, *_how: object) -> None:
        self._is_waiting = False

    def stepped(self, task: trio.lowlevel.Task) -> None:
        """`task` has gone to wait for something, or has ended."""
        if task is self._holder and not self._is_waiting:
            self._holder = next(iter(self._others.unpark()), None)
            self._is_waiting = self._holder is not None


class _Steps(trio.abc.Instrument):
    """Tells of every step of a task. An attribute, not a method: it is called some 50,000 times a second."""

    def __init__(self, stepped: Callable[[trio.lowlevel.Task], None]) -> None:
        self.after_task_step = stepped  # type: ignore[assignment]


class TrioShim:
    """What pyfuse3's loop finds as `trio`, and as `trio.lowlevel`: all that it uses of them (pyfuse3 3.5)."""

    Lock = HandoffLock
    ClosedResourceError = trio.ClosedResourceError
    open_nursery = staticmethod(trio.open_nursery)
    current_task = staticmethod(trio.lowlevel.current_task)
    current_trio_token = staticmethod(trio.lowlevel.current_trio_token)

    def __init__(
        self,
        *,
        processors: int | None = None,
        now_seconds: Callable[[], float] = time.perf_counter,
        asleep: Callable[[int], Awaitable[None]] = trio.lowlevel.wait_readable,
    ) -> None:
        """`processors` are those we may use, by default as the kernel says; `asleep` waits for the descriptor."""
        self._lingering = SpinPolicy(processors=processors or len(os.sched_getaffinity(0)))
        self._now_seconds = now_seconds
        self._asleep = asleep
        self._poller: select.poll | None = None
        self._in_a_row = 0
        self._is_closing = False

    @property
    def lowlevel(self) -> "TrioShim":
        """This as well."""
        return self

    async def wait_readable(self, descriptor: int) -> None:
        """Returns when a call can be read. No checkpoint where one is here already, but for one of eight.

        Cancelled, nothing was read. Raises trio.ClosedResourceError once the session is about to end.
        """
        poller = self._poller or self._polling(descriptor)
        if self._in_a_row < _CALLS_IN_A_ROW and poller.poll(0):
            self._in_a_row += 1
            return
        self._in_a_row = 0
        if self._lingering.is_worth_it():
            has_call = await self._linger(poller)
            self._lingering.ended(has_call=has_call)
            if has_call:
                return
        if self._is_closing:
            raise trio.ClosedResourceError
        await self._asleep(descriptor)

    async def _linger(self, poller: select.poll) -> bool:
        until = self._now_seconds() + LINGER_SECONDS
        while True:
            await trio.lowlevel.checkpoint()  # the other tasks have their turn each time
            if poller.poll(0):
                return True
            if self._now_seconds() > until:
                return False

    def _polling(self, descriptor: int) -> select.poll:
        self._poller = select.poll()
        self._poller.register(descriptor, select.POLLIN)
        return self._poller

    def notify_closing(self, descriptor: int) -> None:
        """Whoever waits, and whoever would, gets trio.ClosedResourceError."""
        self._is_closing = True
        trio.lowlevel.notify_closing(descriptor)
