"""What a cache file says of itself, and whether it is true: looked at without opening its object.

It must not know limits or other files. `cache/disk_index` counts with it, `cffs cache verify` checks with it.
"""

import os
from pathlib import Path

from cffs.cache import disk_format
from cffs.cache.disk_format import HEADER_NBYTES, SLOT_NBYTES, Layout

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def held_nbytes_in(path: Path) -> int:
    """How many bytes of its object a cache file says it holds, whatever its version; 0 where it is none. Raises
    OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        total_nbytes = disk_format.total_of_header(os.pread(descriptor, HEADER_NBYTES, 0))
        layout = Layout(total_nbytes or 0)
        slots = os.pread(descriptor, layout.blocks * SLOT_NBYTES, HEADER_NBYTES)
        here = (disk_format.is_written(slots[at : at + SLOT_NBYTES]) for at in range(0, len(slots), SLOT_NBYTES))
        return sum(layout.block_range(index).nbytes for index, is_here in enumerate(here) if is_here)
    finally:
        os.close(descriptor)


def verify_file(path: Path) -> tuple[int, int] | None:
    """Read every written block of a cache file and check it: (blocks right, blocks damaged); None where the file is no
    cache file. Changes nothing. Raises OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        header = os.pread(descriptor, HEADER_NBYTES, 0)
        total_nbytes = disk_format.total_of_header(header)
        if total_nbytes is None:
            return None
        layout, seed = Layout(total_nbytes), disk_format.seed_of_header(header)
        right = damaged = 0
        for index in range(layout.blocks):
            slot = os.pread(descriptor, SLOT_NBYTES, layout.slot_offset(index))
            if not disk_format.is_written(slot):
                continue
            data = os.pread(descriptor, layout.block_range(index).nbytes, layout.block_offset(index))
            if disk_format.slot_matches(slot, data, seed=seed, index=index):
                right += 1
            else:
                damaged += 1
        return right, damaged
    finally:
        os.close(descriptor)
