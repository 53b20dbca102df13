"""Sending of a reply: whole, cut, stalled, dripped, reset or unframed.

It owns framing, pace, and the forced ends of a connection. It must not know routes or accounts, nor why a reply is as
it is.
"""

import socket
import struct
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import h11
import trio

from cffs.core.units import KIB
from cffs.standin.exchange import Reply

PIECE_NBYTES: Final = 256 * KIB
"""Bytes of one send where nothing limits the pace: few system calls, and little memory."""

PACED_PIECES_PER_SECOND: Final = 20
"""With a bandwidth, pieces are small enough for an even flow."""

RESET_GRACE_SECONDS: Final = 0.05
"""A reset discards bytes that the kernel has not sent; this pause lets the bytes before it arrive."""

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
_BODILESS: Final = (204, 304)


@dataclass(slots=True, kw_only=True)
class Sent:
    """The part of the reply given to the socket so far; it is kept up to date while sending, even where that fails."""

    status: int = 0
    body_nbytes: int = 0
    body_crc: int | None = None
    """Of those bytes; counted where it begins at 0 instead of None."""
    keep_alive: bool = False
    """Whether the connection may carry another request."""


async def send(
    stream: trio.abc.Stream,
    connection: h11.Connection,
    reply: Reply,
    sent: Sent,
    *,
    head: bool,
    bandwidth: float | None,
) -> None:
    """Send the reply, recorded in `sent`.

    Always a checkpoint. If cancelled, the connection cannot be used again. Raises trio.BrokenResourceError where the
    client left.
    """
    if reply.delay_seconds:
        await trio.sleep(reply.delay_seconds)
    if reply.before == "reset":
        await reset(stream)
        return
    if reply.before == "hang":
        await _wait_for_client_to_go(stream, reply.stall_seconds)
        return
    if reply.before == "stall_head":
        await stream.send_all(f"HTTP/1.1 {reply.status} ".encode())
        await _wait_for_client_to_go(stream, reply.stall_seconds)
        return
    if reply.before == "interim":
        while True:  # until the client leaves
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
            await trio.sleep(reply.drip_seconds)
    if reply.raw is not None:
        await stream.send_all(reply.raw)
        return
    sent.status = reply.status
    bodiless = head or reply.status in _BODILESS
    head_bytes = _head(connection, reply, bodiless=bodiless)
    if reply.before == "drip_head":
        for position in range(len(head_bytes) - 1):
            await stream.send_all(head_bytes[position : position + 1])
            await trio.sleep(reply.drip_seconds)
        head_bytes = head_bytes[-1:]
    await stream.send_all(head_bytes)
    complete = True
    if not bodiless:
        complete = await _send_body(stream, connection, reply, sent, bandwidth)
    if not complete or reply.framing == "close":
        return
    end = connection.send(h11.EndOfMessage())
    if end:
        await stream.send_all(end)
    sent.keep_alive = not reply.close_after


async def reset(stream: trio.abc.Stream) -> None:
    """End the connection with a TCP reset."""
    transport = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if isinstance(transport, trio.SocketStream):
        await trio.sleep(RESET_GRACE_SECONDS)
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.socket.close()


def _head(connection: h11.Connection, reply: Reply, *, bodiless: bool) -> bytes:
    headers = list(reply.headers)
    if reply.close_after or reply.framing == "close":
        headers.append(("Connection", "close"))
    reason = HTTPStatus(reply.status).phrase if reply.status in list(HTTPStatus) else "Unknown"
    if reply.framing == "close":
        # h11 would frame the body; one that ends with its connection is written by hand.
        lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace")
    if reply.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    elif reply.status not in _BODILESS:
        headers.append(("Content-Length", str(reply.stop - reply.start)))
    encoded = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers]
    response = h11.Response(status_code=reply.status, headers=encoded, reason=reason.encode())
    return connection.send(response) or b""


async def _send_body(
    stream: trio.abc.Stream, connection: h11.Connection, reply: Reply, sent: Sent, bandwidth: float | None
) -> bool:
    """Send the body; True where all of it was sent."""
    total_nbytes = reply.stop - reply.start
    cut_at = None if reply.cut_at is None else min(reply.cut_at, total_nbytes)
    piece_nbytes, pause_seconds = _pace(reply, bandwidth)
    started_at, pieces = trio.current_time(), 0
    # The cut comes first, so that it also happens at 0 and in an empty body.
    while True:
        if cut_at is not None and sent.body_nbytes == cut_at:
            if not await _cut(stream, reply):
                return False
            cut_at = None
        if sent.body_nbytes == total_nbytes:
            return True
        stop = min(sent.body_nbytes + piece_nbytes, total_nbytes if cut_at is None else cut_at)
        piece = reply.source.read(reply.start + sent.body_nbytes, stop - sent.body_nbytes)
        await stream.send_all(piece if reply.framing == "close" else connection.send(h11.Data(data=piece)) or b"")
        sent.body_nbytes = stop
        if sent.body_crc is not None:
            sent.body_crc = zlib.crc32(piece, sent.body_crc)
        pieces += 1
        if pause_seconds and stop < total_nbytes:
            await trio.sleep_until(started_at + pieces * pause_seconds)


def _pace(reply: Reply, bandwidth: float | None) -> tuple[int, float]:
    """The bytes of a piece, and the seconds from one to the next."""
    if reply.drip_nbytes is not None:
        return max(1, reply.drip_nbytes), reply.drip_seconds
    if bandwidth:
        nbytes = max(1, min(PIECE_NBYTES, int(bandwidth / PACED_PIECES_PER_SECOND)))
        return nbytes, nbytes / bandwidth
    return PIECE_NBYTES, 0.0


async def _cut(stream: trio.abc.Stream, reply: Reply) -> bool:
    """Cut the body in the middle; True where the rest follows."""
    if reply.cut == "stall":
        await _wait_for_client_to_go(stream, reply.stall_seconds)
        return reply.stall_seconds is not None
    if reply.cut == "reset":
        await reset(stream)
    return False


async def _wait_for_client_to_go(stream: trio.abc.Stream, seconds: float | None) -> None:
    """Wait until the client closes, at most `seconds`."""
    with trio.move_on_after(float("inf") if seconds is None else seconds):
        try:
            while await stream.receive_some(4096):
                pass
        except trio.BrokenResourceError:
            pass
