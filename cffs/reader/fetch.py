"""The requests on their way for one object, and who waits for them: one fetch for each missing run.

It must not know what to fetch (that is `reader/planner`) nor how it is received (`reader/downloader`).
`reader/remote_file` begins, awaits and drops them.
"""

import copy
import math
from collections.abc import Awaitable, Callable, Iterator

import trio

from cffs.cache.extents import Extent
from cffs.core import wait_reasons
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, OriginFault

#: Where an answer ends that does not tell it.
UNKNOWN_STOP = 2**62
#: Less than a connection is worth.
_WORTH_FINISHING_NBYTES = 256 * 1024
_MOVING_SECONDS = 1.0
#: The smallest buffer worth receiving into where more is to come.
_LEAST_BUFFER_NBYTES = 256 * 1024
#: Buffers end on multiples of the kernel's READ, so that a READ is one view of one of them.
BUFFER_UNIT_NBYTES = 128 * 1024
#: A stream that has come so far has a window of several slabs.
_RUNNING_NBYTES = 4 * 1024 * 1024
#: What nobody waits for and is let in ends after so long, there or not, and sooner where it stands still.
_FINISHING_SECONDS = 5.0
_STANDSTILL_SECONDS = 2.0
#: The same where it is kept: by the rate of the link it was to take a third of that.
_FINISHING_KEPT_SECONDS = 15.0


class _Waiter:
    __slots__ = ("need_stop", "woken")

    def __init__(self, need_stop: int) -> None:
        self.need_stop = need_stop
        self.woken = trio.Event()


class Fetch:
    """One run of bytes on its way: [position, stop) is still to come. Owned by one Fetches; its task moves it."""

    def __init__(self, wanted: ByteRange, *, is_stream: bool, limit: int, is_whole: bool = False) -> None:
        self.begin = wanted.start
        self.position = wanted.start
        self.stop = wanted.stop
        #: Nothing is received into a buffer that starts here or later: the reader is not near yet.
        self.limit = limit
        self.is_stream = is_stream
        #: Begun before anybody asked.
        self.is_brought = False
        #: Only its head is wanted so far: nothing of its body is received until it is released.
        self.is_held = False
        #: Its connection is wanted elsewhere, and it can wait.
        self._gave_way = False
        #: It comes to its end also where its readers leave.
        self.is_kept = False
        #: Asked for without a Range header, or answered as if.
        self.is_whole = is_whole
        self.has_head = False
        #: Its part of a stream, for who shares the memory.
        self.stream_weight = 0.0
        self._is_over = False
        self.error: CffsError | None = None
        self.lease: Extent | None = None
        self.scope = trio.CancelScope()
        self._let_in_until = math.inf
        #: Of the bytes before `position`, where nothing else tells one version of a whole answer from another.
        self.prefix_crc = 0
        self.moved_at = trio.current_time()
        #: What its task waits for, and with it whoever waits for its bytes.
        self.waits_for = wait_reasons.WaitReason()
        #: Set when the limit rose or somebody began to wait; replaced by whoever waited for it.
        self.nudged = trio.Event()
        self._waiters: dict[_Waiter, None] = {}

    @property
    def coming(self) -> ByteRange:
        """What it still will bring."""
        return ByteRange(self.position, max(self.position, self.stop))

    @property
    def came(self) -> ByteRange:
        """What it has brought."""
        return ByteRange(self.begin, max(self.begin, self.position))

    @property
    def fixed_stop(self) -> int:
        """So far it comes in any case: a buffer is being filled."""
        return self.position if self.lease is None else max(self.position, self.lease.claimed_stop)

    @property
    def is_nearly_there(self) -> bool:
        """True when three quarters have come, little is left and it still moves: then it is let in."""
        left_nbytes = self.stop - self.position
        return (
            self.has_head
            and left_nbytes <= _WORTH_FINISHING_NBYTES
            and (self.position - self.begin) * 4 >= (self.stop - self.begin) * 3
            and self._is_moving
        )

    @property
    def is_worth_finishing(self) -> bool:
        """True where it is let in though its readers left: also what is kept, but of an answer with the whole, of which
        there may be any amount."""
        return self.is_nearly_there or (self.is_kept and not self.is_whole and self._is_moving)

    @property
    def _is_moving(self) -> bool:
        return trio.current_time() - self.moved_at < _MOVING_SECONDS

    @property
    def is_awaited(self) -> bool:
        """True while a reader waits for its bytes."""
        return bool(self._waiters)

    def is_served_by(self, other: "Fetch | None", missing: ByteRange | None) -> bool:
        """True where `other`, of the whole as well, still brings `missing`, the first that is not here of what this one
        is for. It does not where a reader went back to what was evicted."""
        return other is not None and other is not self and (missing is None or other.position <= missing.start)

    def buffer_stop(self, most_nbytes: int) -> int:
        """Where the next buffer for it ends, if at most `most_nbytes` are to be had at once: the smaller the window,
        the smaller the buffer. A running stream gets whole slabs on one grid: none is fresh memory, and a READ of 1 MiB
        is a view of one (measured, 256 MiB: 0.15 s of processor, 0.23 where two are joined)."""
        if self.is_stream and self.position - self.begin >= _RUNNING_NBYTES:
            return min(self.stop, self.position + most_nbytes - self.position % most_nbytes)
        stop = min(self.stop, self.position + min(max(self.limit - self.position, _LEAST_BUFFER_NBYTES), most_nbytes))
        if stop == self.stop:
            return stop
        return max(stop - stop % BUFFER_UNIT_NBYTES, min(stop, self.position + BUFFER_UNIT_NBYTES))

    def advance(self, nbytes: int) -> None:
        """The next `nbytes` are there (in the cache, or were there already)."""
        self.position += nbytes
        self.moved_at = trio.current_time()
        if self.scope.deadline != math.inf:
            self.scope.deadline = min(self.moved_at + _STANDSTILL_SECONDS, self._let_in_until)
        self._wake()

    def cut(self, stop: int) -> None:
        """It ends at `stop`, beyond what is leased for it; the rest is somebody else's."""
        self.stop = min(self.stop, max(stop, self.position))

    def take_head(self) -> None:
        """The head of an answer was accepted."""
        self.has_head = True
        self._wake()

    def become_whole(self) -> None:
        """The answer holds the whole object, from its first byte."""
        self.is_whole = True
        self.begin = 0
        self.position = 0
        self.stop = UNKNOWN_STOP

    def release(self) -> None:
        """Its body is wanted as well."""
        if self.is_held:
            self.is_held, self.is_kept = False, True
            self.raise_limit(self.stop)

    def give_way(self) -> bool:
        """Another one wants its connection: True where it gives it up."""
        if self.is_held and self.has_head and not self._gave_way:
            self._gave_way = True
            self.nudged.set()
            return True
        return False

    def has_given_way(self) -> bool:
        """For its task: True once after that."""
        gave_way, self._gave_way = self._gave_way, False
        return gave_way

    def raise_limit(self, stop: int) -> None:
        """A reader's window now ends at `stop`."""
        if stop > self.limit and not self.is_held:
            self.limit = stop
            self.nudged.set()

    def keep(self) -> None:
        """It is wanted to its end, whoever reads."""
        self.release()
        self.is_kept = True
        self.raise_limit(self.stop)

    def let_in(self) -> None:
        """Nobody wants it any more; what is left may come, for a short while, unless somebody waits for it again."""
        self.raise_limit(self.stop)
        now = trio.current_time()
        self._let_in_until = now + (_FINISHING_KEPT_SECONDS if self.is_kept else _FINISHING_SECONDS)
        self.scope.deadline = now + _STANDSTILL_SECONDS

    def end(self, error: CffsError | None) -> None:
        """It will bring nothing more; wakes everybody."""
        self._is_over = True
        self.error = error
        self.nudged.set()
        self._wake()

    def raise_error(self) -> None:
        """Raise what it ended with, if that is an error: a copy for each waiter, with its own traceback."""
        if self.error is not None:
            raise copy.copy(self.error) from self.error

    def has_ended(self) -> bool:
        """True once it will bring nothing more. May turn at any checkpoint, hence no attribute."""
        return self._is_over

    async def until_over(self) -> None:
        """Returns when it will bring nothing more. A checkpoint unless that is so; cancelled, it goes on."""
        await self._wait(_Waiter(2 * UNKNOWN_STOP))

    async def pause(self, seconds: float) -> None:
        """For its task: returns when the limit rose, somebody began to wait, it is over, or after `seconds`. Always a
        checkpoint."""
        with trio.move_on_after(seconds):
            await self.nudged.wait()
        if self.nudged.is_set() and not self._is_over:
            self.nudged = trio.Event()
        await trio.lowlevel.checkpoint_if_cancelled()

    async def until(self, need_stop: int) -> None:
        """Returns when its head and its bytes up to `need_stop` are there, or when it is over. A checkpoint unless it
        is so already; cancelled, the caller decides what becomes of the fetch."""
        if need_stop > self.position:
            self.release()
        self.raise_limit(need_stop)
        await self._wait(_Waiter(need_stop))

    async def _wait(self, waiter: _Waiter) -> None:
        if self._has(waiter):
            return
        self._waiters[waiter] = None
        if self.scope.deadline != math.inf:  # trio does not look whether it is another
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
    """The table of the fetches of one object that are on their way. No method is a checkpoint."""

    def __init__(
        self,
        background: Background,
        receive: Callable[[Fetch], Awaitable[None]],
        on_end: Callable[[Fetch, CffsError | None], CffsError | None],
    ) -> None:
        """`receive` brings a fetch's bytes in a task of the mount's; `on_end` is told once how it ended, before its
        waiters are, and says what they are told."""
        self._background = background
        self._receive = receive
        self._on_end = on_end
        #: The fetches on their way, for others to look at only.
        self.running: dict[Fetch, None] = {}

    def __iter__(self) -> Iterator[Fetch]:
        return iter(tuple(self.running))

    def begin(self, fetch: Fetch) -> None:
        """Starts it. The caller knows that nothing of it is on its way."""
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
        """Nobody waits for it: what is kept or nearly there is let in, with no reader's window to wait for; else it
        ends. `is_late`: it was waited for in vain, so that whoever wants it next asks afresh."""
        if fetch.is_nearly_there if is_late else fetch.is_worth_finishing:
            fetch.let_in()
        else:
            self.drop(fetch)

    def drop(self, fetch: Fetch) -> None:
        """Ends it; whoever waits plans anew."""
        fetch.scope.cancel()
        self._finish(fetch, None)

    async def _run(self, fetch: Fetch) -> None:
        # stands when a bug or the mount's end takes the task away, so that no waiter is left
        wait_reasons.begin(fetch.waits_for)
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
