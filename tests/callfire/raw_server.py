"""A server on 127.0.0.1 that sends any bytes, as no HTTP library would."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio


class RawServer:
    """Answers request n (from 0) of all connections with `answer(n)`; closes after an answer that is a tuple."""

    def __init__(self, answer: Callable[[int], bytes | tuple[bytes]]) -> None:
        self.answer = answer
        self.base_url = ""
        #: For each request, the number of the connection that it came on.
        self.connections: list[int] = []
        self.heads: list[bytes] = []
        self.streams: list[trio.SocketStream] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        number = len(self.streams)
        self.streams.append(stream)
        received = b""
        try:
            async with stream:
                while True:
                    while b"\r\n\r\n" not in received:
                        piece = await stream.receive_some(65536)
                        if not piece:
                            return
                        received += piece
                    head, _, received = received.partition(b"\r\n\r\n")
                    self.heads.append(head)
                    self.connections.append(number)
                    answer = self.answer(len(self.connections) - 1)
                    await stream.send_all(answer[0] if isinstance(answer, tuple) else answer)
                    if isinstance(answer, tuple):
                        return
        except (trio.BrokenResourceError, OSError):
            pass  # the client left


@asynccontextmanager
async def raw_server(answer: Callable[[int], bytes | tuple[bytes]]) -> AsyncIterator[RawServer]:
    """Serve while the block lasts."""
    server = RawServer(answer)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.base_url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()
