"""The wait for the kernel's next call: spin briefly before sleeping.

A program that waits for each answer, as `find` and `ls -l` do, makes its next call some 10 us after it. If the daemon
has gone to sleep, a virtual processor takes 30 us to wake, and twice as much passes in trio's lock and epoll. `find`
over 10,000 folders of an empty file system took 2.4 s with trio's own, and takes 1.1 s with this (2 cores, kernel
6.18).

Owns whether it is worth spinning, and which of pyfuse3's tasks waits. It must not know what a call is. pyfuse3 lets its
`trio` be replaced, as its own `pyfuse3.asyncio` does; only the lock and the wait of its loop differ here from trio's.
"""

import os
import select
import time
from collections.abc import Awaitable, Callable

import trio

#: Twice the time until the next call of a program that waits for each answer. 100 us gained nothing more.
SPIN_SECONDS = 50e-6
#: After so many spins in vain, only one call in some thirty is spun for: a program that computes between its calls
#: could use the processor itself.
_VAIN_LIMIT = 4
_RETRY_CALLS = 32
#: Calls that have arrived already are taken without a checkpoint, so many in a row; a READ takes some 50 us.
_CALLS_IN_A_ROW = 8


class SpinPolicy:
    """Whether to spin for the next call. Pure: it knows only the outcomes that it was given."""

    def __init__(self, *, processors: int) -> None:
        """With one processor the caller could not make a call while we spin."""
        self._is_possible = processors > 1
        self._vain = 0

    def is_worth_it(self) -> bool:
        """Whether to spin now; to be asked once for each call."""
        if self._vain < _VAIN_LIMIT:
            return self._is_possible
        self._vain += 1
        return self._is_possible and self._vain % _RETRY_CALLS == 0

    def note_outcome(self, *, has_call: bool) -> None:
        """A spin ended, with a call or in vain."""
        self._vain = 0 if has_call else self._vain + 1


class HandoffLock:
    """The right to wait for the kernel, in place of a lock. The task that holds it keeps it until it waits for anything
    else, or ends; then it passes to the next task. Taking it is no checkpoint where it is free, and leaving it never
    is."""

    def __init__(self) -> None:
        """To be made within trio's loop, of which it watches every step."""
        self._holder: trio.lowlevel.Task | None = None
        self._is_waiting = False
        self._others = trio.lowlevel.ParkingLot()
        trio.lowlevel.add_instrument(_Steps(self.stepped))

    async def __aenter__(self) -> None:
        task = trio.lowlevel.current_task()
        if self._holder is None:
            self._holder = task
        elif self._holder is not task:
            await self._others.park()  # the holder before has passed it to us; cancelled, it was not
        self._is_waiting = True

    async def __aexit__(self, *_how: object) -> None:
        self._is_waiting = False

    def stepped(self, task: trio.lowlevel.Task) -> None:
        """`task` has gone to wait for something, or has ended."""
        if task is self._holder and not self._is_waiting:
            self._holder = next(iter(self._others.unpark()), None)
            self._is_waiting = self._holder is not None


class _Steps(trio.abc.Instrument):
    """Reports every step of a task. The callback is an attribute, not a method: it is called some 50,000 times a
    second."""

    def __init__(self, stepped: Callable[[trio.lowlevel.Task], None]) -> None:
        self.after_task_step = stepped  # type: ignore[assignment]


class TrioShim:
    """What pyfuse3's loop uses as `trio`, and as `trio.lowlevel`: all that it needs of them (pyfuse3 3.5)."""

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
        """`processors` is how many we may use, by default as the kernel says; `asleep` waits for the descriptor."""
        self._spinning = SpinPolicy(processors=processors or len(os.sched_getaffinity(0)))
        self._now_seconds = now_seconds
        self._asleep = asleep
        self._poller: select.poll | None = None
        self._in_a_row = 0
        self._is_closing = False

    @property
    def lowlevel(self) -> "TrioShim":
        """pyfuse3 imports `lowlevel` from here: the same object serves."""
        return self

    async def wait_readable(self, descriptor: int) -> None:
        """Return when a call can be read. Where one has arrived already, only one wait in eight is a checkpoint.

        Cancelled, nothing was read. Raises trio.ClosedResourceError once the session is about to end.
        """
        poller = self._poller or self._poller_for(descriptor)
        if self._in_a_row < _CALLS_IN_A_ROW and poller.poll(0):
            self._in_a_row += 1
            return
        self._in_a_row = 0
        if self._spinning.is_worth_it():
            has_call = await self._spin(poller)
            self._spinning.note_outcome(has_call=has_call)
            if has_call:
                return
        if self._is_closing:
            raise trio.ClosedResourceError
        await self._asleep(descriptor)

    async def _spin(self, poller: select.poll) -> bool:
        until = self._now_seconds() + SPIN_SECONDS
        while True:
            await trio.lowlevel.checkpoint()  # the other tasks get their turn each time
            if poller.poll(0):
                return True
            if self._now_seconds() > until:
                return False

    def _poller_for(self, descriptor: int) -> select.poll:
        self._poller = select.poll()
        self._poller.register(descriptor, select.POLLIN)
        return self._poller

    def notify_closing(self, descriptor: int) -> None:
        """The waits of now, and all later ones, raise trio.ClosedResourceError."""
        self._is_closing = True
        trio.lowlevel.notify_closing(descriptor)
