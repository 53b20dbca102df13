"""What was asked for lately: the rule that an act is not repeated within a minute.

It must not know what the act is. `writer/credentials` owns one.
"""

from collections.abc import Callable

import trio
from cachetools import TTLCache

from cffs.core.errors import AlreadyExists

#: A second one within it is a double click or a retry of some program, not a wish.
PAUSE_SECONDS = 60.0
#: Names that are remembered; a program that makes folders at random must not cost memory.
_ENTRIES = 10_000


class Cooldown:
    """Names of the acts of the last minute. No method awaits."""

    def __init__(self, now_seconds: Callable[[], float] = trio.current_time) -> None:
        self._names: TTLCache[str, bool] = TTLCache(_ENTRIES, PAUSE_SECONDS, timer=now_seconds)

    def begin(self, name: str) -> None:
        """Note that `name` is asked for now. Raises AlreadyExists where it was within the last minute."""
        if name in self._names:
            raise AlreadyExists(f"{name!r} was asked for less than {PAUSE_SECONDS:.0f} s ago")
        self._names[name] = True

    def undo(self, name: str) -> None:
        """It certainly did not happen: it may be asked for again."""
        self._names.pop(name, None)
