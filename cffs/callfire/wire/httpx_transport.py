"""The stock wires: httpx's own transport, with checks of addresses.

It owns how httpx is made to dial and to reuse connections safely. The environment is never consulted, so no proxy is
used: a proxy would see every key. It must not know credentials, redirects or what is asked.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import httpcore
import httpx
import trio

from cffs.callfire.url_policy import Origin
from cffs.callfire.wire.dialing import Resolve, permitted_addresses, resolved
from cffs.callfire.wire.interfaces import ACT_SOCKET_OPTIONS, LateWire

#: An idle connection is kept for as long as servers commonly keep theirs. A request on one that the server has closed
#: costs a retry.
_KEEPALIVE_SECONDS = 15.0
#: The event of httpcore's trace between a connection and the first byte on it.
_ABOUT_TO_WRITE = "http11.send_request_headers.started"


def origin_wire(context: ssl.SSLContext, *, connections: int, reuse: bool = True) -> httpx.AsyncBaseTransport:
    """A wire to a configured origin. Without `reuse` each request has a connection of its own: a kept one may be dead
    already, and then it is not known whether an act arrived."""
    if reuse:
        return _StockWire(context, connections=connections, kept=connections)
    return _StockWire(context, connections=connections, kept=0, socket_options=ACT_SOCKET_OPTIONS)


def bare_wire(context: ssl.SSLContext, *, connections: int, base: Origin) -> httpx.AsyncBaseTransport:
    """A wire to any public address, for redirects of the API at `base`; to private ones only where `base` is
    private."""
    guard = GuardedBackend(base, dial=httpcore.TrioBackend().connect_tcp, resolve=resolved)
    return _StockWire(context, connections=connections, kept=connections, backend=guard)


class _StockWire(httpx.AsyncHTTPTransport, LateWire):
    """httpx's transport over a pool of ours.

    The pool may dial through a guard, so that the address checked is the one connected to, and it does not reuse a
    connection on which unrequested bytes came.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        connections: int,
        kept: int,
        backend: httpcore.AsyncNetworkBackend | None = None,
        socket_options: Sequence[Any] = (),
    ) -> None:
        super().__init__(verify=context, trust_env=False)
        if not isinstance(
            self._pool, httpcore.AsyncConnectionPool
        ):  # another version of httpx: no wire is better than no guard
            raise RuntimeError("this version of httpx keeps its pool elsewhere")
        self._pool = _Pool(
            context,
            connections=connections,
            kept=kept,
            backend=backend or httpcore.TrioBackend(),
            socket_options=socket_options,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """httpx's method, with a limit of its own for the head of an answer (httpx uses that for each piece of a
        body)."""
        timeout = request.extensions.get("timeout", {})
        idle_seconds = timeout.get("read")
        if (may_leave := request.extensions.get("may_leave")) is not None:
            request.extensions["trace"] = _awaiting(may_leave)
        timeout["read"] = timeout.get("head", idle_seconds)
        response = await super().handle_async_request(request)
        timeout["read"] = idle_seconds
        return response


def _awaiting(may_leave: Callable[[], Awaitable[None]]) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """A listener to httpcore's trace, which waits for it before it goes on."""

    async def listen(event: str, _info: Mapping[str, Any]) -> None:
        if event == _ABOUT_TO_WRITE:
            await may_leave()

    return listen


class _Pool(httpcore.AsyncConnectionPool):
    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        connections: int,
        kept: int,
        backend: httpcore.AsyncNetworkBackend,
        socket_options: Sequence[Any],
    ) -> None:
        super().__init__(max_connections=connections, max_keepalive_connections=kept)
        self._context, self._backend, self._options = context, backend, socket_options

    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _Connection(
            origin,
            ssl_context=self._context,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=self._backend,
            socket_options=self._options,
        )


class _Connection(httpcore.AsyncHTTPConnection):
    """A connection that is not reused where bytes follow an answer: h11 would read the next answer from them."""

    def has_expired(self) -> bool:
        """True also for an idle connection with unrequested bytes."""
        parsed = self._connection
        has_leftover = isinstance(parsed, httpcore.AsyncHTTP11Connection) and bool(parsed._h11_state.trailing_data[0])
        return (has_leftover and self.is_idle()) or super().has_expired()


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, refuses a name of which any address is private, and connects to those addresses only."""

    def __init__(
        self,
        base: Origin,
        *,
        dial: Callable[..., Awaitable[httpcore.AsyncNetworkStream]],
        resolve: Resolve,
    ) -> None:
        self._base = base
        self._dial = dial
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to `host`. Always a checkpoint; raises httpcore's connect errors only."""
        seconds = float("inf") if timeout is None else timeout
        try:
            with trio.fail_after(seconds):
                addresses = await permitted_addresses(host, port, base=self._base, resolve=self._resolve)
        except trio.TooSlowError:
            raise httpcore.ConnectTimeout from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("name not resolved, or not to be dialled") from None
        failure: Exception = httpcore.ConnectError("name without an address")
        for address in addresses:
            try:
                return await self._dial(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Part of httpcore's interface, for its own retries, which are off."""
        await trio.sleep(seconds)
