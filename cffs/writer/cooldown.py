"""A cooldown: an action that leaves no trace here is not repeated within a minute.

It is the rule for actions of which nothing is kept on this machine; `writer/caller_ids` keeps its own in the catalogue.

Owns the names of recent actions. It must not know what the actions are.
"""

from collections.abc import Callable

import trio
from cachetools import TTLCache

from cffs.core.errors import AlreadyExists

#: A second action within this time is a double click or some program's retry, not a wish.
PAUSE_SECONDS = 60.0
#: Names that are remembered, so that a program that makes folders at random costs no memory.
_ENTRIES = 10_000


class Cooldown:
    """The names of the actions of the last minute. No method awaits."""

    def __init__(self, now_seconds: Callable[[], float] = trio.current_time) -> None:
        self._names: TTLCache[str, bool] = TTLCache(_ENTRIES, PAUSE_SECONDS, timer=now_seconds)

    def begin(self, name: str) -> None:
        """Note that `name` is asked for now. Raises AlreadyExists where it was asked for within the last minute."""
        if name in self._names:
            raise AlreadyExists(f"{name!r} was asked for less than {PAUSE_SECONDS:.0f} s ago")
        self._names[name] = True

    def undo(self, name: str) -> None:
        """The action certainly did not happen, so it may be asked for again."""
        self._names.pop(name, None)
