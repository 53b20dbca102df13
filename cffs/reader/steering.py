"""What the planner wants, done: fetches of one object begun, their windows moved, a stream cut for parallel ranges.

It must not know how bytes are received or who waits for them. Owned by one RemoteFile, which tells it of each READ.
No method is a checkpoint.
"""

from collections.abc import Iterable

import trio

from cffs.cache.slabs import SLAB_NBYTES
from cffs.core.byte_range import ByteRange
from cffs.reader.fetches import UNKNOWN_STOP, Fetch, Fetches
from cffs.reader.holdings import Holdings
from cffs.reader.identity import Identity
from cffs.reader.open_file import OpenFile
from cffs.reader.pace import StreamWatch
from cffs.reader.planner import MIN_WINDOW_NBYTES, goes_on, plan, receive_stop_of
from cffs.reader.tools import Tools

#: A stream that is to be cut goes on for so long, so that the ranges that follow it begin before it ends.
_CUT_SECONDS = 0.3
#: No buffer that is being filled reaches beyond a cut.
_CUT_UNIT_NBYTES = SLAB_NBYTES
#: With less than that left, a stream is over before ranges beside it have won anything.
_WORTH_CUTTING_NBYTES = 8 * 1024 * 1024
#: A window moves when its reader has read one such part of it.
_WINDOW_STEPS = 8


class Steering:
    """The planner's hands, for all readers of one object; it is the planner's Coverage too."""

    def __init__(
        self, identity: Identity, holdings: Holdings, fetches: Fetches, handles: Iterable[OpenFile], tools: Tools
    ) -> None:
        """`handles` are the open ones, at any time."""
        self._identity = identity
        self._holdings = holdings
        self._fetches = fetches
        self._handles = handles
        self._tools = tools
        self.watch = StreamWatch(lambda: tools.pace_of(identity.sources[0].api))

    def follow(self, handle: OpenFile, read: ByteRange, *, is_here: bool) -> None:
        """A READ begins; `is_here` says that memory has all of it. Begins what is to come next."""
        if self._is_at_rest() or (is_here and self._goes_on(handle, read)):
            return
        self._observe(handle, read)

    def next_fetch(self, handle: OpenFile, wanted: ByteRange) -> Fetch:
        """The fetch that brings the first byte of `wanted` that is not here; begun where there is none."""
        missing = self._holdings.missing_in_memory(wanted) or wanted
        fetch = self._fetches.covering(missing.start)
        if fetch is None:
            self._observe(handle, wanted)
            fetch = self._fetches.covering(missing.start)
        return fetch or self.begin(missing, is_stream=False)

    def bring(self, pieces: Iterable[ByteRange]) -> None:
        """Begins to fetch what is missing of them, for nobody yet."""
        total_nbytes = self._identity.total_nbytes
        for piece in pieces:
            wanted = piece if total_nbytes is None else piece.clamped(total_nbytes)
            while (gap := self.first_missing(wanted)) is not None:
                self._tools.counters.prefetch_started += 1
                self.begin(gap, is_stream=False, is_brought=True)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The planner's Coverage: neither held nor on its way."""
        position = within.start
        coming = self._fetches.coming()
        while position < within.stop:
            gap = self._holdings.first_missing(ByteRange(position, within.stop))
            if gap is None:
                return None
            for piece in gap.minus(coming):
                return piece
            position = gap.stop
        return None

    def begin(
        self,
        wanted: ByteRange,
        *,
        is_stream: bool,
        stream_weight: float = 1.0,
        is_brought: bool = False,
        is_held: bool = False,
    ) -> Fetch:
        """Begins a fetch. The caller knows that nothing of it is on its way."""
        if self._identity.ignores_ranges:
            total_nbytes = self._identity.total_nbytes
            whole = ByteRange(0, UNKNOWN_STOP if total_nbytes is None else total_nbytes)
            fetch = Fetch(whole, is_stream=True, limit=wanted.stop, is_whole=True)
        else:
            fetch = Fetch(wanted, is_stream=is_stream, limit=wanted.start if is_stream else wanted.stop)
        fetch.is_brought = is_brought
        if is_held:
            fetch.is_held, fetch.limit = True, 0
        if fetch.is_stream:
            self._tools.counters.prefetch_started += 1
            fetch.stream_weight = stream_weight
            self._tools.running_streams += stream_weight
        self._fetches.begin(fetch)
        return fetch

    def arrived(self, fetch: Fetch, nbytes: int) -> None:
        """Bytes of a fetch arrived: the stall test. Where one connection holds its reader up, its stream is cut, and
        the next READ plans ranges side by side."""
        if not fetch.is_stream or fetch.is_whole:
            return
        now = trio.current_time()
        rate = self.watch.arrived(
            fetch,
            nbytes,
            now,
            latency_seconds=self._tools.link.latency_seconds,
            are_all_answered=all(other.has_head for other in self._fetches),
            is_worth_it=fetch.stop - fetch.position >= _WORTH_CUTTING_NBYTES,
        )
        if rate is not None:
            stop = fetch.position + max(_CUT_UNIT_NBYTES, int(rate * _CUT_SECONDS))
            fetch.cut(stop + -stop % _CUT_UNIT_NBYTES)
            for handle in self._handles:
                handle.quiet_stop = 0

    def _is_at_rest(self) -> bool:
        """True when all of a file is here and nothing is on its way: no plan can want anything."""
        return not self._fetches.is_busy and self._holdings.is_whole()

    def _depth(self) -> int:
        return self._tools.pace_of(self._identity.sources[0].api).depth(trio.current_time())

    def _observe(self, handle: OpenFile, read: ByteRange) -> None:
        """Tells the planner about a READ and does what it wants."""
        if self._identity.is_changed:
            return
        limits = self._tools.planner_limits(self._depth())
        planned = plan(handle.state, read, self, total_nbytes=self._identity.total_nbytes, limits=limits)
        handle.state, handle.quiet_stop = planned.state, planned.quiet_stop
        if planned.is_jump:
            self.drop_unwanted()
        for fetch in planned.fetches:
            if self.first_missing(fetch.wanted) is not None:  # one answer of the whole may cover them all
                self.begin(fetch.wanted, is_stream=fetch.is_stream, stream_weight=1 / limits.depth)
        self._move_window(handle, planned.receive_stop)

    def drop_unwanted(self) -> None:
        """Gives up what no reader waits for or is about to."""
        for fetch in self._fetches:
            if not fetch.is_awaited and not any(handle.wants(fetch.begin, fetch.stop) for handle in self._handles):
                self._fetches.give_up(fetch)

    def _goes_on(self, handle: OpenFile, read: ByteRange) -> bool:
        """True when the last plan said that this READ needs none; only the window moves."""
        state = goes_on(handle.state, read, handle.quiet_stop)
        if state is None:
            return False
        handle.state = state
        if state.next_offset >= handle.window_due:
            self._move_window(handle, receive_stop_of(state, self._tools.planner_limits(self._depth())))
        return True

    def _move_window(self, handle: OpenFile, receive_stop: int) -> None:
        handle.receive_stop = receive_stop
        # in steps here too: what a window may be now is asked of all streams together
        handle.window_due = handle.state.next_offset + (receive_stop - handle.state.next_offset) // _WINDOW_STEPS
        for fetch in self._fetches:
            if fetch.position <= receive_stop and handle.state.next_offset <= fetch.stop:
                # in steps: a receiver that wakes for each READ would fill small buffers
                step_nbytes = min(MIN_WINDOW_NBYTES, (receive_stop - handle.state.next_offset) // 2)
                if receive_stop >= min(fetch.limit + step_nbytes, fetch.stop):
                    fetch.raise_limit(receive_stop)
