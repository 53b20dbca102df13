"""The task behind a fetch: opens answers, receives them, resumes after a break.

It owns which fetch receives an answer with the whole object. It must not know readers or plans: a fetch's limit and
waiters say how far to receive and how urgent that is.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

import trio

from cffs.cache.extents import Extent
from cffs.callfire.retry import kind_of, pause_seconds
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    EmptyBody,
    OriginUnreachable,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    TruncatedAnswer,
)
from cffs.core.source import Source
from cffs.core.units import KIB, MIB
from cffs.core.wait_reasons import waits_for
from cffs.reader.connection_scheduler import Claim
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.fetch import UNKNOWN_STOP, Fetch
from cffs.reader.first_source import first_of
from cffs.reader.object_info import require_empty
from cffs.reader.range_opener import Answer
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_tracker import VersionTracker

#: A body of no more is received though only its head was wanted: leaving it would cost the connection.
WORTH_HAVING_NBYTES = 64 * KIB
#: A paused answer checks this often whether its connection is needed elsewhere, and ends itself after this many checks:
#: an open file that is not read costs no socket.
_PAUSE_LOOK_SECONDS = 1.0
_MAX_PAUSE_LOOKS = 10
#: A stream keeps a connection that others wait for no longer than this.
_TURN_SECONDS = 2.0
#: Where no memory is to be had, how often to look again unless woken.
_ROOM_LOOK_SECONDS = 0.02
#: A fetch without waiters that would have to wait longer for room is given up.
_ROOM_SECONDS = 1.0
#: What the kernel may have received of an answer that was paused: it says nothing about the link.
_KERNEL_BUFFER_NBYTES = 6 * MIB
#: Bytes that are received and not needed (held already, or before the wanted start of a whole answer) land here;
#: shared, and never read.
_SCRATCH = memoryview(bytearray(256 * KIB))


class _Superseded(Exception):  # control flow within this module: another fetch brings these bytes
    pass


class _Outcome(Enum):
    OVER = auto()  # all is there, or the fetch was dropped
    SHORT = auto()  # the answer ended as it said, before what was requested
    YIELDED = auto()  # its connection was given up, to be requested again when the reader is near


class Downloader:
    """Receives the bytes of the fetches of one object."""

    def __init__(
        self,
        tracker: VersionTracker,
        cache: TieredCache,
        dependencies: ReaderDependencies,
        *,
        on_arrived: Callable[[Fetch, int], None],
        on_answered: Callable[[Fetch], None],
    ) -> None:
        """`on_arrived` is called with each run of bytes that was committed, `on_answered` when an answer has ended, or
        was left, without proving wrong."""
        self._tracker = tracker
        self._cache = cache
        self._dependencies = dependencies
        self._whole: Fetch | None = None
        self._on_arrived = on_arrived
        self._on_answered = on_answered

    async def receive(self, fetch: Fetch) -> None:
        """Return when all of the fetch is in the cache, when another fetch will bring the rest, or when it was dropped.

        Always a checkpoint; cancelled, what was committed stays. Raises CffsError after at most 4 attempts that brought
        nothing; after the first of them where no reader waits.
        """
        attempts_made = 0
        try:
            while fetch.position < fetch.stop and not fetch.has_ended():
                position = fetch.position
                failure: CffsError
                try:
                    outcome = await self._receive_once(fetch)
                    failure = TruncatedAnswer(f"an answer for {self._tracker.key} was empty")
                except EmptyBody as exc:
                    outcome, failure = _Outcome.SHORT, exc
                except (TruncatedAnswer, OriginUnreachable, DeadlineExceeded) as exc:
                    if not fetch.has_head:
                        raise  # the opener has made its attempts
                    outcome, failure = _Outcome.SHORT, exc
                if outcome is _Outcome.OVER or (outcome is _Outcome.YIELDED and fetch.is_stream and not fetch.is_whole):
                    return  # a stream that was given up is planned again when its reader is near
                if fetch.position > position or outcome is _Outcome.YIELDED:
                    attempts_made = 0
                else:
                    attempts_made += 1
                    await self._pause(fetch, failure, attempts_made)
        except _Superseded:
            return
        finally:
            if self._whole is fetch:
                self._whole = None

    async def _pause(self, fetch: Fetch, failure: CffsError, attempts_made: int) -> None:
        seconds = pause_seconds(
            kind_of(failure),
            attempts_made=attempts_made,
            idempotent=True,
            # a reader that waits leaves at its own deadline, and then this fetch is dropped
            seconds_left=self._dependencies.settings.timeout_seconds,
            dice=random.random(),  # nosec B311  # noqa: S311 (jitter, not a secret)
        )
        if seconds is None or not fetch.has_waiters:
            raise failure
        await trio.sleep(seconds)

    async def _receive_once(self, fetch: Fetch) -> _Outcome:
        """Receive one answer, from the first source that has the object."""
        while fetch.has_head and fetch.position >= fetch.limit and not fetch.has_ended():
            await fetch.pause(_PAUSE_LOOK_SECONDS)
        claim = Claim(self._tracker.key, lambda: fetch.has_waiters, give_way=fetch.give_way)
        await self._dependencies.scheduler.acquire(claim)
        try:
            return await first_of(
                self._tracker.key, self._tracker.sources, lambda source: self._receive_from(source, fetch, claim)
            )
        finally:
            self._dependencies.scheduler.release(claim)

    async def _receive_from(self, source: Source, fetch: Fetch, claim: Claim) -> _Outcome:
        if fetch.is_whole:
            if fetch.is_served_by(self._whole, self._cache.first_missing(ByteRange(0, fetch.limit))):
                raise _Superseded
            self._whole = fetch
        asked = None if fetch.is_whole else fetch.coming
        self._tracker.is_pinned |= self._cache.has_any()
        pinned = self._tracker.asked_with
        asked_at = trio.current_time()
        try:
            async with self._dependencies.opener.open_range(source, asked, pinned=pinned) as answer:
                if fetch.has_ended():
                    return _Outcome.OVER
                if self._tracker.source not in (None, source):
                    return _Outcome.SHORT  # another fetch's answer came first, and from elsewhere: that is the object
                claim.note_progress()
                if answer.waited_seconds is not None:
                    self._dependencies.link.note_latency(trio.current_time() - asked_at - answer.waited_seconds)
                self._take_head(source, fetch, answer, asked)
                self._publish(answer)
                with waits_for(f"bytes from {source.api}"):
                    outcome = await self._drain(fetch, answer, claim)
                self._publish(answer)  # the object may have proved to be settled meanwhile
                self._on_answered(fetch)
                return outcome
        except RangeNotSatisfiable as exc:
            if fetch.has_ended():
                return _Outcome.OVER
            if exc.total or fetch.position or self._tracker.total_nbytes:
                raise
            self._tracker.source = source
            self._found_end(source, fetch, 0, is_stated=True)
            return _Outcome.OVER

    def _publish(self, answer: Answer) -> None:
        """Let other machines have what the disk cache keeps of an answer; not what does not show its version."""
        if not (self._tracker.version.is_private or self._tracker.is_of_one_answer or self._tracker.is_changed):
            answer.publish()

    def _take_head(self, source: Source, fetch: Fetch, answer: Answer, asked: ByteRange | None) -> None:
        tracker, cache, version = self._tracker, self._dependencies.memory, self._tracker.version
        if answer.total == 0:
            require_empty(tracker.key, self._dependencies.listener.emptiness(tracker.key), is_stated=False)
        is_new = tracker.adopt(answer, source, is_first_of_whole=fetch.is_whole and not fetch.position)
        self._cache.note_version_change(version)
        if is_new:
            self._report(source)
        total_nbytes = tracker.total_nbytes
        if asked is not None:
            is_whole_answer = answer.start != asked.start or answer.stop is None or answer.stop > asked.stop
            if is_whole_answer or total_nbytes is None:
                tracker.ignores_ranges = True
                if not is_whole_answer or self._whole is not None:
                    raise _Superseded
                self._whole = fetch
                fetch.become_whole()
        fetch.stop = min(fetch.stop, UNKNOWN_STOP if total_nbytes is None else total_nbytes)
        if fetch.is_whole:
            # the way back is a new start from the first byte: worth keeping where it fits
            fetch.is_stream = total_nbytes is None or total_nbytes > cache.limit_nbytes // 2
            if total_nbytes is None:
                fetch.raise_limit(cache.limit_nbytes // 2)
        if fetch.is_head_only and fetch.stop <= WORTH_HAVING_NBYTES:
            fetch.want_body()
        fetch.accept_head()

    async def _drain(self, fetch: Fetch, answer: Answer, claim: Claim) -> _Outcome:
        """Receive the body; what lies before the fetch's position, or is held already, is discarded."""
        if not await self._skip(fetch, answer, claim):
            return _Outcome.SHORT
        began_at, metered_from = trio.current_time(), fetch.position
        while fetch.position < fetch.stop and not fetch.has_ended():
            if fetch.position >= fetch.limit:  # while nothing is received the kernel goes on receiving
                metered_from = fetch.position + _KERNEL_BUFFER_NBYTES
            if not await self._may_go_on(fetch, began_at):
                return _Outcome.YIELDED
            target, lease = self._target(fetch)
            if target is None:
                if fetch.must_finish and not fetch.has_waiters and trio.current_time() - fetch.moved_at > _ROOM_SECONDS:
                    fetch.must_finish = False  # it cannot be kept: what is read of it is requested then
                    return _Outcome.OVER
                with waits_for("room in memory"):
                    await fetch.pause(_ROOM_LOOK_SECONDS)
                continue
            fetch.lease = lease
            leased_at, leased_nbytes = trio.current_time(), len(target)
            try:
                while target and not fetch.has_ended():
                    nbytes = await answer.receive_into(target)
                    if fetch.has_ended():
                        return _Outcome.OVER
                    if not nbytes:
                        return self._ended(fetch)
                    if fetch.is_whole and not self._tracker.shows_version:
                        fetch.prefix_crc = zlib.crc32(target[:nbytes], fetch.prefix_crc)
                    if lease is not None:
                        self._dependencies.memory.commit(lease, nbytes)
                    claim.note_progress()
                    fetch.advance(nbytes)
                    self._on_arrived(fetch, nbytes)
                    target = target[nbytes:]
                if fetch.position > metered_from and answer.waited_seconds is not None:
                    self._dependencies.link.note_rate(leased_nbytes, trio.current_time() - leased_at)
                if fetch.position < fetch.stop:
                    # a buffer takes 0.2 ms; without this a whole window was received first, which took 34 ms while the
                    # reader waited
                    await trio.lowlevel.checkpoint()
                # before the blocks are handed over: those that the disk's queue has no room for are lost
                await self._cache.keep_up()
            finally:
                if lease is not None:
                    self._dependencies.memory.seal(lease)
                    self._cache.note_arrival(
                        ByteRange(lease.start, lease.filled_stop),
                        may_go=fetch.must_finish and not self._tracker.is_of_one_answer,
                    )
                fetch.lease = None
        return _Outcome.OVER

    async def _skip(self, fetch: Fetch, answer: Answer, claim: Claim) -> bool:
        """Receive what lies before the fetch's position; False when the answer ended within. Where no validator
        distinguishes answers, these bytes must equal those received before: raises RemoteObjectChanged otherwise."""
        offset, crc = answer.start, 0
        while offset < fetch.position and not fetch.has_ended():
            nbytes = await answer.receive_into(_SCRATCH[: fetch.position - offset])
            if not nbytes:
                return False
            crc = zlib.crc32(_SCRATCH[:nbytes], crc)
            offset += nbytes
            claim.note_progress()
            await trio.lowlevel.checkpoint()
        if fetch.is_whole and offset and not self._tracker.shows_version and crc != fetch.prefix_crc:
            raise RemoteObjectChanged(f"{self._tracker.key} began otherwise than before")
        return True

    def _target(self, fetch: Fetch) -> tuple[memoryview | None, Extent | None]:
        """Where the next bytes go: a lease; scratch where they are held already; None while there is no room."""
        cache, version = self._dependencies.memory, self._tracker.version
        stop = fetch.buffer_stop(
            self._dependencies.stream_buffer_nbytes if fetch.is_stream else cache.largest_lease_nbytes
        )
        is_free, stop = cache.free_run(version, fetch.position, stop)
        if not is_free:
            return _SCRATCH[: stop - fetch.position], None
        lease = cache.lease(
            version,
            ByteRange(fetch.position, stop),
            is_urgent=fetch.has_waiters,
            is_passing=fetch.is_stream,
            is_ahead=fetch.is_stream or fetch.is_prefetched,
        )
        return (None, None) if lease is None else (lease.vacant, lease)

    async def _may_go_on(self, fetch: Fetch, began_at: float) -> bool:
        """Wait while the reader is not near; False when the connection is better given up meanwhile. A whole answer
        would have to be received again from its first byte, so it is given up only for others, and late."""
        if fetch.has_given_way():
            return False
        scheduler, key = self._dependencies.scheduler, self._tracker.key
        may_wait = not fetch.is_whole and (fetch.is_stream or not fetch.has_waiters)
        had_its_turn = may_wait and trio.current_time() - began_at > _TURN_SECONDS
        if had_its_turn and scheduler.is_contended(key):
            return False
        looks = 0
        while fetch.position >= fetch.limit and not fetch.has_ended():
            await fetch.pause(_PAUSE_LOOK_SECONDS)
            looks += 1
            is_long, is_needed = looks >= _MAX_PAUSE_LOOKS, scheduler.is_contended(key)
            if fetch.has_given_way():
                return False
            if fetch.position >= fetch.limit and (is_long and is_needed if fetch.is_whole else is_long or is_needed):
                return False
        return True

    def _ended(self, fetch: Fetch) -> _Outcome:
        """Handle the verified end of an answer."""
        if fetch.stop != UNKNOWN_STOP:
            return _Outcome.SHORT
        source = self._tracker.source
        if source is not None:
            self._found_end(source, fetch, fetch.position, is_stated=False)
        return _Outcome.OVER

    def _found_end(self, source: Source, fetch: Fetch, total_nbytes: int, *, is_stated: bool) -> None:
        tracker, version = self._tracker, self._tracker.version
        if not total_nbytes:
            require_empty(tracker.key, self._dependencies.listener.emptiness(tracker.key), is_stated=is_stated)
        tracker.found_end(total_nbytes)
        if fetch.lease is not None:
            self._dependencies.memory.seal(fetch.lease)
        if tracker.version != version:
            self._cache.note_version_change(version)
            self._report(source)
        fetch.stop = total_nbytes
        fetch.accept_head()

    def _report(self, source: Source) -> None:
        """Report what is current, or another name for it. No reader has a byte of another version of a file that is
        current, so whatever is new about it is of the version that is known."""
        if not self._tracker.is_settled:
            return
        self._dependencies.listener.learned(replace(self._tracker.learned(source), is_known_version=True))
