"""One version of one object: READs served from the cache and from fetches on their way, its size learned.

It owns the object's identity, its fetches and who has it open; it must not know HTTP, paths or errnos.
`reader/object_registry` makes it, `OpenFile` is what a handle holds.
"""

import copy
import math
from collections.abc import Hashable, Iterable

import trio

from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    MalformedAnswer,
    MuchShorter,
    RemoteObjectChanged,
    VersionUnclear,
)
from cffs.core.source import Source
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.disk_fill import DiskFill
from cffs.reader.downloader import Downloader
from cffs.reader.fetch import Fetch, Fetches
from cffs.reader.object_info import Known
from cffs.reader.open_file import OpenFile as OpenFile  # fuse/ and daemon/ take it from here
from cffs.reader.planner import SMALL_FILE_NBYTES
from cffs.reader.read_ahead import FAR_NBYTES, ReadAhead
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_agreement import Agreement, Owner
from cffs.reader.version_tracker import VersionTracker

#: A hint above this is believed as far as that the file is not small (a WAV's length said of its MP3 is 4-16 times
#: too long; contract 5: a file of up to 512 KiB costs one request).
_SURELY_LARGE_HINT_NBYTES = 16 * SMALL_FILE_NBYTES
_SWEEP_NBYTES = 1024 * 1024
#: Where the first byte took long and the end is not told: what follows comes quickly as a rule.
_LEAST_WAIT_FOR_END_SECONDS = 1.0
#: After a timeout the handles opened before it fail at once for so long (contract 2, `--timeout`).
FAIL_AT_ONCE_SECONDS = 5.0
#: A READ whose bytes come behind many others is looked at again so often.
_LOOK_AGAIN_SECONDS = 1.0
_EMPTY = memoryview(b"")


class RemoteFile:
    """One version of object `key`, shared by all its open handles."""

    def __init__(
        self,
        key: str,
        candidates: tuple[Source, ...],
        known: Known | None,
        tools: ReaderDependencies,
        owner: Owner,
        *,
        is_settled: bool = True,
        is_of_one_answer: bool = False,
        digest: int | None = None,
    ) -> None:
        """`is_settled`: see Identity; `digest`: see Agreement. With `is_of_one_answer` it is asked for as a whole:
        its answers did not agree before."""
        self.identity = VersionTracker(key, candidates, known, is_settled=is_settled, is_of_one_answer=is_of_one_answer)
        self.identity.ignores_ranges |= all(source.api in tools.without_ranges for source in self.identity.sources)
        self.began_at = self.closed_at = trio.current_time()
        self._tools = tools
        self._owner = owner
        self._holdings = TieredCache(self.identity, tools)
        receiver = Downloader(self.identity, self._holdings, tools)
        self._fetches = Fetches(tools.background, receiver.receive, self._ended)
        self._handles: dict[OpenFile, None] = {}
        self._steering = ReadAhead(self.identity, self._holdings, self._fetches, self._handles, tools)
        receiver.on_arrived, receiver.on_answered = self._arrived, self._settle
        self._keeping = DiskFill(self.identity, self._holdings, self._fetches, self.read)
        self._agreement = Agreement(self.identity, self._holdings, tools.cache, digest)
        self._timed_out_at = float("-inf")
        self._arrived_nbytes = 0
        #: Which of memory, disk and service answered the last READ; told to the stories when nobody reads any more.
        self.tier = ""

    @property
    def is_open(self) -> bool:
        """True while a handle is open."""
        return bool(self._handles)

    @property
    def is_shared(self) -> bool:
        """True while more than one handle is open."""
        return len(self._handles) > 1

    @property
    def is_busy(self) -> bool:
        """True while anything of it is on its way."""
        return self._fetches.is_busy

    @property
    def arrived_nbytes(self) -> int:
        """The furthest verified byte."""
        return max([self._arrived_nbytes, *(fetch.position for fetch in self._fetches if fetch.has_head)])

    def attach(self, reader: Hashable = None, *, has_pages: bool = False) -> OpenFile:
        """A new handle. With `has_pages`, `reader` may have bytes of this version from before. Never a checkpoint."""
        self._agreement.joined(reader, has_pages=has_pages)
        handle = OpenFile(self, first_nbytes=self._tools.first_nbytes)
        self._tools.open_objects += not self._handles
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
        self._tools.open_objects -= not self._handles
        self._steering.drop_unwanted()
        if not self._handles:
            self.closed_at = trio.current_time()
            if self.tier:
                self._tools.stories.served(self.identity.key, self.tier)
            self._steering.left()
            self._tools.cache.abandon(self.identity.version)
            if self.identity.total_nbytes is None:  # the next open must not take it for its own
                self._tools.cache.drop(self.identity.version)
            self._owner.closed(self)

    async def look(self) -> None:
        """Returns once the head of an answer is here, whose body is left where it is until somebody opens or reads it.

        A checkpoint unless the size is known. Cancelled, the question is dropped unless others wait. Raises CffsError,
        RemoteObjectChanged where another version was noticed meanwhile.
        """
        while self.identity.total_nbytes is None:
            self.identity.require_current()
            fetch = self._fetches.covering(0) or next(iter(self._fetches), None)
            if fetch is None:
                fetch = self._steering.begin(ByteRange(0, SMALL_FILE_NBYTES), is_held=True)
            await self._await(fetch, 0)
            self._raise_if(fetch.error)
            if fetch.has_head:
                return

    def take_first_piece(self, handle: OpenFile) -> None:
        """The body that `look` left is the handle's now. Never a checkpoint."""
        for fetch in self._fetches:
            if fetch.is_held:
                fetch.release()
                handle.early = (fetch.coming,)

    def leave_first_piece(self) -> None:
        """What `look` left is not waited for any longer. Never a checkpoint."""
        for fetch in self._fetches:
            if fetch.is_held:
                self._fetches.drop(fetch)

    def rename(self, key: str, candidates: tuple[Source, ...]) -> None:
        """It is known by now which object this is. Never a checkpoint."""
        old = self.identity.version
        self.identity.rename(key, candidates)
        self._holdings.became(old)

    def settle(self) -> None:
        """The object is not being made any more: what is here of it may be kept. Never a checkpoint."""
        old = self.identity.version
        self.identity.settle()
        self._holdings.became(old)

    async def learn(self, hint_nbytes: int | None) -> None:
        """Returns when the size is known, or when it cannot be for a third of the timeout (total_nbytes stays None).

        A checkpoint unless it is known. Cancelled, the question is dropped unless others wait. Raises CffsError,
        RemoteObjectChanged where another version was noticed meanwhile.
        """
        until = trio.current_time() + self._tools.settings.timeout_seconds / 3
        while self.identity.total_nbytes is None:
            self.identity.require_current()
            fetch = self._fetches.covering(0) or next(iter(self._fetches), None)
            if fetch is None:
                is_large = hint_nbytes is not None and hint_nbytes > _SURELY_LARGE_HINT_NBYTES
                fetch = self._steering.begin(
                    ByteRange(0, self._tools.first_nbytes if is_large else SMALL_FILE_NBYTES), is_kept=True
                )
            await self._await(fetch, 0)
            if self.identity.total_nbytes is None and fetch.error is None and fetch.has_head:
                with trio.move_on_at(max(until, trio.current_time() + _LEAST_WAIT_FOR_END_SECONDS)) as waiting:
                    # not through _await: giving up here takes nothing from the handle that is about to be opened
                    await fetch.until_over()
                if waiting.cancelled_caught:
                    return
            self._raise_if(fetch.error)

    def read_now(self, handle: OpenFile, offset: int, nbytes: int) -> memoryview | None:
        """See OpenFile.read_now."""
        read = self._clamped(ByteRange(offset, offset + nbytes))
        data = self._holdings.get_now(read) if self._agreement.is_shown else None
        if data:
            self._steering.follow(handle, read, is_here=True)
            self._delivered(handle, read, data)
            self.tier = "memory"
        return data

    async def read(self, handle: OpenFile, offset: int, nbytes: int) -> memoryview:
        """See OpenFile.read."""
        data = self.read_now(handle, offset, nbytes)
        return await self.read_missing(handle, offset, nbytes) if data is None else data

    async def read_missing(self, handle: OpenFile, offset: int, nbytes: int) -> memoryview:
        """See OpenFile.read_missing."""
        self._tools.cache.counters.misses += 1
        read = self._clamped(ByteRange(offset, offset + nbytes))
        self._steering.follow(handle, read, is_here=False)
        data = await self._arriving(handle, read)
        self._delivered(handle, read, data)
        return data

    async def _arriving(self, handle: OpenFile, read: ByteRange) -> memoryview:
        """The bytes of `read` once they are here. What comes in parts is held part by part: with little memory the
        first might be evicted before the last has come."""
        parts, was_asked, beginnings = list[memoryview](), False, self.identity.beginnings
        late_at = trio.current_time() + self._tools.patience_seconds
        while True:
            await self._until_proven(handle)
            if beginnings != self.identity.beginnings:
                parts, beginnings = [], self.identity.beginnings
            position = read.start + sum(map(len, parts))
            if not (wanted := self._clamped(ByteRange(min(position, read.stop), read.stop))):
                break
            data = await self._holdings.beyond_memory(wanted)
            if data is None:
                was_asked = True
                data = await self._from_origin(handle, wanted, late_at)
            self.identity.require_current()  # or it may be of the next version
            if data:
                parts.append(data)
        if not was_asked:
            self._tools.disk.hits += 1
        self.tier = "service" if was_asked else "disk"
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    async def _until_proven(self, handle: OpenFile) -> None:
        """Returns once what readers were given is known to be of the version that is here. A checkpoint where it is
        not. Raises CffsError."""
        while not self._agreement.is_shown:
            self._check(handle)
            whole = next((fetch for fetch in self._fetches if fetch.is_whole), None)
            fetch = whole or self._steering.begin(ByteRange(0, self._agreement.stop))
            await self._await(fetch, self._agreement.stop)
            self.identity.require_current()
            if not self._agreement.is_shown:
                self._raise_if(fetch.error)

    async def _from_origin(self, handle: OpenFile, wanted: ByteRange, late_at: float) -> memoryview:
        """The bytes of `wanted` from its start on that are here once the fetch of the first that is missing brought
        what it can, or after a moment. Raises what that fetch failed with where there are none."""
        self._check(handle)
        fetch = self._steering.next_fetch(handle, wanted, is_late=trio.current_time() >= late_at)
        seconds = _LOOK_AGAIN_SECONDS if wanted.start - fetch.position > FAR_NBYTES else math.inf
        await self._await(fetch, min(wanted.stop, fetch.stop), seconds=seconds)
        wanted = self._clamped(wanted)
        missing = self._holdings.missing_in_memory(wanted)
        here = ByteRange(wanted.start, wanted.stop if missing is None else missing.start)
        data = self._holdings.get_arrived(here) or _EMPTY
        if missing is not None and not data:
            self._raise_if(fetch.error)
        return data

    async def keep_next(self, handle: OpenFile) -> int | None:
        """See OpenFile.keep_next."""
        return await self._keeping.keep_next(handle)

    def bring(self, pieces: Iterable[ByteRange]) -> None:
        """See OpenFile.bring."""
        self._steering.bring(pieces)

    def end(self) -> None:
        """It is not the current file of its object any more: nothing of it is on its way, what is here stays."""
        for fetch in self._fetches:
            self._fetches.drop(fetch)

    def forget(self) -> None:
        """The origin has another version: it ends, and handles that are open raise RemoteObjectChanged from now on.
        Whoever calls it drops the bytes."""
        self.identity.end()
        self.end()

    def _clamped(self, read: ByteRange) -> ByteRange:
        total_nbytes = self.identity.total_nbytes
        return read if total_nbytes is None else read.clamped(total_nbytes)

    async def _await(self, fetch: Fetch, need_stop: int, *, seconds: float = math.inf) -> None:
        self._steering.watch.waits(trio.current_time())
        try:
            if seconds == math.inf:  # most: a scope costs as much as a READ that memory serves
                await fetch.until(need_stop)
            else:
                position, has_head = fetch.position, fetch.has_head
                with trio.move_on_after(seconds) as patience:
                    await fetch.until(need_stop)
                if patience.cancelled_caught and has_head:
                    self._tools.link.note_rate(fetch.position - position, seconds)
        except trio.Cancelled:
            self._gave_up(fetch)
            raise
        finally:
            self._steering.watch.waited(trio.current_time())
            if not self._handles:  # closed while it waited
                self._steering.drop_unwanted()

    def _gave_up(self, fetch: Fetch) -> None:
        """A reader ran out of time: what nobody else waits for is dropped, so that the next open asks afresh."""
        self._timed_out_at = trio.current_time()
        if not fetch.is_awaited and not fetch.has_ended():
            self._fetches.give_up(fetch, is_late=True)

    def _check(self, handle: OpenFile) -> None:
        self.identity.require_current()
        if handle.opened_at <= self._timed_out_at and trio.current_time() < self._timed_out_at + FAIL_AT_ONCE_SECONDS:
            raise DeadlineExceeded(f"{self.identity.key} did not answer in time a moment ago")

    @staticmethod
    def _raise_if(error: CffsError | None) -> None:
        if error is not None:
            raise copy.copy(error) from error  # each waiter its own, with its own traceback

    def _delivered(self, handle: OpenFile, read: ByteRange, data: memoryview) -> None:
        self._tools.counters.reads += 1
        self._tools.counters.bytes_delivered += len(data)
        self._agreement.gave(ByteRange(read.start, read.start + len(data)))
        handle.note_read(read)
        next_offset = handle.state.next_offset
        if abs(next_offset - handle.swept_stop) < _SWEEP_NBYTES or not handle.state.is_sequential:
            return
        handle.swept_stop = next_offset
        self._holdings.was_passed(min(other.state.next_offset for other in self._handles if other.state.is_sequential))

    def _arrived(self, fetch: Fetch, nbytes: int) -> None:
        """What timed out before answers now. Raises RemoteObjectChanged where other bytes came than were given out."""
        self._timed_out_at = float("-inf")
        self._agreement.arrived(fetch)
        self._steering.arrived(fetch, nbytes)

    def _settle(self, fetch: Fetch) -> None:
        """An answer of it ended, or was left, without proving wrong."""
        self._holdings.settle(fetch.came, unproven=[other.came for other in self._fetches if other is not fetch])

    def _ended(self, fetch: Fetch, error: CffsError | None) -> CffsError | None:
        """A fetch is over; what its waiters are to be told."""
        self._tools.running_streams -= fetch.stream_weight
        if fetch.lease is not None:
            self._tools.cache.seal(fetch.lease)
            self._holdings.arrived(ByteRange(fetch.lease.start, fetch.lease.filled_stop))
        self._arrived_nbytes = max(self._arrived_nbytes, fetch.position if fetch.has_head else 0)
        self._steering.ended(fetch)
        self._note(fetch, error)
        if isinstance(error, MalformedAnswer):
            self._holdings.forget(fetch.came)
        else:
            self._settle(fetch)
        if isinstance(error, RemoteObjectChanged) and not self.identity.is_changed:
            return self._found_another(error)
        if isinstance(error, MuchShorter):
            self._owner.is_shorter(self, error.total)
        elif not self._handles:
            self._tools.cache.abandon(self.identity.version)
        return error

    def _found_another(self, error: RemoteObjectChanged) -> RemoteObjectChanged | None:
        if isinstance(error, VersionUnclear):
            self._owner.answers_differ(self)
            if self._agreement.may_begin_anew():
                self.end()
                self._agreement.begin_anew()
                return None  # whoever waits asks again
        self._owner.is_another(self)
        return error

    def _note(self, fetch: Fetch, error: CffsError | None) -> None:
        key, stories = self.identity.key, self._tools.stories
        if fetch.has_head and self.identity.source is not None:
            stories.fetched(key, ByteRange(fetch.begin, max(fetch.begin, fetch.position)), self.identity.source.key)
        if error is not None:
            stories.failed(key, error)
