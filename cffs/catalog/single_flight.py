"""Questions to the service in flight: one per key however many ask, alive past the caller that gave up.

It must not know what is asked; an answer is a side effect on the catalogue's rows.
`catalog/account_sync` asks through it; the patience of a lookup (contract section 6) is decided here.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar, cast

import trio
from cachetools import TLRUCache, TTLCache

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
#: Names that are remembered as missing; a program that probes at random must not cost memory.
MISSING_ENTRIES = 20_000
#: How long the outcome of a failed question waits for the caller that left before it came (contract section 6: "the
#: next lookup has its answer"); well under the 5 s that a passing fault may be remembered.
FAILURE_SECONDS = 2.0
#: A lookup waits this long, and no longer: the kernel asks the lookups of a folder one after the other.
LOOKUP_PATIENCE_SECONDS = 2.0
#: The same while another question to the API hangs: enough for a healthy answer, so that one hanging object fails no
#: mkdir or create beside it.
STUCK_PATIENCE_SECONDS = 0.5
#: Once a question to the same API has been unanswered for this long, lookups stop waiting at all.
STUCK_SECONDS = 1.0
#: Questions under way at once; further ones are refused rather than queued without bound (design: waits for the
#: origin are limited to 512).
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
    waiting: int = 0
    reason: WaitReason = field(default_factory=WaitReason)
    answer: Any = None
    #: What the callers get; until the question ends well it is this, so that a bug in it cannot look like an answer.
    failure: CffsError | None = field(default_factory=lambda: OriginFault("the question ended without an answer"))

    def told(self) -> str:
        """What it waits for, in words."""
        return self.reason.text() if self.api is None else f"a question to {self.api}: {self.reason.text()}"


class SingleFlight:
    """The questions under way. One owner: the catalogue's account; time is trio's clock."""

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
        """Wait until `question` has been answered for `key`, and return what it returned; a question under way is
        joined, not repeated.

        `patience_seconds` None waits as long as the caller's own deadline lets it; a number is a lookup's patience.
        `api` is None where the question itself asks others. Raises what the question raised, RemoteObjectMissing from
        memory for 30 s, DeadlineExceeded when patience ends (OriginUnreachable where the API is known to be offline).
        Cancelled, or out of patience, the question goes on in the background and its answer is there for the next
        caller. A checkpoint unless answered from memory.
        """
        self.require_not_denied(key)
        if (failure := self._failed.pop(key, None)) is not None:
            raise failure
        stuck = patience_seconds is not None and self._is_stuck(api)
        pending = self._pending.get(key)
        if pending is None:
            pending = self._start(key, api, question)
        if not stuck:
            pending.waiting += 1
            try:
                with (
                    waits_for(pending.told),
                    trio.move_on_after(inf if patience_seconds is None else patience_seconds),
                ):
                    await pending.done.wait()
            finally:
                pending.waiting -= 1
        if not pending.done.is_set():
            raise self._no_answer(api)
        if pending.failure is not None:
            raise pending.failure
        return cast(Answer, pending.answer)

    def begin(self, key: Hashable, api: Api | None, question: Callable[[], Awaitable[object]]) -> bool:
        """Have the question asked for who is about to ask it: nothing where it is under way, or was denied or failed
        just now. False where too many are under way. No checkpoint."""
        if key in self._pending or key in self._missing or key in self._failed:
            return True
        if len(self._pending) >= MAX_PENDING:
            return False
        self._start(key, api, question)
        return True

    def is_under_way(self, key: Hashable) -> bool:
        """True where the question was asked and not answered yet."""
        return key in self._pending

    def require_not_denied(self, key: Hashable) -> None:
        """Raise RemoteObjectMissing, which tells when that was answered, where the service denied `key` lately."""
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
        # one that asks others waits for them, which are counted
        if api is not None and sum(pending.api is not None for pending in self._pending.values()) >= MAX_PENDING:
            raise DeadlineExceeded("too many questions are waiting for the service")
        pending = self._pending[key] = _Pending(api, trio.current_time())
        self._background.start(self._run, key, pending, question)
        return pending

    async def _run(self, key: Hashable, pending: _Pending, question: Callable[[], Awaitable[object]]) -> None:
        begin(pending.reason)
        try:
            with trio.fail_after(self._timeout_seconds):
                pending.answer = await question()
            pending.failure = None
        except trio.TooSlowError:
            pending.failure = DeadlineExceeded("the service did not answer in time")
        except CffsError as failure:
            pending.failure = failure
        finally:
            # No await in here: whoever wakes sees the question gone and its outcome kept
            del self._pending[key]
            if isinstance(pending.failure, RemoteObjectMissing):
                if pending.failure.answered_at is None:
                    pending.failure.answered_at = trio.current_time()
                self._missing[key] = _Denial(str(pending.failure), pending.failure.answered_at)
            elif pending.failure is not None and not pending.waiting:
                self._failed[key] = pending.failure
            pending.done.set()


#: Answers that say "not this way": another API, or another form of the object, may still have it.
ELSEWHERE = (RemoteObjectMissing, OperationNotOffered, NotInTree, AccessRefused)
