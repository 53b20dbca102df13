"""What a cache file says of itself, and whether that is true.

It owns no file: it opens one to look at it. It must not know limits or other files.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cffs.cache import disk_format
from cffs.cache.disk_format import HEADER_NBYTES, SLOT_NBYTES, Layout
from cffs.core.units import MIB

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Slots are read in pieces of this size: a table that is a hole from end to end costs time, not memory.
_PIECE_NBYTES = MIB


def held_nbytes_in(path: Path) -> int:
    """How many bytes of its object a cache file says it holds, of whatever version; 0 for another kind of file. Raises
    OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        total_nbytes = disk_format.total_of_header(os.pread(descriptor, HEADER_NBYTES, 0))
        layout = Layout(total_nbytes or 0)
        here = disk_format.slots_in(slots_on_disk(descriptor, layout))
        return sum(layout.block_range(index).nbytes for index, _slot in here)
    finally:
        os.close(descriptor)


def verify_file(path: Path) -> tuple[int, int] | None:
    """Read and check every written block of a cache file: (right blocks, damaged blocks), or None for another kind of
    file. Changes nothing. Raises OSError."""
    descriptor = os.open(path, _FLAGS)
    try:
        header = os.pread(descriptor, HEADER_NBYTES, 0)
        total_nbytes = disk_format.total_of_header(header)
        if total_nbytes is None:
            return None
        layout, seed = Layout(total_nbytes), disk_format.seed_of_header(header)
        right = damaged = 0
        for index, slot in disk_format.slots_in(slots_on_disk(descriptor, layout)):
            data = os.pread(descriptor, layout.block_range(index).nbytes, layout.block_offset(index))
            if disk_format.slot_matches(slot, data, seed=seed, index=index):
                right += 1
            else:
                damaged += 1
        return right, damaged
    finally:
        os.close(descriptor)


def slots_on_disk(descriptor: int, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """The parts of a file's slot table that were ever written: the index of their first slot, and their bytes.

    Holes are skipped: the table of a claimed total may be larger than the disk. Raises OSError.
    """
    position, stop = HEADER_NBYTES, layout.slot_offset(layout.blocks)
    while position < stop:
        try:
            position = os.lseek(descriptor, position, os.SEEK_DATA)
            hole = os.lseek(descriptor, position, os.SEEK_HOLE)
        except OSError as problem:
            if problem.errno != errno.ENXIO:  # there is no more data
                raise
            return
        position -= position % SLOT_NBYTES
        while position < min(hole, stop):
            piece = os.pread(descriptor, min(_PIECE_NBYTES, stop - position), position)
            if not piece:
                return
            yield (position - HEADER_NBYTES) // SLOT_NBYTES, piece
            position += len(piece)
