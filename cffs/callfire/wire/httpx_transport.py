"""The stock wires: httpx's own transport to the configured origins, and one that dials public addresses only.

It must not know credentials, redirects or what is asked. The environment is never consulted (no proxy: a proxy would
be told every key). `wire/factory` makes them; anything else of the type `httpx.AsyncBaseTransport` fits as well.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx
import trio

from cffs.callfire.url_policy import Origin
from cffs.callfire.wire.dialing import Resolve, permitted_addresses, resolved
from cffs.callfire.wire.interfaces import ACT_SOCKET_OPTIONS

#: An idle connection is kept for as long as servers commonly keep theirs; a request on one that the server closed
#: meanwhile costs a retry.
_KEEPALIVE_SECONDS = 15.0


def origin_wire(context: ssl.SSLContext, *, connections: int, reuse: bool = True) -> httpx.AsyncBaseTransport:
    """A wire to a configured origin. Without `reuse` each request has a connection of its own: one that was kept may
    be dead already, and then nobody knows whether an act arrived."""
    if reuse:
        return _StockWire(context, connections=connections, kept=connections)
    return _StockWire(context, connections=connections, kept=0, socket_options=ACT_SOCKET_OPTIONS)


def bare_wire(context: ssl.SSLContext, *, connections: int, base: Origin) -> httpx.AsyncBaseTransport:
    """A wire to anywhere public, for the redirects of the API at `base`; private addresses only where `base` is one."""
    guard = GuardedBackend(base, dial=httpcore.TrioBackend().connect_tcp, resolve=resolved)
    return _StockWire(context, connections=connections, kept=connections, backend=guard)


class _StockWire(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that may dial through a guard (the address checked is the one connected to) and
    that uses no connection again on which more came than was asked for."""

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
        if not isinstance(self._pool, httpcore.AsyncConnectionPool):  # another httpx: better no wire than no guard
            raise RuntimeError("this version of httpx keeps its pool elsewhere")
        self._pool = _Pool(
            context,
            connections=connections,
            kept=kept,
            backend=backend or httpcore.TrioBackend(),
            socket_options=socket_options,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx's, which has one limit for the head of an answer and for each piece of its body."""
        timeout = request.extensions.get("timeout", {})
        idle_seconds = timeout.get("read")
        timeout["read"] = timeout.get("head", idle_seconds)
        response = await super().handle_async_request(request)
        timeout["read"] = idle_seconds
        return response


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
    """h11 keeps what it received behind an answer, and would read the next answer from there."""

    def has_expired(self) -> bool:
        """Also where an idle connection has bytes left that nobody asked for."""
        parsed = self._connection
        has_leftover = isinstance(parsed, httpcore.AsyncHTTP11Connection) and bool(parsed._h11_state.trailing_data[0])
        return (has_leftover and self.is_idle()) or super().has_expired()


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, refuses the name when any of its addresses is private, and connects to those very addresses."""

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
        """What httpcore asks of a backend for its own retries, which are off."""
        await trio.sleep(seconds)
