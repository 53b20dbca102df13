"""The control socket's protocol: its version, its lines, its name.

Owns the form of a line, and the name of a mount's socket. Pure. It must not know sockets or commands.

A client sends one JSON object a line, `{"version": 1, "command": "status", "arguments": {}}`. The answer is any number
of `{"version": 1, "progress": ...}` lines and then one `{"version": 1, "ok": true, "result": ...}` or `{"version": 1,
"ok": false, "error": "one line"}`. Several commands may follow each other on one connection.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

#: Raised when the meaning of a line changes. A new command, argument or field of a result leaves it as it is.
PROTOCOL = 1
#: A command names a few hundred paths at most; a client that has more sends several commands.
MAX_LINE_NBYTES = 1 << 20
#: Digits of a number of 64 bits, with its sign.
_MAX_DIGITS = 20


def socket_name(mountpoint: Path) -> str:
    """The name of the socket of a mount. It follows from the mount point alone, so that it is found while the mount
    hangs."""
    return f"mount-{hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:16]}.sock"


def encode(message: Mapping[str, object]) -> bytes:
    """The message as one line."""
    return json.dumps({"version": PROTOCOL, **message}).encode() + b"\n"


def decode(line: bytes) -> dict[str, object]:
    """The message that `encode` wrote. Raises ValueError, one line, for anything else and for another version."""
    try:
        message = json.loads(line, parse_int=_number, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    if message.get("version") != PROTOCOL:
        raise ValueError(f"speaks version {message.get('version')!r} of the control protocol, here is {PROTOCOL}")
    return message


def _number(text: str) -> int | float:
    """A number that 64 bits hold. Raises ValueError for any other, and for NaN: it would fail somewhere in a
    command."""
    number = int(text) if len(text) <= _MAX_DIGITS and text.removeprefix("-").isdecimal() else float(text)
    if not -(2.0**63) <= number < 2.0**63:
        raise ValueError("not a number of 64 bits")
    return number
