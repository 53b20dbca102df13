"""The values that the memory cache and the disk cache share.

It owns the name of an object version and the counters of the memory cache. It must not know either cache.
"""

from dataclasses import dataclass
from typing import NamedTuple


class ObjectVersion(NamedTuple):
    """The version of object `key` that the origin names by `validator` and that has `total_nbytes` bytes.

    `total_nbytes` is None only while an answer of unstated length is still arriving. What arrives then belongs to the
    file that receives it (`instance`), since nothing distinguishes it from another version. That holds too for an
    object that may still be growing.
    """

    key: str
    validator: str | None
    total_nbytes: int | None
    instance: int = 0

    @property
    def is_private(self) -> bool:
        """True for bytes that only the file with this instance may find."""
        return self.instance != 0


@dataclass(slots=True)
class MemoryCounters:
    """What happened in the memory cache since the mount; `hits` and `misses` are of READs, counted by the reader."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    prefetch_used_nbytes: int = 0
    prefetch_wasted_nbytes: int = 0
