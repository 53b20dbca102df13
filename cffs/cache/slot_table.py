"""The slots of a cache file in memory: pages that grow with the blocks that came.

A service may claim any total, and a table of all slots of an object of 2^40 bytes would take 134 MB and seconds to
make; so a page exists only where a block does. It must not know files, checksums, or what a slot says beyond whether
its block was written. Pure.
"""

from cffs.cache.disk_format import SLOT_NBYTES, is_written

#: Slots per page: 16 KiB of slots for 128 MiB of an object, so that most objects have one page.
PAGE_SLOTS = 1024
_HERE, _MISSING = b"\1", b"\0"
_EMPTY = bytes(SLOT_NBYTES)


class _Page:
    """Consecutive slots, and for each a byte that is 1 where its block is here, so that runs of them are found fast."""

    __slots__ = ("here", "slots")

    def __init__(self) -> None:
        self.slots = bytearray(PAGE_SLOTS * SLOT_NBYTES)
        self.here = bytearray(PAGE_SLOTS)


class SlotTable:
    """Which blocks are here, and their slots. For one thread; no method is a checkpoint."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}

    def __getitem__(self, index: int) -> bytes:
        """The slot of a block; zeros where it is not here."""
        page, begin = self._pages.get(index // PAGE_SLOTS), index % PAGE_SLOTS * SLOT_NBYTES
        return _EMPTY if page is None else bytes(page.slots[begin : begin + SLOT_NBYTES])

    def put(self, index: int, slot: bytes) -> bool:
        """Keep the slot of a block; True where that changed whether the block is here."""
        is_here = is_written(slot)
        page = self._pages.get(index // PAGE_SLOTS)
        if page is None:
            if not is_here:
                return False
            page = self._pages[index // PAGE_SLOTS] = _Page()
        place = index % PAGE_SLOTS
        page.slots[place * SLOT_NBYTES : (place + 1) * SLOT_NBYTES] = slot
        was_here, page.here[place] = bool(page.here[place]), is_here
        return was_here != is_here

    def forget(self, index: int) -> bool:
        """Forget a block; True where it was here."""
        return self.put(index, _EMPTY)

    def has(self, index: int) -> bool:
        """True where the block is here."""
        page = self._pages.get(index // PAGE_SLOTS)
        return page is not None and bool(page.here[index % PAGE_SLOTS])

    def first_missing(self, indexes: range) -> range | None:
        """The first run of blocks in `indexes` that are not here, or None where all are."""
        start = self._find(_MISSING, indexes)
        return None if start == indexes.stop else range(start, self._find(_HERE, range(start, indexes.stop)))

    def run_at(self, indexes: range) -> range:
        """The blocks that are here from the first of `indexes` on, without a gap; empty where that one is not."""
        return range(indexes.start, self._find(_MISSING, indexes))

    def _find(self, what: bytes, indexes: range) -> int:
        """The first of `indexes` whose state is `what`, or their stop where none is. Only pages that exist cost
        time."""
        position = indexes.start
        while position < indexes.stop:
            number, place = divmod(position, PAGE_SLOTS)
            page = self._pages.get(number)
            if page is None:
                if what == _MISSING:
                    return position
                later = [other for other in self._pages if other > number]
                position = min(later) * PAGE_SLOTS if later else indexes.stop
                continue
            found = page.here.find(what, place)
            if found >= 0:
                return min(number * PAGE_SLOTS + found, indexes.stop)
            position = (number + 1) * PAGE_SLOTS
        return indexes.stop
