"""Connected sockets, plain and TLS, that receive straight into the caller's buffer; and how they are connected.

It owns non-blocking sockets and the pump between them and OpenSSL; it must not know HTTP, pools or httpx.
`wire/pool` dials, `wire/http1` sends and receives. Errors are OSError, ssl.SSLError included.
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

#: What one system call takes in for OpenSSL: perf.md, section 2. trio's own stream takes a 16 KiB record at a time.
PULL_NBYTES = 256 * KIB
#: Encrypted at a time, so that a long piece of an upload is not in memory twice.
_PUSH_NBYTES = 64 * KIB
#: How often a send or an answer that is waited for asks whether bytes still leave this machine.
LOOK_SECONDS = 1.0


class Stream:
    """A connected socket. One task at a time uses it; it is closed by whoever holds it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def receive_nowait(self, buffer: memoryview) -> int | None:
        """How many bytes it put into `buffer` (not empty): 0 at the end, None where there is nothing yet."""
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None

    async def wait_readable(self) -> None:
        """Return when `receive_nowait` is worth a look. Always a checkpoint; harmless to cancel."""
        await trio.lowlevel.wait_readable(self._socket)

    async def send_all(self, data: bytes, *, idle_seconds: float = math.inf) -> None:
        """Send it. A checkpoint where the peer is slow; if cancelled, nobody knows how much was sent.

        Raises trio.TooSlowError where for `idle_seconds` no byte was taken.
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
        # The kernel calls for more only when a good part of what it has is gone, which on a slow network takes minutes.
        left_nbytes, moved_at = self.unsent_nbytes(), trio.current_time()
        while trio.current_time() < moved_at + idle_seconds:
            with trio.move_on_after(min(LOOK_SECONDS, idle_seconds)):
                await trio.lowlevel.wait_writable(self._socket)
                return
            if (nbytes := self.unsent_nbytes()) < left_nbytes:
                left_nbytes, moved_at = nbytes, trio.current_time()
        raise trio.TooSlowError("the peer takes nothing")

    def unsent_nbytes(self) -> int:
        """How much of what was sent the peer's machine has not acknowledged."""
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def is_silent(self) -> bool:
        """True where an idle connection is as it should be: open, and nothing came that nobody asked for."""
        try:
            return self.receive_nowait(memoryview(bytearray(1))) is None
        except OSError:
            return False

    def close(self) -> None:
        """Close it, without goodbyes: every length is counted, so no end is told by a closed connection alone."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


class TlsStream(Stream):
    """The same over TLS: socket -> `scratch` -> MemoryBIO -> SSLObject -> the caller's buffer."""

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, host: str, scratch: memoryview) -> None:
        """`scratch` may be shared by all streams of one thread: it is never held across an await."""
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._scratch = scratch

    async def handshake(self) -> None:
        """Agree on keys; the peer's certificate and name are verified here, by `context`. Always a checkpoint."""
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
        """As of `Stream`. An end without TLS's goodbye is one too: many servers close so, and lengths are counted."""
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
                # One pull each time: a peer that sends records without content must not hold the loop.
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
        """As of `Stream`; looked at twice, for behind TLS's own messages, which are nothing, may be its end."""
        return super().is_silent() and super().is_silent()

    async def send_all(self, data: bytes, *, idle_seconds: float = math.inf) -> None:
        """As of `Stream`."""
        rest = memoryview(data)
        while rest:
            written = 0
            while written < min(len(rest), _PUSH_NBYTES):
                written += self._tls.write(rest[written:_PUSH_NBYTES])
            await self._send_raw(self._outgoing.read(), idle_seconds)
            rest = rest[written:]

    def _pull(self) -> bool:
        """Take in what the kernel has; False where that is nothing yet."""
        nbytes = super().receive_nowait(self._scratch)
        if nbytes is None:
            return False
        if nbytes:
            self._incoming.write(self._scratch[:nbytes])
        else:
            self._incoming.write_eof()
        return True

    def _answer(self) -> None:
        """Send what TLS itself has to say (a change of keys): a few bytes, for which there is room."""
        if self._outgoing.pending:
            said = self._outgoing.read()
            if self._socket.send(said) != len(said):
                raise OSError("the peer sends but does not receive")


@dataclass(frozen=True, slots=True)
class Dialler:
    """Connects. `permitted` gives the addresses that may be dialled for a host; None dials what the name means."""

    context: ssl.SSLContext
    _: KW_ONLY
    scratch: memoryview
    permitted: Callable[[str, int], Awaitable[list[str]]] | None = None
    dial: Callable[[str, int], Awaitable[trio.SocketStream]] = trio.open_tcp_stream
    socket_options: Sequence[tuple[int, int, int]] = ()

    async def connect(self, scheme: str, host: str, port: int) -> Stream:
        """A connection, TLS done and verified where `scheme` is https. Always a checkpoint.

        If cancelled, nothing stays open. Raises OSError, or UnicodeError for a host that can be none.
        """
        dialled = await self._dialled(host, port)
        # trio's socket always takes a checkpoint; a body is received faster without one for each piece.
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
