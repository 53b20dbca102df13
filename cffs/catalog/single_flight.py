"""Single flight: one question for each key, shared by callers and outliving them.

It owns which questions are under way, which denials and failures are remembered, and how patient its callers are
(`cffs/docs/semantics.md#lookup`). It must not know what is asked for: some questions put their answer into the
catalogue's rows, others return it.

A caller that gives up does not end the question, so the next caller finds its answer. What the service denied is
remembered for 30 s (negative cache).
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar, cast

import trio
from cachetools import TLRUCache, TTLCache

from cffs.core import demand
from cffs.core.background import Background
from cffs.core.errors import (
    AccessRefused,
    CffsError,
    DeadlineExceeded,
    NotInTree,
    OperationNotOffered,
    OriginFault,
    OriginUnreachable,
    RemoteObjectMissing,
)
from cffs.core.source import Api
from cffs.core.wait_reasons import WaitReason, begin, waits_for

Answer = TypeVar("Answer")

#: How long "the service does not have it" is remembered, from its answer on.
MISSING_SECONDS = 30.0
#: Denials that are remembered: a program that probes at random must not cost memory.
MISSING_ENTRIES = 20_000
#: How long the outcome of a failed question waits for the caller that left before it came; well under the 5 s for which
#: a passing fault may be remembered.
FAILURE_SECONDS = 2.0
#: How long a caller waits that can go on without the answer, such as a lookup: the kernel sends the lookups of a folder
#: one after the other, so a longer wait would hold up the others.
LOOKUP_PATIENCE_SECONDS = 2.0
#: How long a lookup waits while another question to the API hangs: enough for a healthy answer, so that one hanging
#: object fails no mkdir or create beside it.
STUCK_PATIENCE_SECONDS = 0.5
#: Once a question to an API has gone unanswered for this long, a caller that can go on does not wait for it at all.
STUCK_SECONDS = 1.0
#: Questions under way at once; further ones are refused rather than queued without bound.
MAX_PENDING = 512


@dataclass(frozen=True, slots=True)
class _Denial:
    reason: str
    answered_at: float

    def raised(self) -> RemoteObjectMissing:
        missing = RemoteObjectMissing(self.reason)
        missing.answered_at = self.answered_at
        return missing


def _denied_until(_key: Hashable, denial: _Denial, _now: float) -> float:
    return denial.answered_at + MISSING_SECONDS


@dataclass(slots=True, eq=False)
class _Pending:
    api: Api | None
    asked_at: float
    done: trio.Event = field(default_factory=trio.Event)
    callers: demand.Callers = field(default_factory=demand.Callers)
    reason: WaitReason = field(default_factory=WaitReason)
    answer: Any = None
    #: What the callers get. Until the question ends well it is this, so that a bug in it cannot look like an answer.
    failure: CffsError | None = field(default_factory=lambda: OriginFault("the question ended without an answer"))

    def told(self) -> str:
        """What the callers wait for, in words."""
        return self.reason.text() if self.api is None else f"a question to {self.api}: {self.reason.text()}"


class SingleFlight:
    """The questions under way. It has one owner, the account; time is trio's clock."""

    def __init__(self, background: Background, *, timeout_seconds: float, is_offline: Callable[[Api], bool]) -> None:
        self._background = background
        self._timeout_seconds = timeout_seconds
        self._is_offline = is_offline
        self._pending: dict[Hashable, _Pending] = {}
        self._missing: TLRUCache[Hashable, _Denial] = TLRUCache(
            MISSING_ENTRIES, ttu=_denied_until, timer=trio.current_time
        )
        self._failed: TTLCache[Hashable, CffsError] = TTLCache(
            MISSING_ENTRIES, FAILURE_SECONDS, timer=trio.current_time
        )

    async def ask(
        self,
        key: Hashable,
        api: Api | None,
        question: Callable[[], Awaitable[Answer]],
        *,
        patience_seconds: float | None,
    ) -> Answer:
        """Return what `question` returns for `key`; a question that is under way is joined, not repeated.

        With `patience_seconds` None the caller waits as long as its own deadline allows; a number is how long a caller
        waits that can go on without the answer. `api` is None where the question itself asks others. Raises what the
        question raises; RemoteObjectMissing from memory, for 30 s after a denial; DeadlineExceeded when the patience
        ends (OriginUnreachable where the API is known to be offline). Cancelled, or out of patience, the question goes
        on in the background, and its answer is there for the next caller. A checkpoint unless answered from memory.
        """
        self.require_not_denied(key)
        if (failure := self._failed.pop(key, None)) is not None:
            raise failure
        stuck = patience_seconds is not None and self._is_stuck(api)
        pending = self._pending.get(key)
        if pending is None:
            pending = self._start(key, api, question)
        if not stuck:
            caller = pending.callers.enter()
            try:
                with (
                    waits_for(pending.told),
                    trio.move_on_after(inf if patience_seconds is None else patience_seconds),
                ):
                    await pending.done.wait()
            finally:
                pending.callers.leave(caller)
        if not pending.done.is_set():
            raise self._no_answer(api)
        if pending.failure is not None:
            raise pending.failure
        return cast(Answer, pending.answer)

    def begin(self, key: Hashable, api: Api | None, question: Callable[[], Awaitable[object]]) -> bool:
        """Begin the question before its first caller waits for it; nothing where it is under way, or was denied or has
        failed just now. False where too many are under way. No checkpoint."""
        if key in self._pending or key in self._missing or key in self._failed:
            return True
        if len(self._pending) >= MAX_PENDING:
            return False
        self._start(key, api, question)
        return True

    async def join(self, key: Hashable) -> None:
        """Wait for the answer to a question that is under way; return at once where none is. Raises what the question
        raised. A checkpoint where it waits; if cancelled, the question goes on."""
        pending = self._pending.get(key)
        if pending is None:
            return
        caller = pending.callers.enter()
        try:
            with waits_for(pending.told):
                await pending.done.wait()
        finally:
            pending.callers.leave(caller)
        if pending.failure is not None:
            raise pending.failure

    def is_under_way(self, key: Hashable) -> bool:
        """True where the question has begun and not ended."""
        return key in self._pending

    def require_not_denied(self, key: Hashable) -> None:
        """Raise RemoteObjectMissing, with the time of the denial, where the service denied `key` within the last 30
        s."""
        if (denial := self._missing.get(key)) is not None:  # one look: it may expire before a second one
            raise denial.raised()

    def patience_seconds(self, api: Api) -> float:
        """How long a lookup may wait for an answer of that API now."""
        return STUCK_PATIENCE_SECONDS if self._is_stuck(api) else LOOKUP_PATIENCE_SECONDS

    def forget(self, key: Hashable) -> None:
        """Drop what is remembered about `key` (the mount itself changed it)."""
        self._missing.pop(key, None)
        self._failed.pop(key, None)

    def _is_stuck(self, api: Api | None) -> bool:
        now = trio.current_time()
        return any(p.api is api and now - p.asked_at >= STUCK_SECONDS for p in self._pending.values())

    def _no_answer(self, api: Api | None) -> CffsError:
        if api is not None and self._is_offline(api):
            return OriginUnreachable(f"{api} is offline")
        return DeadlineExceeded(f"no answer from {api or 'the service'} yet")

    def _start(self, key: Hashable, api: Api | None, question: Callable[[], Awaitable[object]]) -> _Pending:
        # one that asks others waits for them, and they are counted
        if api is not None and sum(pending.api is not None for pending in self._pending.values()) >= MAX_PENDING:
            raise DeadlineExceeded("too many questions are waiting for the service")
        pending = self._pending[key] = _Pending(api, trio.current_time())
        self._background.start(self._run, key, pending, question)
        return pending

    async def _run(self, key: Hashable, pending: _Pending, question: Callable[[], Awaitable[object]]) -> None:
        begin(pending.reason)
        demand.begin(pending.callers.is_demand)
        try:
            with trio.fail_after(self._timeout_seconds):
                pending.answer = await question()
            pending.failure = None
        except trio.TooSlowError:
            pending.failure = DeadlineExceeded("the service did not answer in time")
        except CffsError as failure:
            pending.failure = failure
        finally:
            # No await in here: a task that wakes up finds the question gone and its outcome kept
            del self._pending[key]
            if isinstance(pending.failure, RemoteObjectMissing):
                if pending.failure.answered_at is None:
                    pending.failure.answered_at = trio.current_time()
                self._missing[key] = _Denial(str(pending.failure), pending.failure.answered_at)
            elif pending.failure is not None and not pending.callers:
                self._failed[key] = pending.failure
            pending.done.set()


async def ask_together(*questions: Awaitable[object], until: Callable[[], bool]) -> list[CffsError | None]:
    """Await all questions at once; for each, None or what it raised.

    Those without an answer yet are left once `until` says that enough is known. A checkpoint. A question in flight that
    is left, or whose caller is cancelled, goes on in the background.
    """
    outcomes: list[CffsError | None] = [None] * len(questions)

    async def ask(index: int, question: Awaitable[object]) -> None:
        try:
            await question
        except CffsError as failure:
            outcomes[index] = failure
        if until():
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index, question in enumerate(questions):
            nursery.start_soon(ask, index, question)
    return outcomes


#: Answers that mean "not this way": another API, or another form of the object, may still have it.
ELSEWHERE = (RemoteObjectMissing, OperationNotOffered, NotInTree, AccessRefused)
