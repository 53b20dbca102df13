"""What has been asked of the service, in numbers, and the last ten errors in one line each.

It must not know what a number means for the mount, and never holds a secret: lines come redacted.
`callfire/transport` counts, `daemon/` shows.
"""

from collections import deque
from dataclasses import dataclass, field

from cffs.core.source import Api

_KEPT_ERRORS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One failed request, or several alike in a row: the last one's wall time and line, without secrets, and how many
    there were."""

    at_ns: int
    line: str
    kind: str
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiHealth:
    """How one API is doing now; `held_until` is in seconds from now, 0.0 where nothing is held."""

    state: str
    held_until: float


@dataclass(slots=True, kw_only=True)
class Stats:
    """Plain counters, owned by the transport. `errors` counts failed tries by the name of the exception."""

    requests: dict[Api, int] = field(default_factory=lambda: dict.fromkeys(Api, 0))
    bytes_fetched: int = 0
    retries: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    last_errors: deque[ErrorLine] = field(default_factory=lambda: deque(maxlen=_KEPT_ERRORS))

    def count_failure(self, kind: str, line: str, *, at_ns: int, is_down: bool) -> None:
        """Count one failed try. Where the whole API fails (`is_down`), one line stands for all that fail alike, so that
        they do not push out what came before."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        last = self.last_errors[-1] if self.last_errors else None
        times = 1
        if last is not None and (last.line == line or (is_down and last.kind == kind)):
            self.last_errors.pop()
            times = last.times + 1
        self.last_errors.append(ErrorLine(at_ns=at_ns, line=line, kind=kind, times=times))
