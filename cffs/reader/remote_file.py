"""One version of one object: READs served from the cache and from fetches on their way, its size learned.

It owns the object's identity, its fetches and who has it open; it must not know HTTP, paths or errnos.
`reader/objects` makes it, `OpenFile` is what a handle holds.
"""

import copy
from collections.abc import Callable

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, DeadlineExceeded, MalformedAnswer, RemoteObjectChanged
from cffs.core.source import Source
from cffs.reader.facts import Known
from cffs.reader.fetches import UNKNOWN_STOP, Fetch, Fetches
from cffs.reader.identity import Identity
from cffs.reader.open_file import OpenFile as OpenFile  # fuse/ and daemon/ take it from here
from cffs.reader.planner import FIRST_NBYTES, MIN_WINDOW_NBYTES, SMALL_FILE_NBYTES, goes_on, plan, receive_stop_of
from cffs.reader.receiving import Receiver
from cffs.reader.tools import Tools

#: A hint above this is believed as far as that the file is not small (a WAV's length said of its MP3 is 4-16 times
#: too long; contract 5: a file of up to 512 KiB costs one request).
_SURELY_LARGE_HINT_NBYTES = 16 * SMALL_FILE_NBYTES
#: Kept behind a passing reader of a file that cannot be kept whole: the kernel reorders, players step back.
_KEEP_BEHIND_NBYTES = 2 * 1024 * 1024
_SWEEP_NBYTES = 1024 * 1024
#: After a timeout the handles opened before it fail at once for so long (contract 2, `--timeout`).
FAIL_AT_ONCE_SECONDS = 5.0
_EMPTY = memoryview(b"")


class RemoteFile:
    """One version of object `key`, shared by all its open handles."""

    def __init__(
        self,
        key: str,
        candidates: tuple[Source, ...],
        known: Known | None,
        tools: Tools,
        on_closed: Callable[["RemoteFile"], None],
    ) -> None:
        """`on_closed` is told when the last handle was closed."""
        self.identity = Identity(key, candidates, known)
        self.closed_at = trio.current_time()
        self._tools = tools
        self._on_closed = on_closed
        self._fetches = Fetches(tools.background, Receiver(self.identity, tools).receive, self._ended)
        self._handles: dict[OpenFile, None] = {}
        self._timed_out_at = float("-inf")
        self._arrived_nbytes = 0

    @property
    def is_open(self) -> bool:
        """True while a handle is open."""
        return bool(self._handles)

    @property
    def arrived_nbytes(self) -> int:
        """The furthest verified byte."""
        return max([self._arrived_nbytes, *(fetch.position for fetch in self._fetches if fetch.has_head)])

    def attach(self) -> OpenFile:
        """A new handle. Never a checkpoint."""
        handle = OpenFile(self)
        self._handles[handle] = None
        self._tools.counters.open_files += 1
        self._tools.cache.protect(self.identity.version)
        return handle

    def detach(self, handle: OpenFile) -> None:
        """Ends a handle; drops what nobody wants now. Nothing when it has ended."""
        if handle not in self._handles:
            return
        del self._handles[handle]
        self._tools.counters.open_files -= 1
        self._drop_unwanted()
        if not self._handles:
            self.closed_at = trio.current_time()
            self._tools.cache.abandon(self.identity.version)
            if self.identity.total_nbytes is None:  # the next open must not take it for its own
                self._tools.cache.drop(self.identity.version)
            self._on_closed(self)

    async def learn(self, hint_nbytes: int | None) -> None:
        """Returns when the size is known, or when it cannot be for a third of the timeout (total_nbytes stays None).

        A checkpoint unless it is known. Cancelled, the question is dropped unless others wait. Raises CffsError.
        """
        while self.identity.total_nbytes is None:
            fetch = self._fetches.covering(0) or next(iter(self._fetches), None)
            if fetch is None:
                is_large = hint_nbytes is not None and hint_nbytes > _SURELY_LARGE_HINT_NBYTES
                fetch = self._begin(ByteRange(0, FIRST_NBYTES if is_large else SMALL_FILE_NBYTES), is_stream=False)
            await self._await(fetch, 0)
            if self.identity.total_nbytes is None and fetch.error is None and fetch.has_head:
                with trio.move_on_after(self._tools.settings.timeout_seconds / 3) as waiting:
                    # not through _await: giving up here takes nothing from the handle that is about to be opened
                    await fetch.until_over()
                if waiting.cancelled_caught:
                    return
            self._raise_if(fetch.error)

    async def read(self, handle: OpenFile, offset: int, nbytes: int) -> memoryview:
        """See OpenFile.read."""
        self._tools.counters.reads += 1
        read = wanted = self._clamped(ByteRange(offset, offset + nbytes))
        if not wanted:
            return _EMPTY
        data = self._tools.cache.get(self.identity.version, wanted)
        if data is None or not (self._is_at_rest() or self._goes_on(handle, wanted)):
            self._observe(handle, read)
        if data is None:
            data = await self._arriving(handle, read)
        self._delivered(handle, data)
        return data

    async def _arriving(self, handle: OpenFile, read: ByteRange) -> memoryview:
        """The bytes of `read` once they are here. What comes in parts is put aside part by part: with little memory
        the first might be evicted before the last has come."""
        cache, aside = self._tools.cache, bytearray()
        while wanted := self._clamped(ByteRange(min(read.start + len(aside), read.stop), read.stop)):
            self._check(handle)
            fetch = self._next_fetch(handle, wanted)
            await self._await(fetch, min(wanted.stop, fetch.stop))
            wanted = self._clamped(wanted)
            missing = cache.first_missing(self.identity.version, wanted)
            here = ByteRange(wanted.start, wanted.stop if missing is None else missing.start)
            data = cache.get_arrived(self.identity.version, here) or _EMPTY
            if missing is None and not aside:
                return data
            aside += data
            if missing is not None and not data:
                self._raise_if(fetch.error)
        return memoryview(aside).toreadonly()

    def bring(self, hint_nbytes: int) -> None:
        """Begins to fetch what is missing of the whole, said to be of about `hint_nbytes`. No checkpoint."""
        total_nbytes = self.identity.total_nbytes
        whole = ByteRange(0, max(hint_nbytes, SMALL_FILE_NBYTES) if total_nbytes is None else total_nbytes)
        while (gap := self.first_missing(whole)) is not None:
            self._tools.counters.prefetch_started += 1
            self._begin(gap, is_stream=False)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The planner's Coverage: neither held nor on its way."""
        position = within.start
        coming = self._fetches.coming()
        while position < within.stop:
            gap = self._tools.cache.first_missing(self.identity.version, ByteRange(position, within.stop))
            if gap is None:
                return None
            for piece in gap.minus(coming):
                return piece
            position = gap.stop
        return None

    def forget(self) -> None:
        """Drops every byte and fetch; handles that are open raise RemoteObjectChanged from now on."""
        self.identity.is_changed = True
        for fetch in self._fetches:
            self._fetches.drop(fetch)
        self._tools.cache.drop_object(self.identity.key)

    def _clamped(self, read: ByteRange) -> ByteRange:
        total_nbytes = self.identity.total_nbytes
        return read if total_nbytes is None else read.clamped(total_nbytes)

    def _is_at_rest(self) -> bool:
        """True when all of a file is here and nothing is on its way: no plan can want anything."""
        total_nbytes = self.identity.total_nbytes
        return total_nbytes is not None and self._tools.cache.held_nbytes(self.identity.key) == total_nbytes

    def _observe(self, handle: OpenFile, read: ByteRange) -> None:
        """Tells the planner about a READ and does what it wants. No checkpoint."""
        if self.identity.is_changed:
            return
        planned = plan(
            handle.state, read, self, total_nbytes=self.identity.total_nbytes, limits=self._tools.planner_limits
        )
        handle.state, handle.quiet_stop = planned.state, planned.quiet_stop
        if planned.is_jump:
            self._drop_unwanted()
        for fetch in planned.fetches:
            if self.first_missing(fetch.wanted) is not None:  # one answer of the whole may cover them all
                self._begin(fetch.wanted, is_stream=fetch.is_stream)
        self._move_window(handle, planned.receive_stop)

    def _goes_on(self, handle: OpenFile, read: ByteRange) -> bool:
        """True when the last plan said that this READ needs none; only the window moves. No checkpoint."""
        state = goes_on(handle.state, read, handle.quiet_stop)
        if state is None:
            return False
        handle.state = state
        self._move_window(handle, receive_stop_of(state, self._tools.planner_limits))
        return True

    def _move_window(self, handle: OpenFile, receive_stop: int) -> None:
        handle.receive_stop = receive_stop
        for fetch in self._fetches:
            if fetch.position <= receive_stop and handle.state.next_offset <= fetch.stop:
                # in steps: a receiver that wakes for each READ would fill small buffers
                step_nbytes = min(MIN_WINDOW_NBYTES, (receive_stop - handle.state.next_offset) // 2)
                if receive_stop >= min(fetch.limit + step_nbytes, fetch.stop):
                    fetch.raise_limit(receive_stop)

    def _next_fetch(self, handle: OpenFile, wanted: ByteRange) -> Fetch:
        """The fetch that brings the first byte of `wanted` that is not here; begun where there is none."""
        missing = self._tools.cache.first_missing(self.identity.version, wanted) or wanted
        fetch = self._fetches.covering(missing.start)
        if fetch is None:
            self._observe(handle, wanted)
            fetch = self._fetches.covering(missing.start)
        return fetch or self._begin(missing, is_stream=False)

    def _begin(self, wanted: ByteRange, *, is_stream: bool) -> Fetch:
        if self.identity.ignores_ranges:
            total_nbytes = self.identity.total_nbytes
            whole = ByteRange(0, UNKNOWN_STOP if total_nbytes is None else total_nbytes)
            fetch = Fetch(whole, is_stream=True, limit=wanted.stop, is_whole=True)
        else:
            fetch = Fetch(wanted, is_stream=is_stream, limit=wanted.start if is_stream else wanted.stop)
        if fetch.is_stream:
            self._tools.counters.prefetch_started += 1
            self._tools.running_streams += 1
            fetch.counts_as_stream = True
        self._fetches.begin(fetch)
        return fetch

    async def _await(self, fetch: Fetch, need_stop: int) -> None:
        try:
            await fetch.until(need_stop)
        except trio.Cancelled:
            self._gave_up(fetch)
            raise
        finally:
            if not self._handles:  # closed while it waited
                self._drop_unwanted()

    def _gave_up(self, fetch: Fetch) -> None:
        """A reader ran out of time: what nobody else waits for is dropped, so that the next open asks afresh."""
        self._timed_out_at = trio.current_time()
        if not fetch.is_awaited and not fetch.has_ended():
            self._finish_or_drop(fetch)

    def _check(self, handle: OpenFile) -> None:
        if self.identity.is_changed:
            raise RemoteObjectChanged(f"{self.identity.key} is not the version that was opened")
        if handle.opened_at <= self._timed_out_at and trio.current_time() < self._timed_out_at + FAIL_AT_ONCE_SECONDS:
            raise DeadlineExceeded(f"{self.identity.key} did not answer in time a moment ago")

    @staticmethod
    def _raise_if(error: CffsError | None) -> None:
        if error is not None:
            raise copy.copy(error) from error  # each waiter its own, with its own traceback

    def _delivered(self, handle: OpenFile, data: memoryview) -> None:
        self._tools.counters.bytes_delivered += len(data)
        total_nbytes, next_offset = self.identity.total_nbytes, handle.state.next_offset
        if abs(next_offset - handle.swept_stop) < _SWEEP_NBYTES or not handle.state.is_sequential:
            return
        handle.swept_stop = next_offset
        if total_nbytes is None or total_nbytes > self._tools.cache.limit_nbytes // 2:
            behind = min(other.state.next_offset for other in self._handles if other.state.is_sequential)
            self._tools.cache.drop_consumed(self.identity.version, max(0, behind - _KEEP_BEHIND_NBYTES))

    def _drop_unwanted(self) -> None:
        for fetch in self._fetches:
            if not fetch.is_awaited and not self._is_wanted(fetch):
                self._finish_or_drop(fetch)

    def _finish_or_drop(self, fetch: Fetch) -> None:
        """What nobody waits for: the last quarter is let in, with no reader's window to wait for; else it ends."""
        if fetch.is_nearly_there:
            fetch.let_in()
        else:
            self._fetches.drop(fetch)

    def _is_wanted(self, fetch: Fetch) -> bool:
        return any(
            handle.state.next_offset <= fetch.stop and fetch.begin <= max(handle.receive_stop, handle.state.next_offset)
            for handle in self._handles
        )

    def _ended(self, fetch: Fetch, error: CffsError | None) -> None:
        """A fetch is over; called before its waiters are woken."""
        if fetch.counts_as_stream:
            self._tools.running_streams -= 1
        if fetch.lease is not None:
            self._tools.cache.seal(fetch.lease)
        self._arrived_nbytes = max(self._arrived_nbytes, fetch.position if fetch.has_head else 0)
        if isinstance(error, MalformedAnswer):
            self._tools.cache.forget(self.identity.version, ByteRange(fetch.begin, max(fetch.begin, fetch.position)))
        if isinstance(error, RemoteObjectChanged) and not self.identity.is_changed:
            self._tools.listener.changed(self.identity.key)
            self.forget()
        elif not self._handles:
            self._tools.cache.abandon(self.identity.version)
