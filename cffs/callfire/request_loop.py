"""The request loop: attempts at one request until it is answered or given up.

One pass is: ask the API's health, wait for the way to the queue of the rate where there is one (`callfire/rate`), wait
for a slot of the limiter, ask health for admission, wait for the rate, send, read the answer, report the outcome to
health and statistics, and pause before the next attempt. The decisions in it are pure and live elsewhere:
`callfire/health` says whether an API may be asked, `callfire/retry` whether to try again and after how long.

It owns the loop, and what each outcome means for health and statistics. It must not know what a good answer is (the
caller's `read` decides) nor how bytes travel (`wire/` does).
"""

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import trio

from cffs.callfire import retry
from cffs.callfire.health import Admission, Event, Health, HealthState
from cffs.callfire.keyring import Keyring
from cffs.callfire.request import CONNECT_SECONDS, Request
from cffs.callfire.request_limiter import RequestLimiter, Slot
from cffs.callfire.stats import Stats
from cffs.callfire.wire.exchange import AttemptFailed, Exchange, MayLeave, OpenResponse
from cffs.core import demand
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

if TYPE_CHECKING:  # imported where there is a rate
    from cffs.callfire.rate import RateQueue

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: A probe of an API known to be offline: the caller whose request probes has its answer within a second, too.
PROBE_CONNECT_SECONDS = 0.9
#: A connect gives up this long before its caller does, so that health learns what happened.
_MARGIN_SECONDS = 0.1
_SHORTEST_CONNECT_SECONDS = 0.2


class _NotNow(Exception):  # control flow within this module: health changed while the request waited for the rate
    pass


class Lease:
    """What one request holds until it is closed: a slot of its limiter and, once it has a head, its open answer."""

    def __init__(self, limiter: RequestLimiter) -> None:
        self.opened: OpenResponse | None = None
        self.limiter = limiter
        #: Gives back the way to the queue of the rate; nothing where that was done before.
        self.leave_lane: Callable[[], None] = _nothing
        self._slot: Slot | None = None

    def enter_nowait(self) -> Slot | None:
        """Take a slot as `RequestLimiter.enter_nowait` does."""
        self._slot = self.limiter.enter_nowait()
        return self._slot

    async def enter(self) -> Slot:
        """Take a slot as `RequestLimiter.enter` does."""
        self._slot = await self.limiter.enter()
        return self._slot

    async def aclose(self) -> None:
        """Close the answer and leave the limiter; nothing where that was done. Shielded, bounded as `OpenResponse`."""
        opened, self.opened = self.opened, None
        self.leave_lane()
        try:
            if opened is not None:
                await opened.aclose()
        finally:
            if self._slot is not None:
                self.limiter.leave(self._slot)


@dataclass(slots=True, kw_only=True)
class _Admitted:
    """An attempt that may be made: its slot, when it was admitted, and whether it probes, an API that is held, refused
    or offline. `waits_for_rate` is True while it does."""

    slot: Slot
    at: float
    is_probe: bool
    is_offline: bool
    waits_for_rate: bool = False


class RequestLoop:
    """The loop for one set of credentials. It alone changes health and statistics, never across an await."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        keyring: Keyring,
        health: Mapping[Api, Health],
        stats: Stats,
        dice: Callable[[], float],
        now_ns: Callable[[], int],
        queue: "RateQueue | None",
        on_hold: Callable[[Api, float], None],
    ) -> None:
        self._exchange = exchange
        self._keyring = keyring
        self._health = health
        self._stats = stats
        self._dice = dice
        self._now_ns = now_ns
        self._queue = queue
        self._on_hold = on_hold

    async def run(
        self, request: Request, *, limiter: RequestLimiter, read: Callable[[OpenResponse, Slot], Awaitable[T]]
    ) -> tuple[T, Lease]:
        """The value of `read` for the first good answer, and what is still held for it: the caller closes the lease.

        Always a checkpoint. If cancelled, nothing stays open, and a probe is given back. Raises a CffsError: that of
        the last attempt, DeadlineExceeded after `total_seconds`, or at once what health says.
        """
        own_deadline = trio.current_time() + request.total_seconds
        attempts_made = 0
        while True:
            attempts_made += 1
            lease = Lease(limiter)
            try:
                return await self._attempt(request, read=read, lease=lease, own_deadline=own_deadline), lease
            except _NotNow:
                await lease.aclose()
                attempts_made -= 1
                continue
            except AttemptFailed as failed:
                await lease.aclose()
                error, sent, is_late = failed.error, failed.sent, failed.late
            except BaseException:
                await lease.aclose()
                raise
            self._count(request, error)
            limit = _hold_limit(request, own_deadline) if isinstance(error, OriginBusy) else _deadline(own_deadline)
            pause = retry.pause_seconds(
                retry.kind_of(error, sent=sent),
                attempts_made=attempts_made,
                idempotent=request.idempotent,
                seconds_left=limit - trio.current_time(),
                dice=self._dice(),
            )
            # An answer that takes so long would take as long again: its caller has waited long enough. Where the API is
            # known to be offline, the next attempt would be refused at once: a pause before it is for nothing.
            if pause is None or is_late or (not sent and self._health[request.api].state is HealthState.OFFLINE):
                if isinstance(error, OriginBusy):  # the pause that is kept, not the one that was named
                    raise OriginBusy(self._health[request.api].held_seconds(trio.current_time()))
                raise _final_error(request, error, sent=sent)
            self._stats.retries += 1
            with waits_for(f"another try after {type(error).__name__}"):
                await trio.sleep(pause)

    async def _attempt(
        self,
        request: Request,
        *,
        read: Callable[[OpenResponse, Slot], Awaitable[T]],
        lease: Lease,
        own_deadline: float,
    ) -> T:
        """One attempt. Raises AttemptFailed for what another attempt may mend, CffsError for what health says."""
        admitted = await self._admitted(request, lease=lease, own_deadline=own_deadline)
        slot = admitted.slot
        event, hold_seconds, reason = Event.ABANDONED, -1.0, ""
        try:
            with trio.CancelScope(deadline=own_deadline) as scope:
                self._stats.requests[request.api] += 1
                sent = _for_attempt(request, slot, probing=admitted.is_offline, own_deadline=own_deadline)
                may_leave = None if self._queue is None else self._leave(self._queue, request, lease, admitted)
                with waits_for(lambda: f"{self._exchange.host_of(request.api)} to answer"):
                    opened = lease.opened = await self._exchange.open(sent, may_leave=may_leave)
                slot.note_progress()
                try:
                    with waits_for(lambda: f"bytes from {self._exchange.host_of(request.api)}"):
                        answer = await read(opened, slot)
                except CffsError as error:
                    raise AttemptFailed(error, sent=True, foreign=opened.foreign) from None  # unwrapped again in run
                event = Event.ANSWERED
                return answer
            assert scope.cancelled_caught  # nosec B101  # noqa: S101 - for the type checker: the block above always returns or raises
            if admitted.waits_for_rate:  # says nothing about the API
                raise AttemptFailed(_too_late(request), sent=False, foreign=False)
            event = Event.FAILED
            raise AttemptFailed(DeadlineExceeded(f"no answer in time for {request.what}"), sent=True, foreign=False)
        except AttemptFailed as failed:
            if event is Event.ABANDONED:
                event = _event_of(failed, request)
            reason = str(failed.error)
            if isinstance(failed.error, OriginBusy):
                hold_seconds = failed.error.hold_seconds
            raise
        finally:
            self._report(request, event, began_at=admitted.at, hold_seconds=hold_seconds, reason=reason)

    async def _approach(self, queue: "RateQueue", request: Request, lease: Lease, own_deadline: float) -> None:
        """Wait for the way to the queue of the rate, which demand has at once. Raises DeadlineExceeded."""
        with trio.move_on_at(own_deadline) as scope:
            lease.leave_lane = await queue.approach(lease.limiter, is_awaited=demand.current())
        if scope.cancelled_caught:
            raise _too_late(request)

    def _leave(self, queue: "RateQueue", request: Request, lease: Lease, admitted: _Admitted) -> MayLeave:
        """How this attempt waits for the rate, before each request that it sends."""
        health, is_awaited = self._health[request.api], demand.current()

        async def may_leave(api: Api) -> None:
            admitted.waits_for_rate = True
            if is_awaited():
                admitted.slot.count_always()
            else:
                lease.limiter.leave(admitted.slot)  # demand may have it meanwhile
            await queue.admit(api, is_awaited=is_awaited)
            lease.leave_lane()
            lease.limiter.rejoin(admitted.slot)
            admitted.waits_for_rate = False
            if not admitted.is_probe and health.would_admit(trio.current_time()) is not Admission.GO:
                raise _NotNow

        return may_leave

    async def _admitted(self, request: Request, *, lease: Lease, own_deadline: float) -> _Admitted:
        """A slot, and what health said."""
        health = self._health[request.api]
        while True:
            _require_open(request, health.would_admit(trio.current_time()))
            if self._queue is not None:
                await self._approach(self._queue, request, lease, own_deadline)
            slot = lease.enter_nowait() if trio.current_time() < own_deadline else None
            if slot is None:
                with waits_for(self._why_no_slot), trio.move_on_at(own_deadline):
                    slot = await lease.enter()
            if slot is None and self._queue is not None and self._queue.is_waited_for:
                raise _too_late(request)  # those that wait for the rate have the slots
            if slot is None:
                raise DeadlineExceeded(f"no connection became free in time for {request.what}")
            state, now = health.state, trio.current_time()
            admission = health.admit(now)  # asked again: much may have happened in the queue
            if admission in (Admission.GO, Admission.PROBE):
                is_probe, is_offline = admission is Admission.PROBE, state is HealthState.OFFLINE
                return _Admitted(slot=slot, at=now, is_probe=is_probe, is_offline=is_offline)
            await lease.aclose()
            _require_open(request, admission)
            seconds = health.seconds_to_wait(now)
            if now + seconds > _hold_limit(request, own_deadline):
                raise OriginBusy(seconds)
            with waits_for(f"the end of the pause that {request.api} asked for"):
                await trio.sleep(seconds)

    def _why_no_slot(self) -> str:
        queue = self._queue
        return queue.reason if queue is not None and queue.is_waited_for else "a connection to be free"

    def _report(self, request: Request, event: Event, *, began_at: float, hold_seconds: float, reason: str) -> None:
        health, now = self._health[request.api], trio.current_time()
        before, held_before = health.state, health.held_seconds(now)
        health.report(event, now, subject=request.subject, began_at=began_at, hold_seconds=hold_seconds)
        if event is Event.HELD and (held := health.held_seconds(now)) > held_before:
            self._on_hold(request.api, held)
        if health.state is not before:
            # The reason is logged here, because the calls that fail for it get no lines of their own (fuse/guard).
            reason = self._keyring.redacted(reason) or "-"
            logger.info("health changed api=%s from=%s to=%s reason=%s", request.api, before, health.state, reason)

    def _count(self, request: Request, error: CffsError) -> None:
        if isinstance(error, RemoteObjectMissing | RangeNotSatisfiable):
            return  # answers, not errors
        self.count_failure(error, request)

    def count_failure(self, error: CffsError, request: Request) -> None:
        """Count one error, of an attempt or in the middle of a body."""
        line = self._keyring.redacted(f"{type(error).__name__} for {request.what}: {error}")
        is_down = self._health[request.api].state is not HealthState.ONLINE
        self._stats.count_failure(type(error).__name__, line, at_ns=self._now_ns(), is_down=is_down)
        logger.debug("request failed reason=%s", line)


def _nothing() -> None:
    pass


def _too_late(request: Request) -> DeadlineExceeded:
    return DeadlineExceeded(f"the request rate of --rate left no time for {request.what}")


def _require_open(request: Request, admission: Admission) -> None:
    if admission is Admission.OFFLINE:
        raise OriginUnreachable(f"{request.api} is offline")
    if admission is Admission.REFUSED:
        raise AccessRefused(f"{request.api} refuses the credentials")


def _for_attempt(request: Request, slot: Slot, *, probing: bool, own_deadline: float) -> Request:
    """The request as one attempt sends it: connecting within the time left, progress noted for a streamed content."""
    seconds_left = _deadline(own_deadline) - trio.current_time() - _MARGIN_SECONDS
    connect_seconds = min(PROBE_CONNECT_SECONDS if probing else CONNECT_SECONDS, seconds_left)
    content = request.content
    return request.with_changes(
        content=content if content is None or isinstance(content, bytes) else _Counted(content, slot),
        connect_seconds=max(connect_seconds, _SHORTEST_CONNECT_SECONDS),
    )


def _hold_limit(request: Request, own_deadline: float) -> float:
    """Until when a pause that the service asked for may last.

    A read has half of its time, because the kernel repeats a failed READ: where the pause would outlast that, the
    caller learns at once that the service is busy.
    """
    half = own_deadline - request.total_seconds / 2 if request.idempotent else own_deadline
    return min(_deadline(own_deadline), half)


def _deadline(own_deadline: float) -> float:
    return min(own_deadline, trio.current_effective_deadline())


def _final_error(request: Request, error: CffsError, *, sent: bool) -> CffsError:
    """The last attempt's error as the caller sees it: ActUncertain for an act that was sent and not answered."""
    kind = retry.kind_of(error, sent=sent)
    if request.idempotent or not sent or kind in (retry.ErrorKind.FINAL, retry.ErrorKind.HELD):
        return error
    return ActUncertain(request.what, str(error), status=error.status if isinstance(error, ServerFailure) else None)


def _event_of(failed: AttemptFailed, request: Request) -> Event:
    """What a failed attempt says about its API."""
    error = failed.error
    if isinstance(error, LocalShortage):
        return Event.ABANDONED  # says nothing about the API
    if failed.foreign:
        return Event.ANSWERED  # the API itself answered, with the redirect
    if isinstance(error, AccessRefused):
        if request.as_account:
            return Event.ANSWERED  # another login than the API's: says nothing about the API's credentials
        return Event.ACCOUNT_REFUSED if request.proves_credentials else Event.REFUSED
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
    """The pieces of an upload, with progress noted for each. Not a generator: one left early warns when collected."""

    def __init__(self, content: AsyncIterable[bytes], slot: Slot) -> None:
        self._chunks = aiter(content)
        self._slot = slot

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._slot.note_progress()
        return chunk
