"""Statistics of requests: counters, and the last ten errors in one line each.

It owns the numbers of one transport. It must not know what a number means for the mount, and it never holds a secret:
lines arrive redacted.
"""

from collections import deque
from dataclasses import dataclass, field

from cffs.core.settings_options import RequestRate
from cffs.core.source import Api

_KEPT_ERRORS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One failed request, or several alike in a row: the wall time and line of the last, without secrets, and their
    number."""

    at_ns: int
    line: str
    kind: str
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiHealth:
    """The state of one API now; `hold_seconds` is how long it is still held: 0.0 where it is not."""

    state: str
    hold_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStatus:
    """What the rate lets through and holds up: `sent` requests within the last span, `waiting` ones now, and
    `waited_seconds` since the start, those of requests that wait now included."""

    rate: RequestRate
    sent: int
    waiting: int
    waited_seconds: float


@dataclass(slots=True, kw_only=True)
class Stats:
    """Counters. `errors` counts failed attempts by the name of the exception."""

    requests: dict[Api, int] = field(default_factory=lambda: dict.fromkeys(Api, 0))
    bytes_fetched: int = 0
    retries: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    last_errors: deque[ErrorLine] = field(default_factory=lambda: deque(maxlen=_KEPT_ERRORS))

    def count_failure(self, kind: str, line: str, *, at_ns: int, is_down: bool) -> None:
        """Count one failed attempt. Where the whole API fails (`is_down`), one line stands for all failures of a kind,
        so that they do not push out the lines before."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        last = self.last_errors[-1] if self.last_errors else None
        times = 1
        if last is not None and (last.line == line or (is_down and last.kind == kind)):
            self.last_errors.pop()
            times = last.times + 1
        self.last_errors.append(ErrorLine(at_ns=at_ns, line=line, kind=kind, times=times))
