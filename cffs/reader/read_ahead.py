"""What the planner wants, done: fetches of one object begun, their windows moved, a stream cut for parallel ranges.

It must not know how bytes are received or who waits for them. Owned by one RemoteFile, which tells it of each READ.
No method is a checkpoint.
"""

from collections.abc import Iterable

import trio

from cffs.cache.buffer_pool import SLAB_NBYTES
from cffs.core.byte_range import ByteRange
from cffs.reader.access_pattern import goes_on
from cffs.reader.coverage import Coming
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.fetch import UNKNOWN_STOP, Fetch, Fetches
from cffs.reader.open_file import OpenFile
from cffs.reader.parallelism import StallDetector
from cffs.reader.planner import MIN_WINDOW_NBYTES, Spent, interrupted, plan, receive_stop_of
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_tracker import VersionTracker

#: A stream that is to be cut goes on for so long, so that the ranges that follow it begin before it ends.
_CUT_SECONDS = 0.3
#: No buffer that is being filled reaches beyond a cut.
_CUT_UNIT_NBYTES = SLAB_NBYTES
#: With less than that left, a stream is over before ranges beside it have won anything.
_WORTH_CUTTING_NBYTES = 8 * 1024 * 1024
#: Bytes that come behind more than so many others may be late: it is looked again whether they are worth a request.
FAR_NBYTES = 1024 * 1024
#: A window moves when its reader has read one such part of it.
_WINDOW_STEPS = 8


class ReadAhead:
    """The planner's hands, for all readers of one object; it is the planner's Coverage too."""

    def __init__(
        self,
        identity: VersionTracker,
        holdings: TieredCache,
        fetches: Fetches,
        handles: Iterable[OpenFile],
        tools: ReaderDependencies,
    ) -> None:
        """`handles` are the open ones, at any time."""
        self._identity = identity
        self._holdings = holdings
        self._fetches = fetches
        self._handles = handles
        self._tools = tools
        #: What the file has cost so far; grows with each request, and is told by the plan of what it was for.
        self.spent = tools.spent.get(identity.version, Spent())
        self._reserved_nbytes = 0
        self.watch = StallDetector(lambda: tools.pace_of(identity.sources[0].api))

    def follow(self, handle: OpenFile, read: ByteRange, *, is_here: bool) -> None:
        """A READ begins; `is_here` says that memory has all of it. Begins what is to come next."""
        if self._is_at_rest() or (is_here and self._goes_on(handle, read)):
            return
        self._observe(handle, read)

    def next_fetch(self, handle: OpenFile, wanted: ByteRange, *, is_late: bool) -> Fetch:
        """The fetch that brings the first byte of `wanted` that is not here; begun where there is none, or none near.
        `is_late`: the READ has waited long."""
        missing = self._holdings.missing_in_memory(wanted) or wanted
        fetch = self._fetches.covering(missing.start)
        if fetch is None or missing.start - fetch.position > FAR_NBYTES:
            self._observe(handle, wanted, is_late=is_late)
            fetch = self._fetches.covering(missing.start)
        return fetch or self.begin(missing)

    def bring(self, pieces: Iterable[ByteRange]) -> None:
        """Begins to fetch what is missing of them, for nobody yet."""
        total_nbytes = self._identity.total_nbytes
        for piece in pieces:
            wanted = piece if total_nbytes is None else piece.clamped(total_nbytes)
            while (gap := self.first_missing(wanted)) is not None:
                self._tools.counters.prefetch_started += 1
                self.begin(gap, is_brought=True)

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

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        """The planner's Coverage: not held."""
        return self._holdings.first_missing(within)

    def coming(self, offset: int) -> Coming | None:
        """The planner's Coverage; what answers with the whole brings all of it, and cannot be cut."""
        fetch = self._fetches.covering(offset)
        if fetch is None or fetch.is_whole:
            return None
        return Coming(fetch.position, fetch.fixed_stop, fetch.stop, fetch.has_head)

    def begin(
        self,
        wanted: ByteRange,
        *,
        is_stream: bool = False,
        stream_weight: float = 1.0,
        is_brought: bool = False,
        is_kept: bool = False,
        is_held: bool = False,
    ) -> Fetch:
        """Begins a fetch. The caller knows that nothing of it is on its way."""
        self.spent = self.spent._replace(requests=self.spent.requests + 1)
        if self._identity.ignores_ranges:
            total_nbytes = self._identity.total_nbytes
            whole = ByteRange(0, UNKNOWN_STOP if total_nbytes is None else total_nbytes)
            fetch = Fetch(whole, is_stream=True, limit=wanted.stop, is_whole=True)
        else:
            fetch = Fetch(wanted, is_stream=is_stream, limit=wanted.start if is_stream else wanted.stop)
        fetch.is_brought, fetch.is_kept = is_brought, is_kept
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
        if not fetch.is_stream or fetch.is_whole or fetch.is_kept:
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
            self._plan_anew()

    def _is_at_rest(self) -> bool:
        """True when all of a file is here and nothing is on its way: no plan can want anything."""
        return not self._fetches.is_busy and self._holdings.is_whole()

    def _depth(self) -> int:
        return self._tools.pace_of(self._identity.sources[0].api).depth(trio.current_time())

    def _observe(self, handle: OpenFile, read: ByteRange, *, is_late: bool = False) -> None:
        """Tells the planner about a READ and does what it wants."""
        if self._identity.is_changed:
            return
        total_nbytes = self._identity.total_nbytes
        limits = self._tools.planner_limits(self._depth(), is_on_disk=self._is_on_disk())
        planned = plan(
            handle.state, read, self, total_nbytes=total_nbytes, limits=limits, spent=self.spent, is_late=is_late
        )
        handle.state, handle.quiet_stop = planned.state, planned.quiet_stop
        if planned.cut_at is not None and (running := self._fetches.covering(planned.cut_at)) is not None:
            running.cut(planned.cut_at)
            self._plan_anew()
        if planned.is_jump:
            self.drop_unwanted()
        if planned.spent.is_whole and not self.spent.is_whole:
            self._bring_whole(total_nbytes or 0)
        self.spent = planned.spent
        for fetch in planned.fetches:
            if self.first_missing(fetch.wanted) is not None:  # one answer of the whole may cover them all
                weight = 1 / limits.depth
                self.begin(fetch.wanted, is_stream=fetch.is_stream, stream_weight=weight, is_kept=fetch.is_kept)
        self._move_window(handle, planned.receive_stop)

    def _bring_whole(self, total_nbytes: int) -> None:
        """What is on its way comes to its end, whatever its reader's window is."""
        for fetch in self._fetches:
            fetch.keep()
        if not self._is_on_disk():
            self._reserved_nbytes = total_nbytes
            self._tools.whole_nbytes += total_nbytes

    def _is_on_disk(self) -> bool:
        """True where all of it is likely to be kept on disk."""
        identity = self._identity
        return not identity.version.is_private and self._tools.disk.takes(identity.total_nbytes or 0)

    def _plan_anew(self) -> None:
        """The next READ of each reader is planned for: it may not go on as it was to."""
        for handle in self._handles:
            handle.quiet_stop = 0

    def ended(self, fetch: Fetch) -> None:
        """A fetch is over. Where something of it is still to come, whoever goes on there is planned for in time, and
        not before: a player that takes its time would have a request for each of its READs."""
        if fetch.position >= fetch.stop:
            return
        for handle in self._handles:
            window_nbytes = max(0, handle.receive_stop - handle.state.next_offset)
            handle.quiet_stop = min(handle.quiet_stop, max(0, fetch.position - window_nbytes // 2))
        if fetch.is_kept:
            self.spent = interrupted(self.spent)
            self._remember()

    def _remember(self) -> None:
        if not self._identity.version.is_private:
            self._tools.spent[self._identity.version] = self.spent

    def left(self) -> None:
        """Nobody reads any more."""
        self._remember()
        self.watch.left()
        self._tools.whole_nbytes -= self._reserved_nbytes
        self._reserved_nbytes = 0

    def drop_unwanted(self) -> None:
        """Gives up what no reader waits for or is about to."""
        for fetch in self._fetches:
            is_wanted = any(fetch.is_kept or handle.wants(fetch.begin, fetch.stop) for handle in self._handles)
            if not fetch.is_awaited and not is_wanted:
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
