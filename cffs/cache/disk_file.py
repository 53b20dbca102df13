"""One cache file: the blocks of one object version on disk, each checked before it is given out.

It must not know limits, other files, or who reads.
`cache/disk` opens and closes it. A deleted, cut, flipped or swapped file costs only time.
"""

import errno
import os
from pathlib import Path

from cffs.cache import disk_format
from cffs.cache.disk_format import BLOCK_NBYTES, HEADER_NBYTES, SLOT_NBYTES, Layout
from cffs.cache.version import ObjectVersion

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class WouldBlock(Exception):
    """The block is not in the system's page cache; its read-ahead has been started."""


class DiskFile:
    """An open file of one version. Raises OSError where the disk fails; never gives out a byte unchecked."""

    def __init__(self, path: Path, version: ObjectVersion, *, create: bool) -> None:
        """Opens the file of `version`; an existing one of another version, or a damaged one, is emptied (`create`) or
        refused (FileNotFoundError)."""
        if version.total_nbytes is None:
            raise ValueError("a version without a total has no file")
        self.version = version
        self.corrupt_blocks = 0
        self._layout = Layout(version.total_nbytes)
        self._seed = disk_format.seed_of(version)
        self._descriptor = os.open(path, _FLAGS | (os.O_CREAT if create else 0), 0o600)
        try:
            self._slots = self._read_slots(create=create)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _read_slots(self, *, create: bool) -> bytearray:
        slots_nbytes = self._layout.blocks * SLOT_NBYTES
        header = os.pread(self._descriptor, HEADER_NBYTES, 0)
        if disk_format.header_holds(header, self.version):
            slots = os.pread(self._descriptor, slots_nbytes, HEADER_NBYTES)
            return bytearray(slots.ljust(slots_nbytes, b"\0"))
        if not create:
            raise FileNotFoundError(errno.ENOENT, "no file of that version")
        os.ftruncate(self._descriptor, 0)
        os.fchmod(self._descriptor, 0o600)
        os.pwrite(self._descriptor, disk_format.make_header(self.version), 0)
        return bytearray(slots_nbytes)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def has(self, index: int) -> bool:
        """True where block `index` was written (it is checked when it is read)."""
        return disk_format.is_written(self._slot(index))

    def missing_blocks(self) -> int:
        """How many blocks were never written."""
        return sum(not self.has(index) for index in range(self._layout.blocks))

    def held_nbytes(self) -> int:
        """How many bytes of the object are here."""
        ranges = (self._layout.block_range(index) for index in range(self._layout.blocks) if self.has(index))
        return sum(block.nbytes for block in ranges)

    def read(self, index: int, *, wait: bool) -> bytearray | None:
        """Block `index`, checked; None where it is not here or proved damaged (it is then forgotten).

        With `wait` False raises WouldBlock where the disk would have to be waited for. Raises OSError.
        """
        slot = self._slot(index)
        if not disk_format.is_written(slot):
            return None
        nbytes = self._layout.block_range(index).nbytes
        data = bytearray(nbytes)
        offset = self._layout.block_offset(index)
        done = 0
        while done < nbytes:
            try:
                got = os.preadv(
                    self._descriptor, [memoryview(data)[done:]], offset + done, 0 if wait else os.RWF_NOWAIT
                )
            except BlockingIOError:
                os.posix_fadvise(self._descriptor, offset, 4 * BLOCK_NBYTES, os.POSIX_FADV_WILLNEED)
                raise WouldBlock from None  # the errno is the whole story
            if not got:
                break
            done += got
        if done < nbytes or not disk_format.slot_matches(slot, data, seed=self._seed, index=index):
            self.forget(index)
            self.corrupt_blocks += 1
            return None
        return data

    def write(self, index: int, data: memoryview) -> None:
        """Keep block `index`: data first, then its slot. Raises OSError; then the block is not here."""
        if len(data) != self._layout.block_range(index).nbytes:
            raise ValueError(f"block {index} has another length")
        _pwrite_all(self._descriptor, data, self._layout.block_offset(index))
        slot = disk_format.make_slot(data, seed=self._seed, index=index)
        _pwrite_all(self._descriptor, memoryview(slot), self._layout.slot_offset(index))
        begin = index * SLOT_NBYTES
        self._slots[begin : begin + SLOT_NBYTES] = slot

    def forget(self, index: int) -> None:
        """Block `index` is not to be trusted."""
        empty = bytes(SLOT_NBYTES)
        begin = index * SLOT_NBYTES
        self._slots[begin : begin + SLOT_NBYTES] = empty
        try:
            os.pwrite(self._descriptor, empty, self._layout.slot_offset(index))
        except OSError:
            return  # a read-only or failing disk: the block fails its checksum the next time too

    def _slot(self, index: int) -> bytes:
        return bytes(self._slots[index * SLOT_NBYTES : (index + 1) * SLOT_NBYTES])


def _pwrite_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        offset += written
        data = data[written:]


def verify_file(path: Path) -> tuple[int, int] | None:
    """Read every written block of a cache file and check it: (blocks right, blocks damaged); None where the file is no
    cache file. Changes nothing. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
