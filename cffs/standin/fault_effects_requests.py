"""Faults while a request arrives: its body is cut, slowed, or answered early.

It owns what is done to the body; the operation happens only where all of it was received. It must not know which
requests are hit (`faults` does), nor how bytes are received (`request_receiver` does).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cffs.standin.answers import Request
from cffs.standin.request_receiver import RequestReceiver

RequestEffect = Callable[[Request, RequestReceiver, Mapping[str, Any]], None]


def _cut(how: str) -> RequestEffect:
    """Options: after_nbytes (half of the body), seconds (of a stall; without end)."""

    def effect(request: Request, receiver: RequestReceiver, options: Mapping[str, Any]) -> None:
        half_nbytes = int(request.headers.get("content-length", "0")) // 2
        receiver.end, receiver.stop_after_nbytes = how, int(options.get("after_nbytes", half_nbytes))
        receiver.stall_seconds = options.get("seconds")

    return effect


def _refuse(_request: Request, receiver: RequestReceiver, options: Mapping[str, Any]) -> None:
    """An honest refusal, and the operation does not happen. Options: code (413), after_nbytes (the whole body)."""
    receiver.end, receiver.code = "refuse", int(options.get("code", 413))
    receiver.stop_after_nbytes = options.get("after_nbytes")


def _slow(_request: Request, receiver: RequestReceiver, options: Mapping[str, Any]) -> None:
    """Options: a pause of seconds (0.1) after each nbytes (65536)."""
    receiver.pause_every_nbytes = int(options.get("nbytes", 65536))
    receiver.pause_seconds = float(options.get("seconds", 0.1))


FAULTS: Final[dict[str, RequestEffect]] = {
    "refuse": _refuse,
    "reset_request": _cut("reset"),
    "close_request": _cut("close"),
    "stall_request": _cut("stall"),
    "slow_request": _slow,
}
"""By their names in tests, in the request log and on the command line."""
