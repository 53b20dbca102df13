"""HTTP/1.1 on one stream: a request out, and its answer in.

Heads are parsed by h11; bodies are counted here, so that their bytes need no copy. It owns framing: where a body ends,
and whether the connection may be used again. It must not know pools, dialling or what is asked. Errors are httpx's, as
its own transport would raise them.
"""

from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from typing import cast

import h11
import httpx
import trio

from cffs.callfire.wire.interfaces import DirectBody
from cffs.callfire.wire.sockets import LOOK_SECONDS, Stream
from cffs.core.units import KIB

#: As in httpcore: more than this without a head, or in the header of one chunk, is refused.
MAX_HEAD_NBYTES = 100 * KIB
#: Received at a time for a head, so that a small body comes with its head in one system call.
_HEAD_PIECE_NBYTES = 16 * KIB
#: Where less of a body than this is left and has arrived, reading it costs less than a new connection.
_DRAINED_NBYTES = 256 * KIB
#: After a smaller piece there is a checkpoint: a peer that sends single bytes must not hold the loop.
_SMALL_NBYTES = 4096
_BODILESS = (204, 304)


class Head:
    """The head of an answer. `length` is None where the body is chunked, or ends with the connection."""

    def __init__(self, parser: h11.Connection, response: h11.Response, *, method: str, is_sent: bool) -> None:
        self.status = response.status_code
        self.headers = list(response.headers)
        named = dict(self.headers)  # h11 has refused lengths that differ, and codings other than chunked
        self.parser = parser
        self.is_chunked = b"transfer-encoding" in named
        self.length: int | None = None
        if method == "HEAD" or self.status in _BODILESS:
            self.length, self.is_chunked = 0, False
        elif b"content-length" in named and not self.is_chunked:
            self.length = int(named[b"content-length"])
        is_certain = not (b"content-length" in named and self.is_chunked)
        #: True where both sides keep the connection, the request was sent whole, and the end of the body is certain.
        self.keeps_alive = is_sent and parser.our_state is h11.DONE and is_certain


async def converse(stream: Stream, request: httpx.Request, *, scratch: memoryview) -> Head:
    """Send the request and receive the head of its answer.

    Always a checkpoint. If cancelled or failed, the stream must be closed. Raises httpx's TransportErrors.
    """
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_NBYTES)
    is_sent, answer, buffer = False, None, scratch[:_HEAD_PIECE_NBYTES]
    try:
        try:
            answer = await _send(stream, parser, request, seconds_of(request, "write"), buffer)
            is_sent = answer is None
        except trio.TooSlowError as error:
            raise httpx.WriteTimeout("the peer takes nothing") from error
        except OSError:
            pass  # the peer may have answered before it closed ("too large", say)
        # The limit is for the whole head, because one that drips is none; but bytes still leaving are progress.
        head_seconds, left_nbytes, moved_at = seconds_of(request, "head"), stream.unsent_nbytes(), trio.current_time()
        while trio.current_time() < moved_at + head_seconds:
            # `move_on_after` does this too, but its generator makes it cost half as much again
            with trio.CancelScope(deadline=min(trio.current_time() + LOOK_SECONDS, moved_at + head_seconds)):
                while answer is None:
                    await stream.wait_readable()  # before the first look too: an answer is never there at once
                    answer = _head_so_far(stream, parser, buffer)
                return Head(parser, answer, method=request.method, is_sent=is_sent)
            if (nbytes := stream.unsent_nbytes()) < left_nbytes:
                left_nbytes, moved_at = nbytes, trio.current_time()
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except OSError as error:
        raise httpx.ReadError(str(error)) from error
    raise httpx.ReadTimeout("no head in time")


async def _send(
    stream: Stream, parser: h11.Connection, request: httpx.Request, seconds: float, buffer: memoryview
) -> h11.Response | None:
    """Send head and body. Returns the answer's head where one came before the end of the body, and sends no more then.

    Raises trio.TooSlowError where nothing moves for too long, OSError where the connection breaks.
    """
    event = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    unsent = parser.send(event) or b""
    async for chunk in cast(AsyncIterable[bytes], request.stream):
        if chunk:
            try:
                await stream.send_all(unsent + (parser.send(h11.Data(data=chunk)) or b""), idle_seconds=seconds)
            except trio.TooSlowError:
                if (answer := _head_so_far(stream, parser, buffer)) is not None:
                    return answer  # this is why the peer takes no more
                raise
            unsent = b""
            if parser.our_state is h11.SEND_BODY and (answer := _head_so_far(stream, parser, buffer)) is not None:
                return answer
    await stream.send_all(unsent + (parser.send(h11.EndOfMessage()) or b""), idle_seconds=seconds)
    return None


def _head_so_far(stream: Stream, parser: h11.Connection, buffer: memoryview) -> h11.Response | None:
    """The head of the answer from the bytes that have arrived; None where it is not complete."""
    nbytes = stream.receive_nowait(buffer)
    if nbytes is None:
        return None
    if not nbytes:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    parser.receive_data(bytes(buffer[:nbytes]))
    while not isinstance(event := parser.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.InformationalResponse):
            raise httpx.RemoteProtocolError("an answer of no known kind")
    return event


def seconds_of(request: httpx.Request, what: str) -> float:
    """One of the request's timeouts, as httpx passes them to a transport."""
    seconds = request.extensions.get("timeout", {}).get(what)
    return float("inf") if seconds is None else float(seconds)


class Body(DirectBody):
    """The body of one answer; it releases its connection once, with True where that may carry another request."""

    def __init__(
        self, stream: Stream, head: Head, request: httpx.Request, scratch: memoryview, release: Callable[[bool], None]
    ) -> None:
        self._stream = stream
        self._parser = head.parser if head.is_chunked else None
        self._left = head.length
        self._keeps_alive = head.keeps_alive
        self._scratch = scratch
        self._seconds, self._idle_seconds = seconds_of(request, "head"), seconds_of(request, "read")
        self._release = release
        self._has_ended = False
        self._rest = memoryview(b"" if head.is_chunked else head.parser.trailing_data[0])
        if self._left is not None and len(self._rest) > self._left:
            self._rest, self._keeps_alive = self._rest[: self._left], False  # more came than belongs to the body
        if self._left == 0:
            self._end(may_reuse=self._keeps_alive)

    @property
    def has_buffered(self) -> bool:
        """True where a byte of the body is here already."""
        return len(self._rest) > 0

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer`; returns their number, 0 only at the end.

        A checkpoint where it waits. If cancelled, only `aclose` is allowed. Raises httpx's TransportErrors.
        """
        try:
            nbytes = self._take(buffer)
            if nbytes is None:
                with trio.CancelScope(deadline=trio.current_time() + self._seconds):
                    while nbytes is None:
                        await self._stream.wait_readable()
                        nbytes = self._take(buffer)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if nbytes is None:
            raise httpx.ReadTimeout("nothing came")
        self._seconds = self._idle_seconds
        if nbytes < _SMALL_NBYTES and not self._has_ended:
            await trio.lowlevel.checkpoint()
        return nbytes

    async def aclose(self) -> None:
        """Release the connection, reusable where the rest of the body is small and has arrived. No checkpoint."""
        if not self._has_ended and self._keeps_alive and (self._left is None or self._left < _DRAINED_NBYTES):
            drained_nbytes = 0
            with suppress(OSError, h11.RemoteProtocolError, httpx.TransportError):
                while drained_nbytes < _DRAINED_NBYTES and (nbytes := self._take(self._scratch)):
                    drained_nbytes += nbytes
        self._end(may_reuse=False)

    def _end(self, *, may_reuse: bool) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._rest = memoryview(b"")
            self._release(may_reuse)

    def _take(self, buffer: memoryview) -> int | None:
        """`receive_into` without waiting: None where no byte has arrived."""
        if self._parser is not None and not self._rest and not self._has_ended and not self._next_chunk(self._parser):
            return None
        if self._has_ended:
            return 0
        nbytes: int | None
        if self._rest:
            nbytes = min(len(buffer), len(self._rest))
            buffer[:nbytes] = self._rest[:nbytes]
            self._rest = self._rest[nbytes:]
        else:
            nbytes = self._stream.receive_nowait(buffer if self._left is None else buffer[: self._left])
            if nbytes == 0:
                if self._left is not None:
                    raise httpx.RemoteProtocolError("the connection ended before the body")
                self._end(may_reuse=False)
        if nbytes and self._left is not None:
            self._left -= nbytes
            if not self._left:
                self._end(may_reuse=self._keeps_alive)
        return nbytes

    def _next_chunk(self, parser: h11.Connection) -> bool:
        """True where the next piece of a chunked body is in `_rest`, or its end was seen; False where it must wait."""
        while (event := parser.next_event()) is h11.NEED_DATA:
            nbytes = self._stream.receive_nowait(self._scratch)
            if nbytes is None:
                return False
            parser.receive_data(bytes(self._scratch[:nbytes]))  # b"" is the connection's end, which h11 refuses
        if isinstance(event, h11.Data):
            self._rest = memoryview(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self._end(may_reuse=self._keeps_alive and not parser.trailing_data[0])
        else:
            raise httpx.RemoteProtocolError("an answer of no known kind")
        return True
