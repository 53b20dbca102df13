"""The reason for which a call waits, for `inflight.json` and the log.

A caller begins a WaitReason, and the code below that is about to wait sets it for the time of its wait, through a
context variable. A task of the mount itself begins one of its own, and a call that waits for the task shows that one.

It owns the context variable. It must not know who shows a reason.
"""

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType

#: Where no code below has set a reason.
NOTHING = "nothing: it is being handled"


class WaitReason:
    """What one call, or one task, waits for now."""

    __slots__ = ("what",)

    def __init__(self) -> None:
        self.what: str | Callable[[], str] = NOTHING

    def text(self) -> str:
        """The reason in words, without a secret."""
        return self.what if isinstance(self.what, str) else self.what()


_reason: ContextVar[WaitReason | None] = ContextVar("cffs_waits_for", default=None)


def begin(reason: WaitReason | None) -> None:
    """Have this task, and the code that it calls, set `reason` from now on."""
    _reason.set(reason)


class waits_for:  # noqa: N801 - used as a statement
    """`with waits_for("the disk"):` around an await. A nested one hides the outer one while it lasts."""

    __slots__ = ("_before", "_reason", "_what")

    def __init__(self, what: str | Callable[[], str]) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._reason = _reason.get()
        if self._reason is not None:
            self._before = self._reason.what
            self._reason.what = self._what

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reason is not None:
            self._reason.what = self._before
