"""What a reader waits for: bytes that memory lacks, a size, the head of an answer.

A READ that memory cannot serve asks the disk, then the network, part by part, and asks the caches again after every
wait: bytes may have been evicted meanwhile, and the object may have become another version
(cffs/docs/reading.md#scenarios).

It owns the memory of a timeout: handles that were opened before it fail at once for a few seconds instead of waiting as
long again. It must not know which handles there are, or what is fetched ahead of them.
"""

import math
from collections.abc import Collection

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.errors import DeadlineExceeded
from cffs.reader.cursor import Cursor
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.fetch import Fetch, Fetches
from cffs.reader.read_ahead import FAR_NBYTES, ReadAhead
from cffs.reader.read_ahead_policy import SMALL_FILE_NBYTES
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_agreement import Agreement
from cffs.reader.version_tracker import VersionTracker

#: A hint above this is believed in so far as that the file is not small. (The length of a WAV reported for its MP3 is 4
#: to 16 times too large, and a file of up to 512 KiB costs one request.)
_SURELY_LARGE_HINT_NBYTES = 16 * SMALL_FILE_NBYTES
#: Where the first byte took long and the end of the answer is not stated: as a rule, what follows comes quickly.
_LEAST_WAIT_FOR_END_SECONDS = 1.0
#: After a timeout, handles that were opened before it fail at once for this long (`--timeout`).
FAIL_AT_ONCE_SECONDS = 5.0
#: A READ whose bytes come after many others is looked at again this often.
_LOOK_AGAIN_SECONDS = 1.0
_EMPTY = memoryview(b"")


class DemandReads:
    """The waits of the readers of one object."""

    def __init__(
        self,
        *,
        tracker: VersionTracker,
        cache: TieredCache,
        fetches: Fetches,
        read_ahead: ReadAhead,
        agreement: Agreement,
        cursors: Collection[Cursor],
        dependencies: ReaderDependencies,
    ) -> None:
        """`cursors` are those of the open handles, at any time."""
        self._tracker = tracker
        self._cache = cache
        self._fetches = fetches
        self._read_ahead = read_ahead
        self._agreement = agreement
        self._cursors = cursors
        self._dependencies = dependencies
        self._timed_out_at = float("-inf")

    def origin_answers(self) -> None:
        """Forget the last timeout: an answer has arrived since."""
        self._timed_out_at = float("-inf")

    async def look(self) -> None:
        """Return once the head of an answer is here. Its body is left where it is until a handle is opened or read.

        A checkpoint unless the size is known. Cancelled, the request is dropped unless others wait for it. Raises
        CffsError; RemoteObjectChanged where another version was noticed meanwhile.
        """
        while self._tracker.total_nbytes is None:
            self._tracker.require_current()
            fetch = self._fetches.covering(0) or next(iter(self._fetches), None)
            if fetch is None:
                fetch = self._read_ahead.begin(ByteRange(0, SMALL_FILE_NBYTES), is_head_only=True)
            await self._wait(fetch, 0)
            fetch.raise_error()
            if fetch.has_head:
                return

    async def learn(self, hint_nbytes: int | None) -> None:
        """Return when the size is known, or when a third of the timeout has passed without it (then `total_nbytes`
        stays None).

        A checkpoint unless the size is known. Cancelled, the request is dropped unless others wait for it. Raises
        CffsError; RemoteObjectChanged where another version was noticed meanwhile.
        """
        until = trio.current_time() + self._dependencies.settings.timeout_seconds / 3
        while self._tracker.total_nbytes is None:
            self._tracker.require_current()
            fetch = self._fetches.covering(0) or next(iter(self._fetches), None)
            if fetch is None:
                is_large = hint_nbytes is not None and hint_nbytes > _SURELY_LARGE_HINT_NBYTES
                nbytes = self._dependencies.first_nbytes if is_large else SMALL_FILE_NBYTES
                fetch = self._read_ahead.begin(ByteRange(0, nbytes), must_finish=True)
            await self._wait(fetch, 0)
            if self._tracker.total_nbytes is None and fetch.error is None and fetch.has_head:
                with trio.move_on_at(max(until, trio.current_time() + _LEAST_WAIT_FOR_END_SECONDS)) as waiting:
                    # not by `_wait`: giving up here takes nothing from the handle that is about to be opened
                    await fetch.until_over()
                if waiting.cancelled_caught:
                    return
            fetch.raise_error()

    async def read(self, cursor: Cursor, read: ByteRange) -> tuple[memoryview, str]:
        """The bytes of `read`, from its start to at most the end of the object, and which tier had the last of them:
        "disk" or "service".

        Parts are held as they come: with little memory the first might be evicted before the last has come. A
        checkpoint only where it has to wait. Cancelled, what it waited for is dropped unless others want it. Raises
        CffsError.
        """
        parts, was_asked, beginnings = list[memoryview](), False, self._tracker.beginnings
        late_at = trio.current_time() + self._dependencies.patience_seconds
        while True:
            await self._until_proven(cursor)
            if beginnings != self._tracker.beginnings:
                parts, beginnings = [], self._tracker.beginnings
            position = read.start + sum(map(len, parts))
            if not (wanted := self._tracker.clamped(ByteRange(min(position, read.stop), read.stop))):
                break
            data = await self._cache.read(wanted)
            if data is None:
                was_asked = True
                data = await self._from_origin(cursor, wanted, late_at)
            self._tracker.require_current()  # or it may be of the next version
            if data:
                self._tracker.is_pinned = True  # what a cache had may be evicted before an answer names its version
                parts.append(data)
        if not was_asked:
            self._dependencies.disk.hits += 1
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts)), "service" if was_asked else "disk"

    async def _until_proven(self, cursor: Cursor) -> None:
        """Return once what readers were given is known to be of the version that is here. A checkpoint where it is not.
        Raises CffsError."""
        while (proof := self._agreement.proof) is not None:
            self._check(cursor)
            whole = next((fetch for fetch in self._fetches if fetch.is_whole), None)
            fetch = whole or self._read_ahead.begin(ByteRange(0, proof.stop))
            await self._wait(fetch, proof.stop)
            self._tracker.require_current()
            if self._agreement.proof is not None:
                fetch.raise_error()

    async def _from_origin(self, cursor: Cursor, wanted: ByteRange, late_at: float) -> memoryview:
        """The bytes of `wanted`, from its start, that are here once the fetch of the first missing byte has brought
        what it can, or after a moment. Raises the error of that fetch where there are none."""
        self._check(cursor)
        fetch = self._read_ahead.next_fetch(cursor, wanted, is_late=trio.current_time() >= late_at)
        seconds = _LOOK_AGAIN_SECONDS if wanted.start - fetch.position > FAR_NBYTES else math.inf
        await self._wait(fetch, min(wanted.stop, fetch.stop), seconds=seconds)
        wanted = self._tracker.clamped(wanted)
        missing = self._cache.missing_in_memory(wanted)
        here = ByteRange(wanted.start, wanted.stop if missing is None else missing.start)
        data = self._cache.try_read(here) or _EMPTY
        if missing is not None and not data:
            fetch.raise_error()
        return data

    async def _wait(self, fetch: Fetch, need_stop: int, *, seconds: float = math.inf) -> None:
        self._read_ahead.stall_detector.waits(trio.current_time())
        try:
            if seconds == math.inf:  # most waits: a scope costs as much as a READ from memory
                await fetch.until(need_stop)
            else:
                position, has_head = fetch.position, fetch.has_head
                with trio.move_on_after(seconds) as patience:
                    await fetch.until(need_stop)
                if patience.cancelled_caught and has_head:
                    self._dependencies.link.note_rate(fetch.position - position, seconds)
        except trio.Cancelled:
            self._give_up(fetch)
            raise
        finally:
            self._read_ahead.stall_detector.waited(trio.current_time())
            if not self._cursors:  # closed while it waited
                self._read_ahead.drop_unwanted()

    def _give_up(self, fetch: Fetch) -> None:
        """A reader ran out of time: unless others wait for the fetch it is dropped, so that the next open asks
        afresh."""
        self._timed_out_at = trio.current_time()
        if not fetch.has_waiters and not fetch.has_ended():
            self._fetches.give_up(fetch, is_late=True)

    def _check(self, cursor: Cursor) -> None:
        self._tracker.require_current()
        if cursor.opened_at <= self._timed_out_at and trio.current_time() < self._timed_out_at + FAIL_AT_ONCE_SECONDS:
            raise DeadlineExceeded(f"{self._tracker.key} did not answer in time a moment ago")
