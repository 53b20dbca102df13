"""How long: `90s`, `15m`, `12h`, `7d`, `8w` as people write it on a command line; pure.

It must not know commands. `cli/cache` and `cli/prefetch` parse by it.
"""

import re

from cffs.core.errors import UsageError

_AGE = re.compile(r"(\d{1,6})([smhdw])", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_age(text: str) -> int:
    """Seconds; raises UsageError for anything else, a number without a unit too."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not an age; write it like 12h, 7d or 8w")
    return int(match[1]) * _SECONDS[match[2].lower()]
