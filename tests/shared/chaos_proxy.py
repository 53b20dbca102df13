"""A proxy to a server that does what networks and broken servers do.

What it does is set at any time, and holds for open connections too. Owns one listening socket and its threads, which
end with the block.
"""

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

_CHUNK_NBYTES = 65_536


class Fault(Enum):
    """What happens to the server's answers."""

    NONE = auto()
    DELAY = auto()
    """Each piece comes `delay_seconds` later."""
    STALL = auto()
    """Nothing comes, on open connections and on new ones."""
    CUT = auto()
    """The connection is closed in the middle of an answer."""
    GARBAGE = auto()
    """Random bytes come in the place of the answer."""
    CORRUPT = auto()
    """One byte in each long answer is another."""
    HUGE = auto()
    """The answer begins as a value of 512 MB, and its bytes come without end."""
    TOO_OLD = auto()
    """Every command is unknown."""


class ChaosProxy:
    """One proxy; `fault` says what it does now."""

    def __init__(self, port: int) -> None:
        self.fault = Fault.NONE
        self.delay_seconds = 0.1
        self.connections = 0
        self.is_flooding = False
        self.sent_nbytes = 0
        self._clients = set[socket.socket]()
        self._server_port = port
        self._open = set[socket.socket]()
        self._is_closing = False
        self._dice = random.Random(1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Its address, as `--shared` takes it."""
        return f"redis://127.0.0.1:{self.port}"

    def flood(self, nbytes: int) -> None:
        """Send so many bytes of one endless value to each client, without being asked; `is_flooding` meanwhile."""
        self.is_flooding = True
        self._threads.append(threading.Thread(target=self._flood, args=(nbytes, tuple(self._clients)), daemon=True))
        self._threads[-1].start()

    def _flood(self, nbytes: int, clients: tuple[socket.socket, ...]) -> None:
        with suppress(OSError):
            for client in clients:
                client.sendall(b"$%d\r\n" % nbytes)
                for _ in range(nbytes // _CHUNK_NBYTES):
                    client.sendall(bytes(_CHUNK_NBYTES))
                    self.sent_nbytes += _CHUNK_NBYTES
        self.is_flooding = False

    def close(self) -> None:
        """Close every socket, and wait for the threads."""
        self._is_closing = True
        _close(self._listener)
        self._threads[0].join(5)  # from here on no socket is opened
        for one in tuple(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._is_closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port), 5)
            except OSError:
                client.close()
                continue
            self.connections += 1
            self._open |= {client, server}
            self._clients = {client}
            server.settimeout(None)
            for source, target, is_answer in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._pump, args=(source, target, is_answer), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_CHUNK_NBYTES):
                if is_answer:
                    self._answer(piece, target)
                elif self.fault is Fault.TOO_OLD:
                    source.sendall(b"-ERR unknown command\r\n")
                else:
                    target.sendall(piece)
        _close(target)  # the thread of the other direction closes the other socket
        with suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)

    def _answer(self, piece: bytes, client: socket.socket) -> None:
        if self.fault is Fault.DELAY:
            time.sleep(self.delay_seconds)
        while self.fault is Fault.STALL and not self._is_closing:
            time.sleep(0.01)
        if self.fault is Fault.CUT:
            client.sendall(piece[: len(piece) // 2])
            client.shutdown(socket.SHUT_RDWR)
        elif self.fault is Fault.GARBAGE:
            client.sendall(self._dice.randbytes(len(piece)))
        elif self.fault is Fault.CORRUPT and len(piece) > 100:
            place = self._dice.randrange(50, len(piece) - 10)
            client.sendall(piece[:place] + bytes([piece[place] ^ 0x55]) + piece[place + 1 :])
        elif self.fault is Fault.HUGE:
            client.sendall(b"$536870912\r\n")
            while self.fault is Fault.HUGE and not self._is_closing:
                client.sendall(bytes(_CHUNK_NBYTES))
        else:
            client.sendall(piece)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def chaos_proxy(port: int) -> Iterator[ChaosProxy]:
    """A running proxy to the server at `port`."""
    proxy = ChaosProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
