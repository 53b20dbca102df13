"""One cache file: checked blocks of one object version on disk.

A deleted, truncated, flipped or swapped file costs only time. It owns the descriptor of the file and its slots. It must
not know limits, other files, or readers.

What may wait for the disk is a `Transfer`: made here, run anywhere (also in a thread, since it has a descriptor of its
own), its result brought back here. Everything else is for the event loop alone.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from cffs.cache import disk_format
from cffs.cache.disk_check import slots_on_disk
from cffs.cache.disk_format import HEADER_NBYTES, SLOT_NBYTES, Layout
from cffs.cache.slot_table import SlotTable
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class WouldBlock(Exception):
    """The block is not in the system's page cache. The system has begun to read it, and what follows where a reader
    goes on. (A request to read ahead by `posix_fadvise` fills the page cache with single pages: four times the CPU.)"""


class Transfer:
    """Bytes to be read from, or written to, a cache file, with a descriptor of its own: call `run` or `discard`."""

    __slots__ = ("_owned", "is_write", "pieces")

    def __init__(self, descriptor: int, pieces: tuple[tuple[memoryview, int], ...], *, is_write: bool) -> None:
        """`descriptor` is owned from now on; `pieces` are buffers, each with its offset in the file."""
        self._owned = [descriptor]  # popped by the thread that closes it, in one step that no other thread can share
        self.pieces = pieces
        self.is_write = is_write

    def run(self) -> int:
        """Move the bytes, waiting for the disk; return how many were moved, 0 after `discard`. Raises OSError."""
        try:
            descriptor = self._owned.pop()
        except IndexError:
            return 0
        try:
            move = _pwrite_all if self.is_write else _pread_all
            return sum(move(descriptor, data, offset) for data, offset in self.pieces)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Give up the transfer; nothing where it has begun."""
        try:
            os.close(self._owned.pop())
        except IndexError:
            return


class DiskFile:
    """An open file of one version. Raises OSError where the disk fails; never serves an unchecked byte."""

    def __init__(self, path: Path, version: ObjectVersion, *, create: bool) -> None:
        """Open the file of `version`. FileNotFoundError where there is none, or where the file is damaged or of another
        version. With `create` it is made, and must not exist."""
        if version.total_nbytes is None:
            raise ValueError("a version without a total has no file")
        self.version = version
        self.corrupt_blocks = 0
        #: Slots of blocks that are here and that a crash loses: the answer they came from may still prove wrong.
        self.unpublished: dict[int, bytes] = {}
        self._layout = Layout(version.total_nbytes)
        self._seed = disk_format.seed_of(version)
        self._descriptor = _opened(path, create=create)
        try:
            self._slots, self._held_nbytes = SlotTable(), 0
            if create:
                os.fchmod(self._descriptor, 0o600)
                os.pwrite(self._descriptor, disk_format.make_header(version), 0)
            else:
                self._read_slots()
        except BaseException:
            os.close(self._descriptor)
            if create:  # a file without its header would be in the way of the next try
                with suppress(OSError):
                    path.unlink()
            raise

    def _read_slots(self) -> None:
        if not disk_format.header_holds(os.pread(self._descriptor, HEADER_NBYTES, 0), self.version):
            raise FileNotFoundError(errno.ENOENT, "no file of that version")
        for index, slot in disk_format.slots_in(slots_on_disk(self._descriptor, self._layout)):
            self._keep_slot(index, slot)

    def _keep_slot(self, index: int, slot: bytes) -> None:
        if self._slots.put(index, slot):
            self._held_nbytes += self.block_range(index).nbytes

    def close(self) -> None:
        """Give the descriptor back; transfers have their own."""
        os.close(self._descriptor)
        self._descriptor = -1  # whatever is still done to it must never meet another file

    @property
    def held_nbytes(self) -> int:
        """How many bytes of the object are here."""
        return self._held_nbytes

    def block_range(self, index: int) -> ByteRange:
        """The bytes of the object that block `index` holds."""
        return self._layout.block_range(index)

    def has(self, index: int) -> bool:
        """True where block `index` was written; it is checked when it is read."""
        return self._slots.has(index)

    def first_missing(self, indexes: range) -> range | None:
        """The first run of blocks in `indexes` that are not here, or None."""
        return self._slots.first_missing(indexes)

    def run_at(self, indexes: range) -> range:
        """The blocks that are here from the first of `indexes` on, without a gap; empty where that one is not."""
        return self._slots.run_at(indexes)

    # -- reading --

    def try_read(self, run: range, buffer: memoryview | None = None) -> memoryview:
        """The bytes of the blocks of `run`, unchecked, in `buffer` where there is one. Raises WouldBlock where the disk
        would have to be waited for, and OSError."""
        target, offset = self._target(run, buffer), self._layout.block_offset(run.start)
        try:
            got = os.preadv(self._descriptor, [target], offset, os.RWF_NOWAIT)
        except OSError as problem:
            if problem.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            got = 0  # EOPNOTSUPP: a file system that cannot answer that, tmpfs among them
        if got < len(target):
            raise WouldBlock
        return target

    def reading(self, run: range, buffer: memoryview | None = None) -> tuple[memoryview, Transfer]:
        """Return a buffer, and the transfer that brings the bytes of the blocks of `run` into it."""
        target = self._target(run, buffer)
        pieces = ((target, self._layout.block_offset(run.start)),)
        return target, Transfer(os.dup(self._descriptor), pieces, is_write=False)

    def checked(self, run: range, view: memoryview) -> memoryview | None:
        """What of `view`, read for `run`, is right: all up to the first damaged block, which is forgotten."""
        position = 0
        for index in run:
            block = view[position : position + self.block_range(index).nbytes]
            if not disk_format.slot_matches(self._slots[index], block, seed=self._seed, index=index):
                self.forget(index)
                self.corrupt_blocks += 1
                break
            position += len(block)
        return view[:position].toreadonly() if position else None

    def _target(self, run: range, buffer: memoryview | None) -> memoryview:
        nbytes = self._nbytes_of(run)
        return memoryview(bytearray(nbytes)) if buffer is None else buffer[:nbytes]

    def _nbytes_of(self, run: range) -> int:
        return self.block_range(run.stop - 1).stop - self.block_range(run.start).start

    # -- writing: first the data, whose slots stay in memory; they reach the disk when the answer has proved right --

    def slots_of(self, run: range, data: memoryview) -> list[bytes]:
        """The slots of the blocks of `run`, which are `data` together."""
        if len(data) != self._nbytes_of(run):
            raise ValueError(f"blocks {run} have another length")
        begin = self.block_range(run.start).start
        places = ((index, self.block_range(index)) for index in run)
        return [
            disk_format.make_slot(data[place.start - begin : place.stop - begin], seed=self._seed, index=index)
            for index, place in places
        ]

    def write(self, run: range, data: memoryview) -> None:
        """Write the blocks of `run`, waiting for the disk; `wrote` must follow."""
        _pwrite_all(self._descriptor, data, self._layout.block_offset(run.start))

    def writing(self, run: range, data: memoryview) -> Transfer:
        """Return the transfer that writes the blocks of `run`."""
        pieces = ((data, self._layout.block_offset(run.start)),)
        return Transfer(os.dup(self._descriptor), pieces, is_write=True)

    def wrote(self, run: range, slots: list[bytes]) -> None:
        """Note that the data of the blocks of `run` is written: from now on they are here, for as long as this file is
        open."""
        for index, slot in zip(run, slots, strict=True):
            self.unpublished[index] = slot
            self._keep_slot(index, slot)

    def wrote_earlier(self, slots: Mapping[int, bytes]) -> None:
        """Take over what an earlier opening of the file had written and not published."""
        for index, slot in slots.items():
            self.wrote(range(index, index + 1), [slot])

    def publishing(self, indexes: Iterable[int]) -> Transfer | None:
        """Return the transfer that makes those of the blocks that are here outlast this process; None where there is
        nothing to do."""
        pieces, run_stop, run = [], -1, bytearray()
        for index in indexes:
            slot = self.unpublished.pop(index, None)
            if slot is None:
                continue
            if index != run_stop:
                run = bytearray()
                pieces.append((run, self._layout.slot_offset(index)))
            run += slot
            run_stop = index + 1
        if not pieces:
            return None
        return Transfer(os.dup(self._descriptor), tuple((memoryview(run), at) for run, at in pieces), is_write=True)

    def forget(self, index: int) -> None:
        """Forget block `index`, which is not to be trusted. Asks the disk, but depends on nothing that it does."""
        was_published = self.unpublished.pop(index, None) is None
        if self._slots.forget(index):
            self._held_nbytes -= self.block_range(index).nbytes
        if not was_published:
            return
        try:
            os.pwrite(self._descriptor, bytes(SLOT_NBYTES), self._layout.slot_offset(index))
        except OSError:
            return  # a read-only or failing disk: the block fails its checksum the next time too


def _opened(path: Path, *, create: bool) -> int:
    """Open the file by way of its folder, so that neither is reached through a symbolic link. FileNotFoundError for a
    file that has another name too, or another owner: what is written there would be written elsewhere."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | _FLAGS)
    try:
        if create:
            return os.open(path.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=folder)
        try:
            descriptor = os.open(path.name, os.O_RDWR | _FLAGS, dir_fd=folder)
        except OSError as problem:
            if problem.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            # what is there can still be read
            descriptor = os.open(path.name, os.O_RDONLY | _FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    if found.st_nlink != 1 or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "not a file of ours alone")
    return descriptor


def make_folder(path: Path) -> None:
    """Make a folder for files, mode 0700. A symbolic link in its place is removed, and what it points to stays
    untouched."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(mode=0o700, exist_ok=True)


def _pread_all(descriptor: int, target: memoryview, offset: int) -> int:
    done = 0
    while done < len(target):
        got = os.preadv(descriptor, [target[done:]], offset + done)
        if not got:
            break  # the file was cut off: the rest stays zero and fails its checksum
        done += got
    return done


def _pwrite_all(descriptor: int, data: memoryview, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
    return done


class OpenFiles(LRUCache[str, DiskFile]):
    """Open files by object key; the least recently used one is closed for the next."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        #: What closed files had not published, by object key; published, or dropped, when the answers end.
        self.unpublished: dict[str, tuple[ObjectVersion, dict[int, bytes]]] = {}

    def popitem(self) -> tuple[str, DiskFile]:
        key, file = super().popitem()
        if file.unpublished:
            self.unpublished[key] = (file.version, file.unpublished)
        file.close()
        return key, file


@dataclass(frozen=True, slots=True)
class BlockRead:
    """Blocks on their way from the disk; `DiskCache.finish_read` takes it when its transfer has run."""

    file: DiskFile
    run: range
    data: memoryview
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class BlockWrite:
    """Blocks on their way to the disk; `DiskCache.finish_write` takes it when its transfer has run."""

    file: DiskFile
    run: range
    slots: list[bytes]
    transfer: Transfer
