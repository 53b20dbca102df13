"""Recent read history of each object, for `cffs why`.

A few hundred bytes per object, the oldest forgotten; times are trio's. It decides nothing, and must not know paths.
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
    """A run of bytes that one fetch brought; `source` is the key of the source that had it."""

    run: ByteRange
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """What a request for the object last failed with, in its own words."""

    text: str
    at: float


@dataclass(slots=True)
class ReadHistory:
    """The history of one object; `tier` is what served its last READ: memory, disk or service, "" before any."""

    fetched: deque[RangeRecord] = field(default_factory=lambda: deque(maxlen=_RANGES))
    failure: Failure | None = None
    tier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReport:
    """The history of an object, with what is held of it now."""

    memory_nbytes: int
    disk_nbytes: int
    is_open: bool
    fetched: tuple[RangeRecord, ...]
    tier: str
    failure: Failure | None


class ReadHistories:
    """The histories of a mount, by key. No method is a checkpoint."""

    def __init__(self) -> None:
        self._histories: LRUCache[str, ReadHistory] = LRUCache(_OBJECTS)

    def of(self, key: str) -> ReadHistory:
        """What is remembered; an empty history where nothing is."""
        return self._histories.get(key) or ReadHistory()

    def note_fetch(self, key: str, run: ByteRange, source: str) -> None:
        """Note the end of a fetch that brought `run`."""
        if run:
            self._history(key).fetched.append(RangeRecord(run, source, trio.current_time()))

    def note_failure(self, key: str, error: CffsError) -> None:
        """Note a request that ended with `error`."""
        self._history(key).failure = Failure(str(error) or type(error).__name__, trio.current_time())

    def note_tier(self, key: str, tier: str) -> None:
        """Note which tier answered the last READ."""
        self._history(key).tier = tier

    def _history(self, key: str) -> ReadHistory:
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = ReadHistory()
        return history
