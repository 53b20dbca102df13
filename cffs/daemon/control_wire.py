"""The control socket's conversation: its version, its lines, and the name of a mount's socket; pure.

It must not know sockets or commands. `daemon/control` answers by it, `cli/control` asks by it.

A client sends one JSON object a line, `{"version": 1, "command": "status", "arguments": {}}`. The answer is any number
of `{"version": 1, "progress": ...}` lines and then one `{"version": 1, "ok": true, "result": ...}` or
`{"version": 1, "ok": false, "error": "one line"}`; several commands may follow each other on one connection.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

#: Raised when a line changes its meaning; a new command, argument or field of a result changes nothing.
PROTOCOL = 1
#: A command names a few hundred paths at most; more comes in several commands.
MAX_LINE_NBYTES = 1 << 20
#: Of a number of 64 bits, with its sign.
_MAX_DIGITS = 20


def socket_name(mountpoint: Path) -> str:
    """The socket of the mount there: told from its mount point alone, so that it is found while the mount hangs."""
    return f"mount-{hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:16]}.sock"


def encode(message: Mapping[str, object]) -> bytes:
    """One line."""
    return json.dumps({"version": PROTOCOL, **message}).encode() + b"\n"


def decode(line: bytes) -> dict[str, object]:
    """What `encode` wrote; raises ValueError, one line, for anything else and for another version."""
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
    """What 64 bits hold; a longer one, or one that is none, would fail somewhere in a command. Raises ValueError."""
    number = int(text) if len(text) <= _MAX_DIGITS and text.removeprefix("-").isdecimal() else float(text)
    if not -(2.0**63) <= number < 2.0**63:
        raise ValueError("not a number of 64 bits")
    return number
