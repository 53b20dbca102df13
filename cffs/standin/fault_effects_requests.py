"""Faults while a request is still coming in: its body is not taken, taken slowly, or answered before its end.

This module owns what is done to the body; the operation happens only where the whole of it was received.
It must not know which requests are hit (that is `faults`) nor how bytes are received (that is `reception`).
`faults` calls the table.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cffs.standin.answers import Request
from cffs.standin.request_receiver import RequestReceiver

Bend = Callable[[Request, RequestReceiver, Mapping[str, Any]], None]


def _cut(how: str) -> Bend:
    """Options: after_nbytes (half of the body), seconds (of a stall; for ever)."""

    def bend(request: Request, reception: RequestReceiver, options: Mapping[str, Any]) -> None:
        half_nbytes = int(request.headers.get("content-length", "0")) // 2
        reception.end, reception.stop_after_nbytes = how, int(options.get("after_nbytes", half_nbytes))
        reception.stall_seconds = options.get("seconds")

    return bend


def _refuse(_request: Request, reception: RequestReceiver, options: Mapping[str, Any]) -> None:
    """Options: code (413), after_nbytes (None: behind the whole body): an honest no, and nothing was done."""
    reception.end, reception.code = "refuse", int(options.get("code", 413))
    reception.stop_after_nbytes = options.get("after_nbytes")


def _slow(_request: Request, reception: RequestReceiver, options: Mapping[str, Any]) -> None:
    """Options: a pause of seconds (0.1) after each nbytes (65536)."""
    reception.pause_every_nbytes = int(options.get("nbytes", 65536))
    reception.pause_seconds = float(options.get("seconds", 0.1))


FAULTS: Final[dict[str, Bend]] = {
    "refuse": _refuse,
    "reset_request": _cut("reset"),
    "close_request": _cut("close"),
    "stall_request": _cut("stall"),
    "slow_request": _slow,
}
"""By the name that tests, the request log and the command line use."""
