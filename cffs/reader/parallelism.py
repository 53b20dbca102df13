"""Whether several connections pay for one stream.

A stream is watched; where its reader waited long and its one connection is slow, several are tried, and kept where they
bring at least 1.3 times as much. The numbers are measured: cffs/docs/reading.md#read-ahead-policy.

It owns the verdict on one host (`StreamParallelism`) and the watch over one file's streams (`StallDetector`). It must
not know clocks, tasks or requests: every time is passed in. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cffs.core.units import KIB

#: How long a stream is watched before it is judged, and how much of it must have come.
WATCH_SECONDS = 0.12
_WATCH_LATENCIES = 3
_WATCH_NBYTES = 512 * KIB
#: A reader that waited for a smaller share of that time is served well enough.
_STALLED_SHARE = 0.3
#: A connection this fast is not what holds a stream up: half of a gigabit line.
FAST_BYTES_PER_SECOND = 50e6
#: Heads need a latency, and the first bytes of a new connection come slowly.
_SETTLE_LATENCIES = 2
#: What parallel ranges must win to be worth their requests.
WORTH_IT = 1.3
HOLD_SECONDS = 5.0
MAX_HOLD_SECONDS = 300.0
#: A trial without a result in this time, such as one of a reader that stopped, does not hold up others.
_TRY_SECONDS = 30.0
#: A verdict for parallel ranges expires after this long.
KEEP_SECONDS = 300.0


@dataclass(slots=True)
class _Tally:
    """What arrived since some time, and how long its reader waited meanwhile."""

    began_at: float
    nbytes: int = 0
    waited_seconds: float = 0.0

    def seconds(self, now: float) -> float:
        return now - self.began_at

    def rate(self, now: float) -> float:
        return self.nbytes / max(self.seconds(now), 1e-9)

    def is_enough(self, now: float, latency_seconds: float) -> bool:
        least_seconds = max(WATCH_SECONDS, _WATCH_LATENCIES * latency_seconds)
        return self.nbytes >= _WATCH_NBYTES and self.seconds(now) >= least_seconds


class StreamParallelism:
    """How many connections a stream from one host gets, as found out so far."""

    def __init__(self, *, most: int) -> None:
        """`most` is the limit of connections on one object; with 1, several are never tried."""
        self._most = most
        self._is_parallel = False
        self._until = float("-inf")
        self._hold_seconds = HOLD_SECONDS
        self._hold_until = float("-inf")
        self._tried_by: object = None
        self._before = 0.0

    def expect(self, gain: float, now: float) -> None:
        """Take over that several connections were `gain` times as fast as one: believed for as long as a verdict of its
        own, or not tried for a while."""
        if gain >= WORTH_IT:
            self._is_parallel, self._until = self._most > 1, now + KEEP_SECONDS
        else:
            self._hold_until = now + KEEP_SECONDS

    def depth(self, now: float) -> int:
        """Connections for one stream now."""
        if now >= self._until:
            self._is_parallel, self._tried_by = False, None
        return self._most if self._is_parallel or self._tried_by is not None else 1

    def may_try(self, now: float) -> bool:
        """True where several connections were not found useless a moment ago, and no trial is running."""
        return self._most > 1 and self.depth(now) == 1 and now >= self._hold_until

    def try_parallel(self, detector: object, rate: float, now: float) -> None:
        """Begin a trial by `detector`: what several connections win over one that brought `rate`."""
        self._tried_by, self._before, self._until = detector, rate, now + _TRY_SECONDS

    def is_tried_by(self, detector: object) -> bool:
        """True while `detector` runs the trial."""
        return self._tried_by is detector

    def judge(self, rate: float, now: float) -> None:
        """End the trial with the rate that several connections had together: they are kept where they pay; otherwise
        they are not tried for a while, twice as long each time."""
        self._tried_by = None
        if rate >= WORTH_IT * self._before:
            self._is_parallel, self._until, self._hold_seconds = True, now + KEEP_SECONDS, HOLD_SECONDS
        else:
            self._hold_until = now + self._hold_seconds
            self._hold_seconds = min(2 * self._hold_seconds, MAX_HOLD_SECONDS)

    def give_up(self, detector: object) -> None:
        """Abandon a trial: its stream ended before there was a result."""
        if self._tried_by is detector:
            self._tried_by = None


class StallDetector:
    """The watch over the streams of one remote file."""

    def __init__(self, parallelism: Callable[[], StreamParallelism]) -> None:
        self._parallelism = parallelism
        self._of: object = None
        self._tally: _Tally | None = None
        self._tried_at = 0.0
        self._waiting_since: float | None = None

    def waits(self, now: float) -> None:
        """Note that a reader has begun to wait (one of them, where there are several)."""
        if self._waiting_since is None:
            self._waiting_since = now

    def waited(self, now: float) -> None:
        """Note that the reader has what it waited for."""
        if self._tally is not None and self._waiting_since is not None:
            self._tally.waited_seconds += max(0.0, now - max(self._waiting_since, self._tally.began_at))
        self._waiting_since = None

    def arrived(
        self,
        fetch: object,
        nbytes: int,
        now: float,
        *,
        latency_seconds: float,
        are_all_answered: bool,
        is_worth_it: bool,
    ) -> float | None:
        """Account for bytes of a stream. Returns the rate of its one connection where several are to be tried now."""
        parallelism = self._parallelism()
        if parallelism.is_tried_by(self):
            self._weigh(parallelism, nbytes, now, latency_seconds, are_all_answered=are_all_answered)
            return None
        if self._tally is None or self._of is not fetch:
            # the clock starts at the first byte of a request: earlier it would take the latency for a stall
            self._of, self._tally = fetch, _Tally(now)
            return None
        tally = self._tally
        tally.nbytes += nbytes
        if not tally.is_enough(now, latency_seconds):
            return None
        waiting_seconds = 0.0 if self._waiting_since is None else now - max(self._waiting_since, tally.began_at)
        is_stalled = tally.waited_seconds + waiting_seconds > _STALLED_SHARE * tally.seconds(now)
        rate = tally.rate(now)
        self._tally = _Tally(now)
        if not is_stalled or not is_worth_it or rate >= FAST_BYTES_PER_SECOND or not parallelism.may_try(now):
            return None
        parallelism.try_parallel(self, rate, now)
        self._tally, self._tried_at = None, now
        return rate

    def _weigh(
        self, parallelism: StreamParallelism, nbytes: int, now: float, latency_seconds: float, *, are_all_answered: bool
    ) -> None:
        if self._tally is None:
            if are_all_answered and now >= self._tried_at + _SETTLE_LATENCIES * latency_seconds:
                self._tally = _Tally(now)
            return
        self._tally.nbytes += nbytes
        if self._tally.is_enough(now, latency_seconds):
            parallelism.judge(self._tally.rate(now), now)
            self._tally = None

    def left(self) -> None:
        """Account for the last handle being closed."""
        self._parallelism().give_up(self)
        self._of, self._tally, self._waiting_since = None, None, None
