"""The cooldown: the pause before a telephone call or a credential is repeated.

It owns the pause, the rule for an action whose time is kept in the catalogue (a call to a caller id), and the names of
recent actions that leave no trace on this machine (a credential). It must not know what the actions are.
"""

from collections.abc import Callable

import trio
from cachetools import TTLCache

from cffs.core.errors import AlreadyExists

#: A second action within this time is a double click or some program's retry, not a wish.
PAUSE_SECONDS = 60.0
#: Names that are remembered, so that a program that makes folders at random costs no memory.
_ENTRIES = 10_000


def is_within_pause(asked_ms: int, *, now_ms: int) -> bool:
    """True where an action of that time is too young to be repeated. Both are wall time, which may be set back: an
    action of the next minute counts as well."""
    return abs(now_ms - asked_ms) < PAUSE_SECONDS * 1000


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
