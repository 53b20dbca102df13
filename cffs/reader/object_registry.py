"""All remote objects of a mount: open, probe, prefetch and forget them by key.

It owns what the remote files share, and hands each question to the module that answers it: which file of an object is
current (`reader/remote_file_table`), sizes (`reader/size_probe`), objects that are still being made
(`reader/growing_object`). It must not know paths, inodes or errnos.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import partial

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.response_checks import Pinned
from cffs.core.background import Background
from cffs.core.byte_range import ByteRange
from cffs.core.errors import RemoteObjectChanged
from cffs.core.settings import ReaderSettings
from cffs.core.source import Api, Source
from cffs.reader.connection_scheduler import ConnectionScheduler
from cffs.reader.cursor import FIRST_NBYTES
from cffs.reader.dependencies import OriginProfile, ReaderCounters, ReaderDependencies
from cffs.reader.disk_tier import DiskTier
from cffs.reader.first_piece import FirstPieces
from cffs.reader.growing_object import GrowingObjects
from cffs.reader.object_info import FactsListener, Known, Learned, require_empty
from cffs.reader.range_opener import RangeOpener
from cffs.reader.read_ahead_policy import FIRST_NBYTES_WIDE_READ_AHEAD, WIDE_READ_AHEAD_NBYTES
from cffs.reader.read_history import ReadReport
from cffs.reader.remote_file import OpenFile
from cffs.reader.remote_file_table import RemoteFileTable
from cffs.reader.revalidation import Revalidation
from cffs.reader.size_probe import SizeProbes
from cffs.reader.wav_clip_heads import Held
from cffs.reader.wav_clips import WavClips

#: An object that changes while it is being opened is opened again, up to this many times in all.
_MOST_OPENINGS = 3
#: Connections kept ready for a reader of a folder in order: a handshake of two latencies is saved once a burst.
_WARM_CONNECTIONS = 8
_WARM_INTERVAL_SECONDS = 1.0


class ObjectRegistry:
    """The objects of a mount, by key. A key names the object whatever its sources; handles of one key share one
    RemoteFile for as long as the origin has one version of the object."""

    def __init__(
        self,
        *,
        opener: RangeOpener,
        cache: MemoryCache,
        background: Background,
        settings: ReaderSettings,
        listener: FactsListener,
        disk: DiskCache | None = None,
        origin: RangeOpener | None = None,
    ) -> None:
        """Without `disk`, or with one whose limit is 0, nothing is kept on disk. `origin` opens what the service itself
        must be asked for, where `opener` may answer from elsewhere."""
        origin = origin or opener
        self._dependencies = ReaderDependencies(
            opener=WavClips(opener, self),
            memory=cache,
            disk=DiskTier(disk, background),
            background=background,
            settings=settings,
            listener=listener,
            scheduler=ConnectionScheduler(connections=settings.connections),
        )
        self._table = RemoteFileTable(self._dependencies)
        self._probes = SizeProbes(self._table, self._dependencies)
        self._warm_at: dict[Api, float] = {}
        #: The objects that are still being made.
        self.growing = GrowingObjects(origin, self._dependencies.histories)
        #: The objects that are completely known, and may have changed at the origin.
        self.revalidation = Revalidation(
            WavClips(origin, self, remembers=False),
            after_seconds=settings.revalidate_seconds,
            changed=self.found_another_version,
        )
        #: The objects that no listing has shown.
        self.first_pieces = FirstPieces(self._table, self.start)

    # -- what the mount is set to, and what it reports --

    @property
    def memory_nbytes(self) -> int:
        """The memory budget of all objects together."""
        return self._dependencies.memory.limit_nbytes

    @property
    def first_nbytes(self) -> int:
        """The size of a first request from the start of a large file."""
        return self._dependencies.first_nbytes

    @property
    def counters(self) -> ReaderCounters:
        """What happened since the mount, for the status."""
        return self._dependencies.counters

    @property
    def disk_hits(self) -> int:
        """How many READs the disk served without a request."""
        return self._dependencies.disk.hits

    @property
    def held_turn(self) -> tuple[int, int]:
        """A value that differs once more or less is held of any object."""
        return self._dependencies.memory.held_turn, self._dependencies.disk.turn

    def expect(self, api: Api, expected: OriginProfile) -> None:
        """Begin with what an earlier look at the origin found. Never a checkpoint."""
        self._dependencies.expect(api, expected)

    def note_read_ahead(self, nbytes: int) -> None:
        """Note how far the kernel reads ahead for a reader of a little: the first request covers that."""
        is_wide = nbytes >= WIDE_READ_AHEAD_NBYTES
        self._dependencies.first_nbytes = FIRST_NBYTES_WIDE_READ_AHEAD if is_wide else FIRST_NBYTES

    def warm(self, api: Api, connections: int) -> None:
        """Make connections ready for several files that will be requested in a moment: without a request, and once a
        second at most. Never a checkpoint."""
        now = trio.current_time()
        if now >= self._warm_at.get(api, float("-inf")):
            self._warm_at[api] = now + _WARM_INTERVAL_SECONDS
            connections = min(connections, _WARM_CONNECTIONS)
            self.start(partial(self._dependencies.opener.warm, api, connections=connections))

    def start(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run it in the background, to the end of the mount at the latest."""
        self._dependencies.background.start(function)

    # -- one object --

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
        """Return a handle whose `total_nbytes` is exact, or None where the origin does not state it in time.

        `known` is what the listener learned last of the object, looked up in the same step. Where it is given, or
        another handle knows the size, this makes no request and is no checkpoint. Otherwise one request goes to the
        first of `sources` that has the object, and the first READs are served from its bytes. `hint_nbytes` is a size
        that may be wrong. With `has_pages`, `reader` keeps bytes from an earlier open. Cancelled, nothing is open.
        Raises CffsError.
        """
        if has_pages and not self._table.may_be_read_on(key, known):
            known, has_pages = None, False
        for openings_left in reversed(range(_MOST_OPENINGS)):
            handle = self._table.current(key, sources, known).attach(reader, has_pages=has_pages)
            try:
                handle.take_first_piece()
                self.first_pieces.taken(key)
                await handle.learn(hint_nbytes)
                if handle.total_nbytes == 0:  # its metadata may have come since
                    require_empty(key, self._dependencies.listener.emptiness(key), is_stated=True)
                break
            except RemoteObjectChanged:
                handle.close()
                if not openings_left:
                    raise
                known, has_pages = None, False
            except BaseException:
                handle.close()
                raise
        return handle

    def prefetch(
        self, key: str, sources: tuple[Source, ...], *, known: Known | None, ranges: Iterable[ByteRange]
    ) -> OpenFile:
        """Return a handle whose file is being fetched in part, after all that a reader waits for.

        `known`: see `open`. A failure is not reported: a later open asks again. Never a checkpoint.
        """
        handle = self._table.current(key, sources, known).attach()
        handle.prefetch(ranges)
        return handle

    async def probe(self, key: str, sources: tuple[Source, ...]) -> Learned:
        """See SizeProbes.probe."""
        return await self._probes.probe(key, sources)

    def probe_soon(self, key: str, sources: tuple[Source, ...]) -> None:
        """See SizeProbes.probe_soon."""
        self._probes.probe_soon(key, sources)

    def held_nbytes(self, key: str) -> int:
        """How many bytes of the object are held, in memory or on disk. Never a checkpoint."""
        # not their sum: most of what memory holds is on disk too
        return max(self._dependencies.memory.held_nbytes(key), self._dependencies.disk.held_nbytes(key))

    def is_untouched(self, key: str) -> bool:
        """True where no byte of the object is held, and this mount has not asked for it. Never a checkpoint."""
        return self._table.find(key) is None and not self.held_nbytes(key)

    def report(self, key: str) -> ReadReport:
        """Where the object's bytes are, and what became of recent READs of it. Never a checkpoint."""
        file, history = self._table.find(key), self._dependencies.histories.of(key)
        return ReadReport(
            memory_nbytes=self._dependencies.memory.held_nbytes(key),
            disk_nbytes=self._dependencies.disk.held_nbytes(key),
            is_open=file is not None and file.is_open,
            fetched=tuple(history.fetched),
            tier=(file.tier if file is not None else "") or history.tier,
            failure=history.failure,
        )

    def let_go(self, key: str) -> None:
        """Drop the bytes of an object that the service no longer has, unless it is pinned. Open handles read on in what
        arrives."""
        if not self._dependencies.disk.is_pinned(key):
            self._dependencies.memory.drop_object(key)
            self._dependencies.disk.drop_object(key)

    def forget(self, key: str) -> None:
        """Forget what is here of an object, since it may be a part: open handles raise PossiblyPartial, no byte is
        kept, and the listener is informed."""
        self._table.supersede(key, is_partial=True)

    # -- for clips of recordings --

    def held(self, key: str) -> Held | None:
        """See wav_clips.WholeRecordings: what is held of an object, in the version whose size is known."""
        known = self._table.known(key)
        return None if known is None else Held(key, known, self._dependencies.memory, self._dependencies.disk)

    def learned(self, learned: Learned) -> None:
        """See wav_clips.WholeRecordings: an answer stated what an object is."""
        self._table.probed(learned)

    def found_another_version(self, key: str, pinned: Pinned) -> None:
        """See wav_clips.WholeRecordings: the object is no longer of the version `pinned`."""
        self._table.supersede(key, only=pinned)
