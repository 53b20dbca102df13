"""What of one object is held, in memory or on disk, or on its way from the origin.

It owns no state: it is the one place that asks the caches and the fetches together. It must not know plans or readers.
No method is a checkpoint, and no answer outlives one.
"""

from cffs.core.byte_range import ByteRange
from cffs.reader.coverage import Coming
from cffs.reader.fetch import Fetches
from cffs.reader.tiered_cache import TieredCache


class ObjectCoverage:
    """The coverage of one object, as the read-ahead policy sees it (`reader/coverage`)."""

    def __init__(self, cache: TieredCache, fetches: Fetches) -> None:
        self._cache = cache
        self._fetches = fetches

    def first_absent(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is not held, or None."""
        return self._cache.first_missing(within)

    def first_missing(self, within: ByteRange) -> ByteRange | None:
        """The first maximal piece of `within` that is neither held nor on its way, or None."""
        position = within.start
        coming = self._fetches.coming()
        while position < within.stop:
            gap = self._cache.first_missing(ByteRange(position, within.stop))
            if gap is None:
                return None
            for piece in gap.minus(coming):
                return piece
            position = gap.stop
        return None

    def coming(self, offset: int) -> Coming | None:
        """What is on its way to bring the byte at `offset`. None also where that is an answer with the whole object,
        which cannot be cut."""
        fetch = self._fetches.covering(offset)
        if fetch is None or fetch.is_whole:
            return None
        return Coming(fetch.position, fetch.fixed_stop, fetch.stop, fetch.has_head)
