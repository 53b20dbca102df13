"""What lately became of each object's bytes, for people who ask why: ranges fetched, who served, what went wrong.

It must not know paths or who asks; it decides nothing. `reader/` notes, `daemon/explain` tells. A few hundred bytes an
object, the oldest forgotten; times are trio's.
"""

from collections import deque
from dataclasses import dataclass, field

import trio
from cachetools import LRUCache

from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError

#: Objects remembered.
_OBJECTS = 5_000
#: Ranges remembered of each.
_RANGES = 8


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """A run of bytes that one fetch brought; `source` is the key of who had it."""

    run: ByteRange
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """What a question about the object last failed with, in its own words."""

    text: str
    at: float


@dataclass(slots=True)
class ReadHistory:
    """One object's; `tier` is which served the last READ: memory, disk or service, "" before any."""

    fetched: deque[RangeRecord] = field(default_factory=lambda: deque(maxlen=_RANGES))
    failure: Failure | None = None
    tier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReport:
    """A story with what is held now."""

    memory_nbytes: int
    disk_nbytes: int
    is_open: bool
    fetched: tuple[RangeRecord, ...]
    tier: str
    failure: Failure | None


class ReadHistories:
    """The histories of a mount, by key. No method is a checkpoint."""

    def __init__(self) -> None:
        self._stories: LRUCache[str, ReadHistory] = LRUCache(_OBJECTS)

    def of(self, key: str) -> ReadHistory:
        """What is remembered; an empty story where nothing is."""
        return self._stories.get(key) or ReadHistory()

    def fetched(self, key: str, run: ByteRange, source: str) -> None:
        """A fetch ended that brought `run`."""
        if run:
            self._kept(key).fetched.append(RangeRecord(run, source, trio.current_time()))

    def failed(self, key: str, error: CffsError) -> None:
        """A question ended with `error`."""
        self._kept(key).failure = Failure(str(error) or type(error).__name__, trio.current_time())

    def served(self, key: str, tier: str) -> None:
        """A READ was answered."""
        self._kept(key).tier = tier

    def _kept(self, key: str) -> ReadHistory:
        story = self._stories.get(key)
        if story is None:
            story = self._stories[key] = ReadHistory()
        return story
