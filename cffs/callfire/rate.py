"""The request rate of `--rate`: a counter, and the queue of requests for it.

The counter says whether a request may leave now. The queue says which: first the requests for which somebody waits, in
order of arrival, then the others, in order of arrival. cffs/docs/semantics.md#request-rate says what is promised.

It owns the order and the waiting. It must not know what is asked, nor who else is counted by the counter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

import trio

from cffs.callfire.departure_log import DepartureLog
from cffs.core.settings_options import RequestRate
from cffs.core.source import Api
from cffs.core.wait_reasons import waits_for


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStatus:
    """What the queue did: `sent` requests within the last span, `waiting` ones now, `waited_seconds` since the start,
    those of requests that wait now included."""

    rate: RequestRate
    sent: int
    waiting: int
    waited_seconds: float


class _Waiter:
    __slots__ = ("has_asked", "is_awaited", "since", "woken")

    def __init__(self, is_awaited: Callable[[], bool]) -> None:
        self.is_awaited = is_awaited
        self.since = trio.current_time()
        #: The others rely on it to ask again, until it hands that on.
        self.has_asked = False
        #: Set when it may be its turn.
        self.woken = trio.Event()


class RateQueue:
    """The requests that wait to leave. It alone changes its table of waiters, never across an await."""

    def __init__(self, counter: RequestCounter, rate: RequestRate) -> None:
        self._counter = counter
        self._rate = rate
        self._waiting: dict[_Waiter, None] = {}
        self._is_asking = False
        self._sent = DepartureLog(rate)
        self._waited_seconds = 0.0

    async def admit(self, api: Api, *, is_awaited: Callable[[], bool]) -> None:
        """Return when the request may leave; it is counted then, and must leave at once.

        `is_awaited` is asked at each turn, because a prefetch becomes demand when it gets a reader. A checkpoint only
        where it waits. If cancelled, nothing is counted (but see RequestCounter). Raises no CffsError.
        """
        waiter = _Waiter(is_awaited)
        self._waiting[waiter] = None
        try:
            with waits_for("the request rate of --rate"):
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
        if self._is_asking or self._first() is not waiter:
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
            first.woken.set()

    def status(self) -> RateStatus:
        """What it did up to now."""
        now = trio.current_time()
        return RateStatus(
            rate=self._rate,
            sent=self._sent.count(now, seconds=self._rate.span_seconds),
            waiting=len(self._waiting),
            waited_seconds=self._waited_seconds + sum(now - waiter.since for waiter in self._waiting),
        )
