"""One version of one object, and the open files that read it.

It owns the version's fetches, caches and readers, and puts their events together: bytes that arrive, answers that end,
versions that prove to be others. It must not know HTTP, paths or errnos.
"""

from collections.abc import Hashable, Iterable
from typing import Protocol

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, MalformedAnswer, MuchShorter, RemoteObjectChanged, VersionUnclear
from cffs.core.source import Api, Source
from cffs.core.units import MIB
from cffs.reader.cursor import Cursor, DeliveredRanges
from cffs.reader.demand_reads import DemandReads
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.disk_fill import DiskFill
from cffs.reader.downloader import Downloader
from cffs.reader.fetch import Fetch, Fetches
from cffs.reader.object_coverage import ObjectCoverage
from cffs.reader.object_info import Known
from cffs.reader.read_ahead import ReadAhead
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_agreement import Agreement
from cffs.reader.version_tracker import VersionTracker

#: How far a reader moves between two looks at what can be freed behind it.
_SWEEP_NBYTES = MIB


class FileTable(Protocol):
    """The table of the files of a mount. No method is a checkpoint."""

    def closed(self, file: "RemoteFile") -> None:
        """The last handle of the file was closed."""

    def found_another_version(self, file: "RemoteFile") -> None:
        """An answer was of another version."""

    def found_unclear_version(self, file: "RemoteFile") -> None:
        """An answer did not show that it is of the version at hand."""

    def found_much_shorter(self, file: "RemoteFile", total_nbytes: int) -> None:
        """A whole answer had hardly anything, and was not believed."""


class RemoteFile:
    """One version of object `key`, shared by all its open handles."""

    def __init__(
        self,
        key: str,
        candidates: tuple[Source, ...],
        known: Known | None,
        dependencies: ReaderDependencies,
        table: FileTable,
        *,
        is_settled: bool = True,
        is_of_one_answer: bool = False,
        digest: int | None = None,
    ) -> None:
        """`is_settled`: see VersionTracker; `digest`: see Agreement. With `is_of_one_answer` the object is requested as
        a whole, since its answers did not agree before."""
        self.tracker = tracker = VersionTracker(
            key, candidates, known, is_settled=is_settled, is_of_one_answer=is_of_one_answer
        )
        tracker.ignores_ranges |= all(source.api in dependencies.without_ranges for source in tracker.sources)
        self.began_at = self.closed_at = trio.current_time()
        self._dependencies = dependencies
        self._table = table
        self._cursors: dict[Cursor, None] = {}
        self._cache = TieredCache(tracker, dependencies)
        downloader = Downloader(tracker, self._cache, dependencies, on_arrived=self._arrived, on_answered=self._publish)
        self._fetches = Fetches(dependencies.background, downloader.receive, self._ended)
        coverage = ObjectCoverage(self._cache, self._fetches)
        self._read_ahead = ReadAhead(tracker, self._cache, self._fetches, coverage, self._cursors, dependencies)
        self._delivered = DeliveredRanges()
        self._agreement = Agreement(tracker, self._cache, dependencies.memory, self._delivered, digest)
        self.demand = DemandReads(
            tracker=tracker,
            cache=self._cache,
            fetches=self._fetches,
            read_ahead=self._read_ahead,
            agreement=self._agreement,
            cursors=self._cursors,
            dependencies=dependencies,
        )
        self.disk_fill = DiskFill(tracker, self._cache, self._fetches, self.read)
        self._arrived_nbytes = 0
        #: Which of memory, disk and service answered the last READ; noted in the history after the last close.
        self.tier = ""

    @property
    def is_open(self) -> bool:
        """True while a handle is open."""
        return bool(self._cursors)

    @property
    def is_shared(self) -> bool:
        """True while more than one handle is open."""
        return len(self._cursors) > 1

    @property
    def is_busy(self) -> bool:
        """True while anything of it is on its way."""
        return bool(self._fetches.running)

    @property
    def arrived_nbytes(self) -> int:
        """How far verified bytes are known to reach."""
        return max([self._arrived_nbytes, *(fetch.position for fetch in self._fetches if fetch.has_head)])

    # -- handles --

    def attach(self, reader: Hashable = None, *, has_pages: bool = False) -> "OpenFile":
        """Open a handle. With `has_pages`, `reader` may have bytes of this version from an earlier open. Never a
        checkpoint."""
        self._agreement.joined(reader, has_pages=has_pages)
        cursor = Cursor(first_nbytes=self._dependencies.first_nbytes, opened_at=trio.current_time())
        self._dependencies.open_objects += not self._cursors
        self._cursors[cursor] = None
        self._dependencies.counters.open_files += 1
        self._dependencies.memory.protect(self.tracker.version)
        return OpenFile(self, cursor)

    def detach(self, cursor: Cursor) -> None:
        """End a handle and drop what only it wanted. Nothing where it has ended. Never a checkpoint."""
        if cursor not in self._cursors:
            return
        del self._cursors[cursor]
        self._dependencies.counters.open_files -= 1
        self._dependencies.open_objects -= not self._cursors
        self._read_ahead.drop_unwanted()
        if not self._cursors:
            self.closed_at = trio.current_time()
            if self.tier:
                self._dependencies.histories.note_tier(self.tracker.key, self.tier)
            self._read_ahead.left()
            self._dependencies.memory.abandon(self.tracker.version)
            if self.tracker.total_nbytes is None:  # the next open must not take it for its own
                self._dependencies.memory.drop(self.tracker.version)
            self._table.closed(self)

    # -- a first answer --

    def take_first_piece(self, cursor: Cursor) -> None:
        """Have the body that `look` left received for this reader. Never a checkpoint."""
        for fetch in self._fetches:
            if fetch.is_head_only:
                fetch.want_body()
                cursor.early = (fetch.coming,)

    def leave_first_piece(self) -> None:
        """Drop the answer that `look` left. Never a checkpoint."""
        for fetch in self._fetches:
            if fetch.is_head_only:
                self._fetches.drop(fetch)

    def rename(self, key: str, candidates: tuple[Source, ...]) -> None:
        """Take another key: it has become known which object this is. Never a checkpoint."""
        old = self.tracker.version
        self.tracker.rename(key, candidates)
        self._cache.note_version_change(old)

    def settle(self) -> None:
        """The object is no longer being made: what is here of it may be kept. Never a checkpoint."""
        old = self.tracker.version
        self.tracker.settle()
        self._cache.note_version_change(old)

    # -- reading --

    def try_read(self, cursor: Cursor, offset: int, nbytes: int) -> memoryview | None:
        """See OpenFile.try_read."""
        read, total_nbytes = ByteRange(offset, offset + nbytes), self.tracker.total_nbytes
        if total_nbytes is not None:
            read = read.clamped(total_nbytes)
        data = self._cache.try_read(read) if self._agreement.proof is None else None
        if data is None:
            return None
        self._dependencies.memory.counters.hits += 1
        if data:
            self.tracker.is_pinned = True
            if not self._is_at_rest():
                if not cursor.goes_on(read):
                    self._read_ahead.follow(cursor, read)
                elif cursor.pattern.next_offset >= cursor.window_due:
                    self._read_ahead.move_window(cursor)
            self._note_delivered(cursor, read, read)
            self.tier = "memory"
        return data

    async def read(self, cursor: Cursor, offset: int, nbytes: int) -> memoryview:
        """See OpenFile.read."""
        data = self.try_read(cursor, offset, nbytes)
        if data is not None:
            return data
        self._dependencies.memory.counters.misses += 1
        read = self.tracker.clamped(ByteRange(offset, offset + nbytes))
        if not self._is_at_rest():
            self._read_ahead.follow(cursor, read)
        data, self.tier = await self.demand.read(cursor, read)
        self._note_delivered(cursor, read, ByteRange(read.start, read.start + len(data)))
        return data

    def _is_at_rest(self) -> bool:
        """True when all of the file is here and nothing is on its way: there is nothing to plan."""
        return not self._fetches.running and self._cache.is_whole()

    def _note_delivered(self, cursor: Cursor, read: ByteRange, delivered: ByteRange) -> None:
        self._dependencies.counters.reads += 1
        self._dependencies.counters.bytes_delivered += delivered.stop - delivered.start
        self._delivered.add(delivered)
        cursor.note_read(read, self.tracker.total_nbytes)
        next_offset = cursor.pattern.next_offset
        if abs(next_offset - cursor.swept_stop) < _SWEEP_NBYTES or not cursor.pattern.is_sequential:
            return
        cursor.swept_stop = next_offset
        self._cache.note_passed(
            min(other.pattern.next_offset for other in self._cursors if other.pattern.is_sequential)
        )

    def prefetch(self, ranges: Iterable[ByteRange]) -> None:
        """See OpenFile.prefetch."""
        self._read_ahead.prefetch(ranges)

    # -- its end --

    def end(self) -> None:
        """Drop all that is on its way: this is no longer the current file of its object. The bytes that are here
        stay."""
        for fetch in self._fetches:
            self._fetches.drop(fetch)

    def forget(self, *, is_partial: bool) -> None:
        """End the file because the origin has another version, or because what is here may be a part (`is_partial`):
        open handles raise RemoteObjectChanged or PossiblyPartial from now on. The caller drops the bytes."""
        self.tracker.end(is_partial=is_partial)
        self.end()

    # -- what its fetches report --

    def _arrived(self, fetch: Fetch, nbytes: int) -> None:
        """Bytes of a fetch arrived. Raises RemoteObjectChanged where they differ from those that readers have."""
        self.demand.origin_answers()
        self._agreement.arrived(fetch)
        self._read_ahead.arrived(fetch, nbytes)

    def _publish(self, fetch: Fetch) -> None:
        """An answer ended, or was left, without proving wrong: what it brought may outlast a crash."""
        self._cache.publish(fetch.brought, unproven=[other.brought for other in self._fetches if other is not fetch])

    def _ended(self, fetch: Fetch, error: CffsError | None) -> CffsError | None:
        """A fetch is over. Returns the error for those that wait for it."""
        self._dependencies.running_streams -= fetch.stream_weight
        if fetch.lease is not None:
            self._dependencies.memory.seal(fetch.lease)
            self._cache.note_arrival(ByteRange(fetch.lease.start, fetch.lease.filled_stop))
        self._arrived_nbytes = max(self._arrived_nbytes, fetch.position if fetch.has_head else 0)
        self._read_ahead.ended(fetch)
        self._note_history(fetch, error)
        if isinstance(error, MalformedAnswer):
            self._cache.forget(fetch.brought)
        else:
            self._publish(fetch)
        if isinstance(error, RemoteObjectChanged) and not self.tracker.is_changed:
            return self._found_another(error)
        if isinstance(error, MuchShorter):
            self._table.found_much_shorter(self, error.total)
        elif not self._cursors:
            self._dependencies.memory.abandon(self.tracker.version)
        return error

    def _found_another(self, error: RemoteObjectChanged) -> RemoteObjectChanged | None:
        if isinstance(error, VersionUnclear):
            self._table.found_unclear_version(self)
            if self._agreement.may_begin_again():
                self.end()
                self._agreement.begin_again()
                return None  # readers that wait ask again
        self._table.found_another_version(self)
        return error

    def _note_history(self, fetch: Fetch, error: CffsError | None) -> None:
        key, histories = self.tracker.key, self._dependencies.histories
        if fetch.has_head and self.tracker.source is not None:
            histories.note_fetch(key, ByteRange(fetch.start, max(fetch.start, fetch.position)), self.tracker.source.key)
        if error is not None:
            histories.note_failure(key, error)


class OpenFile:
    """One open handle. `close` it exactly once."""

    def __init__(self, file: RemoteFile, cursor: Cursor) -> None:
        self._file = file
        self.cursor = cursor
        self.is_closed = False

    @property
    def key(self) -> str:
        """The key of its object."""
        return self._file.tracker.key

    @property
    def total_nbytes(self) -> int | None:
        """The exact size; None while the origin has not stated it (then the kernel must not cache by size)."""
        return self._file.tracker.total_nbytes

    @property
    def api(self) -> Api:
        """The API that its bytes come from, or are requested from first."""
        return self._file.tracker.sources[0].api

    @property
    def last_modified_ns(self) -> int | None:
        """Last-Modified, where the origin sent it."""
        return self._file.tracker.last_modified_ns

    @property
    def arrived_nbytes(self) -> int:
        """How far the object is known to reach: `st_size` must exceed it while the total is not known."""
        return self._file.arrived_nbytes

    @property
    def is_changed(self) -> bool:
        """True once the origin has another version: every READ that waits raises RemoteObjectChanged."""
        return self._file.tracker.is_changed

    @property
    def is_settled(self) -> bool:
        """False as long as it is not known whether the object is still being made."""
        return self._file.tracker.is_settled

    @property
    def is_shared(self) -> bool:
        """True while other handles are open on the file."""
        return self._file.is_shared

    @property
    def answered_ms(self) -> int | None:
        """When the first answer was sent, by the service's clock."""
        return self._file.tracker.answered_ms

    async def look(self) -> None:
        """See DemandReads.look."""
        await self._file.demand.look()

    async def learn(self, hint_nbytes: int | None) -> None:
        """See DemandReads.learn."""
        await self._file.demand.learn(hint_nbytes)

    def take_first_piece(self) -> None:
        """See RemoteFile.take_first_piece."""
        self._file.take_first_piece(self.cursor)

    def leave_first_piece(self) -> None:
        """See RemoteFile.leave_first_piece."""
        self._file.leave_first_piece()

    def try_read(self, offset: int, nbytes: int) -> memoryview | None:
        """The bytes that `read` would return, where memory has all of them, else None. Never a checkpoint."""
        return self._file.try_read(self.cursor, offset, nbytes)

    async def read(self, offset: int, nbytes: int) -> memoryview:
        """The bytes from `offset` on: `nbytes` of them, fewer only at the true end. The view is read-only and valid for
        as long as it is held.

        A checkpoint only where it has to wait. Cancelled, what it waited for is dropped unless others want it. Raises
        CffsError.
        """
        return await self._file.read(self.cursor, offset, nbytes)

    async def keep_next(self) -> int | None:
        """Bring the next piece that is not on disk there, from memory or from the service.

        Returns how many bytes it has; 0 where the disk did not take it; None once all of the object is there. The size
        must be known. Cancelled, what came stays. Raises CffsError.
        """
        return await self._file.disk_fill.keep_next(self.cursor)

    def prefetch(self, ranges: Iterable[ByteRange]) -> None:
        """Fetch the missing parts of these ranges, after all that a reader waits for. Never a checkpoint."""
        self.cursor.early = tuple(ranges)
        self._file.prefetch(self.cursor.early)

    def close(self) -> None:
        """End the handle and give up what only it wanted. Never a checkpoint."""
        self.is_closed = True
        self._file.detach(self.cursor)
