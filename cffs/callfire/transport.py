"""Everything that is asked of the service, under one policy: slots, health, deadlines, retries, checks, counters.

It owns the wires, the health of each API and the statistics; it must not know what an operation means or what a body
holds. `v1` and `v2` ask metadata and act through it, `reader/` takes bytes from it.
"""

import logging
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import trio

from cffs.callfire.health import State
from cffs.callfire.range_response import RangeResponse, range_headers
from cffs.callfire.request_limiter import MAX_BODIES, MAX_METADATA, RequestLimiter, Slot
from cffs.callfire.request_loop import IDLE_SECONDS, Ask, Held
from cffs.callfire.response_checks import NotFoundMeans, Pinned, check_body, require_identity
from cffs.callfire.response_status import Statuses, error_body, is_success
from cffs.callfire.session import USUAL_HEADERS, Line
from cffs.callfire.stats import ApiHealth
from cffs.callfire.wire.exchange import Opened, TryFailed
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

MAX_METADATA_NBYTES = 8 * MIB  # a page of a thousand calls is about a megabyte
_METADATA_CONNECTIONS = 2  # contract, section 2: "and two more for metadata"
UPLOAD_IDLE_SECONDS = 30.0  # contract, section 8: without progress for so long
_FIRST_ANSWER_NBYTES = 64 * KIB  # no account is larger; a web page is known by its beginning
_SCRATCH_NBYTES = 64 * KIB
#: A parameter may be there more than once (`id` of findCalls), so pairs will do as well.
Query = Mapping[str, str] | Iterable[tuple[str, str]]
#: httpx prints whole URLs, keys included, at INFO (reliability.md F6); httpcore's DEBUG is noise.
_SILENCED_LOGGERS = ("httpx", "httpcore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `content_type` is in lower case, `status` is 2xx, `served_ms` is the service's own time."""

    status: int
    body: bytes
    content_type: str
    served_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAnswer:
    """An answer of whatever status, its body cut to 64 KiB; `error` is what the status means, None for 2xx.

    `is_foreign` is True where the answer is another host's, to which the service had redirected without credentials.
    """

    status: int
    content_type: str
    body: bytes
    is_foreign: bool
    error: CffsError | None = None


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
    ) -> None:
        """No I/O. Raises UsageError for a base URL that is none, plain http to another machine, or a bad CA bundle."""
        for name in _SILENCED_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._settings = settings
        self._now_ns = now_ns
        self._upload_idle_seconds = upload_idle_seconds
        self._line = Line(
            settings,
            connections=settings.connections + _METADATA_CONNECTIONS,
            make_wires=make_wires,
            dice=dice or random.SystemRandom().random,
            now_ns=now_ns,
        )
        self.stats = self._line.stats
        self._statuses = Statuses(redacted=lambda text: self._line.keyring.redacted(text), now_ns=now_ns)
        self._bodies = RequestLimiter(settings.connections, most=MAX_BODIES)
        self._metadata = RequestLimiter(_METADATA_CONNECTIONS, most=MAX_METADATA)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close every connection; shielded, at most two seconds."""
        await self._line.aclose()

    def health(self) -> dict[Api, ApiHealth]:
        """How each API is doing now."""
        now, health = trio.current_time(), self._line.health.items()
        return {api: ApiHealth(state=one.state, held_until=one.held_seconds(now)) for api, one in health}

    def failing(self) -> list[Api]:
        """The APIs of which more fails than single objects: offline, held, refused, or several objects in a row."""
        return [api for api, one in self._line.health.items() if one.state is not State.ONLINE]

    def is_refused(self, api: Api) -> bool:
        """Whether the API refuses the credentials, as far as is known now. A listing asks this of every folder."""
        return self._line.health[api].is_refused

    def use_credentials(self, credentials: Credentials) -> None:
        """From now on, health forgotten; what is on its way ends as it began. Never a checkpoint."""
        self._line.use_credentials(credentials)

    def renew_by(self, look: Callable[[], Awaitable[object]], background: Background) -> None:
        """`look` is awaited in `background` when credentials were refused; it calls `use_credentials` for others."""
        self._line.renewal.by(look, background)

    def refuse(self, api: Api) -> None:
        """The API's credentials were refused at the start: it is asked again at most once a minute."""
        self._line.health[api].refuse(trio.current_time())

    async def warm(self, api: Api, *, connections: int) -> None:
        """Connect ahead of need, TLS done, to have so many idle. Always a checkpoint; failures are not told."""
        if not self._settings.offline:
            await self._line.wires[api].warm(connections)

    @asynccontextmanager
    async def raw(
        self, method: str, source: Source, *, headers: Mapping[str, str] | None = None, follow: bool = True
    ) -> AsyncIterator[Opened]:
        """One try, whatever its status, for who looks at the origin itself; no gate, no retry, no check. Raises
        CffsError where no head came."""
        async with self._line.raw(method, source, headers=headers or {}, follow=follow) as opened:
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
        own_endpoint: bool = False,
        require: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """The answer to a question about metadata, retried within `timeout_seconds`; raises any CffsError of its side.

        `own_endpoint` marks the account's own: its refusal alone means that the credentials are bad. `require` is for
        an API that refuses with status 200: what it raises about a body counts as a status would.
        Always a checkpoint; if cancelled, nothing stays open.
        """
        pairs = tuple(query.items() if isinstance(query, Mapping) else query)
        ask = self._ask("GET", api, segments, {"accept": accept}, as_account=as_account)
        ask = ask.with_changes(query=pairs, own_endpoint=own_endpoint)
        return await self._whole(ask, max_nbytes=max_nbytes, not_found=not_found, gate=self._metadata, require=require)

    async def first_answer(
        self,
        api: Api,
        segments: tuple[str, ...],
        *,
        query: Query = (),
        accept: str = "application/json",
        as_account: bool = False,
        own_endpoint: bool = False,
    ) -> FirstAnswer:
        """What is answered to a question, whatever the status: for who must tell this service from another.

        Asked, retried and counted as `get` does. Always a checkpoint; if cancelled, nothing stays open. Raises a
        CffsError where no whole head came, or where a redirect leads where none may.
        """
        pairs = tuple(query.items() if isinstance(query, Mapping) else query)
        ask = self._ask("GET", api, segments, {"accept": accept}, as_account=as_account)
        ask = ask.with_changes(query=pairs, own_endpoint=own_endpoint)
        answered: FirstAnswer | None = None

        async def take(opened: Opened, slot: Slot) -> FirstAnswer:
            nonlocal answered
            body = b"" if is_success(opened) else await error_body(opened)
            while is_success(opened) and len(body) < _FIRST_ANSWER_NBYTES and (chunk := await opened.receive()):
                slot.progressed()
                body += chunk
            content_type = opened.headers.get("content-type", "").partition(";")[0].strip().lower()
            answered = FirstAnswer(
                status=opened.status, content_type=content_type, body=body, is_foreign=opened.foreign
            )
            self._statuses.require_success(opened, ask, NotFoundMeans.OBJECT, body)
            return answered

        try:
            answer, held = await self._line.asker.run(ask, gate=self._metadata, take=take)
        except CffsError as error:
            if answered is None:
                raise
            return replace(answered, error=error)
        await held.aclose()
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
    ) -> Answer:
        """The answer to an act (POST, DELETE): sent at most once, again only where it was provably not sent.

        It has half of `timeout_seconds`; the other half is for asking what became of it. A streamed `content` raises
        CffsErrors only; it has no total time, but ends after `upload_idle_seconds` without progress. Raises
        ActUncertain where the act may have happened; after every other CffsError it did not.
        Always a checkpoint; if cancelled, it may have, too.
        """
        headers = {"accept": "application/json"}
        headers |= {} if content is None else {"content-type": content_type}
        headers |= {} if content_nbytes is None else {"content-length": str(content_nbytes)}
        ask = self._ask(method, api, segments, headers, as_account=as_account)
        ask = ask.with_changes(content=content, idempotent=False, total_seconds=self._settings.timeout_seconds / 2)
        gate = self._metadata
        if content is not None and not isinstance(content, bytes):
            seconds = self._upload_idle_seconds
            ask = ask.with_changes(total_seconds=float("inf"), head_seconds=seconds, idle_seconds=seconds)
            gate = self._bodies
        not_found = NotFoundMeans.OPERATION if method == "POST" else NotFoundMeans.OBJECT
        return await self._whole(ask, max_nbytes=MAX_METADATA_NBYTES, not_found=not_found, gate=gate)

    @asynccontextmanager
    async def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AsyncIterator[RangeResponse]:
        """The bytes of `byte_range` of an object (None: all of it, asked without Range), head checked and retried.

        Entering is always a checkpoint and takes at most `timeout_seconds`; leaving early closes the connection, which
        is shielded and bounded. If cancelled, nothing stays open. Raises, besides the service's errors,
        RangeNotSatisfiable (416), and RemoteObjectChanged where the answer is not of the `pinned` version.
        """
        if byte_range is not None and not byte_range:
            raise ValueError("an empty range cannot be asked")
        ask = self._ask("GET", source.api, source.segments, range_headers(byte_range), as_account=False)
        ask = ask.with_changes(may_be_text=source.may_be_text)
        answer, held = await self._open(ask, byte_range, pinned, confirm=True)
        try:
            yield answer
        except (OriginFault, DeadlineExceeded) as error:
            self._line.asker.failed(error, ask)
            raise
        finally:
            await held.aclose()

    async def _open(
        self, ask: Ask, byte_range: ByteRange | None, pinned: Pinned | None, *, confirm: bool
    ) -> tuple[RangeResponse, Held]:
        async def confirm_end(total: int) -> None:
            await self._confirm_end(ask, total, pinned)

        async def take(opened: Opened, slot: Slot) -> RangeResponse:
            if opened.status != 416:
                self._statuses.require_success(opened, ask, NotFoundMeans.OBJECT, await error_body(opened))
            plan = check_body(
                byte_range, opened.status, opened.headers, what=ask.what, pinned=pinned, now_ns=self._now_ns()
            )
            answer = RangeResponse(
                plan, opened, slot=slot, stats=self.stats, confirm_end=confirm_end if confirm else None
            )
            try:
                await answer.look(may_be_text=ask.may_be_text, read_page=partial(self._statuses.read_page, ask))
            except DeadlineExceeded as error:
                raise TryFailed(error, sent=True, foreign=opened.foreign, late=not answer.has_begun) from None
            return answer

        return await self._line.asker.run(ask, gate=self._bodies, take=take)

    async def _confirm_end(self, ask: Ask, total: int, pinned: Pinned | None) -> None:
        """Return where a second answer agrees that the object has `total` bytes; else TruncatedAnswer.

        For a body that ended with its connection, without length or chunks: it may have been cut anywhere.
        """
        beyond = ByteRange(total, total + 1)
        try:
            answer, held = await self._open(
                ask.with_changes(headers={**ask.headers, **range_headers(beyond)}), beyond, pinned, confirm=False
            )
        except RangeNotSatisfiable as error:
            if error.total not in (None, total):
                raise TruncatedAnswer("the body ended early, and nothing in its head told") from None  # the same fact
            return
        try:
            scratch = memoryview(bytearray(_SCRATCH_NBYTES))
            while answer.start == 0 and await answer.receive_into(scratch):
                pass
            if answer.start != 0 or answer.offset != total:
                raise TruncatedAnswer("the body ended early, and nothing in its head told")
        finally:
            await held.aclose()

    async def _whole(
        self,
        ask: Ask,
        *,
        max_nbytes: int,
        not_found: NotFoundMeans,
        gate: RequestLimiter,
        require: Callable[[bytes], None] | None = None,
    ) -> Answer:
        async def take(opened: Opened, slot: Slot) -> Answer:
            self._statuses.require_success(opened, ask, not_found, await error_body(opened))
            require_identity(opened.headers, what=ask.what)
            body = bytearray()
            while chunk := await opened.receive():
                slot.progressed()
                self.stats.bytes_fetched += len(chunk)
                body += chunk
                if len(body) > max_nbytes:
                    raise MalformedAnswer(f"the answer for {ask.what} is longer than {max_nbytes} bytes")
            if require is not None:
                require(bytes(body))
            content_type = opened.headers.get("content-type", "").partition(";")[0].strip().lower()
            served_ms = parse_http_date(opened.headers.get("date", ""))
            return Answer(status=opened.status, body=bytes(body), content_type=content_type, served_ms=served_ms)

        answer, held = await self._line.asker.run(ask, gate=gate, take=take)
        await held.aclose()
        return answer

    def _ask(
        self, method: str, api: Api, segments: tuple[str, ...], headers: Mapping[str, str], *, as_account: bool
    ) -> Ask:
        if self._settings.offline:
            raise OriginUnreachable("offline, as asked for with --offline")
        self._line.keyring.require(api, as_account=as_account)
        return Ask(
            method=method,
            api=api,
            path="/".join(map(quote_segment, segments)),
            query=(),
            headers={**USUAL_HEADERS, **headers},
            as_account=as_account,
            total_seconds=self._settings.timeout_seconds,
            # what a call into the mount may take; the service may have to make what it is asked for
            head_seconds=self._settings.timeout_seconds / 2,
            idle_seconds=min(IDLE_SECONDS, self._settings.timeout_seconds),
        )
