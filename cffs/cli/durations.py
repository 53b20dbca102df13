"""Parser of durations on a command line: `90s`, `15m`, `12h`, `7d`, `8w`.

It is pure, and must not know commands.
"""

import re

from cffs.core.errors import UsageError

_AGE = re.compile(r"(\d{1,6})([smhdw])", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_age(text: str) -> int:
    """The seconds. Raises UsageError for anything else, also for a number without a unit."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not an age; write it like 12h, 7d or 8w")
    return int(match[1]) * _SECONDS[match[2].lower()]
