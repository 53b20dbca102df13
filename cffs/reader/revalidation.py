"""`--revalidate`: whether a known object is still the same at the origin.

With 0 seconds nothing is ever asked: a finished recording is immutable for its id and validator. It owns when each
object was last confirmed. It must not know what is open.
"""

import logging
from collections.abc import Callable

import trio
from cachetools import LRUCache

from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    CffsError,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
)
from cffs.core.source import Source
from cffs.reader.first_source import first_of
from cffs.reader.object_info import Known
from cffs.reader.range_opener import RangeOpener

log = logging.getLogger(__name__)

#: How many objects' last confirmation is remembered; the others are asked about at their next open.
_KEPT = 50_000


class Revalidation:
    """When each object was last found to be what it was."""

    def __init__(self, opener: RangeOpener, *, after_seconds: float, changed: Callable[[str, Pinned], None]) -> None:
        """`changed` is called with the key of an object that is not of that version any more."""
        self._opener = opener
        self._after_seconds = after_seconds
        self._changed = changed
        self._confirmed_at: LRUCache[str, float] = LRUCache(_KEPT)

    def confirm(self, key: str) -> None:
        """Note that an answer has just confirmed what the object is."""
        if self._after_seconds:
            self._confirmed_at[key] = trio.current_time()

    async def is_another(self, key: str, sources: tuple[Source, ...], known: Known) -> bool:
        """Request the object's first byte where that is due; True where it is no longer of the version `known`.

        Where the request fails, the object counts as known: what is cached stays readable. Raises RemoteObjectMissing
        where the origin says that there is no such object. A checkpoint where it asks; cancelled, the next call asks
        again.
        """
        if not self._after_seconds:
            return False
        confirmed_at = self._confirmed_at.get(key)
        if confirmed_at is not None and trio.current_time() - confirmed_at < self._after_seconds:
            return False
        pinned = Pinned(validator=known.validator, total=known.total_nbytes)
        try:
            await self._ask(key, (known.source,) if known.source is not None else sources, pinned)
        except RemoteObjectChanged:
            self._changed(key, pinned)
            self.confirm(key)
            return True
        except RemoteObjectMissing:
            raise
        except CffsError as problem:
            log.info("not revalidated object=%s reason=%s", key, problem)
            return False
        self.confirm(key)
        return False

    async def _ask(self, key: str, sources: tuple[Source, ...], pinned: Pinned) -> None:
        async def ask(source: Source) -> None:
            try:
                async with self._opener.open_range(source, ByteRange(0, 1), pinned=pinned):
                    return
            except RangeNotSatisfiable:
                if pinned.total:
                    raise

        await first_of(key, sources, ask)
