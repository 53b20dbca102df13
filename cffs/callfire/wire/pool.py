"""The own wires: httpx's transport interface over a pool of our streams.

Bodies are received without a copy. The environment is never consulted. It owns the pool: which connections are busy or
idle, and when an idle one is closed. It must not know credentials, redirects or what is asked.
"""

import ssl
from contextlib import suppress
from functools import partial

import httpx
import trio

from cffs.callfire.url_policy import Origin
from cffs.callfire.wire.dialing import guard_for
from cffs.callfire.wire.http1 import Body, converse, seconds_of
from cffs.callfire.wire.interfaces import ACT_SOCKET_OPTIONS, LateWire
from cffs.callfire.wire.sockets import PULL_NBYTES, Dialler, Stream

#: For as long as servers commonly keep theirs, as in the stock wire.
_KEEPALIVE_SECONDS = 15.0
_PORTS = {"http": 80, "https": 443}
_Place = tuple[str, str, int]
#: Shared by all wires: they live in one thread, and no task holds it across an await.
_SCRATCH = memoryview(bytearray(PULL_NBYTES))


def origin_wire(context: ssl.SSLContext, *, connections: int, reuse: bool = True) -> httpx.AsyncBaseTransport:
    """A wire to a configured origin; `reuse` as in the stock wire."""
    dialler = Dialler(context, scratch=_SCRATCH, socket_options=() if reuse else ACT_SOCKET_OPTIONS)
    return ConnectionPool(dialler, connections=connections, scratch=_SCRATCH, reuse=reuse)


def bare_wire(context: ssl.SSLContext, *, connections: int, base: Origin) -> httpx.AsyncBaseTransport:
    """A wire to any public address, as in the stock wire."""
    dialler = Dialler(context, scratch=_SCRATCH, permitted=guard_for(base))
    return ConnectionPool(dialler, connections=connections, scratch=_SCRATCH)


class ConnectionPool(LateWire):
    """A pool of connections. It alone changes its list of idle ones (the oldest first, with the time they became idle),
    never across an await."""

    def __init__(self, dialler: Dialler, *, connections: int, scratch: memoryview, reuse: bool = True) -> None:
        self._dialler = dialler
        self._scratch = scratch
        self._limit = connections
        self._reuse = reuse
        self._busy = trio.Semaphore(connections)
        self._idle: list[tuple[_Place, Stream, float]] = []
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The head of the answer; its `stream` is a DirectBody that the caller closes.

        Always a checkpoint. If cancelled, its connection is closed. Raises httpx.TransportError.
        """
        place = _place_of(request.url)
        await self._enter(seconds_of(request, "pool"))
        stream = None
        try:
            stream = self._reused(place) or await self._dialled(place, seconds_of(request, "connect"))
            if (may_leave := request.extensions.get("may_leave")) is not None:
                await may_leave()
                if not stream.is_silent():  # closed meanwhile
                    stream.close()
                    stream = self._reused(place) or await self._dialled(place, seconds_of(request, "connect"))
            head = await converse(stream, request, scratch=self._scratch)
        except BaseException:
            if stream is not None:
                stream.close()
            self._busy.release()
            raise
        body = Body(stream, head, request, self._scratch, partial(self._leave, place, stream))
        return httpx.Response(head.status, headers=head.headers, stream=body)

    async def warm(self, url: str, *, connections: int, seconds: float) -> None:
        """Have this many idle connections to the host of `url`, TLS included; those that fail are left out.

        Always a checkpoint. If cancelled, connections that are ready stay in the pool.
        """
        place = _place_of(httpx.URL(url))
        self._drop_old()
        missing = connections - sum(idle_at == place for idle_at, _, _ in self._idle)
        async with trio.open_nursery() as nursery:
            for _ in range(missing):
                nursery.start_soon(self._warm_one, place, seconds)
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close idle connections now, and busy ones when they are given back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[1].close()
        await trio.lowlevel.checkpoint()

    async def _warm_one(self, place: _Place, seconds: float) -> None:
        with suppress(httpx.TransportError), trio.move_on_after(seconds):
            async with self._busy:
                stream = await self._dialled(place, seconds)
            self._keep(place, stream)

    async def _enter(self, seconds: float) -> None:
        try:
            self._busy.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(seconds):
                await self._busy.acquire()
                return
            raise httpx.PoolTimeout("no connection became free") from None

    def _reused(self, place: _Place) -> Stream | None:
        """The idle connection that was used last and is still good; dead ones found on the way are closed."""
        self._drop_old()
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][0] == place:
                _, stream, _ = self._idle.pop(index)
                if stream.is_silent():
                    return stream
                stream.close()
        return None

    async def _dialled(self, place: _Place, seconds: float) -> Stream:
        self._drop_old()
        try:
            with trio.move_on_after(seconds):
                return await self._dialler.connect(*place)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        raise httpx.ConnectTimeout("no connection in time")

    def _leave(self, place: _Place, stream: Stream, may_reuse: bool) -> None:
        self._busy.release()
        if may_reuse and self._reuse:
            self._keep(place, stream)
        else:
            stream.close()

    def _keep(self, place: _Place, stream: Stream) -> None:
        if self._is_closed:
            stream.close()
        else:
            self._idle.append((place, stream, trio.current_time()))

    def _drop_old(self) -> None:
        """Close connections idle for too long, and the oldest ones beyond the limit on idle and busy ones together."""
        busy = self._limit - self._busy.value
        oldest_good = trio.current_time() - _KEEPALIVE_SECONDS
        while self._idle and (self._idle[0][2] < oldest_good or len(self._idle) + busy > self._limit):
            self._idle.pop(0)[1].close()


def _place_of(url: httpx.URL) -> _Place:
    if url.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol("neither http nor https")
    return url.scheme, url.raw_host.decode("ascii"), _PORTS[url.scheme] if url.port is None else url.port
