"""Reception of a request: its head, and its body as a whole or in part.

It owns how a body is received. It must not know operations, answers or faults.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import h11
import trio

from cffs.core.units import KIB
from cffs.standin.answers import Request
from cffs.standin.multipart import form_parts

RECEIVE_NBYTES: Final = 64 * KIB
_MEDIA_FORM: Final = "multipart/form-data"


@dataclass(slots=True, kw_only=True)
class RequestReceiver:
    """How a body is received. Mutable: faults change it before the first byte is received.

    After `stop_after_nbytes` (None for never) comes `end`. This is `reset` or `close` of the connection; `stall`, which
    receives nothing for `stall_seconds` (None for ever) and then the rest; or `refuse`, an answer of status `code`
    without the operation, which without `stop_after_nbytes` follows the last byte.
    """

    stop_after_nbytes: int | None = None
    end: str = ""
    stall_seconds: float | None = None
    code: int = 413
    pause_every_nbytes: int | None = None
    pause_seconds: float = 0


@dataclass(slots=True, kw_only=True)
class Received:
    """The part of a body received so far; it is kept up to date while receiving, even where that fails."""

    nbytes: int = 0
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    was_cut: bool = False
    """True where the receiver ended the connection, or the client did."""

    def facts(self, content_type: str) -> dict[str, Any]:
        """The fields of the log about it; digests only of a whole body."""
        facts: dict[str, Any] = {"body_nbytes_received": self.nbytes}
        if not self.is_whole or not self.nbytes:
            return facts
        facts["body_sha256"] = hashlib.sha256(self.body).hexdigest()
        if content_type.startswith(_MEDIA_FORM):
            parts = form_parts(content_type, bytes(self.body))
            facts["form"] = {
                field: data.decode("utf-8", "replace") for field, (name, data) in parts.items() if not name
            }
            if "file" in parts:
                facts["file_sha256"] = hashlib.sha256(parts["file"][1]).hexdigest()
        return facts


async def receive_head(stream: trio.abc.Stream, connection: h11.Connection) -> Request | None:
    """The next request without its body; None where the client ended the connection. A checkpoint."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some(RECEIVE_NBYTES)))
    if not isinstance(event, h11.Request):
        return None
    target = urlsplit(event.target.decode("latin-1"))
    return Request(
        method=event.method.decode("ascii"),
        path=target.path,
        query=parse_qs(target.query, keep_blank_values=True),
        headers={name.decode("ascii").lower(): value.decode("latin-1") for name, value in event.headers},
        body=b"",
    )


async def receive_body(
    stream: trio.abc.Stream,
    connection: h11.Connection,
    receiver: RequestReceiver,
    received: Received,
    *,
    keep_nbytes: int,
) -> None:
    """Receive the body into `received`, as `receiver` says; bytes beyond `keep_nbytes` are counted and dropped.

    Returns at the body's end, or where the receiver ends it. A checkpoint where it waits. Raises
    trio.BrokenResourceError or h11.RemoteProtocolError where the client left.
    """
    stop_after_nbytes = receiver.stop_after_nbytes
    paused_at_nbytes = 0
    while True:
        if stop_after_nbytes is not None and received.nbytes >= stop_after_nbytes:
            stop_after_nbytes = None
            if receiver.end == "refuse":
                return
            if receiver.end != "stall":
                received.was_cut = True
                return
            await trio.sleep(float("inf") if receiver.stall_seconds is None else receiver.stall_seconds)
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(bytes(await stream.receive_some(RECEIVE_NBYTES)))
        elif isinstance(event, h11.Data):
            received.nbytes += len(event.data)
            received.body += event.data[: max(0, keep_nbytes - len(received.body))]
            if receiver.pause_every_nbytes and received.nbytes - paused_at_nbytes >= receiver.pause_every_nbytes:
                paused_at_nbytes = received.nbytes
                await trio.sleep(receiver.pause_seconds)
        elif isinstance(event, h11.EndOfMessage):
            received.is_whole = True
            return
        else:
            received.was_cut = True  # the client closed in the middle
            return
