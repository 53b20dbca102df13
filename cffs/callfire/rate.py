"""The request rate of `--rate`: a counter, and the queue of requests for it.

The counter says whether a request may leave now. The queue says which: first the requests for which somebody waits, in
order of arrival, then the others, in order of arrival. cffs/docs/semantics.md#request-rate says what is promised.

It owns the order and the waiting. It must not know what is asked, nor who else is counted by the counter.
"""

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from itertools import chain
from math import inf
from typing import Protocol

import trio

from cffs.callfire.departure_log import DepartureLog
from cffs.callfire.stats import RateStatus
from cffs.core.settings_options import RequestRate
from cffs.core.source import Api
from cffs.core.wait_reasons import waits_for

#: How often a background request looks whether somebody waits for it now, or for what it lets pass.
_LOOK_SECONDS = 0.05


class RequestCounter(Protocol):
    """Counts the requests that leave for the account's origins, of both APIs together."""

    async def take(self, api: Api) -> float:
        """0.0 where a request may leave now, and then it is counted; else the seconds after which to ask again, more
        than 0.

        It returns within 50 ms. If cancelled, a request may have been counted that does not leave. Raises no CffsError.
        """
        ...


class LocalCounter:
    """Counts the requests of this process alone."""

    def __init__(self, rate: RequestRate) -> None:
        self._log = DepartureLog(rate)

    async def take(self, _api: Api) -> float:
        """See RequestCounter. Never a checkpoint."""
        now = trio.current_time()
        seconds = self._log.seconds_to_wait(now)
        if not seconds:
            self._log.note(now)
        return seconds


class _Waiter:
    __slots__ = ("has_asked", "is_awaited", "since", "woken")

    def __init__(self, is_awaited: Callable[[], bool]) -> None:
        self.is_awaited = is_awaited
        self.since = trio.current_time()
        #: The others rely on it to ask again, until it hands that on.
        self.has_asked = False
        #: Set when it may be its turn.
        self.woken = trio.Event()


class _Lane:
    """The way of background requests to the queue: one at a time, in order of arrival.

    A request waits in the queue with its connection, so that it leaves at once when it is its turn. While demand goes
    before them, background requests would hold dozens of connections for nothing. So all but one of each limiter wait
    here, where they hold nothing.
    """

    def __init__(self) -> None:
        self._holder: _Waiter | None = None
        self._waiting: dict[_Waiter, None] = {}

    def __iter__(self) -> Iterator[_Waiter]:
        return iter(self._waiting)

    async def enter(self, waiter: _Waiter) -> None:
        """Return when the lane is the waiter's, or when somebody waits for it: demand needs no lane. A checkpoint only
        where it waits; if cancelled, the lane is free for the next."""
        self._waiting[waiter] = None
        try:
            while not waiter.is_awaited():
                if self._holder is None and next(iter(self._waiting)) is waiter:
                    self._holder = waiter
                    return
                with trio.move_on_after(_LOOK_SECONDS):
                    await waiter.woken.wait()
                waiter.woken = trio.Event()
        finally:
            del self._waiting[waiter]
            self._wake_first()

    def leave(self, waiter: _Waiter) -> None:
        """Give the lane back; nothing where the waiter does not hold it."""
        if self._holder is waiter:
            self._holder = None
            self._wake_first()

    def _wake_first(self) -> None:
        if self._holder is None and self._waiting:
            next(iter(self._waiting)).woken.set()


class RateQueue:
    """The requests that wait to leave. It alone changes its table of waiters, never across an await."""

    #: What a call shows that waits for it.
    reason = "the request rate of --rate"

    def __init__(self, counter: RequestCounter, rate: RequestRate) -> None:
        self._counter = counter
        self._rate = rate
        self._waiting: dict[_Waiter, None] = {}
        #: Requests on their way to the queue, which wait for a slot or connect: background work lets demand pass here
        #: too, or it would leave in the moment in which demand is short of slots.
        self._coming: dict[_Waiter, None] = {}
        self._lanes: dict[Hashable, _Lane] = {}
        self._is_asking = False
        self._sent = DepartureLog(rate)
        self._waited_seconds = 0.0

    async def approach(self, limiter: Hashable, *, is_awaited: Callable[[], bool]) -> Callable[[], None]:
        """Return when the request may take a slot of that limiter and come to `admit`: at once where somebody waits for
        it. What is returned must be called once it has left, or when it will not come.

        A checkpoint only where it waits; if cancelled, there is nothing to be called.
        """
        waiter, lane = _Waiter(is_awaited), self._lanes.setdefault(limiter, _Lane())
        try:
            with waits_for(self.reason):
                await lane.enter(waiter)
        finally:
            self._waited_seconds += trio.current_time() - waiter.since
        self._coming[waiter] = None
        return partial(self._arrived, lane, waiter)

    def _arrived(self, lane: _Lane, waiter: _Waiter) -> None:
        lane.leave(waiter)
        if waiter in self._coming:
            del self._coming[waiter]
            self._wake_first()

    async def admit(self, api: Api, *, is_awaited: Callable[[], bool]) -> None:
        """Return when the request may leave; it is counted then, and must leave at once.

        `is_awaited` is asked at each turn, because a prefetch becomes demand when it gets a reader. A checkpoint only
        where it waits. If cancelled, nothing is counted (but see RequestCounter). Raises no CffsError.
        """
        waiter = _Waiter(is_awaited)
        self._waiting[waiter] = None
        try:
            with waits_for(self.reason):
                while (seconds := await self._seconds_to_wait(api, waiter)) > 0:
                    with trio.move_on_after(seconds):
                        await waiter.woken.wait()
                    waiter.woken = trio.Event()
        finally:
            del self._waiting[waiter]
            self._waited_seconds += trio.current_time() - waiter.since
            self._wake_first()

    async def _seconds_to_wait(self, api: Api, waiter: _Waiter) -> float:
        """0.0 where the waiter has been counted, else how long it sleeps unless it is woken: one asks at a time, the
        first."""
        first = self._first()
        if first is waiter and not waiter.is_awaited() and any(coming.is_awaited() for coming in self._coming):
            waiter.has_asked = True  # it is the one that looks again, and hands the turn on where it is not its own
            return _LOOK_SECONDS
        if self._is_asking or first is not waiter:
            if waiter.has_asked:
                waiter.has_asked = False
                self._wake_first()
            return inf
        self._is_asking = waiter.has_asked = True
        try:
            seconds = await self._counter.take(api)
        finally:
            self._is_asking = False
        if seconds <= 0:
            self._sent.note(trio.current_time())
            return 0.0
        return seconds

    def _first(self) -> _Waiter | None:
        demand = next((waiter for waiter in self._waiting if waiter.is_awaited()), None)
        return demand or next(iter(self._waiting), None)

    def _wake_first(self) -> None:
        if not self._is_asking and (first := self._first()) is not None:
            first.has_asked = True  # another may be first before it runs: then it hands the turn on
            first.woken.set()

    @property
    def is_waited_for(self) -> bool:
        """True where a request has its slot and connection, and waits to leave."""
        return bool(self._waiting)

    def status(self) -> RateStatus:
        """What it did up to now."""
        now, waiting = trio.current_time(), [*self._waiting, *chain.from_iterable(self._lanes.values())]
        return RateStatus(
            rate=self._rate,
            sent=self._sent.count(now, seconds=self._rate.span_seconds),
            waiting=len(waiting),
            waited_seconds=self._waited_seconds + sum(now - waiter.since for waiter in waiting),
        )
