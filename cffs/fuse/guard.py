"""The guard around every handler: a deadline, one errno, a note of the call.

pyfuse3 ends the whole mount where a handler raises anything but FUSEError. So the kernel calls no handler: it calls
`GuardedOperations`, which is made once, around the outermost handlers, and in which each call has exactly one kind of
guard (`KINDS`). A kind decides how long the handler may take:

* budgeted: the budget of a call, just under half of what the application was promised, since the kernel asks a failed
  page twice;
* nonblocking: no deadline, since the handler answers from memory nearly always and opens its own where it has to wait;
* mutating: twice the budget, since the kernel does not ask such a call again; running out of time leaves it unknown
  whether the change was made, which is EIO;
* upload: as long as the caller's bytes move, or until the kernel's own limit on a request;
* fast path: nonblocking, but READ is answered from memory without being noted as a call, which would cost as much as
  the answer;
* of the mount: nonblocking, for statfs, which names no inode;
* unanswered: nonblocking, for FORGET, to which the kernel expects no answer, not even an errno.

Owns the calls in flight and the count of bugs. It must not know what a handler does.
"""

import errno
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from math import inf
from typing import Any

import pyfuse3
import trio

from cffs.core import wait_reasons
from cffs.core.errors import ActUncertain, CffsError, LocalShortage, OriginBusy, OriginFault
from cffs.fuse.errnos import errno_of
from cffs.fuse.handlers import Handlers

log = logging.getLogger(__name__)

Handler = Callable[..., Coroutine[Any, Any, Any]]
Describe = Callable[[int], str]


@dataclass(slots=True, eq=False)
class KernelCall:
    """A call of the kernel that has not been answered; `started_at` is trio time."""

    operation: str
    started_at: float
    number: int
    describe: Describe
    waits_for: wait_reasons.WaitReason = field(default_factory=wait_reasons.WaitReason)

    @property
    def subject(self) -> str:
        """What the call is about, in words for people; computed only when it is asked for."""
        return self.describe(self.number)


class CallTable:
    """The calls in flight, the bugs so far, and the time that a handler may take."""

    def __init__(
        self,
        *,
        budget_seconds: float,
        limit_seconds: float | None = None,
        failing: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """No call may outlast `limit_seconds`, whatever it waits for; None where the kernel has no such limit.
        `failing` returns the APIs that fail as a whole."""
        self.budget_seconds = budget_seconds
        self.limit_seconds = inf if limit_seconds is None else limit_seconds
        self.bugs = 0
        self._failing = failing
        self._alike = 0
        self._calls: dict[KernelCall, None] = {}

    def waiting(self) -> list[KernelCall]:
        """The calls in flight, oldest first."""
        return sorted(self._calls, key=lambda call: call.started_at)

    def begin(self, operation: str, number: int, describe: Describe) -> KernelCall:
        """Note a call about `number`, which `describe` puts into words. Returns what `end` takes."""
        call = KernelCall(operation, trio.current_time(), number, describe)
        self._calls[call] = None
        return call

    def end(self, call: KernelCall) -> None:
        """The call was answered."""
        del self._calls[call]

    def is_news(self, error: OriginFault) -> bool:
        """Whether a failure deserves a log line of its own. While an API fails as a whole, only the first failure of
        its calls does; the others are counted, and reported together once the API has recovered."""
        text, failing = str(error), self._failing()
        if any(f"{api}:" in text for api in failing) or (failing and isinstance(error, OriginBusy)):
            self._alike += 1
            return self._alike == 1
        if self._alike > 1:
            log.info("calls failed while the service did, without a line of their own count=%d", self._alike - 1)
        self._alike = 0
        return True

    def fuse_error(self, operation: str, describe: Describe, number: int, error: Exception) -> pyfuse3.FUSEError:
        """The errno for what a handler raised. A fault of the service or of this machine is logged in one line; what is
        none of our exceptions is a bug, which is counted and logged with its traceback."""
        if isinstance(error, CffsError):
            if isinstance(error, LocalShortage) or (isinstance(error, OriginFault) and self.is_news(error)):
                log.warning("call failed operation=%s subject=%s reason=%s", operation, describe(number), error)
            return pyfuse3.FUSEError(errno_of(error))
        if isinstance(error, trio.TooSlowError):
            return pyfuse3.FUSEError(errno.ETIMEDOUT)
        self.bugs += 1
        log.error("bug in a handler operation=%s subject=%s", operation, describe(number), exc_info=error)
        return pyfuse3.FUSEError(errno.EIO)


class GuardedOperations(pyfuse3.Operations):
    """What the kernel calls: every call of `handlers`, each within its guard.

    One of our exceptions becomes its errno; anything else is a bug, which is EIO for the caller and a traceback in the
    log, and the mount lives on. Cancellation passes through. The guards are bound as attributes of the instance, which
    is where pyfuse3 looks first.
    """

    supports_dot_lookup = Handlers.supports_dot_lookup
    enable_writeback_cache = Handlers.enable_writeback_cache
    enable_acl = Handlers.enable_acl

    def __init__(self, handlers: Handlers, calls: CallTable) -> None:
        for name, guard in KINDS.items():
            setattr(self, name, guard(calls, name, handlers))


def nonblocking(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For a handler that nearly always answers without waiting. Where it waits it opens a deadline itself."""
    return _noted(calls, operation, handlers, getattr(handlers, operation))


def budgeted(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For a handler that waits. After the budget the caller gets ETIMEDOUT."""
    handler: Handler = getattr(handlers, operation)

    async def within_budget(number: int, *arguments: Any) -> Any:
        # `trio.fail_after` does the same; its two generators cost a third of a handler that need not wait
        with trio.CancelScope(deadline=trio.current_time() + calls.budget_seconds):
            return await handler(number, *arguments)
        raise trio.TooSlowError

    return _noted(calls, operation, handlers, within_budget)


def mutating(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For a handler that changes something: twice the budget, and EIO once that is used up."""
    return _limited(
        calls,
        operation,
        handlers,
        seconds=lambda: min(2 * calls.budget_seconds, calls.limit_seconds),
        why="it was not answered in time",
    )


def upload(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For a handler that lasts as long as it takes to send the caller's bytes; EIO at the kernel's own limit."""
    return _limited(
        calls, operation, handlers, seconds=lambda: calls.limit_seconds, why="the kernel's limit on a call was met"
    )


def fast_path(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For READ: what `try_read` has is the answer, and the call is noted only where `read` has to answer."""
    guarded, try_read, describe = nonblocking(calls, operation, handlers), handlers.try_read, handlers.describe_handle

    async def read(fh: int, offset: int, nbytes: int) -> Any:
        try:
            answer = try_read(fh, offset, nbytes)
        except Exception as error:
            raise calls.fuse_error(operation, describe, fh, error) from error
        return await guarded(fh, offset, nbytes) if answer is None else answer

    return read


def of_the_mount(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For statfs, which is about no inode, and is noted as a call about the root."""
    handler: Handler = getattr(handlers, operation)
    guarded = _noted(calls, operation, handlers, lambda _root, ctx: handler(ctx))

    async def of_root(ctx: pyfuse3.RequestContext) -> Any:
        return await guarded(pyfuse3.ROOT_INODE, ctx)

    return of_root


def unanswered(calls: CallTable, operation: str, handlers: Handlers) -> Handler:
    """For FORGET: whatever is raised ends here, since no errno can be given. It is noted as a call about the
    first inode of the list."""
    handler: Handler = getattr(handlers, operation)
    guarded = _noted(calls, operation, handlers, lambda _first, inodes: handler(inodes))

    async def forget(inodes: Sequence[tuple[int, int]]) -> None:
        with suppress(pyfuse3.FUSEError):
            await guarded(inodes[0][0] if inodes else pyfuse3.ROOT_INODE, inodes)

    return forget


def _limited(
    calls: CallTable, operation: str, handlers: Handlers, *, seconds: Callable[[], float], why: str
) -> Handler:
    handler: Handler = getattr(handlers, operation)

    async def within_limit(number: int, *arguments: Any) -> Any:
        try:
            with trio.fail_after(seconds()):
                return await handler(number, *arguments)
        except trio.TooSlowError as error:
            raise ActUncertain(operation, why) from error

    return _noted(calls, operation, handlers, within_limit)


def _noted(calls: CallTable, operation: str, handlers: Handlers, handler: Handler) -> Handler:
    describe = handlers.describe_handle if _takes_handle(operation) else handlers.describe_inode

    async def guarded(number: int, *arguments: Any) -> Any:
        call = calls.begin(operation, number, describe)
        wait_reasons.begin(call.waits_for)
        try:
            return await handler(number, *arguments)
        except Exception as error:
            raise calls.fuse_error(operation, describe, number, error) from error
        finally:
            calls.end(call)

    return guarded


def _takes_handle(operation: str) -> bool:
    return list(signature(getattr(pyfuse3.Operations, operation)).parameters)[1] == "fh"


#: The one kind of guard of each call.
KINDS: Mapping[str, Callable[[CallTable, str, Handlers], Handler]] = {
    **dict.fromkeys(("lookup", "opendir", "readdir", "releasedir", "fsyncdir", "release"), nonblocking),
    **dict.fromkeys(("getattr", "access", "open", "readlink", "getxattr", "listxattr", "poll"), budgeted),
    **dict.fromkeys(("mknod", "symlink", "link", "setxattr", "removexattr"), budgeted),  # refused at once
    **dict.fromkeys(("create", "mkdir", "unlink", "rmdir", "setattr", "write"), mutating),
    **dict.fromkeys(("flush", "fsync", "rename"), upload),
    "read": fast_path,
    "statfs": of_the_mount,
    "forget": unanswered,
}
