"""Cache files that are open, and blocks on their way from and to them.

It must not know limits, or when a file goes. `cache/disk` owns the table.
"""

from dataclasses import dataclass

from cachetools import LRUCache

from cffs.cache.disk_file import DiskFile, Transfer
from cffs.cache.version import ObjectVersion


class OpenFiles(LRUCache[str, DiskFile]):
    """Open files by object key; the one unused for longest is closed for the next."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        #: What closed files had not settled, by object key; settled, or dropped, when their answers end.
        self.unsettled: dict[str, tuple[ObjectVersion, dict[int, bytes]]] = {}

    def popitem(self) -> tuple[str, DiskFile]:
        key, file = super().popitem()
        if file.unsettled:
            self.unsettled[key] = (file.version, file.unsettled)
        file.close()
        return key, file


@dataclass(frozen=True, slots=True)
class BlockRead:
    """Blocks on their way from the disk; `DiskCache.was_read` takes it when its transfer has run."""

    file: DiskFile
    run: range
    data: memoryview
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class BlockWrite:
    """Blocks on their way to the disk; `DiskCache.was_written` takes it when its transfer has run."""

    file: DiskFile
    run: range
    slots: list[bytes]
    transfer: Transfer
