"""The stand-in as a server on 127.0.0.1, and its log.

It owns listeners, connections, and the order of one exchange: receive, make the honest reply, apply faults, send. It
must not know what any operation answers.
"""

import ssl
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

import h11
import trio

from cffs.core.units import KIB
from cffs.standin import v1, v2
from cffs.standin.account import Account
from cffs.standin.answers import Credentials, Options, Request, Site
from cffs.standin.exchange import kind_of, refusal_of, reply_to
from cffs.standin.faults import Faults
from cffs.standin.generated_rows import mixed
from cffs.standin.request_log import RequestLog, RequestRecord
from cffs.standin.request_receiver import RECEIVE_NBYTES, Received, RequestReceiver, receive_body, receive_head
from cffs.standin.wire import Sent, reset, send

HOST: Final = "127.0.0.1"
"""Never reachable from elsewhere, because it hands out its credentials."""

MAX_HEAD_NBYTES: Final = 64 * KIB
CLOSE_SECONDS: Final = 1.0
"""A connection that cannot be closed in order within this time is closed forcefully."""
LINGER_SECONDS: Final = 2.0


def default_credentials(seed: int) -> Credentials:
    """Credentials computed from the seed, in the forms of CallFire's samples."""

    def digits(salt: int, count: int) -> str:
        return "".join(f"{mixed(seed, salt, n):016x}" for n in range(3))[:count]

    return Credentials(
        apikey=digits(40, 40),
        login=digits(41, 12),
        password=digits(42, 16),
        account_login=f"owner{seed}@example.com",
        account_password=digits(43, 16),
    )


@dataclass(slots=True, kw_only=True)
class Link:
    """The network between client and stand-in; may be changed at any time."""

    latency_seconds: float = 0
    """Waited before each answer."""
    bandwidth: float | None = None
    """Bytes per second of each connection; None for no limit."""


class Standin:
    """An embedded CallFire over real HTTP. `async with Standin(...) as standin:` serves while the block lasts.

    `account` may be changed and `faults` added at any time, from any thread.
    """

    def __init__(
        self,
        account: Account | None = None,
        *,
        seed: int = 1,
        calls: int = 24,
        port: int = 0,
        options: Options | None = None,
        seed_only: bool = False,
        credentials: Credentials | None = None,
        tls: ssl.SSLContext | None = None,
        latency_seconds: float = 0,
        bandwidth: float | None = None,
        fault_seed: int = 0,
    ) -> None:
        self.account = Account(seed=seed, calls=calls) if account is None else account
        self.credentials = credentials or default_credentials(self.account.shape.seed)
        options = options or Options(seed_only=seed_only)
        self.site = Site(account=self.account, options=options, credentials=self.credentials)
        self.link = Link(latency_seconds=latency_seconds, bandwidth=bandwidth)
        self.faults = Faults(seed=fault_seed)
        self.log = RequestLog()
        self.base_url = ""
        self._wanted_port = port
        self._tls = tls
        self._connections = 0
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def v1_url(self) -> str:
        """The value for `--v1-url`."""
        return self.base_url + v1.BASE

    @property
    def v2_url(self) -> str:
        """The value for `--v2-url`."""
        return self.base_url + v2.BASE

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests so far, oldest first."""
        return self.log.snapshot()

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `nursery.start` returns the base URL once connections are accepted.

        Always a checkpoint. If cancelled, every connection is closed at once. Raises OSError where the port is taken.
        """
        listeners = await trio.open_tcp_listeners(self._wanted_port, host=HOST)
        port = listeners[0].socket.getsockname()[1]
        self.base_url = f"{'http' if self._tls is None else 'https'}://{HOST}:{port}"
        self.account.root_url = self.base_url
        if self._tls is None:
            plain = listeners
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._serve_connection, plain)
                task_status.started(self.base_url)
        else:
            secured = [trio.SSLListener(listener, self._tls, https_compatible=True) for listener in listeners]
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._serve_connection, secured)
                task_status.started(self.base_url)

    async def __aenter__(self) -> Self:
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        try:
            await self._nursery.start(self.serve)
        except BaseException as exc:
            await self.__aexit__(type(exc), exc, None)
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._nursery is not None and self._nursery_manager is not None:
            self._nursery.cancel_scope.cancel()
            # Not with the body's exception, which would come back wrapped in a group.
            await self._nursery_manager.__aexit__(None, None, None)

    async def _serve_connection(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until either side ends it; nothing that a client does ends the server."""
        self._connections += 1
        number = self._connections
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_NBYTES)
        try:
            while True:
                request = await receive_head(stream, connection)
                if request is None or not await self._answer(stream, connection, request, number):
                    break
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, OSError):
            pass  # the client left, or does not speak HTTP or TLS
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await trio.aclose_forcefully(stream) if connection.our_state is h11.ERROR else await _close(stream)

    async def _answer(
        self, stream: trio.abc.Stream, connection: h11.Connection, request: Request, connection_number: int
    ) -> bool:
        """Receive the rest of the request and answer it; True where the connection may carry another."""
        started_at = time.monotonic()
        kind, receiver, received, sent = kind_of(self.site, request), RequestReceiver(), Received(), Sent()
        faults = self.faults.apply_to_request(request, kind, receiver)
        number = self.log.open(
            connection=connection_number,
            started_at=started_at,
            method=request.method,
            path=request.path,
            query={name: values[0] for name, values in request.query.items()},
            headers=request.headers,
            kind=kind,
            range=request.headers.get("range"),
            fault="+".join(faults) or None,
        )
        try:
            keep_nbytes = self.site.options.max_upload_nbytes + RECEIVE_NBYTES
            await receive_body(stream, connection, receiver, received, keep_nbytes=keep_nbytes)
            facts = received.facts(request.headers.get("content-type", ""))
            if received.was_cut:
                await reset(stream) if receiver.end == "reset" else None
                return False
            if receiver.end == "refuse":
                reply = refusal_of(kind, receiver.code)
            else:
                request = replace(request, body=bytes(received.body))
                reply = reply_to(self.site, request)
                faults += self.faults.apply_to_reply(self.site, request, reply)
            self.log.change(number, fault="+".join(faults) or None, **facts)
            sent.body_crc = 0 if faults else None
            if self.link.latency_seconds:
                await trio.sleep(self.link.latency_seconds)
            head = request.method == "HEAD"
            await send(stream, connection, reply, sent, head=head, bandwidth=self.link.bandwidth)
            if not received.is_whole:
                await _linger(stream)
        finally:
            self.log.change(
                number,
                status=sent.status,
                body_nbytes_received=received.nbytes,
                body_nbytes=sent.body_nbytes,
                body_crc=sent.body_crc,
                seconds=time.monotonic() - started_at,
            )
        return sent.keep_alive and connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _linger(stream: trio.abc.Stream) -> None:
    """Receive what a client still sends after its answer: closing the connection would reset it and lose the answer."""
    if isinstance(stream, trio.SocketStream):
        await stream.send_eof()
    with trio.move_on_after(LINGER_SECONDS):
        while await stream.receive_some(RECEIVE_NBYTES):
            pass


async def _close(stream: trio.abc.Stream) -> None:
    try:
        await stream.aclose()
    except (trio.BrokenResourceError, OSError):
        pass  # closed or reset already
