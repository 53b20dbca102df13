"""The exchange of one request for the head of its answer.

It adds credentials where they belong, follows redirects itself, and translates httpx's exceptions into ours. Of httpx
it uses the transport interface only, not the client, so no cookie is kept and no Referer sent. It must not know
retries, health, limits or what a good answer is.
"""

import errno
import os
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

import httpx
import trio

from cffs.callfire.keyring import Keyring
from cffs.callfire.request import Request
from cffs.callfire.url_policy import origin_of, redirect_target
from cffs.callfire.wire.interfaces import DirectBody, LateWire, Wires
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    LocalShortage,
    MalformedAnswer,
    OriginUnreachable,
    ServerFailure,
    TruncatedAnswer,
)
from cffs.core.source import Api

#: A longer chain is taken for a loop.
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
#: A close sends TLS's close_notify to a peer that may be gone.
_CLOSE_SECONDS = 1.0
#: A closed connection never has more buffered pieces than this (httpcore reads 64 KiB at a time).
_DRAINED_CHUNKS = 64
#: Parsing a URL costs more than sending it, and most requests are for a URL that was just asked.
_REMEMBERED_URLS = 256
#: The errors of this machine's kernel where it has no descriptor or memory for a socket.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: Returns when a request to that API may leave (`callfire/rate`).
MayLeave = Callable[[Api], Awaitable[None]]


class AttemptFailed(Exception):
    """One attempt at a request failed. It never leaves `callfire/`.

    `error` is the reason. `sent` says whether the request may have arrived, `foreign` whether it was lost at a host
    that the service had redirected to, `connecting` whether no connection could be made, `late` whether the wait for
    its head ran out.
    """

    def __init__(
        self, error: CffsError, *, sent: bool, foreign: bool, connecting: bool = False, late: bool = False
    ) -> None:
        super().__init__(error)
        self.error = error
        self.sent = sent
        self.foreign = foreign
        self.connecting = connecting
        self.late = late


class OpenResponse:
    """An answer's head, and its body as raw bytes, never decoded. It is closed by the caller that opened it.

    `receive` and `receive_into` both give the body's next bytes; after a cancel only `aclose` is allowed. They raise
    DeadlineExceeded when nothing came for the idle time, TruncatedAnswer when the connection broke.
    """

    def __init__(self, response: httpx.Response, *, foreign: bool) -> None:
        self.status = response.status_code
        self.headers = _readable(response.headers.raw)
        self.foreign = foreign
        self._response = response
        self._direct = response.stream if isinstance(response.stream, DirectBody) else None
        self._chunks: AsyncIterator[bytes] | None = None
        self._rest = memoryview(b"")

    async def receive(self) -> bytes:
        """The next piece of the body, b"" at its end. A checkpoint where it waits."""
        if self._chunks is None:
            stream = self._response.stream
            if not isinstance(stream, AsyncIterable):
                raise TypeError("not an asynchronous body")
            self._chunks = aiter(stream)
        failure: CffsError
        try:
            async for chunk in self._chunks:  # goes on where the last call stopped: returning does not close it
                if chunk:
                    return chunk
            return b""
        except httpx.HTTPError as error:
            failure = _broken(error)
        except httpx.StreamError:
            failure = TruncatedAnswer("the connection ended before the body did")
        raise failure  # outside the handler: the foreign exception must not travel along as its context

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer`, which is not empty: how many, 0 at the end. A checkpoint where it waits."""
        if self._direct is None:
            if not self._rest:
                self._rest = memoryview(await self.receive())
            nbytes = min(len(buffer), len(self._rest))
            buffer[:nbytes] = self._rest[:nbytes]
            self._rest = self._rest[nbytes:]
            return nbytes
        try:
            return await self._direct.receive_into(buffer)
        except httpx.HTTPError as error:
            failure = _broken(error)
        raise failure  # outside the handler, as in `receive`

    @property
    def has_buffered(self) -> bool:
        """True where a byte of the body can be had without waiting."""
        return len(self._rest) > 0 if self._direct is None else self._direct.has_buffered

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end. Shielded, at most a second."""
        if self._direct is not None:
            await self._direct.aclose()  # never waits
            return
        with trio.move_on_after(_CLOSE_SECONDS, shield=True), suppress(httpx.HTTPError, httpx.StreamError, OSError):
            await self._response.aclose()
            if self._chunks is not None:
                # httpcore's nested generators must end here: trio warns about each one left to the garbage collector.
                # The connection is closed, so only what was buffered is left to read.
                for _ in range(_DRAINED_CHUNKS):
                    if not await anext(self._chunks, b""):
                        break


class Exchange:
    """Sends single requests. It holds no state but its wires and the keyring."""

    def __init__(self, wires: Mapping[Api, Wires], keyring: Keyring) -> None:
        self._wires = wires
        self._keyring = keyring

    def host_of(self, api: Api) -> str:
        """The host of the API, for messages."""
        return self._wires[api].base.host

    async def open(self, request: Request, *, may_leave: MayLeave | None = None) -> OpenResponse:
        """The head of the answer, after redirects; the caller closes it.

        `may_leave` is awaited before each request to one of the account's origins. Always a checkpoint. If cancelled,
        nothing stays open. Raises AttemptFailed, and what `may_leave` raises.
        """
        wires = self._wires[request.api]
        url = f"{wires.base_url}/{request.path}"
        if request.query:
            url = f"{url}?{urlencode(request.query, quote_via=quote)}"
        for _ in range(MAX_REDIRECTS + 1):
            api = self._keyring.api_at(_remembered_origin_of(url), preferred=request.api)
            opened = await self._hop(request, url, api, may_leave)
            location = opened.headers.get("location", "")
            if opened.status not in _REDIRECTS or not location or not request.follow:
                return opened
            await opened.aclose()
            try:
                url = redirect_target(url, location, base=wires.base)
                if self._keyring.api_at(_remembered_origin_of(url), preferred=request.api) is None:
                    url = self._keyring.without_secrets(url)
            except MalformedAnswer as error:
                raise AttemptFailed(error, sent=True, foreign=False) from None  # the URL stays out of tracebacks
        # Not MalformedAnswer, which would be retried: a loop costs six requests each time.
        loop = ServerFailure(opened.status, f"{request.method} {request.api}:{request.path}, redirected too often")
        raise AttemptFailed(loop, sent=True, foreign=False)

    async def _hop(self, request: Request, url: str, api: Api | None, may_leave: MayLeave | None) -> OpenResponse:
        """One request to one place. `api` is the API whose credentials belong there, None where none do."""
        headers = dict(request.headers)
        if api is None:
            wire = self._wires[request.api].bare
        else:
            wire = self._wires[api].origin if request.content is None and request.follow else self._wires[api].acts
            headers |= self._keyring.headers(api, as_account=request.as_account and api is request.api)
            secret = urlencode({k: v for k, v in self._keyring.query(api).items() if v}, quote_via=quote)
            if secret and secret not in url.partition("?")[2].split("&"):
                url = f"{url}{'&' if '?' in url else '?'}{secret}"
        timeout = {
            "connect": request.connect_seconds,
            "pool": request.connect_seconds,
            "head": request.head_seconds,
            "read": request.idle_seconds,
            "write": request.idle_seconds,
        }
        failure: AttemptFailed
        try:
            built = _built(request, _parsed(url), headers, timeout)
            if api is not None and may_leave is not None:
                if isinstance(wire, LateWire):
                    built.extensions["may_leave"] = partial(may_leave, api)
                else:
                    await may_leave(api)
            opened = OpenResponse(await wire.handle_async_request(built), foreign=api is None)
            if not {"content-length", "transfer-encoding"} <= opened.headers.keys():
                return opened
            await opened.aclose()  # two framings that may disagree: RFC 9112, section 6.3, calls it an attack
            raise httpx.RemoteProtocolError("both a length and chunks")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            failure = _translated(error, foreign=api is None)
        raise failure  # outside the handler: httpx's exceptions may hold the request, URL and key included


@lru_cache(_REMEMBERED_URLS)
def _parsed(url: str) -> httpx.URL:
    """The URL as httpx parses it; InvalidURL where that is another host or path than the one checked.

    httpx collapses `.` and `..` in a path (cffs/docs/service.md#clients), so the two are compared.
    """
    parsed = httpx.URL(url)
    origin, parts = origin_of(url), urlsplit(url)
    port = {"http": 80, "https": 443}[parsed.scheme] if parsed.port is None else parsed.port
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_same_place = (parsed.scheme, parsed.host, port) == (origin.scheme, origin.host, origin.port)
    if not is_same_place or parsed.raw_path.decode("ascii") != target:
        raise httpx.InvalidURL("")
    return parsed


_remembered_origin_of = lru_cache(_REMEMBERED_URLS)(origin_of)


def _built(request: Request, url: httpx.URL, headers: Mapping[str, str], timeout: dict[str, float]) -> httpx.Request:
    """A request for httpx with its stream given: otherwise httpx adds headers, and encodes each of them three times."""
    if request.content is not None:
        built = httpx.Request(
            request.method, url, headers=headers, content=request.content, extensions={"timeout": timeout}
        )
        built.stream = _Upload(request.content)
        return built
    raw = [(b"Host", url.netloc), *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())]
    if request.method == "POST":
        raw.append((b"Content-Length", b"0"))
    return httpx.Request(request.method, url, headers=raw, stream=_NOTHING, extensions={"timeout": timeout})


def _readable(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name, those of one name joined as RFC 9110, 5.3 allows; bytes beyond ASCII as Latin-1."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


class _Upload(httpx.AsyncByteStream):
    """The body of a request for httpx. Not a generator: one left early warns when collected."""

    def __init__(self, content: bytes | AsyncIterable[bytes]) -> None:
        self._whole = content if isinstance(content, bytes) else None
        self._chunks = None if isinstance(content, bytes) else aiter(content)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is not None:
            return await anext(self._chunks)
        if self._whole is None:
            raise StopAsyncIteration
        whole, self._whole = self._whole, None
        return whole


_NOTHING = httpx.ByteStream(b"")


def _broken(error: httpx.HTTPError) -> CffsError:
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded("no byte of the body came for too long")
    return TruncatedAnswer("the connection ended before the body did")


def _translated(error: Exception, *, foreign: bool) -> AttemptFailed:
    """Our exception for one of httpx's. No message of httpx's is repeated, since some hold the URL."""
    where = "the host redirected to" if foreign else "the service"
    if isinstance(error, httpx.ConnectError) and _is_shortage(error):
        shortage = LocalShortage("this machine has no descriptor or memory left for a connection (ulimit -n)")
        return AttemptFailed(shortage, sent=False, foreign=foreign)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | UnicodeError):
        # The one cause that the message names, because its cure is not that of a dead network.
        why = ": its certificate is not accepted" if _is_untrusted(error) else ""
        unreachable = OriginUnreachable(f"no connection to {where}{why}")
        return AttemptFailed(unreachable, sent=False, foreign=foreign, connecting=True)
    if isinstance(error, httpx.PoolTimeout):
        return AttemptFailed(DeadlineExceeded("no connection became free in time"), sent=False, foreign=foreign)
    if isinstance(error, httpx.TimeoutException):
        late = isinstance(error, httpx.ReadTimeout)
        return AttemptFailed(DeadlineExceeded(f"{where} did not answer in time"), sent=True, foreign=foreign, late=late)
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return AttemptFailed(MalformedAnswer(f"{where} answered with no readable HTTP"), sent=True, foreign=foreign)
    if isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return AttemptFailed(MalformedAnswer("the request cannot be written as HTTP"), sent=False, foreign=foreign)
    # There was a connection, so there is a network: EIO, as for an answer that broke off later.
    return AttemptFailed(
        TruncatedAnswer(f"the connection to {where} broke before it answered"), sent=True, foreign=foreign
    )


def _is_shortage(error: BaseException) -> bool:
    """True where this machine's kernel refused a socket, however the exception is wrapped."""
    causes: list[BaseException | None] = [error]
    while causes:
        cause = causes.pop()
        if isinstance(cause, socket.gaierror) and not _has_descriptors():
            return True  # the resolver reports it as a passing failure of the name
        if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
            return True
        if isinstance(cause, BaseExceptionGroup):
            causes += cause.exceptions
        if cause is not None:
            causes.append(cause.__cause__ or cause.__context__)
    return False


def _has_descriptors() -> bool:
    try:
        os.close(os.dup(0))
    except OSError:
        return False
    return True


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
