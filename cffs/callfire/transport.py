"""The transport: everything that is asked of the service, under one policy.

One policy means: limits on requests under way, the health of each API, deadlines, retries, checks of every answer, and
counters. It owns the session, the statistics and the two limiters. It must not know what an operation means or what a
body holds.
"""

import logging
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

import trio

from cffs.callfire.health import HealthState
from cffs.callfire.range_body import RangeBody, range_headers
from cffs.callfire.request import IDLE_SECONDS, Request
from cffs.callfire.request_limiter import MAX_BODIES, MAX_METADATA, RequestLimiter, Slot
from cffs.callfire.request_loop import Lease
from cffs.callfire.response_checks import NotFoundMeans, Pinned, check_body, media_type, require_identity
from cffs.callfire.session import COMMON_HEADERS, Session
from cffs.callfire.stats import ApiHealth, RateStatus
from cffs.callfire.status_reader import Response, StatusReader, UncheckedResponse, error_body, is_success
from cffs.callfire.wire.exchange import AttemptFailed, OpenResponse
from cffs.callfire.wire.interfaces import WireMaker
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    MalformedAnswer,
    OriginFault,
    OriginUnreachable,
    RangeNotSatisfiable,
    TruncatedAnswer,
)
from cffs.core.settings import Credentials, OriginSettings
from cffs.core.source import Api, Source, quote_segment
from cffs.core.times import parse_http_date
from cffs.core.units import KIB, MIB

if TYPE_CHECKING:  # imported where there is a rate
    from cffs.callfire.rate import RequestCounter

MAX_METADATA_NBYTES = 8 * MIB  # a page of a thousand calls is about a megabyte
#: Beside those of `--connections`, so that listings go on while every one of them carries audio.
_METADATA_CONNECTIONS = 2
#: An upload without progress for this long has failed: see cffs/docs/semantics.md#writing.
UPLOAD_IDLE_SECONDS = 30.0
_UNCHECKED_NBYTES = 64 * KIB  # no account is larger; a web page is recognised by its beginning
_SCRATCH_NBYTES = 64 * KIB
#: A parameter may occur more than once (`id` of findCalls), so pairs are accepted too.
Query = Mapping[str, str] | Iterable[tuple[str, str]]
#: httpx logs whole URLs, keys included, at INFO (cffs/docs/service.md#clients); httpcore's DEBUG is noise.
_SILENCED_LOGGERS = ("httpx", "httpcore")


class Transport:
    """The service as one object; `async with` it. All methods may be called from many tasks at once."""

    def __init__(
        self,
        settings: OriginSettings,
        *,
        make_wires: WireMaker | None = None,
        dice: Callable[[], float] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        upload_idle_seconds: float = UPLOAD_IDLE_SECONDS,
        counter: "RequestCounter | None" = None,
        on_hold: Callable[[Api, float], None] = lambda _api, _seconds: None,
    ) -> None:
        """No I/O but reading the trust store.

        `counter` counts the requests where the settings have a rate, None for those of this process alone. `on_hold` is
        called when a pause begins or lengthens that the service asked for, with the seconds that it lasts from now.
        Raises UsageError for a base URL that is none, for plain http to another machine, and for a bad CA bundle.
        """
        for name in _SILENCED_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = settings
        self._now_ns = now_ns
        self._upload_idle_seconds = upload_idle_seconds
        self._session = Session(
            settings,
            connections=settings.connections + _METADATA_CONNECTIONS,
            make_wires=make_wires,
            dice=dice or random.SystemRandom().random,
            now_ns=now_ns,
            counter=counter,
            on_hold=on_hold,
        )
        self.stats = self._session.stats
        self._statuses = StatusReader(redacted=lambda text: self._session.keyring.redacted(text), now_ns=now_ns)
        self._bodies = RequestLimiter(settings.connections, most=MAX_BODIES)
        self._metadata = RequestLimiter(_METADATA_CONNECTIONS, most=MAX_METADATA)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close every connection; shielded, at most two seconds."""
        await self._session.aclose()

    def health(self) -> dict[Api, ApiHealth]:
        """The state of each API now."""
        now, health = trio.current_time(), self._session.health.items()
        return {api: ApiHealth(state=one.state, hold_seconds=one.held_seconds(now)) for api, one in health}

    def failing(self) -> list[Api]:
        """The APIs of which more fails than single objects: offline, held, refused, or several objects in a row."""
        return [api for api, one in self._session.health.items() if one.state is not HealthState.ONLINE]

    def is_refused(self, api: Api) -> bool:
        """Whether the API refuses the credentials, as far as is known now. A listing asks this for every folder."""
        return self._session.health[api].is_refused

    def use_credentials(self, credentials: Credentials) -> None:
        """Send further requests with these. Health is forgotten, and requests under way end as they began."""
        self._session.use_credentials(credentials)

    def renew_by(self, search: Callable[[], Awaitable[object]], background: Background) -> None:
        """Await `search` in `background` when credentials are refused; it calls `use_credentials` where they differ."""
        self._session.refresh.search_with(search, background)

    def refuse(self, api: Api) -> None:
        """Treat the API's credentials as refused: it is asked again at most once a minute."""
        self._session.health[api].refuse(trio.current_time())

    def hold(self, api: Api, seconds: float) -> None:
        """Hold the API for `seconds`, because the service asked another machine of the account for a pause."""
        self._session.health[api].hold(trio.current_time(), seconds)

    def rate_status(self) -> RateStatus | None:
        """What the rate let through and holds up; None where there is none."""
        return None if self._session.queue is None else self._session.queue.status()

    async def warm(self, api: Api, *, connections: int) -> None:
        """Connect ahead of need, TLS included, to have this many idle connections.

        Always a checkpoint. Failures are not reported: the request that needs a connection reports its own.
        """
        if not self._settings.offline:
            await self._session.wires[api].warm(connections)

    @asynccontextmanager
    async def raw(
        self, method: str, source: Source, *, headers: Mapping[str, str] | None = None, follow: bool = True
    ) -> AsyncIterator[OpenResponse]:
        """One attempt, with whatever status it has, for a caller that examines the origin itself.

        It passes no limiter, is not retried, and its answer is not checked. Entering is always a checkpoint. Raises
        CffsError where no head came.
        """
        async with self._session.raw(method, source, headers=headers or {}, follow=follow) as opened:
            yield opened

    async def get(
        self,
        api: Api,
        segments: tuple[str, ...],
        *,
        query: Query = (),
        accept: str = "application/json",
        max_nbytes: int = MAX_METADATA_NBYTES,
        as_account: bool = False,
        not_found: NotFoundMeans = NotFoundMeans.OBJECT,
        proves_credentials: bool = False,
        require: Callable[[bytes], None] | None = None,
    ) -> Response:
        """The answer to a question about metadata, retried within `timeout_seconds`.

        `proves_credentials` marks the account's own endpoint: its refusal alone means that the credentials are bad.
        `require` is for an API that refuses with status 200: what it raises about a body counts as a status would.
        Always a checkpoint; if cancelled, nothing stays open. Raises any CffsError of the service's side.
        """
        request = self._question(
            api, segments, query, accept, as_account=as_account, proves_credentials=proves_credentials
        )
        return await self._whole(
            request, max_nbytes=max_nbytes, not_found=not_found, limiter=self._metadata, require=require
        )

    async def get_unchecked(
        self,
        api: Api,
        segments: tuple[str, ...],
        *,
        query: Query = (),
        accept: str = "application/json",
        as_account: bool = False,
        proves_credentials: bool = False,
    ) -> UncheckedResponse:
        """The answer to a question, of whatever status, for a caller that must tell this service from another.

        Asked, retried and counted as `get` does. Always a checkpoint; if cancelled, nothing stays open. Raises a
        CffsError where no whole head came, or where a redirect leads to a place that may not be followed.
        """
        request = self._question(
            api, segments, query, accept, as_account=as_account, proves_credentials=proves_credentials
        )
        answered: UncheckedResponse | None = None

        async def read(opened: OpenResponse, slot: Slot) -> UncheckedResponse:
            nonlocal answered
            body = b"" if is_success(opened) else await error_body(opened)
            while is_success(opened) and len(body) < _UNCHECKED_NBYTES and (chunk := await opened.receive()):
                slot.note_progress()
                body += chunk
            answered = UncheckedResponse(
                status=opened.status, content_type=media_type(opened.headers), body=body, is_foreign=opened.foreign
            )
            self._statuses.require_success(opened, request, not_found=NotFoundMeans.OBJECT, body=body)
            return answered

        try:
            answer, lease = await self._session.run(request, limiter=self._metadata, read=read)
        except CffsError as error:
            if answered is None:
                raise
            return replace(answered, error=error)
        await lease.aclose()
        return answer

    async def send(
        self,
        method: str,
        api: Api,
        segments: tuple[str, ...],
        *,
        content: bytes | AsyncIterable[bytes] | None = None,
        content_type: str = "application/json",
        content_nbytes: int | None = None,
        as_account: bool = False,
    ) -> Response:
        """The answer to an act (POST, DELETE), which is sent again only where the service provably did nothing.

        That is where nothing of it left, or where its credentials were refused (401, 403) and newer ones are found (not
        for a streamed `content`). Each of these two runs has half of `timeout_seconds`; the other half is for asking
        what became of it. A streamed `content` raises CffsErrors only; it has no total time, but fails after
        `upload_idle_seconds` without progress. Raises ActUncertain where the act may have happened; after every other
        CffsError it did not. Always a checkpoint; if cancelled, the act may have happened too.
        """
        headers = {"accept": "application/json"}
        headers |= {} if content is None else {"content-type": content_type}
        headers |= {} if content_nbytes is None else {"content-length": str(content_nbytes)}
        request = self._request(method, api, segments, headers, as_account=as_account)
        request = request.with_changes(
            content=content, idempotent=False, follow=False, total_seconds=self._settings.timeout_seconds / 2
        )
        limiter = self._metadata
        if request.is_streamed:
            seconds = self._upload_idle_seconds
            request = request.with_changes(total_seconds=float("inf"), head_seconds=seconds, idle_seconds=seconds)
            limiter = self._bodies
        not_found = NotFoundMeans.OPERATION if method == "POST" else NotFoundMeans.OBJECT
        return await self._whole(request, max_nbytes=MAX_METADATA_NBYTES, not_found=not_found, limiter=limiter)

    @asynccontextmanager
    async def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AsyncIterator[RangeBody]:
        """The bytes of `byte_range` of an object, its head checked and retried; None asks for all of it without Range.

        Entering is always a checkpoint and takes at most `timeout_seconds`, and as long again where refused credentials
        are replaced meanwhile; leaving early closes the connection, which is shielded and bounded. If cancelled,
        nothing stays open. Raises, besides the service's errors, RangeNotSatisfiable (416), and RemoteObjectChanged
        where the answer is not of the `pinned` version.
        """
        if byte_range is not None and not byte_range:
            raise ValueError("an empty range cannot be asked")
        request = self._request("GET", source.api, source.segments, range_headers(byte_range), as_account=False)
        request = request.with_changes(may_be_text=source.may_be_text)
        answer, lease = await self._open(request, byte_range, pinned, confirm=True)
        try:
            yield answer
        except (OriginFault, DeadlineExceeded) as error:
            self._session.count_failure(error, request)
            raise
        finally:
            await lease.aclose()

    async def _open(
        self, request: Request, byte_range: ByteRange | None, pinned: Pinned | None, *, confirm: bool
    ) -> tuple[RangeBody, Lease]:
        async def confirm_end(total: int) -> None:
            await self._confirm_end(request, total, pinned)

        async def read(opened: OpenResponse, slot: Slot) -> RangeBody:
            if opened.status != 416:
                body = await error_body(opened)
                self._statuses.require_success(opened, request, not_found=NotFoundMeans.OBJECT, body=body)
            plan = check_body(
                byte_range, opened.status, opened.headers, what=request.what, pinned=pinned, now_ns=self._now_ns()
            )
            answer = RangeBody(plan, opened, slot=slot, stats=self.stats, confirm_end=confirm_end if confirm else None)
            try:
                check_page = partial(self._statuses.check_page, request)
                await answer.sniff(may_be_text=request.may_be_text, check_page=check_page)
            except DeadlineExceeded as error:
                raise AttemptFailed(error, sent=True, foreign=opened.foreign, late=not answer.has_begun) from None
            return answer

        return await self._session.run(request, limiter=self._bodies, read=read)

    async def _confirm_end(self, request: Request, total: int, pinned: Pinned | None) -> None:
        """Return where a second answer agrees that the object has `total` bytes; else raise TruncatedAnswer.

        It is for a body that ended with its connection, without a length or chunks: it may have been cut anywhere.
        """
        beyond = ByteRange(total, total + 1)
        again = request.with_changes(headers={**request.headers, **range_headers(beyond)})
        try:
            answer, lease = await self._open(again, beyond, pinned, confirm=False)
        except RangeNotSatisfiable as error:
            if error.total not in (None, total):
                raise TruncatedAnswer("the body ended early, and its head gave no length") from None  # the same fact
            return
        try:
            scratch = memoryview(bytearray(_SCRATCH_NBYTES))
            while answer.start == 0 and await answer.receive_into(scratch):
                pass
            if answer.start != 0 or answer.offset != total:
                raise TruncatedAnswer("the body ended early, and its head gave no length")
        finally:
            await lease.aclose()

    async def _whole(
        self,
        request: Request,
        *,
        max_nbytes: int,
        not_found: NotFoundMeans,
        limiter: RequestLimiter,
        require: Callable[[bytes], None] | None = None,
    ) -> Response:
        async def read(opened: OpenResponse, slot: Slot) -> Response:
            self._statuses.require_success(opened, request, not_found=not_found, body=await error_body(opened))
            require_identity(opened.headers, what=request.what)
            body = bytearray()
            while chunk := await opened.receive():
                slot.note_progress()
                self.stats.bytes_fetched += len(chunk)
                body += chunk
                if len(body) > max_nbytes:
                    raise MalformedAnswer(f"the answer for {request.what} is longer than {max_nbytes} bytes")
            if require is not None:
                require(bytes(body))
            return Response(
                status=opened.status,
                body=bytes(body),
                content_type=media_type(opened.headers),
                served_ms=parse_http_date(opened.headers.get("date", "")),
            )

        answer, lease = await self._session.run(request, limiter=limiter, read=read)
        await lease.aclose()
        return answer

    def _question(
        self,
        api: Api,
        segments: tuple[str, ...],
        query: Query,
        accept: str,
        *,
        as_account: bool,
        proves_credentials: bool,
    ) -> Request:
        pairs = tuple(query.items() if isinstance(query, Mapping) else query)
        request = self._request("GET", api, segments, {"accept": accept}, as_account=as_account)
        return request.with_changes(query=pairs, proves_credentials=proves_credentials)

    def _request(
        self, method: str, api: Api, segments: tuple[str, ...], headers: Mapping[str, str], *, as_account: bool
    ) -> Request:
        if self._settings.offline:
            raise OriginUnreachable("offline, as asked for with --offline")
        self._session.keyring.require(api, as_account=as_account)
        return Request(
            method=method,
            api=api,
            path="/".join(map(quote_segment, segments)),
            headers={**COMMON_HEADERS, **headers},
            as_account=as_account,
            total_seconds=self._settings.timeout_seconds,
            # As long as a call into the mount may take: the service may have to make what it is asked for.
            head_seconds=self._settings.timeout_seconds / 2,
            idle_seconds=min(IDLE_SECONDS, self._settings.timeout_seconds),
        )
