"""Whether somebody waits for what a task asks: demand, or background work.

A task of the mount that works for others (a fetch, a question, a listing) begins with a function that says whether one
of them waits now. The code below that is about to ask the service looks the function up, through a context variable,
and may ask it again and again: a prefetch becomes demand when it gets a reader. Where no function was begun, somebody
waits.

It owns the context variable. It must not know what is asked, nor what comes of the answer.
"""

from collections.abc import Callable
from contextvars import ContextVar

#: Says whether somebody waits now.
IsAwaited = Callable[[], bool]


def always() -> bool:
    """For a task whose caller waits for it."""
    return True


def never() -> bool:
    """For a task that works ahead of need."""
    return False


_is_awaited: ContextVar[IsAwaited] = ContextVar("cffs_is_awaited", default=always)


def begin(is_awaited: IsAwaited) -> None:
    """Have `is_awaited` say, for this task and the code that it calls, whether somebody waits for the work."""
    _is_awaited.set(is_awaited)


def current() -> IsAwaited:
    """The function that says whether somebody waits for what this task does now."""
    return _is_awaited.get()


class Callers:
    """Those who wait for one piece of work now. It has one owner: the work."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[object, IsAwaited] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self) -> object:
        """Note that the task that calls this begins to wait; the key is for `leave`."""
        key = object()
        self._waiting[key] = current()
        return key

    def leave(self, key: object) -> None:
        """Note that it waits no longer."""
        del self._waiting[key]

    def is_demand(self) -> bool:
        """True where somebody waits for one of them in turn. A prefetch that waits here is background work itself."""
        return any(is_awaited() for is_awaited in self._waiting.values())
