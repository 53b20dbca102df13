"""What happened in a cache, as numbers.

It must not know the cache. `cache/memory` counts, `daemon/status` shows.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class MemoryCounters:
    """What happened since the mount; owned by MemoryCache."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    prefetch_used_nbytes: int = 0
    prefetch_wasted_nbytes: int = 0
