"""The read-ahead of one object: the decisions of its policy, carried out.

It begins fetches, moves the window of each reader, and cuts a stream to make room for parallel ranges. It owns what the
file has cost so far. It must not know how bytes are received, or which readers wait for them. No method is a
checkpoint.
"""

from collections.abc import Iterable

import trio

from cffs.cache.buffer_pool import POOL_BUFFER_NBYTES
from cffs.core.byte_range import ByteRange
from cffs.core.units import MIB
from cffs.reader.cursor import Cursor
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.fetch import UNKNOWN_STOP, Fetch, Fetches
from cffs.reader.object_coverage import ObjectCoverage
from cffs.reader.parallelism import StallDetector
from cffs.reader.read_ahead_policy import MIN_WINDOW_NBYTES, Spent, interrupted, plan, receive_stop_of
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_tracker import VersionTracker

#: A stream that is to be cut goes on for this long, so that the ranges after it begin before it ends.
_CUT_SECONDS = 0.3
#: No buffer that is being filled reaches beyond a cut.
_CUT_UNIT_NBYTES = POOL_BUFFER_NBYTES
#: With less left, a stream is over before parallel ranges have won anything.
_WORTH_CUTTING_NBYTES = 8 * MIB
#: A fetch that has more than this to bring before the wanted byte may bring it late: the READ plans again, and may make
#: a request of its own.
FAR_NBYTES = MIB
#: A window moves when its reader has read this fraction of it: one eighth.
_WINDOW_STEPS = 8


class ReadAhead:
    """The read-ahead of all readers of one object."""

    def __init__(
        self,
        tracker: VersionTracker,
        cache: TieredCache,
        fetches: Fetches,
        coverage: ObjectCoverage,
        cursors: Iterable[Cursor],
        dependencies: ReaderDependencies,
    ) -> None:
        """`cursors` are those of the open handles, at any time."""
        self._tracker = tracker
        self._cache = cache
        self._fetches = fetches
        self._coverage = coverage
        self._cursors = cursors
        self._dependencies = dependencies
        #: What the file has cost so far. It grows with each request; the plan says what the request was for.
        self.spent = dependencies.spent.get(tracker.version, Spent())
        self._reserved_nbytes = 0
        self.stall_detector = StallDetector(lambda: dependencies.parallelism_of(tracker.sources[0].api))

    def next_fetch(self, cursor: Cursor, wanted: ByteRange, *, is_late: bool) -> Fetch:
        """Return the fetch that brings the first byte of `wanted` that memory lacks; begin it where there is none, or
        none near. `is_late`: the READ has waited long."""
        missing = self._cache.missing_in_memory(wanted) or wanted
        fetch = self._fetches.covering(missing.start)
        if fetch is None or missing.start - fetch.position > FAR_NBYTES:
            self.follow(cursor, wanted, is_late=is_late)
            fetch = self._fetches.covering(missing.start)
        return fetch or self.begin(missing)

    def prefetch(self, ranges: Iterable[ByteRange]) -> None:
        """Prefetch the missing parts of these ranges; no reader is waiting for them."""
        for wanted in map(self._tracker.clamped, ranges):
            while (gap := self._coverage.first_missing(wanted)) is not None:
                self._dependencies.counters.prefetch_started += 1
                self.begin(gap, is_prefetched=True)

    def begin(
        self,
        wanted: ByteRange,
        *,
        is_stream: bool = False,
        stream_weight: float = 1.0,
        is_prefetched: bool = False,
        must_finish: bool = False,
        is_head_only: bool = False,
    ) -> Fetch:
        """Begin a fetch. The caller knows that no byte of it is on its way.

        `is_stream`: it is received only as far as a window. `stream_weight` is its share of one stream.
        `is_prefetched`: no reader has asked. `must_finish`: it is received to its end though its readers leave.
        `is_head_only`: its body is not received until a reader wants it.
        """
        self.spent = self.spent._replace(requests=self.spent.requests + 1)
        if self._tracker.ignores_ranges:
            total_nbytes = self._tracker.total_nbytes
            whole = ByteRange(0, UNKNOWN_STOP if total_nbytes is None else total_nbytes)
            fetch = Fetch(whole, is_stream=True, limit=wanted.stop, is_whole=True)
        else:
            fetch = Fetch(wanted, is_stream=is_stream, limit=wanted.start if is_stream else wanted.stop)
        fetch.is_prefetched, fetch.must_finish = is_prefetched, must_finish
        if is_head_only:
            fetch.is_head_only, fetch.limit = True, 0
        if fetch.is_stream:
            self._dependencies.counters.prefetch_started += 1
            fetch.stream_weight = stream_weight
            self._dependencies.running_streams += stream_weight
        self._fetches.begin(fetch)
        return fetch

    def arrived(self, fetch: Fetch, nbytes: int) -> None:
        """Judge a stream of which bytes arrived (the stall test): where its one connection holds its reader up, it is
        cut, and the next READ plans parallel ranges."""
        if not fetch.is_stream or fetch.is_whole or fetch.must_finish:
            return
        now = trio.current_time()
        rate = self.stall_detector.arrived(
            fetch,
            nbytes,
            now,
            latency_seconds=self._dependencies.link.latency_seconds,
            are_all_answered=all(other.has_head for other in self._fetches),
            is_worth_it=fetch.stop - fetch.position >= _WORTH_CUTTING_NBYTES,
        )
        if rate is not None:
            stop = fetch.position + max(_CUT_UNIT_NBYTES, int(rate * _CUT_SECONDS))
            fetch.cut(stop + -stop % _CUT_UNIT_NBYTES)
            self._replan()

    def _depth(self) -> int:
        return self._dependencies.parallelism_of(self._tracker.sources[0].api).depth(trio.current_time())

    def follow(self, cursor: Cursor, read: ByteRange, *, is_late: bool = False) -> None:
        """Plan for a READ, and begin the fetches that it and the READs after it want. `is_late`: it has waited long."""
        if self._tracker.is_changed:
            return
        total_nbytes = self._tracker.total_nbytes
        limits = self._dependencies.plan_limits(self._depth(), is_on_disk=self._is_on_disk())
        planned = plan(
            cursor.pattern,
            read,
            self._coverage,
            total_nbytes=total_nbytes,
            limits=limits,
            spent=self.spent,
            is_late=is_late,
        )
        cursor.pattern, cursor.quiet_stop = planned.pattern, planned.quiet_stop
        if planned.cut_at is not None and (running := self._fetches.covering(planned.cut_at)) is not None:
            running.cut(planned.cut_at)
            self._replan()
        if planned.is_jump:
            self.drop_unwanted()
        if planned.spent.is_whole and not self.spent.is_whole:
            self._bring_whole(total_nbytes or 0)
        self.spent = planned.spent
        for fetch in planned.fetches:
            if self._coverage.first_missing(fetch.wanted) is not None:  # one answer of the whole may cover them all
                weight = 1 / limits.depth
                self.begin(fetch.wanted, is_stream=fetch.is_stream, stream_weight=weight, must_finish=fetch.must_finish)
        self._set_window(cursor, planned.receive_stop)

    def _bring_whole(self, total_nbytes: int) -> None:
        """Have all that is on its way received to its end, whatever the window of its reader."""
        for fetch in self._fetches:
            fetch.keep()
        if not self._is_on_disk():
            self._reserved_nbytes = total_nbytes
            self._dependencies.whole_nbytes += total_nbytes

    def _is_on_disk(self) -> bool:
        """True where all of it is likely to be kept on disk."""
        tracker = self._tracker
        return not tracker.version.is_private and self._dependencies.disk.takes(tracker.total_nbytes or 0)

    def _replan(self) -> None:
        """Have the next READ of each reader planned: it may not go on as decided."""
        for cursor in self._cursors:
            cursor.quiet_stop = 0

    def ended(self, fetch: Fetch) -> None:
        """Account for a fetch that is over. Where something of it is still to come, a reader that goes on there is
        planned for in time, and not before: a slow player would have a request for each of its READs."""
        if fetch.position >= fetch.stop:
            return
        for cursor in self._cursors:
            window_nbytes = max(0, cursor.receive_stop - cursor.pattern.next_offset)
            cursor.quiet_stop = min(cursor.quiet_stop, max(0, fetch.position - window_nbytes // 2))
        if fetch.must_finish:
            self.spent = interrupted(self.spent)
            self._remember()

    def _remember(self) -> None:
        if not self._tracker.version.is_private:
            self._dependencies.spent[self._tracker.version] = self.spent

    def left(self) -> None:
        """Account for the last handle being closed."""
        self._remember()
        self.stall_detector.left()
        self._dependencies.whole_nbytes -= self._reserved_nbytes
        self._reserved_nbytes = 0

    def drop_unwanted(self) -> None:
        """Give up what no reader waits for or is about to read."""
        for fetch in self._fetches:
            is_wanted = any(fetch.must_finish or cursor.wants(fetch.start, fetch.stop) for cursor in self._cursors)
            if not fetch.has_waiters and not is_wanted:
                self._fetches.give_up(fetch)

    def move_window(self, cursor: Cursor) -> None:
        """Move the window of a reader that went on as planned."""
        limits = self._dependencies.plan_limits(self._depth())
        self._set_window(cursor, receive_stop_of(cursor.pattern, limits))

    def _set_window(self, cursor: Cursor, receive_stop: int) -> None:
        cursor.receive_stop = receive_stop
        # in steps here too: the limits of a window depend on all streams together
        cursor.window_due = cursor.pattern.next_offset + (receive_stop - cursor.pattern.next_offset) // _WINDOW_STEPS
        for fetch in self._fetches:
            if fetch.position <= receive_stop and cursor.pattern.next_offset <= fetch.stop:
                # in steps: a receiver that wakes for each READ would fill small buffers
                step_nbytes = min(MIN_WINDOW_NBYTES, (receive_stop - cursor.pattern.next_offset) // 2)
                if receive_stop >= min(fetch.limit + step_nbytes, fetch.stop):
                    fetch.raise_limit(receive_stop)
