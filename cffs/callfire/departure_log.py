"""The sliding window of `--rate`: a log of when requests left; pure.

A request may leave where fewer than the limit left within the last span. That is exact: no window of the span, wherever
it begins, holds more than the limit. And it allows a burst of the limit at once, which is what people meet: `ls` after
a mount.

A bucket (GCRA with a burst) allows that burst too, but fills while it lasts, so that up to twice the limit leaves
within a span; without a burst it makes each request of a fresh `ls` wait for an interval of its own.

It owns the times of one span. It must not know clocks, requests or tasks: times are seconds, passed in, and never go
back.
"""

from collections import deque

from cffs.core.settings_options import RequestRate

#: A window is this much longer than the span. What is promised is counted at the service, and the way there takes one
#: request longer than the next: 45 ms of 1 s are more than the jitter of a connection that stands. 95.7 % of the rate
#: are left to be used.
WINDOW_FACTOR = 1.045
#: Never 0, because a float's rounding must not make a waiter spin.
_SHORTEST_WAIT_SECONDS = 0.001


class DepartureLog:
    """The departures within the last window. It has one owner."""

    def __init__(self, rate: RequestRate) -> None:
        self._limit = rate.requests
        self._window_seconds = rate.span_seconds * WINDOW_FACTOR
        self._times: deque[float] = deque()

    def seconds_to_wait(self, now: float) -> float:
        """0.0 where a request may leave at `now`; else the seconds until one may."""
        self._forget(now)
        if len(self._times) < self._limit:
            return 0.0
        return max(self._times[-self._limit] + self._window_seconds - now, _SHORTEST_WAIT_SECONDS)

    def note(self, now: float) -> None:
        """Note that a request leaves at `now`."""
        self._forget(now)
        self._times.append(now)

    def count(self, now: float, *, seconds: float) -> int:
        """How many requests left within the last `seconds`, which are no longer than the window."""
        return sum(left_at > now - seconds for left_at in self._times)

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] <= now - self._window_seconds:
            self._times.popleft()
