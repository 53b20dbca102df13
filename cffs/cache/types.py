"""What happened in a cache, as numbers.

It must not know the cache. `cache/memory` counts, `daemon/status` shows.
"""

from dataclasses import dataclass
from typing import NamedTuple


class ObjectVersion(NamedTuple):
    """The version of object `key` that the origin names by `validator` and that has `total_nbytes` bytes.

    `total_nbytes` is None only while an answer that does not tell its length is still arriving; what arrives then
    belongs to whoever receives it (`instance`), since nothing tells it from another version. The same holds where it is
    not known yet whether the object is still being made.
    """

    key: str
    validator: str | None
    total_nbytes: int | None
    instance: int = 0

    @property
    def is_private(self) -> bool:
        """True for bytes that nobody else is ever to find."""
        return self.instance != 0


@dataclass(slots=True)
class MemoryCounters:
    """What happened since the mount; owned by MemoryCache."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    prefetch_used_nbytes: int = 0
    prefetch_wasted_nbytes: int = 0
