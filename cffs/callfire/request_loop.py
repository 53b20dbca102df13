"""One question until it is answered or given up: slot, admission, try, verdict, pause, again.

It owns the loop around tries and what each outcome means for health and statistics; it must not know what a good
answer is (`take` says so) nor how bytes travel (`wire/` does). `callfire/transport` asks everything through it.
"""

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import trio

from cffs.callfire import retry
from cffs.callfire.health import Admission, Event, Health, State
from cffs.callfire.keyring import Keyring
from cffs.callfire.request_limiter import RequestLimiter, Slot
from cffs.callfire.request_subjects import object_of
from cffs.callfire.stats import Stats
from cffs.callfire.wire.exchange import Exchange, Opened, TryFailed, WireRequest
from cffs.core.errors import (
    NOT_FROM_HERE,
    AccessRefused,
    ActRefused,
    ActUncertain,
    CffsError,
    DeadlineExceeded,
    DuplicateMedia,
    LocalShortage,
    OriginBusy,
    OriginUnreachable,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    ServerFailure,
    UploadTooLarge,
)
from cffs.core.source import Api
from cffs.core.wait_reasons import waits_for


class Held:
    """See the module. `opened` is None until the answer has a head."""

    def __init__(self, gate: RequestLimiter) -> None:
        self.opened: Opened | None = None
        self._gate = gate
        self._slot: Slot | None = None

    def enter_now(self) -> Slot | None:
        """As of Gate."""
        self._slot = self._gate.enter_now()
        return self._slot

    async def enter(self) -> Slot:
        """As of Gate."""
        self._slot = await self._gate.enter()
        return self._slot

    async def aclose(self) -> None:
        """Give both back; nothing where that was done. Shielded, bounded as of Opened."""
        opened, self.opened = self.opened, None
        try:
            if opened is not None:
                await opened.aclose()
        finally:
            if self._slot is not None:
                self._gate.leave(self._slot)


T = TypeVar("T")
logger = logging.getLogger(__name__)

#: api.md section 4: connect 10 s; a body is judged by its idle time.
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 10.0
#: A probe of an API known to be offline: its caller, too, has an answer within a second.
PROBE_CONNECT_SECONDS = 0.9
#: A connect gives up this much before its caller does, so that health learns what happened.
_MARGIN_SECONDS = 0.1
_SHORTEST_CONNECT_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question. `what` names it in messages; `may_be_text` tells of an object's bytes that text is not an error
    page."""

    method: str
    api: Api
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    as_account: bool = False
    own_endpoint: bool = False
    content: bytes | AsyncIterable[bytes] | None = None
    idempotent: bool = True
    may_be_text: bool = False
    total_seconds: float
    #: For the head of an answer and for the first byte of its body; then for each further piece.
    head_seconds: float
    idle_seconds: float

    @property
    def what(self) -> str:
        """Method and path; no query, no secret."""
        return f"{self.method} {self.api}:{self.path}"

    @property
    def subject(self) -> str:
        """The object that a refusal or a failure is about."""
        return object_of(self.path)

    def with_changes(self, **changes: Any) -> "Ask":
        """The same question but for these fields."""
        return replace(self, **changes)


class Asker:
    """Asks. Its tables (health, statistics) are changed only here, never across an await."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        keyring: Keyring,
        health: Mapping[Api, Health],
        stats: Stats,
        dice: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._keyring = keyring
        self._health = health
        self._stats = stats
        self._dice = dice
        self._now_ns = now_ns

    async def run(
        self, ask: Ask, *, gate: RequestLimiter, take: Callable[[Opened, Slot], Awaitable[T]]
    ) -> tuple[T, Held]:
        """What `take` made of the first good answer, and what it holds, which the caller now owns and closes.

        Always a checkpoint. If cancelled, nothing stays open, and a probe is given back. Raises a CffsError: that of
        the last try, DeadlineExceeded after `total_seconds`, or at once what health says.
        """
        own_deadline = trio.current_time() + ask.total_seconds
        tries_made = 0
        while True:
            tries_made += 1
            held = Held(gate)
            try:
                return await self._try(ask, take=take, held=held, own_deadline=own_deadline), held
            except TryFailed as failed:
                await held.aclose()
                error, sent, is_late = failed.error, failed.sent, failed.late
            except BaseException:
                await held.aclose()
                raise
            self._count(ask, error)
            limit = _hold_limit(ask, own_deadline) if isinstance(error, OriginBusy) else _deadline(own_deadline)
            pause = retry.pause_seconds(
                retry.kind_of(error, sent=sent),
                tries_made=tries_made,
                idempotent=ask.idempotent,
                seconds_left=limit - trio.current_time(),
                dice=self._dice(),
            )
            # A service that needs so long for its answer would begin it anew: whoever waits has waited long enough.
            # Offline is known now, and the next try would be told so: no pause for nothing.
            if pause is None or is_late or (not sent and self._health[ask.api].state is State.OFFLINE):
                if isinstance(error, OriginBusy):  # the pause that is kept, not the one that was named
                    raise OriginBusy(self._health[ask.api].held_seconds(trio.current_time()))
                raise _ending(ask, error, sent=sent)
            self._stats.retries += 1
            with waits_for(f"another try after {type(error).__name__}"):
                await trio.sleep(pause)

    async def _try(
        self, ask: Ask, *, take: Callable[[Opened, Slot], Awaitable[T]], held: Held, own_deadline: float
    ) -> T:
        """One try. Raises TryFailed for what another try may mend, CffsError for what health says."""
        slot, probing, began_at = await self._admitted(ask, held=held, own_deadline=own_deadline)
        event, hold_seconds, reason = Event.ABANDONED, -1.0, ""
        try:
            with trio.CancelScope(deadline=own_deadline) as scope:
                self._stats.requests[ask.api] += 1
                request = self._wire_request(ask, slot, probing=probing, own_deadline=own_deadline)
                with waits_for(lambda: f"{self._exchange.host_of(ask.api)} to answer"):
                    opened = held.opened = await self._exchange.open(request)
                slot.progressed()
                try:
                    with waits_for(lambda: f"bytes from {self._exchange.host_of(ask.api)}"):
                        answer = await take(opened, slot)
                except CffsError as error:
                    raise TryFailed(error, sent=True, foreign=opened.foreign) from None  # unwrapped again in run
                event = Event.ANSWERED
                return answer
            assert scope.cancelled_caught  # nosec B101  # noqa: S101 - for the type checker: the block above always returns or raises
            event = Event.FAILED
            raise TryFailed(DeadlineExceeded(f"no answer in time for {ask.what}"), sent=True, foreign=False)
        except TryFailed as failed:
            if event is Event.ABANDONED:
                event = _event_of(failed, ask)
            reason = str(failed.error)
            if isinstance(failed.error, OriginBusy):
                hold_seconds = failed.error.hold_seconds
            raise
        finally:
            self._report(ask, event, began_at=began_at, hold_seconds=hold_seconds, reason=reason)

    async def _admitted(self, ask: Ask, *, held: Held, own_deadline: float) -> tuple[Slot, bool, float]:
        """A slot on the wire, whether the request probes an API that is offline, and when it was admitted."""
        health = self._health[ask.api]
        while True:
            self._require_open(ask, health.would_admit(trio.current_time()))
            slot = held.enter_now() if trio.current_time() < own_deadline else None
            if slot is None:
                with waits_for("a connection to be free"), trio.move_on_at(own_deadline):
                    slot = await held.enter()
            if slot is None:
                raise DeadlineExceeded(f"no connection became free in time for {ask.what}")
            state, now = health.state, trio.current_time()
            admission = health.admit(now)  # again: much may have happened in the queue
            if admission in (Admission.GO, Admission.PROBE):
                return slot, state is State.OFFLINE, now
            await held.aclose()
            self._require_open(ask, admission)
            seconds = health.seconds_to_wait(now)
            if now + seconds > _hold_limit(ask, own_deadline):
                raise OriginBusy(seconds)
            with waits_for(f"the end of the pause that {ask.api} asked for"):
                await trio.sleep(seconds)

    def _require_open(self, ask: Ask, admission: Admission) -> None:
        if admission is Admission.OFFLINE:
            raise OriginUnreachable(f"{ask.api} is offline")
        if admission is Admission.REFUSED:
            raise AccessRefused(f"{ask.api} refuses the credentials")

    def _wire_request(self, ask: Ask, slot: Slot, *, probing: bool, own_deadline: float) -> WireRequest:
        seconds_left = _deadline(own_deadline) - trio.current_time() - _MARGIN_SECONDS
        connect_seconds = min(PROBE_CONNECT_SECONDS if probing else CONNECT_SECONDS, seconds_left)
        content = ask.content
        return WireRequest(
            method=ask.method,
            api=ask.api,
            path=ask.path,
            query=ask.query,
            headers=ask.headers,
            as_account=ask.as_account,
            content=content if content is None or isinstance(content, bytes) else _Counted(content, slot),
            follow=ask.idempotent,
            connect_seconds=max(connect_seconds, _SHORTEST_CONNECT_SECONDS),
            head_seconds=ask.head_seconds,
            idle_seconds=ask.idle_seconds,
        )

    def _report(self, ask: Ask, event: Event, *, began_at: float, hold_seconds: float, reason: str) -> None:
        health = self._health[ask.api]
        before = health.state
        health.report(event, trio.current_time(), subject=ask.subject, began_at=began_at, hold_seconds=hold_seconds)
        if health.state is not before:
            # with its reason: calls that fail because of it get no lines of their own (fuse/guard)
            reason = self._keyring.redacted(reason) or "-"
            logger.info("health changed api=%s from=%s to=%s reason=%s", ask.api, before, health.state, reason)

    def _count(self, ask: Ask, error: CffsError) -> None:
        if isinstance(error, RemoteObjectMissing | RangeNotSatisfiable):
            return  # answers, not errors
        self.failed(error, ask)

    def failed(self, error: CffsError, ask: Ask) -> None:
        """Count one error, of a try or in the middle of a body."""
        line = self._keyring.redacted(f"{type(error).__name__} for {ask.what}: {error}")
        is_down = self._health[ask.api].state is not State.ONLINE
        self._stats.failed(type(error).__name__, line, at_ns=self._now_ns(), is_down=is_down)
        logger.debug("request failed %s", line)


def _hold_limit(ask: Ask, own_deadline: float) -> float:
    """Until when a pause that the service asked for may last. Whoever reads has half of the time, because the kernel
    asks a failed READ twice: what would be answered behind that is told at once to be busy."""
    return min(_deadline(own_deadline), own_deadline - ask.total_seconds / 2 if ask.idempotent else own_deadline)


def _deadline(own_deadline: float) -> float:
    return min(own_deadline, trio.current_effective_deadline())


def _ending(ask: Ask, error: CffsError, *, sent: bool) -> CffsError:
    """What the last try's error is to whoever asked: of an act that was sent and not answered, that nobody knows."""
    kind = retry.kind_of(error, sent=sent)
    if ask.idempotent or not sent or kind in (retry.ErrorKind.FINAL, retry.ErrorKind.HELD):
        return error
    return ActUncertain(ask.what, str(error), status=error.status if isinstance(error, ServerFailure) else None)


def _event_of(failed: TryFailed, ask: Ask) -> Event:
    """What a failed try says of its API."""
    error = failed.error
    if isinstance(error, LocalShortage):
        return Event.ABANDONED  # says nothing of the API
    if failed.foreign:
        return Event.ANSWERED  # the API itself answered, with the redirect
    if isinstance(error, AccessRefused):
        if ask.as_account:
            return Event.ANSWERED  # another login than the API's: says nothing of its credentials
        return Event.ACCOUNT_REFUSED if ask.own_endpoint else Event.REFUSED
    if isinstance(error, OriginBusy):
        return Event.HELD
    if failed.connecting:
        return Event.UNREACHABLE
    if isinstance(error, (*NOT_FROM_HERE, RangeNotSatisfiable, RemoteObjectChanged)):
        return Event.ANSWERED
    if isinstance(error, ActRefused | DuplicateMedia | UploadTooLarge):
        return Event.ANSWERED
    if isinstance(error, ServerFailure) and error.status < 500:
        return Event.ANSWERED
    return Event.FAILED


class _Counted:
    """The pieces of an upload, progress noted for each. No generator: one that is left early warns when collected."""

    def __init__(self, content: AsyncIterable[bytes], slot: Slot) -> None:
        self._chunks = aiter(content)
        self._slot = slot

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._slot.progressed()
        return chunk
