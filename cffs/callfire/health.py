"""The health of each API: a state machine that admits requests.

    ONLINE       requests are admitted freely
    DEGRADED     like ONLINE, after three failures of different objects in a row; it is only shown
    HELD         the service asked for a pause: no request until it is over, then one as a probe
    OFFLINE      no connection could be made: requests fail at once, except for a probe every two seconds
    AUTH_FAILED  the credentials were refused, by three objects in a row or by the account: one request a minute

The pure part is `admit` and `after` over a frozen HealthRecord; `Health` is the mutable cell around them, one for each
API. It owns the transitions. It must not know requests, sleeping or httpx; times are monotonic seconds, passed in.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

#: A hold lasts at most this long, whatever the service names: see cffs/docs/semantics.md#retries-and-holds.
MAX_HOLD_SECONDS = 60.0
#: With a probe every 2 s that gives up within 1 s, the next access works within 5 s of the network's return.
PROBE_INTERVAL_SECONDS = 2.0
#: With refused credentials, at most one request a minute: see cffs/docs/semantics.md#retries-and-holds.
REFUSED_INTERVAL_SECONDS = 60.0
#: A probe that never reports, because of a bug, must not close the API for ever.
_PROBE_LEASE_SECONDS = 30.0
#: How long a caller waits before it asks again whether a probe has answered.
_PROBE_POLL_SECONDS = 0.1
_REFUSALS_IN_A_ROW = 3
_FAILURES_IN_A_ROW = 3


class HealthState(StrEnum):
    """The state of one API."""

    ONLINE = "online"
    DEGRADED = "degraded"
    HELD = "held"
    OFFLINE = "offline"
    AUTH_FAILED = "auth-failed"


class Admission(Enum):
    """The decision about a request now."""

    GO = "go"
    PROBE = "probe"
    WAIT = "wait"
    OFFLINE = "offline"
    REFUSED = "refused"


class Event(Enum):
    """How an admitted request ended, as far as it concerns the whole API."""

    ANSWERED = "answered"
    """An answer that is no refusal, hold or failure; 404 included."""
    FAILED = "failed"
    """A 5xx, a wrong answer or a timeout: the object's trouble, counted for display only."""
    REFUSED = "refused"
    """401 or 403 on one object."""
    ACCOUNT_REFUSED = "account refused"
    """401 or 403 on the account's own endpoint."""
    HELD = "held"
    """429, 503 with Retry-After, or words of a rate limit."""
    UNREACHABLE = "unreachable"
    """No connection could be made."""
    ABANDONED = "abandoned"
    """Cancelled before an answer; says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRecord:
    """Everything remembered about one API. `not_before` is the time of the next request in the states that wait."""

    state: HealthState = HealthState.ONLINE
    not_before: float = 0.0
    held_since: float = 0.0
    probe_since: float | None = None
    refused: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    holds_in_a_row: int = 0


def admit(record: HealthRecord, now: float) -> tuple[Admission, HealthRecord]:
    """The decision about a request at `now`, and the record after it."""
    if record.state in (HealthState.ONLINE, HealthState.DEGRADED):
        return Admission.GO, record
    if record.state is HealthState.HELD:
        probing = record.probe_since is not None and now < record.probe_since + _PROBE_LEASE_SECONDS
        if now < record.not_before or probing:
            return Admission.WAIT, record
        return Admission.PROBE, replace(record, probe_since=now)
    if now < record.not_before:
        return (Admission.OFFLINE if record.state is HealthState.OFFLINE else Admission.REFUSED), record
    interval = PROBE_INTERVAL_SECONDS if record.state is HealthState.OFFLINE else REFUSED_INTERVAL_SECONDS
    return Admission.PROBE, replace(record, not_before=now + interval)


def after(
    record: HealthRecord, event: Event, now: float, *, subject: str, began_at: float, hold_seconds: float = -1.0
) -> HealthRecord:
    """The record after a request about `subject`, admitted at `began_at`, ended as `event` says.

    `hold_seconds` is the pause that the service named; negative where it named none, which means 1 s, doubled with each
    hold that follows.
    """
    if event is Event.ABANDONED:
        return replace(record, probe_since=None) if record.probe_since == began_at else record
    if event is Event.UNREACHABLE:
        # The start of the probe has set the time of the next one already.
        until = max(record.not_before, now) if record.state is HealthState.OFFLINE else now + PROBE_INTERVAL_SECONDS
        return HealthRecord(state=HealthState.OFFLINE, not_before=until, refused=record.refused)
    if event is Event.HELD:
        seconds = hold_seconds if hold_seconds >= 0 else 2.0**record.holds_in_a_row
        until = now + min(seconds, MAX_HOLD_SECONDS)
        if record.state is HealthState.AUTH_FAILED:
            return replace(record, not_before=max(record.not_before, until))
        if record.state is HealthState.HELD and now < record.not_before:
            # A second answer to one burst: the longer of the two pauses counts, and the doubling does not go on.
            return replace(record, not_before=min(max(until, record.not_before), now + MAX_HOLD_SECONDS))
        holds = min(record.holds_in_a_row + 1, 6)
        return HealthRecord(
            state=HealthState.HELD, not_before=until, held_since=now, holds_in_a_row=holds, refused=record.refused
        )
    if event in (Event.REFUSED, Event.ACCOUNT_REFUSED):
        return _after_refusal(record, event, now, subject)
    if record.state is HealthState.HELD and began_at < record.held_since:
        return record  # sent before the hold began, so it says nothing about its end
    if record.state is HealthState.AUTH_FAILED and event is Event.FAILED:
        return record  # a broken answer does not prove credentials
    if event is Event.FAILED:
        failed = (*(other for other in record.failed if other != subject), subject)[-_FAILURES_IN_A_ROW:]
        state = HealthState.DEGRADED if len(failed) == _FAILURES_IN_A_ROW else HealthState.ONLINE
        return HealthRecord(state=state, failed=failed, refused=record.refused, holds_in_a_row=record.holds_in_a_row)
    return HealthRecord()


def held_elsewhere(record: HealthRecord, now: float, seconds: float) -> HealthRecord:
    """The record after the service has asked another machine of the account for a pause: the doubling is for pauses
    that were named here."""
    until = min(max(now + seconds, record.not_before), now + MAX_HOLD_SECONDS)
    if record.state is HealthState.AUTH_FAILED:
        return replace(record, not_before=max(record.not_before, until))
    if record.state is HealthState.HELD and now < record.not_before:
        return replace(record, not_before=until)
    return HealthRecord(
        state=HealthState.HELD,
        not_before=now + min(seconds, MAX_HOLD_SECONDS),
        held_since=now,
        holds_in_a_row=record.holds_in_a_row,
        refused=record.refused,
    )


def _after_refusal(record: HealthRecord, event: Event, now: float, subject: str) -> HealthRecord:
    refused = (*(other for other in record.refused if other != subject), subject)[-_REFUSALS_IN_A_ROW:]
    over = event is Event.ACCOUNT_REFUSED or len(refused) == _REFUSALS_IN_A_ROW
    if record.state is HealthState.AUTH_FAILED:
        return replace(record, not_before=max(record.not_before, now))
    if over:
        return HealthRecord(state=HealthState.AUTH_FAILED, not_before=now + REFUSED_INTERVAL_SECONDS, refused=refused)
    # A refusal is an answer: it ends the probe of a hold, and OFFLINE, but never a hold that still lasts.
    if record.state is HealthState.HELD and now < record.not_before:
        return replace(record, refused=refused)
    return HealthRecord(refused=refused)


class Health:
    """The mutable cell around one API's record. No method awaits."""

    def __init__(self) -> None:
        self._record = HealthRecord()

    @property
    def state(self) -> HealthState:
        """The present state."""
        return self._record.state

    @property
    def is_refused(self) -> bool:
        """Whether the credentials are refused."""
        return self._record.state is HealthState.AUTH_FAILED

    def seconds_to_wait(self, now: float) -> float:
        """How long a request with the decision WAIT sleeps before it asks again; never 0."""
        return max(self._record.not_before - now, _PROBE_POLL_SECONDS)

    def held_seconds(self, now: float) -> float:
        """The rest of a hold; 0 where there is none."""
        return max(0.0, self._record.not_before - now) if self.state is HealthState.HELD else 0.0

    def would_admit(self, now: float) -> Admission:
        """The decision of `admit`, without taking the probe."""
        return admit(self._record, now)[0]

    def admit(self, now: float) -> Admission:
        """The decision about a request now; PROBE is given to one caller only."""
        admission, self._record = admit(self._record, now)
        return admission

    def report(self, event: Event, now: float, *, subject: str, began_at: float, hold_seconds: float = -1.0) -> None:
        """Learn from how an admitted request ended."""
        self._record = after(self._record, event, now, subject=subject, began_at=began_at, hold_seconds=hold_seconds)

    def hold(self, now: float, seconds: float) -> None:
        """Hold for `seconds`, which the service named to another machine of the account."""
        self._record = held_elsewhere(self._record, now, seconds)

    def refuse(self, now: float) -> None:
        """Go to AUTH_FAILED, because credentials were refused where one refusal is proof enough."""
        self._record = HealthRecord(state=HealthState.AUTH_FAILED, not_before=now + REFUSED_INTERVAL_SECONDS)

    def reset(self) -> None:
        """Forget everything, because the credentials changed."""
        self._record = HealthRecord()
