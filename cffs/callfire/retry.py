"""Whether to ask again, and after how long; pure: the time left and the dice are given.

It must not know clocks, requests or the health of an API (holds are `callfire/health`'s).
`callfire/transport` calls it after each failed try.
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

#: Contract, section 6: at most 4 tries.
MAX_ATTEMPTS = 4
#: An answer that was wrong twice is wrong (reliability.md: "reject, retry once, EIO").
_MAX_ATTEMPTS_OF_MALFORMED = 2
#: The pauses before the second, third and fourth try: a third of a second in all, so that a burst of 503 is ridden
#: out and a hopeless object is known before a user wonders.
_FIRST_PAUSE_SECONDS = 0.1
#: With less left than this no try can end well; better an error with its reason now than a bare timeout.
_SHORTEST_TRY_SECONDS = 0.05


class ErrorKind(Enum):
    """What a failed try means for the next one."""

    UNSENT = "unsent"
    """No connection: the request was provably not sent, and the address is likely to stay dead."""
    UNANSWERED = "unanswered"
    """Sent, perhaps; lost before or within the answer."""
    SERVER = "server"
    """A 5xx."""
    HELD = "held"
    """429, or 503 with Retry-After: health keeps the pause, the next try may follow it at once."""
    MALFORMED = "malformed"
    """An answer that cannot be what was asked."""
    FINAL = "final"
    """An answer that another try would not change."""


def kind_of(error: CffsError, *, sent: bool = True) -> ErrorKind:
    """The kind of a failed try; `sent` is False where the request provably never left."""
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
    """The pause before the next try, or None to give up; `dice` is random in [0, 1).

    Never more than MAX_ATTEMPTS, never a pause that outlasts the time left, and what is not idempotent is sent again
    only where it was provably not sent.
    """
    limit = _MAX_ATTEMPTS_OF_MALFORMED if kind is ErrorKind.MALFORMED else MAX_ATTEMPTS
    if kind is ErrorKind.FINAL or attempts_made >= limit:
        return None
    if not idempotent and kind is not ErrorKind.UNSENT:
        return None
    # Half fixed, half by dice: never a stampede, never a retry in the same instant.
    seconds = 0.0 if kind is ErrorKind.HELD else _FIRST_PAUSE_SECONDS * 2 ** (attempts_made - 1) * (0.5 + dice / 2)
    return seconds if seconds + _SHORTEST_TRY_SECONDS <= seconds_left else None
