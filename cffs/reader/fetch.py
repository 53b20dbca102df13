"""The fetches on their way for one object, and their waiters (single flight).

It owns the state of each fetch: how far it has come, how far it is wanted, who waits. It must not know what to fetch or
how that is received. cffs/docs/reading.md#states draws the states.
"""

import copy
import math
from collections.abc import Awaitable, Callable, Iterator

import trio

from cffs.cache.extents import Extent
from cffs.core import demand, wait_reasons
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, OriginFault
from cffs.core.units import KIB, MIB

#: Where an answer of unstated length ends.
UNKNOWN_STOP = 2**62
#: Less than a connection is worth.
_WORTH_FINISHING_NBYTES = 256 * KIB
_MOVING_SECONDS = 1.0
#: The smallest buffer worth receiving into where more is to come.
_LEAST_BUFFER_NBYTES = 256 * KIB
#: Buffers end on multiples of the kernel's READ, so that a READ is one view of one of them.
BUFFER_UNIT_NBYTES = 128 * KIB
#: A stream that has come this far has a window of several pooled buffers.
_RUNNING_NBYTES = 4 * MIB
#: The grace period of a fetch without waiters: how long it may take in all, and how long it may stand still.
_FINISHING_SECONDS = 5.0
_STANDSTILL_SECONDS = 2.0
#: The grace period in all of a fetch that must finish: by the rate of the link it was to take a third of that.
_FINISHING_KEPT_SECONDS = 15.0


class _Waiter:
    __slots__ = ("is_awaited", "need_stop", "woken")

    def __init__(self, need_stop: int) -> None:
        self.need_stop = need_stop
        self.is_awaited = demand.current()
        self.woken = trio.Event()


class Fetch:
    """One run of bytes on its way: [position, stop) is still to come. Owned by one Fetches; its task moves it."""

    def __init__(self, wanted: ByteRange, *, is_stream: bool, limit: int, is_whole: bool = False) -> None:
        self.start = wanted.start
        self.position = wanted.start
        self.stop = wanted.stop
        #: Nothing is received into a buffer that starts here or later: the reader is not near yet.
        self.limit = limit
        self.is_stream = is_stream
        #: Begun before a reader asked.
        self.is_prefetched = False
        #: Only its head is wanted so far: nothing of its body is received until `want_body`.
        self.is_head_only = False
        #: Its connection is wanted elsewhere, and it can wait.
        self._gave_way = False
        #: It is received to its end also where its readers leave.
        self.must_finish = False
        #: Requested without a Range header, or answered as if.
        self.is_whole = is_whole
        self.has_head = False
        #: Its share of one stream, by which streams share the memory.
        self.stream_weight = 0.0
        self._is_over = False
        self.error: CffsError | None = None
        self.lease: Extent | None = None
        self.scope = trio.CancelScope()
        self._grace_until = math.inf
        #: The CRC of the bytes before `position`, for answers of the whole that nothing else distinguishes.
        self.prefix_crc = 0
        self.moved_at = trio.current_time()
        #: What its task waits for, and through it those that wait for its bytes.
        self.waits_for = wait_reasons.WaitReason()
        #: Set when the limit rose or a reader began to wait; replaced by the task that waited for it.
        self.nudged = trio.Event()
        self._waiters: dict[_Waiter, None] = {}

    @property
    def coming(self) -> ByteRange:
        """What it has still to bring."""
        return ByteRange(self.position, max(self.position, self.stop))

    @property
    def brought(self) -> ByteRange:
        """What it has brought."""
        return ByteRange(self.start, max(self.start, self.position))

    @property
    def fixed_stop(self) -> int:
        """The bytes up to here come in any case: a buffer is being filled."""
        return self.position if self.lease is None else max(self.position, self.lease.claimed_stop)

    @property
    def is_nearly_there(self) -> bool:
        """True when three quarters have come, little is left, and it still moves."""
        left_nbytes = self.stop - self.position
        return (
            self.has_head
            and left_nbytes <= _WORTH_FINISHING_NBYTES
            and (self.position - self.start) * 4 >= (self.stop - self.start) * 3
            and self._is_moving
        )

    @property
    def is_worth_finishing(self) -> bool:
        """True where it gets a grace period though its readers left. That includes one that must finish, unless it is
        an answer with the whole, of which there may be any amount."""
        return self.is_nearly_there or (self.must_finish and not self.is_whole and self._is_moving)

    @property
    def _is_moving(self) -> bool:
        return trio.current_time() - self.moved_at < _MOVING_SECONDS

    @property
    def has_waiters(self) -> bool:
        """True while a reader waits for its bytes."""
        return bool(self._waiters)

    def is_demand(self) -> bool:
        """True while one of those that wait for its bytes is waited for in turn (`_Waiter.is_awaited`): `cffs prefetch`
        is not."""
        return any(waiter.is_awaited() for waiter in self._waiters)

    def is_served_by(self, other: "Fetch | None", missing: ByteRange | None) -> bool:
        """True where `other`, of the whole as well, still brings `missing`, the first byte that this one is for and
        that is not here. It does not where a reader went back to what was evicted."""
        return other is not None and other is not self and (missing is None or other.position <= missing.start)

    def buffer_stop(self, most_nbytes: int) -> int:
        """Where the next buffer for it ends, if at most `most_nbytes` are to be had at once: the smaller the window,
        the smaller the buffer.

        A running stream gets whole pooled buffers on one grid. None of them is fresh memory, and a READ of 1 MiB is a
        view of one (measured, 256 MiB: 0.15 s of CPU, 0.23 s where two are joined).
        """
        if self.is_stream and self.position - self.start >= _RUNNING_NBYTES:
            return min(self.stop, self.position + most_nbytes - self.position % most_nbytes)
        stop = min(self.stop, self.position + min(max(self.limit - self.position, _LEAST_BUFFER_NBYTES), most_nbytes))
        if stop == self.stop:
            return stop
        return max(stop - stop % BUFFER_UNIT_NBYTES, min(stop, self.position + BUFFER_UNIT_NBYTES))

    def advance(self, nbytes: int) -> None:
        """Note that the next `nbytes` are there: received into the cache, or held already."""
        self.position += nbytes
        self.moved_at = trio.current_time()
        if self.scope.deadline != math.inf:
            self.scope.deadline = min(self.moved_at + _STANDSTILL_SECONDS, self._grace_until)
        self._wake()

    def cut(self, stop: int) -> None:
        """End it at `stop`, beyond what is leased for it; another fetch brings the rest."""
        self.stop = min(self.stop, max(stop, self.position))

    def accept_head(self) -> None:
        """Note that the head of an answer was accepted."""
        self.has_head = True
        self._wake()

    def become_whole(self) -> None:
        """Note that the answer holds the whole object, from its first byte."""
        self.is_whole = True
        self.start = 0
        self.position = 0
        self.stop = UNKNOWN_STOP

    def want_body(self) -> None:
        """Have the body received as well."""
        if self.is_head_only:
            self.is_head_only, self.must_finish = False, True
            self.raise_limit(self.stop)

    def give_way(self) -> bool:
        """Ask it for its connection; True where it gives it up."""
        if self.is_head_only and self.has_head and not self._gave_way:
            self._gave_way = True
            self.nudged.set()
            return True
        return False

    def has_given_way(self) -> bool:
        """True once after `give_way` returned True; for its task."""
        gave_way, self._gave_way = self._gave_way, False
        return gave_way

    def raise_limit(self, stop: int) -> None:
        """Move its limit up to `stop`, where a reader's window ends now."""
        if stop > self.limit and not self.is_head_only:
            self.limit = stop
            self.nudged.set()

    def keep(self) -> None:
        """Have it received to its end, whichever readers there are."""
        self.want_body()
        self.must_finish = True
        self.raise_limit(self.stop)

    def allow_grace(self) -> None:
        """The last waiter left; allow a short grace period for the rest. It is withdrawn when a reader waits again."""
        self.raise_limit(self.stop)
        now = trio.current_time()
        self._grace_until = now + (_FINISHING_KEPT_SECONDS if self.must_finish else _FINISHING_SECONDS)
        self.scope.deadline = now + _STANDSTILL_SECONDS

    def end(self, error: CffsError | None) -> None:
        """End it, with or without an error, and wake all waiters."""
        self._is_over = True
        self.error = error
        self.nudged.set()
        self._wake()

    def raise_error(self) -> None:
        """Raise what it ended with, if that is an error: a copy for each waiter, with its own traceback."""
        if self.error is not None:
            raise copy.copy(self.error) from self.error

    def has_ended(self) -> bool:
        """True once it will bring nothing more. A method, since that may change at any checkpoint."""
        return self._is_over

    async def until_over(self) -> None:
        """Return when it will bring nothing more. A checkpoint unless it has ended; cancelled, it goes on."""
        await self._wait(_Waiter(2 * UNKNOWN_STOP))

    async def pause(self, seconds: float) -> None:
        """Return when the limit rose, a reader began to wait, it is over, or after `seconds`; for its task. Always a
        checkpoint."""
        with trio.move_on_after(seconds):
            await self.nudged.wait()
        if self.nudged.is_set() and not self._is_over:
            self.nudged = trio.Event()
        await trio.lowlevel.checkpoint_if_cancelled()

    async def until(self, need_stop: int) -> None:
        """Return when its head and its bytes up to `need_stop` are there, or when it is over. A checkpoint unless that
        is so already; cancelled, the caller decides what becomes of the fetch."""
        if need_stop > self.position:
            self.want_body()
        self.raise_limit(need_stop)
        await self._wait(_Waiter(need_stop))

    async def _wait(self, waiter: _Waiter) -> None:
        if self._has(waiter):
            return
        self._waiters[waiter] = None
        if self.scope.deadline != math.inf:  # trio does not check whether it is another value
            self.scope.deadline = math.inf
        self.nudged.set()
        try:
            with wait_reasons.waits_for(self.waits_for.text):
                await waiter.woken.wait()
        finally:
            del self._waiters[waiter]

    def _has(self, waiter: _Waiter) -> bool:
        return self._is_over or (self.has_head and self.position >= waiter.need_stop)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if self._has(waiter):
                waiter.woken.set()


class Fetches:
    """The fetches of one object that are on their way. No method is a checkpoint but `_run`, the task of a fetch."""

    def __init__(
        self,
        background: Background,
        receive: Callable[[Fetch], Awaitable[None]],
        on_end: Callable[[Fetch, CffsError | None], CffsError | None],
    ) -> None:
        """`receive` brings a fetch's bytes in a task of the mount. `on_end` is called once with how it ended, before
        its waiters wake, and returns the error that they get."""
        self._background = background
        self._receive = receive
        self._on_end = on_end
        #: The fetches on their way, for others to look at only.
        self.running: dict[Fetch, None] = {}

    def __iter__(self) -> Iterator[Fetch]:
        return iter(tuple(self.running))

    def begin(self, fetch: Fetch) -> None:
        """Begin a fetch. The caller knows that no byte of it is on its way."""
        self.running[fetch] = None
        self._background.start(self._run, fetch)

    def covering(self, offset: int) -> Fetch | None:
        """The fetch that will bring the byte at `offset`; the nearest where two will."""
        found = [fetch for fetch in self.running if fetch.position <= offset < fetch.stop]
        return max(found, key=lambda fetch: fetch.position, default=None)

    def coming(self) -> list[ByteRange]:
        """All that is on its way."""
        return [fetch.coming for fetch in self.running]

    def give_up(self, fetch: Fetch, *, is_late: bool = False) -> None:
        """Give up a fetch without waiters: one that is worth finishing gets a grace period, with no window to wait for;
        any other ends. `is_late`: its waiter ran out of time, so that the next one asks afresh."""
        if fetch.is_nearly_there if is_late else fetch.is_worth_finishing:
            fetch.allow_grace()
        else:
            self.drop(fetch)

    def drop(self, fetch: Fetch) -> None:
        """End a fetch; readers that wait for it plan again."""
        fetch.scope.cancel()
        self._finish(fetch, None)

    async def _run(self, fetch: Fetch) -> None:
        # stays when a bug or the end of the mount takes the task away, so that no waiter is left
        wait_reasons.begin(fetch.waits_for)
        demand.begin(fetch.is_demand)
        error: CffsError | None = OriginFault("the receiving task ended unexpectedly")
        try:
            with fetch.scope:
                await self._receive(fetch)
            error = None
        except CffsError as exc:
            error = exc
        finally:
            self._finish(fetch, error)

    def _finish(self, fetch: Fetch, error: CffsError | None) -> None:
        if fetch.has_ended():
            return
        del self.running[fetch]
        fetch.end(self._on_end(fetch, error))
