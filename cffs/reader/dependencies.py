"""What all remote files of a mount share: opener, caches, connections, counters.

It owns the estimates that are shared too: what the link brings, how many connections a stream gets, how memory is
divided between streams, and what closed files have cost. It must not know a single object.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

import trio
from cachetools import TTLCache

from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.core.background import Background
from cffs.core.settings import ReaderSettings
from cffs.core.source import Api
from cffs.core.units import KIB, MIB
from cffs.reader.connection_scheduler import ConnectionScheduler
from cffs.reader.cursor import FIRST_NBYTES
from cffs.reader.disk_tier import DiskTier
from cffs.reader.fetch import BUFFER_UNIT_NBYTES
from cffs.reader.object_info import FactsListener
from cffs.reader.parallelism import StreamParallelism
from cffs.reader.range_opener import RangeOpener
from cffs.reader.read_ahead_policy import (
    MAX_WINDOW_NBYTES,
    MIN_WINDOW_NBYTES,
    PAGE_NBYTES,
    PART_NBYTES,
    WHOLE_FILE_NBYTES,
    PlanLimits,
    Spent,
)
from cffs.reader.read_history import ReadHistories


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginProfile:
    """What an earlier look found out about an API; None, or False, where nothing is known."""

    #: The time from a request to its first byte: how early the next request of a stream must leave.
    latency_seconds: float | None = None
    #: How many times faster several connections brought the same bytes: whether a stream begins with several.
    parallel_gain: float | None = None
    #: Every range is answered with the whole object: it is requested as such, and a second request is never sent.
    ignores_ranges: bool = False


#: The weight of the newest rate in the running mean.
_WEIGHT = 0.3
#: Bytes that arrived give a rate where they are this many, or took this long.
_LEAST_RATED_NBYTES = 64 * KIB
_LEAST_RATED_SECONDS = 0.5
#: The number of rates of which the best is what the link gives when it is not shared.
_RATES = 5
#: A request costs its reader a latency; its account, which is limited by requests, is worth as much time again.
_REQUEST_SECONDS = 0.1
#: How long a READ is made to wait for what is on its way, as a share of the timeout: a third of its own budget.
_PATIENCE_SHARE = 1 / 6
#: How long the cost of a file is remembered after its last reader left, and of how many files.
_SPENT_SECONDS = 600.0
_SPENT_OBJECTS = 10_000
#: The latency is the median of this many: an object that the service has to make first says nothing about the others.
_LATENCIES = 5
#: A request that begins further ahead would only hold its connection for longer: what 1.5 GB/s bring in 50 ms and a
#: little. (64 MiB were 6 % slower there: the next answer came too late at each of three ends.)
_MOST_LEAD_NBYTES = 96 * MIB


@dataclass(slots=True)
class ReaderCounters:
    """What happened since the mount, for the status; the memory cache counts hits, misses and what became of prefetched
    bytes."""

    reads: int = 0
    bytes_delivered: int = 0
    prefetch_started: int = 0
    open_files: int = 0


@dataclass(slots=True)
class LinkEstimate:
    """How the origin answered recently: 0 while nothing is known."""

    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    _rates: deque[float] = field(default_factory=lambda: deque(maxlen=_RATES))

    def note_latency(self, seconds: float) -> None:
        """Note the time from a request to its head."""
        self._latencies.append(seconds)
        self.latency_seconds = median(self._latencies)

    def note_rate(self, nbytes: int, seconds: float) -> None:
        """Note bytes that arrived in a row. A few give no rate, unless they took long."""
        if seconds > 0 and (nbytes >= _LEAST_RATED_NBYTES or seconds >= _LEAST_RATED_SECONDS):
            rate = nbytes / seconds
            self._rates.append(rate)
            self.bytes_per_second += (rate - self.bytes_per_second) * (_WEIGHT if self.bytes_per_second else 1.0)

    @property
    def undivided_bytes_per_second(self) -> float:
        """What a connection brings that shares the link with no other, as far as was seen recently."""
        return max(self._rates, default=0.0)

    @property
    def lead_nbytes(self) -> int:
        """How far ahead the next request must start so that its head is there in time: what arrives in 1.3 latencies
        and 5 ms (cffs/docs/reading.md#read-ahead-policy)."""
        nbytes = int(self.bytes_per_second * (1.3 * self.latency_seconds + 0.005))
        return min(max(nbytes, MIN_WINDOW_NBYTES), _MOST_LEAD_NBYTES)


@dataclass(slots=True, kw_only=True)
class ReaderDependencies:
    """Owned by ObjectRegistry, shared by each RemoteFile."""

    opener: RangeOpener
    memory: MemoryCache
    disk: DiskTier
    background: Background
    settings: ReaderSettings
    listener: FactsListener
    scheduler: ConnectionScheduler
    #: The size of a first request of handles that are opened from now on.
    first_nbytes: int = FIRST_NBYTES
    counters: ReaderCounters = field(default_factory=ReaderCounters)
    histories: ReadHistories = field(default_factory=ReadHistories)
    link: LinkEstimate = field(default_factory=LinkEstimate)
    #: Long requests on their way; the parts of one stream count as one together.
    running_streams: float = 0.0
    parallelisms: dict[Api, StreamParallelism] = field(default_factory=dict)
    #: Open files; and of those that are brought whole, the bytes that memory alone is to keep.
    open_objects: int = 0
    whole_nbytes: int = 0
    #: The cost of recently closed files, for their next readers.
    spent: TTLCache[ObjectVersion, Spent] = field(
        default_factory=lambda: TTLCache(_SPENT_OBJECTS, ttl=_SPENT_SECONDS, timer=trio.current_time)
    )
    #: The APIs that ignore ranges, as an earlier look found.
    without_ranges: set[Api] = field(default_factory=set)

    def expect(self, api: Api, expected: OriginProfile) -> None:
        """Begin with what an earlier look at the origin found."""
        if expected.latency_seconds is not None and not self.link.latency_seconds:
            self.link.latency_seconds = expected.latency_seconds
        if expected.parallel_gain is not None:
            self.parallelism_of(api).expect(expected.parallel_gain, trio.current_time())
        (self.without_ranges.add if expected.ignores_ranges else self.without_ranges.discard)(api)

    def parallelism_of(self, api: Api) -> StreamParallelism:
        """How many connections a stream from that API gets."""
        parallelism = self.parallelisms.get(api)
        if parallelism is None:
            parallelism = self.parallelisms[api] = StreamParallelism(most=self.scheduler.per_object)
        return parallelism

    @property
    def patience_seconds(self) -> float:
        """How long a READ is made to wait for what is on its way."""
        return self.settings.timeout_seconds * _PATIENCE_SHARE

    @property
    def _share_nbytes(self) -> int:
        """Half of the budget, shared by the streams there are."""
        return self.memory.limit_nbytes // 2 // max(1, round(self.running_streams))

    @property
    def stream_buffer_nbytes(self) -> int:
        """The largest buffer for a stream. All streams together fill a quarter of the budget with buffers that are not
        read yet. Sizes are 128 KiB, twice that and so on, which lie on one grid; less only with a tiny budget."""
        share_nbytes = self._share_nbytes // 2
        most_nbytes = min(self.memory.largest_lease_nbytes, max(share_nbytes, BUFFER_UNIT_NBYTES))
        return 1 << (most_nbytes.bit_length() - 1) if most_nbytes > BUFFER_UNIT_NBYTES else most_nbytes

    def plan_limits(self, depth: int, *, is_on_disk: bool = False) -> PlanLimits:
        """What one reader may have on its way now: half of the budget, shared by the streams there are. Files that are
        brought whole share the other half, except those that come to be on disk."""
        most_nbytes = MAX_WINDOW_NBYTES if depth == 1 else depth * PART_NBYTES
        half_nbytes = self.memory.limit_nbytes // 2
        whole_nbytes = min(half_nbytes // max(1, self.open_objects), max(0, half_nbytes - self.whole_nbytes))
        if is_on_disk:
            whole_nbytes = WHOLE_FILE_NBYTES
        rate = self.link.undivided_bytes_per_second
        patience_nbytes = int(rate * self.patience_seconds) if rate else WHOLE_FILE_NBYTES
        return PlanLimits(
            window_cap_nbytes=max(PAGE_NBYTES, min(self._share_nbytes, most_nbytes)),
            lead_nbytes=self.link.lead_nbytes,
            depth=depth,
            whole_nbytes=whole_nbytes,
            reach_nbytes=int(rate * (self.link.latency_seconds + _REQUEST_SECONDS)),
            patience_nbytes=patience_nbytes,
        )
