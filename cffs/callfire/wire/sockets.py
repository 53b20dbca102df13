"""Connected sockets, plain and TLS, that receive into the caller's buffer.

It owns non-blocking sockets, the pump between them and OpenSSL, and how they are connected. It must not know HTTP,
pools or httpx. Errors are OSError, ssl.SSLError included.
"""

import fcntl
import math
import socket
import ssl
import sys
import termios
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import cast

import trio

from cffs.core.units import KIB

#: Received for OpenSSL in one system call (trio's stream: 16 KiB): see cffs/docs/performance.md#http.
PULL_NBYTES = 256 * KIB
#: Encrypted at a time, so that a long piece of an upload is not in memory twice.
_PUSH_NBYTES = 64 * KIB
#: While a send or an answer is waited for, how often to look whether bytes still leave this machine.
LOOK_SECONDS = 1.0


class Stream:
    """A connected socket. One task at a time uses it, and closes it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def receive_nowait(self, buffer: memoryview) -> int | None:
        """Put bytes into `buffer` (not empty); returns their number, 0 at the end, None where none has arrived."""
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None

    async def wait_readable(self) -> None:
        """Return when `receive_nowait` may have bytes. Always a checkpoint; safe to cancel."""
        await trio.lowlevel.wait_readable(self._socket)

    async def send_all(self, data: bytes, *, idle_seconds: float = math.inf) -> None:
        """Send the data. A checkpoint where the peer is slow; after a cancel it is not known how much was sent.

        Raises trio.TooSlowError where no byte was taken for `idle_seconds`.
        """
        await self._send_raw(data, idle_seconds)

    async def _send_raw(self, data: bytes, idle_seconds: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await self._wait_writable(idle_seconds)

    async def _wait_writable(self, idle_seconds: float) -> None:
        # The kernel asks for more only when a good part of its buffer is gone, which takes minutes on a slow network.
        left_nbytes, moved_at = self.unsent_nbytes(), trio.current_time()
        while trio.current_time() < moved_at + idle_seconds:
            with trio.move_on_after(min(LOOK_SECONDS, idle_seconds)):
                await trio.lowlevel.wait_writable(self._socket)
                return
            if (nbytes := self.unsent_nbytes()) < left_nbytes:
                left_nbytes, moved_at = nbytes, trio.current_time()
        raise trio.TooSlowError("the peer takes nothing")

    def unsent_nbytes(self) -> int:
        """The number of bytes sent that the peer's machine has not acknowledged."""
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def is_silent(self) -> bool:
        """True for an idle connection that is open, and on which no unrequested bytes came."""
        try:
            return self.receive_nowait(memoryview(bytearray(1))) is None
        except OSError:
            return False

    def close(self) -> None:
        """Close it without TLS's close_notify: lengths are counted, so no peer takes a closed connection for an end."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


class TlsStream(Stream):
    """A connected socket with TLS: socket -> `scratch` -> MemoryBIO -> SSLObject -> the caller's buffer."""

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, host: str, scratch: memoryview) -> None:
        """`scratch` may be shared by all streams of one thread: it is never held across an await."""
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._scratch = scratch

    async def handshake(self) -> None:
        """Do the handshake, in which `context` verifies the peer's certificate and name. Always a checkpoint."""
        while True:
            try:
                self._tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                is_done = False
            await self._send_raw(self._outgoing.read(), math.inf)
            if is_done:
                return
            await self.wait_readable()
            self._pull()

    def receive_nowait(self, buffer: memoryview) -> int | None:
        """See `Stream`. An end without close_notify counts too: many servers close so, and lengths are counted."""
        filled_nbytes = 0
        has_pulled = False
        while filled_nbytes < len(buffer):
            rest = buffer[filled_nbytes:]
            try:
                nbytes = cast(int, self._tls.read(len(rest), rest))
            except ssl.SSLWantReadError:
                self._answer()
                if filled_nbytes:
                    break
                # One pull for each call: a peer that sends records without content must not hold the loop.
                if has_pulled or not self._pull():
                    return None
                has_pulled = True
                continue
            except ssl.SSLEOFError:
                break
            if not nbytes:
                break
            filled_nbytes += nbytes
        return filled_nbytes

    def is_silent(self) -> bool:
        """See `Stream`. It looks twice, because the end may follow TLS's own messages, which give no bytes."""
        return super().is_silent() and super().is_silent()

    async def send_all(self, data: bytes, *, idle_seconds: float = math.inf) -> None:
        """See `Stream`."""
        rest = memoryview(data)
        while rest:
            written = 0
            while written < min(len(rest), _PUSH_NBYTES):
                written += self._tls.write(rest[written:_PUSH_NBYTES])
            await self._send_raw(self._outgoing.read(), idle_seconds)
            rest = rest[written:]

    def _pull(self) -> bool:
        """Receive what has arrived; False where that is nothing."""
        nbytes = super().receive_nowait(self._scratch)
        if nbytes is None:
            return False
        if nbytes:
            self._incoming.write(self._scratch[:nbytes])
        else:
            self._incoming.write_eof()
        return True

    def _answer(self) -> None:
        """Send TLS's own messages (a change of keys): a few bytes, for which the kernel has room."""
        if self._outgoing.pending:
            message = self._outgoing.read()
            if self._socket.send(message) != len(message):
                raise OSError("the peer sends but does not receive")


@dataclass(frozen=True, slots=True)
class Dialler:
    """Connects. `permitted` gives the addresses that may be dialled for a host; None dials any address of the name."""

    context: ssl.SSLContext
    _: KW_ONLY
    scratch: memoryview
    permitted: Callable[[str, int], Awaitable[list[str]]] | None = None
    dial: Callable[[str, int], Awaitable[trio.SocketStream]] = trio.open_tcp_stream
    socket_options: Sequence[tuple[int, int, int]] = ()

    async def connect(self, scheme: str, host: str, port: int) -> Stream:
        """A connection, with TLS done and verified where `scheme` is https. Always a checkpoint.

        If cancelled, nothing stays open. Raises OSError, or UnicodeError for a text that is no host name.
        """
        dialled = await self._dialled(host, port)
        # trio's socket has a checkpoint in each call; a body is received faster without them.
        connected = socket.socket(fileno=dialled.socket.detach())
        try:
            connected.setblocking(False)
            for option in self.socket_options:
                connected.setsockopt(*option)
            if scheme != "https":
                return Stream(connected)
            stream = TlsStream(connected, self.context, host, self.scratch)
            await stream.handshake()
        except BaseException:
            connected.close()
            raise
        return stream

    async def _dialled(self, host: str, port: int) -> trio.SocketStream:
        if self.permitted is None:
            return await self.dial(host, port)
        failure = OSError("name without an address")
        for address in await self.permitted(host, port):
            try:
                return await self.dial(address, port)
            except OSError as error:
                failure = error
        raise failure
