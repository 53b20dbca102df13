"""What surrounds every handler: a deadline, one errno, a place among the calls in flight, and a floor under bugs.

It must not know what a handler does.
`fuse/operations` decorates every handler with it; `daemon/status` shows the calls in flight.
"""

import errno
import logging
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from math import inf
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import pyfuse3
import trio

from cffs.core import wait_reasons
from cffs.core.errors import ActUncertain, CffsError, LocalShortage, OriginBusy, OriginFault
from cffs.fuse.errnos import errno_of

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class Call:
    """A call of the kernel that has not been answered; `started_at` is trio time."""

    operation: str
    started_at: float
    number: int
    tell: Callable[[int], str]
    waits_for: wait_reasons.Record = field(default_factory=wait_reasons.Record)

    @property
    def subject(self) -> str:
        """What the call is about, for people; made only where somebody asks."""
        return self.tell(self.number)


class CallTable:
    """The calls in flight, the bugs so far, and the time a handler may take. Owned by the operations object."""

    def __init__(
        self,
        *,
        budget_seconds: float,
        limit_seconds: float | None = None,
        failing: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`limit_seconds` is what no call may outlast, whatever it waits for; None where nothing ends it. `failing`
        names the APIs that fail as a whole."""
        self.budget_seconds = budget_seconds
        self.limit_seconds = inf if limit_seconds is None else limit_seconds
        self.bugs = 0
        self._failing = failing
        self._alike = 0
        self._calls: dict[Call, None] = {}

    def waiting(self) -> list[Call]:
        """The calls in flight, oldest first."""
        return sorted(self._calls, key=lambda call: call.started_at)

    def begin(self, operation: str, number: int, tell: Callable[[int], str]) -> Call:
        """Note a call; `tell` says what its number stands for. Returns what `end` takes."""
        call = Call(operation, trio.current_time(), number, tell)
        self._calls[call] = None
        return call

    def is_news(self, error: OriginFault) -> bool:
        """Whether a failure is worth a line of its own: where an API fails as a whole only the first of those that fail
        with it is, the others are counted."""
        text, failing = str(error), self._failing()
        if any(f"{api}:" in text for api in failing) or (failing and isinstance(error, OriginBusy)):
            self._alike += 1
            return self._alike == 1
        if self._alike > 1:
            log.info("calls failed with the service, without a line of their own count=%d", self._alike - 1)
        self._alike = 0
        return True

    def end(self, call: Call) -> None:
        """The call was answered."""
        del self._calls[call]


class HasCalls(Protocol):
    """What a class needs for its methods to be handlers."""

    calls: CallTable

    def subject_of(self, number: int) -> str:
        """What the inode of a call stands for, for people."""
        ...

    def subject_of_handle(self, number: int) -> str:
        """The same of a handle; their numbers overlap with the inodes'."""
        ...


Self = TypeVar("Self", bound=HasCalls)
Handler = Callable[Concatenate[Self, int, Arguments], Coroutine[Any, Any, Answer]]


def handler(function: Handler[Self, Arguments, Answer]) -> Handler[Self, Arguments, Answer]:
    """Wrap a handler whose first argument is an inode or a handle.

    The handler has the table's budget, after which the caller gets ETIMEDOUT; one of our exceptions becomes its errno;
    anything else is a bug: EIO for the caller, a traceback for the log, and the mount lives on. Cancellation passes.
    """

    @wraps(function)
    async def within_budget(self: Self, number: int, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        # `trio.fail_after` is this as well; its two generators cost a third of an instant handler
        with trio.CancelScope(deadline=trio.current_time() + self.calls.budget_seconds):
            return await function(self, number, *args, **kwargs)
        raise trio.TooSlowError

    return instant_handler(within_budget)  # type: ignore[arg-type]  # functools.wraps keeps the names of self and number


def acting_handler(function: Handler[Self, Arguments, Answer]) -> Handler[Self, Arguments, Answer]:
    """The same for a handler that changes something: the kernel does not ask a second time, so it has twice the
    budget; and when that ends nobody knows what became of it, which is EIO."""

    @wraps(function)
    async def within_limit(self: Self, number: int, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            with trio.fail_after(min(2 * self.calls.budget_seconds, self.calls.limit_seconds)):
                return await function(self, number, *args, **kwargs)
        except trio.TooSlowError as error:
            raise ActUncertain(function.__name__, "it was not answered in time") from error

    return instant_handler(within_limit)  # type: ignore[arg-type]  # as above


def patient_handler(function: Handler[Self, Arguments, Answer]) -> Handler[Self, Arguments, Answer]:
    """The same for a handler that lasts as long as bytes of the caller's move (contract section 8); only the kernel's
    own limit ends it."""

    @wraps(function)
    async def within_limit(self: Self, number: int, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            with trio.fail_after(self.calls.limit_seconds):
                return await function(self, number, *args, **kwargs)
        except trio.TooSlowError as error:
            raise ActUncertain(function.__name__, "the kernel's limit on a call was met") from error

    return instant_handler(within_limit)  # type: ignore[arg-type]  # as above


def instant_handler(function: Handler[Self, Arguments, Answer]) -> Handler[Self, Arguments, Answer]:
    """The same for a handler that mostly never waits: where it does, it opens its own deadline."""
    takes_handle = _parameters(function)[1] == "fh"
    operation = function.__name__

    @wraps(function)
    async def wrapper(self: Self, number: int, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        calls = self.calls
        call = calls.begin(operation, number, self.subject_of_handle if takes_handle else self.subject_of)
        wait_reasons.begin(call.waits_for)
        try:
            return await function(self, number, *args, **kwargs)
        except Exception as error:
            raise _told(calls, operation, call.tell, number, error) from error
        finally:
            calls.end(call)

    wrapper.is_guarded = True  # type: ignore[attr-defined]  # read by the test that holds every handler wrapped
    return wrapper  # type: ignore[return-value]  # as above


def first_at_once(
    at_once: Callable[[Self, int, int, int], Answer | None],
) -> Callable[[Handler[Self, [int, int], Answer]], Handler[Self, [int, int], Answer]]:
    """Of READ: `instant_handler`, but what `at_once` has is answered with no call noted, which costs as much as the
    answer. It gives None where the handler is to answer, and may raise what a handler may."""

    def decorate(function: Handler[Self, [int, int], Answer]) -> Handler[Self, [int, int], Answer]:
        guarded = instant_handler(function)

        @wraps(function)
        async def wrapper(self: Self, number: int, offset: int, nbytes: int) -> Answer:
            try:
                answer = at_once(self, number, offset, nbytes)
            except Exception as error:
                raise _told(self.calls, function.__name__, self.subject_of_handle, number, error) from error
            return await guarded(self, number, offset, nbytes) if answer is None else answer

        wrapper.is_guarded = True  # type: ignore[attr-defined]  # as above
        return wrapper

    return decorate


def _told(
    calls: CallTable, operation: str, tell: Callable[[int], str], number: int, error: Exception
) -> pyfuse3.FUSEError:
    """The errno for what a handler raised; what people should know of it goes to the log."""
    if isinstance(error, CffsError):
        if isinstance(error, LocalShortage) or (isinstance(error, OriginFault) and calls.is_news(error)):
            log.warning("%s failed subject=%s reason=%s", operation, tell(number), error)
        return pyfuse3.FUSEError(errno_of(error))
    if isinstance(error, trio.TooSlowError):
        return pyfuse3.FUSEError(errno.ETIMEDOUT)
    calls.bugs += 1
    log.error("bug in %s subject=%s", operation, tell(number), exc_info=error)
    return pyfuse3.FUSEError(errno.EIO)


def _parameters(function: Callable[..., object]) -> list[str]:
    return list(signature(function).parameters)
