"""What a call waits for, told from below while it waits, for `inflight.json` and the log.

It must not know who asks. `fuse/guard` begins a record for each call; whoever is about to wait says for what. A task of
the mount's own begins a record of its own, and those who wait for the task hand on what that says.
"""

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType

#: Where nobody said anything.
NOTHING = "nothing: it is being handled"


class Record:
    """What one call, or one task, waits for now."""

    __slots__ = ("what",)

    def __init__(self) -> None:
        self.what: str | Callable[[], str] = NOTHING

    def told(self) -> str:
        """In words; no secret in them."""
        return self.what if isinstance(self.what, str) else self.what()


_record: ContextVar[Record | None] = ContextVar("cffs_waits_for", default=None)


def begin(record: Record | None) -> None:
    """From now on this task, and what it calls, tells `record`."""
    _record.set(record)


class waits_for:  # noqa: N801 - used as a statement
    """`with waits_for("the disk"):` around an await. Nested ones hide the outer for their length."""

    __slots__ = ("_before", "_record", "_what")

    def __init__(self, what: str | Callable[[], str]) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._record = _record.get()
        if self._record is not None:
            self._before = self._record.what
            self._record.what = self._what

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._record is not None:
            self._record.what = self._before
