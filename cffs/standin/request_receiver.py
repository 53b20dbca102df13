"""A request on its way in: its head, its body as it comes, and the ends that a body may have before its last byte.

This module owns how a body is received: whole, slowly, in part, or not at all.
It must not know operations or answers, nor why a reception is as it is.
`mischief_requests` bends it, `server` receives by it.
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
    """How a body is received. Mutable: faults bend it before its first byte is taken.

    After `stop_after_nbytes` (None: never) comes `end`: `reset` or `close` of the connection, `stall` (nothing is
    taken for `stall_seconds`, None is for ever; then the rest is), or `refuse` (an answer of status `code`, and the
    operation does not happen; with no `stop_after_nbytes`, behind the last byte).
    """

    stop_after_nbytes: int | None = None
    end: str = ""
    stall_seconds: float | None = None
    code: int = 413
    pause_every_nbytes: int | None = None
    pause_seconds: float = 0


@dataclass(slots=True, kw_only=True)
class Received:
    """What came of a body so far; kept true while receiving, also when that fails."""

    nbytes: int = 0
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    was_cut: bool = False
    """The reception's own end came: a reset or a closed connection."""

    def facts(self, content_type: str) -> dict[str, Any]:
        """What the log keeps of it; digests only of a whole body."""
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
    """The next request without its body; None when the client ended the connection. A checkpoint."""
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
    reception: RequestReceiver,
    received: Received,
    *,
    keep_nbytes: int,
) -> None:
    """Receives the body as told, filling in `received`; what is beyond `keep_nbytes` is counted and dropped.

    Returns at the body's end, or at the reception's. A checkpoint. Raises trio.BrokenResourceError or
    h11.RemoteProtocolError when the client went.
    """
    stop_after_nbytes = reception.stop_after_nbytes
    paused_at_nbytes = 0
    while True:
        if stop_after_nbytes is not None and received.nbytes >= stop_after_nbytes:
            stop_after_nbytes = None
            if reception.end == "refuse":
                return
            if reception.end != "stall":
                received.was_cut = True
                return
            await trio.sleep(float("inf") if reception.stall_seconds is None else reception.stall_seconds)
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(bytes(await stream.receive_some(RECEIVE_NBYTES)))
        elif isinstance(event, h11.Data):
            received.nbytes += len(event.data)
            received.body += event.data[: max(0, keep_nbytes - len(received.body))]
            if reception.pause_every_nbytes and received.nbytes - paused_at_nbytes >= reception.pause_every_nbytes:
                paused_at_nbytes = received.nbytes
                await trio.sleep(reception.pause_seconds)
        elif isinstance(event, h11.EndOfMessage):
            received.is_whole = True
            return
        else:
            received.was_cut = True  # the client closed in the middle
            return
