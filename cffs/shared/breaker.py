"""A circuit breaker: whether a server is asked, and when it is tried again.

A call that fails, or is not answered in time, makes the server count as gone. Then no call waits for it. A try in the
background finds out when it is there again: at once after the first failure, because this machine may only have
hiccuped, and then after 1 s, 2 s, 4 s and so on up to 30 s. The pauses begin afresh once it has been there for a
while; a server that answers tries and fails calls is therefore asked less and less often.

The functions are pure, over a frozen record. It must not know the server, sleeping or sockets; times are monotonic
seconds, passed in.
"""

from dataclasses import dataclass, replace

#: How long the pauses are; the last is repeated.
PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
#: A server that was there for so long without a failure has earned a try at once after the next.
STEADY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of the server: whether it counts as there, since when, and when it may be tried if it does not.

    `failures` counts those in a row, which choose the pause.
    """

    is_up: bool = False
    since: float = 0.0
    next_try_at: float = 0.0
    failures: int = 0


def after_failure(breaker: Breaker, now: float) -> Breaker:
    """The record after a call or a try failed at `now`."""
    is_steady = breaker.is_up and now - breaker.since >= STEADY_SECONDS
    failures = 0 if is_steady else breaker.failures
    pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
    return Breaker(
        is_up=False,
        since=now if breaker.is_up else breaker.since,
        next_try_at=now + pause,
        failures=failures + 1,
    )


def after_answer(breaker: Breaker, now: float) -> Breaker:
    """The record after a try was answered at `now`; the failures before it count until it has been steady."""
    return breaker if breaker.is_up else replace(breaker, is_up=True, since=now)
