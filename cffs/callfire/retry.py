"""The retry policy: whether to try again, and after how long; pure.

It owns the kinds of failures, the number of attempts and the pauses between them. It must not know clocks, requests or
the health of an API (holds belong to `callfire/health`): the time left and the dice are passed in.
"""

from enum import Enum

from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    LocalShortage,
    MalformedAnswer,
    OriginBusy,
    OriginUnreachable,
    ServerFailure,
    TruncatedAnswer,
)

#: A request is sent at most four times: see cffs/docs/semantics.md#retries-and-holds.
MAX_ATTEMPTS = 4
#: An answer that was malformed twice will be so again.
_MAX_ATTEMPTS_OF_MALFORMED = 2
#: The first pause; each further one is twice as long. They are a third to two thirds of a second together, so that a
#: burst of 503 is survived, and a hopeless object fails before its user wonders.
_FIRST_PAUSE_SECONDS = 0.1
#: With less time left no attempt can succeed; an error with its reason now is better than a bare timeout.
_SHORTEST_TRY_SECONDS = 0.05


class ErrorKind(Enum):
    """What a failed attempt means for the next one."""

    UNSENT = "unsent"
    """Provably not sent: no connection, no descriptor or memory here, or no time left by `--rate`."""
    UNANSWERED = "unanswered"
    """Perhaps sent, and lost before or within the answer."""
    SERVER = "server"
    """A 5xx."""
    HELD = "held"
    """429, 503 with Retry-After, or words of a rate limit: health keeps the pause; the next attempt may follow it."""
    MALFORMED = "malformed"
    """An answer that cannot be what was asked for."""
    FINAL = "final"
    """An answer that another attempt would not change."""


def kind_of(error: CffsError, *, sent: bool = True) -> ErrorKind:
    """The kind of a failed attempt; `sent` is False where the request provably never left."""
    if isinstance(error, LocalShortage):
        return ErrorKind.UNSENT
    if isinstance(error, OriginUnreachable | DeadlineExceeded) and not sent:
        return ErrorKind.UNSENT
    if isinstance(error, OriginUnreachable | DeadlineExceeded | TruncatedAnswer):
        return ErrorKind.UNANSWERED
    if isinstance(error, OriginBusy):
        return ErrorKind.HELD
    if isinstance(error, MalformedAnswer):
        return ErrorKind.MALFORMED
    if isinstance(error, ServerFailure) and error.status >= 500:
        return ErrorKind.SERVER
    return ErrorKind.FINAL


def pause_seconds(
    kind: ErrorKind, *, attempts_made: int, idempotent: bool, seconds_left: float, dice: float
) -> float | None:
    """The seconds to pause before the next attempt, or None to give up; `dice` is random in [0, 1).

    There are at most MAX_ATTEMPTS, and no pause outlasts the time left. A request that is not idempotent is sent again
    only where it was provably not sent.
    """
    limit = _MAX_ATTEMPTS_OF_MALFORMED if kind is ErrorKind.MALFORMED else MAX_ATTEMPTS
    if kind is ErrorKind.FINAL or attempts_made >= limit:
        return None
    if not idempotent and kind is not ErrorKind.UNSENT:
        return None
    # Half fixed, half by dice: no stampede, and no retry at the same instant.
    seconds = 0.0 if kind is ErrorKind.HELD else _FIRST_PAUSE_SECONDS * 2 ** (attempts_made - 1) * (0.5 + dice / 2)
    return seconds if seconds + _SHORTEST_TRY_SECONDS <= seconds_left else None
