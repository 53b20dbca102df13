"""All of an object brought to disk, piece by piece, to be kept.

It owns the order: what memory has goes first, and the rest is read. It must not know what asked for it.
"""

from collections.abc import Awaitable, Callable

from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from cffs.reader.cursor import Cursor
from cffs.reader.fetch import Fetches
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_tracker import VersionTracker

#: What is brought to disk between two looks at what is still missing: whole blocks, and a small part of the memory.
_KEPT_AT_ONCE_NBYTES = 8 * BLOCK_NBYTES


class DiskFill:
    """Brings what the disk lacks, from memory or by a READ of the file."""

    def __init__(
        self,
        tracker: VersionTracker,
        cache: TieredCache,
        fetches: Fetches,
        read: Callable[[Cursor, int, int], Awaitable[memoryview]],
    ) -> None:
        self._tracker = tracker
        self._cache = cache
        self._fetches = fetches
        self._read = read

    async def keep_next(self, cursor: Cursor) -> int | None:
        """See OpenFile.keep_next."""
        missing = self._cache.missing_on_disk()
        if missing is None:
            return None
        total_nbytes = self._tracker.total_nbytes or 0
        while cursor.kept_stop < total_nbytes:  # what memory has goes first: what is fetched may take its place there
            piece = ByteRange(cursor.kept_stop, cursor.kept_stop + _KEPT_AT_ONCE_NBYTES).clamped(total_nbytes)
            cursor.kept_stop = piece.stop
            nbytes = await self._cache.keep_from_memory(piece, unproven=self._on_their_way())
            self._tracker.require_current()
            if nbytes:
                return nbytes
        piece = ByteRange(missing.start, min(missing.stop, missing.start + _KEPT_AT_ONCE_NBYTES))
        data = await self._read(cursor, piece.start, piece.nbytes)
        self._tracker.require_current()
        await self._cache.keep(piece.start, data, unproven=self._on_their_way())
        self._tracker.require_current()
        still_missing = self._cache.missing_on_disk()
        return piece.nbytes if still_missing is None or still_missing.start > piece.start else 0

    def _on_their_way(self) -> list[ByteRange]:
        return [fetch.brought for fetch in self._fetches]
