"""All remote files of a mount: the one place where an object is opened, asked for its size, or forgotten.

It must not know paths, inodes or errnos; which file of an object is the current one is `reader/remote_file_table`'.
`fuse/` and `tree/` call it.
"""

import copy
from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import partial

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.request_limiter import MAX_BODIES, RequestLimiter
from cffs.callfire.response_checks import Pinned
from cffs.core import wait_reasons
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    NOT_FROM_HERE,
    CffsError,
    OriginFault,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    weightier,
)
from cffs.core.settings import ReaderSettings
from cffs.core.source import Api, Source
from cffs.core.values import Emptiness
from cffs.reader.connection_scheduler import ConnectionScheduler
from cffs.reader.cursor import FIRST_NBYTES
from cffs.reader.dependencies import OriginProfile, ReaderCounters, ReaderDependencies
from cffs.reader.disk_tier import DiskTier
from cffs.reader.first_piece import FirstPieces
from cffs.reader.growing_object import GrowingObjects
from cffs.reader.object_info import FactsListener, Known, Learned, require_empty
from cffs.reader.planner import FIRST_NBYTES_WIDE_READ_AHEAD, WIDE_READ_AHEAD_NBYTES
from cffs.reader.range_opener import RangeOpener
from cffs.reader.read_history import Told
from cffs.reader.remote_file import OpenFile
from cffs.reader.remote_file_table import Versions
from cffs.reader.revalidation import Revalidation
from cffs.reader.wav_clip_heads import Held
from cffs.reader.wav_clips import WavClips

#: An object that changes while it is being opened is opened again, so often at most.
_OPENINGS = 3
#: Sizes of a folder's worth of files are asked so many at a time (contract 4).
_PROBES = 8
#: Connections kept ready for who reads a folder in order (a handshake of two latencies saved, once a burst).
_WARM = 8
_WARM_INTERVAL_SECONDS = 1.0


class _Probe:
    """One question for a size on its way, and how many wait for it."""

    __slots__ = ("answered", "error", "learned", "scope", "waiting", "waits_for")

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.learned: Learned | None = None
        self.error: CffsError | None = None
        self.scope = trio.CancelScope()
        self.waiting = 0
        self.waits_for = wait_reasons.WaitReason()


class ObjectRegistry:
    """Opens objects by key. `key` names the object whatever its sources (the first source's key will do); open files
    of one key share one RemoteFile for as long as the origin has one version of it."""

    def __init__(
        self,
        *,
        opener: RangeOpener,
        cache: MemoryCache,
        background: Background,
        settings: ReaderSettings,
        listener: FactsListener,
        disk: DiskCache | None = None,
    ) -> None:
        """Without `disk`, or with one whose limit is 0, nothing is kept on disk."""
        self._dependencies = ReaderDependencies(
            opener=WavClips(opener, self),
            memory=cache,
            disk=DiskTier(disk, background),
            background=background,
            settings=settings,
            listener=listener,
            scheduler=ConnectionScheduler(connections=settings.connections),
        )
        #: Of objects that are still being made.
        self.living = GrowingObjects(opener, self._dependencies.histories)
        self._versions = Versions(self._dependencies)
        #: Of objects of which everything is known.
        self.revalidation = Revalidation(
            WavClips(opener, self, remembers=False),
            after_seconds=settings.revalidate_seconds,
            changed=self.is_another,
        )
        #: Of objects that nobody listed.
        self.first_pieces = FirstPieces(self._versions, self.start)
        self._probes: dict[str, _Probe] = {}
        self._probe_turns = RequestLimiter(_PROBES, most=MAX_BODIES)
        self._warm_at: dict[Api, float] = {}

    @property
    def memory_nbytes(self) -> int:
        """The budget of it all."""
        return self._dependencies.memory.limit_nbytes

    @property
    def first_nbytes(self) -> int:
        """The size of a first request from a large file's start."""
        return self._dependencies.first_nbytes

    def expect(self, api: Api, expected: OriginProfile) -> None:
        """What an earlier look at the origin found. No checkpoint."""
        self._dependencies.expect(api, expected)

    def warm(self, api: Api, connections: int) -> None:
        """Several files of it will be asked for in a moment: connections are made ready. No checkpoint, no request, and
        once a second at most."""
        now = trio.current_time()
        if now >= self._warm_at.get(api, float("-inf")):
            self._warm_at[api] = now + _WARM_INTERVAL_SECONDS
            self._dependencies.background.start(
                partial(self._dependencies.opener.warm, api, connections=min(connections, _WARM))
            )

    def note_read_ahead(self, nbytes: int) -> None:
        """So much the kernel reads ahead for who reads a little: the first request covers it."""
        is_wide = nbytes >= WIDE_READ_AHEAD_NBYTES
        self._dependencies.first_nbytes = FIRST_NBYTES_WIDE_READ_AHEAD if is_wide else FIRST_NBYTES

    @property
    def disk_hits(self) -> int:
        """READs that the disk served without a request."""
        return self._dependencies.disk.hits

    @property
    def counters(self) -> ReaderCounters:
        """For status."""
        return self._dependencies.counters

    @property
    def held_turn(self) -> tuple[int, int]:
        """Another value once more or less may be held of any object."""
        return self._dependencies.memory.held_turn, self._dependencies.disk.turn

    def held_nbytes(self, key: str) -> int:
        """How many of the object's bytes are held locally. No checkpoint."""
        # not their sum: most of what memory holds is on disk too
        return max(self._dependencies.memory.held_nbytes(key), self._dependencies.disk.held_nbytes(key))

    def is_untouched(self, key: str) -> bool:
        """True where nothing of the object is held, and nothing was asked for in this mount. No checkpoint."""
        return self._versions.find(key) is None and not self.held_nbytes(key)

    def told(self, key: str) -> Told:
        """Everything that there is to tell of the object's bytes. No checkpoint."""
        file, story = self._versions.find(key), self._dependencies.histories.of(key)
        return Told(
            memory_nbytes=self._dependencies.memory.held_nbytes(key),
            disk_nbytes=self._dependencies.disk.held_nbytes(key),
            is_open=file is not None and file.is_open,
            fetched=tuple(story.fetched),
            tier=(file.tier if file is not None else "") or story.tier,
            failure=story.failure,
        )

    async def open(
        self,
        key: str,
        sources: tuple[Source, ...],
        *,
        known: Known | None = None,
        hint_nbytes: int | None = None,
        reader: Hashable = None,
        has_pages: bool = False,
    ) -> OpenFile:
        """A handle whose `total_nbytes` is exact, or None where the origin does not tell it in time.

        `known` is what the listener was told last of the object, looked up in the same step. No request, and no
        checkpoint, where it is given (or another handle knows). Otherwise one, whose bytes the first READs are served
        from; it asks `sources` in order until one has the object. With `has_pages`, `reader` keeps bytes from when it
        opened the object before. Cancelled, nothing is open. Raises CffsError.
        """
        if has_pages and not self._versions.may_be_read_on(key, known):
            known, has_pages = None, False
        for tries_left in reversed(range(_OPENINGS)):
            handle = self._versions.current(key, sources, known).attach(reader, has_pages=has_pages)
            try:
                handle.take_first_piece()
                self.first_pieces.taken(key)
                await handle.learn(hint_nbytes)
                if handle.total_nbytes == 0:  # its metadata may have come since
                    require_empty(key, self._dependencies.listener.emptiness(key), is_stated=True)
                break
            except RemoteObjectChanged:
                handle.close()
                if not tries_left:
                    raise
                known, has_pages = None, False
            except BaseException:
                handle.close()
                raise
        return handle

    def bring(
        self, key: str, sources: tuple[Source, ...], *, known: Known | None, pieces: Iterable[ByteRange]
    ) -> OpenFile:
        """A handle whose file is being fetched in part, after all that somebody waits for. `known`: see `open`. What
        fails is not told: whoever opens it asks again. No checkpoint."""
        handle = self._versions.current(key, sources, known).attach()
        handle.prefetch(pieces)
        return handle

    async def probe(self, key: str, sources: tuple[Source, ...]) -> Learned:
        """Size and version of an object without opening it: from an open file, else by one request for its first byte,
        however many ask at once.

        Cancelled, the request is dropped unless others wait for it. Raises CffsError.
        """
        file = self._versions.sized(key)
        if file is not None:
            return file.tracker.learned(file.tracker.sources[0])
        probe = self._probes.get(key)
        if probe is None:
            probe = self._probes[key] = _Probe()
            self._dependencies.background.start(self._run_probe, key, sources, probe)
        probe.waiting += 1
        try:
            with wait_reasons.waits_for(lambda: f"its size: {probe.waits_for.text()}"):
                await probe.answered.wait()
        finally:
            probe.waiting -= 1
            if not probe.waiting and not probe.answered.is_set():
                probe.scope.cancel()
                if self._probes.get(key) is probe:
                    del self._probes[key]
        if probe.learned is None:
            error = probe.error or OriginFault("the question for a size ended unexpectedly")
            raise copy.copy(error) from error
        return probe.learned

    def probe_soon(self, key: str, sources: tuple[Source, ...]) -> None:
        """Start the same question for a caller who is likely to ask it next, and does not wait. No checkpoint; what it
        finds reaches the listener, what stops it is found again by who really asks."""
        if key not in self._probes and self._versions.sized(key) is None:
            probe = self._probes[key] = _Probe()
            self._dependencies.background.start(self._run_probe, key, sources, probe)

    def let_go(self, key: str) -> None:
        """The service has it no more: no byte of it is kept, unless it is pinned. Open handles read what arrives."""
        if not self._dependencies.disk.is_pinned(key):
            self._dependencies.memory.drop_object(key)
            self._dependencies.disk.drop_object(key)

    def forget(self, key: str) -> None:
        """The object is another one now (replaced or removed by us): open handles are stale, no byte is kept, and the
        listener is told."""
        self._versions.supersede(key)

    def held(self, key: str) -> Held | None:
        """See reader/wav_clips: what is here of an object whose size is known, in the version that is known."""
        known = self._versions.known(key)
        return None if known is None else Held(key, known, self._dependencies.memory, self._dependencies.disk)

    def learned(self, learned: Learned) -> None:
        """See reader/wav_clips: an answer told what an object is."""
        self._versions.probed(learned)

    def is_another(self, key: str, pinned: Pinned) -> None:
        """See reader/wav_clips: the object is not of the version `pinned` any more."""
        self._versions.supersede(key, only=pinned)

    def start(self, function: Callable[[], Awaitable[None]]) -> None:
        """Runs it beside everything else, to the end of the mount at the latest."""
        self._dependencies.background.start(function)

    async def _run_probe(self, key: str, sources: tuple[Source, ...], probe: _Probe) -> None:
        wait_reasons.begin(probe.waits_for)
        try:
            with probe.scope:
                turn = await self._probe_turns.enter()
                try:
                    probe.learned = self._versions.probed(await self._ask(key, sources))
                finally:
                    self._probe_turns.leave(turn)
        except CffsError as exc:
            probe.error = exc
            self._dependencies.histories.failed(key, exc)
        finally:
            if self._probes.get(key) is probe:
                del self._probes[key]
            probe.answered.set()

    async def _ask(self, key: str, sources: tuple[Source, ...]) -> Learned:
        missing: CffsError | None = None
        for source in sources:
            try:
                async with self._dependencies.opener.open_range(source, ByteRange(0, 1)) as answer:
                    if answer.total == 0:
                        self._require_empty(key, is_stated=False)
                    return Learned(
                        key=key,
                        source=source,
                        total_nbytes=answer.total,
                        validator=answer.validator,
                        last_modified_ns=answer.last_modified_ns,
                    )
            except RangeNotSatisfiable as exc:
                if exc.total:
                    raise
                self._require_empty(key, is_stated=True)
                return Learned(key=key, source=source, total_nbytes=0, validator=None, last_modified_ns=None)
            except NOT_FROM_HERE as exc:
                missing = weightier(missing, exc)
        raise missing or RemoteObjectMissing(f"{key} has no source")

    def _require_empty(self, key: str, *, is_stated: bool) -> None:
        told = self._dependencies.listener.emptiness(key) if self._versions.known(key) is None else Emptiness.DENIED
        require_empty(key, told, is_stated=is_stated)
