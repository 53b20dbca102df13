"""The layout of a cache file: header, one slot per block, blocks.

It must not know files, folders or limits. Pure.

    0       header (4096 bytes): magic, block size, total, digests of key and version, checksum of all that
    4096    slots, 16 bytes each: checksum of the block, its length, a mark
    data    the blocks, from the next multiple of 4096 on; a hole until it is written

A block's checksum is seeded with the version's digest and the block's index. So a block that lies in another file or at
another place, or belongs to another version, fails it; so does one whose slot reached the disk before its data.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import xxhash

from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES, MAX_OBJECT_NBYTES

HEADER_NBYTES = 4096
_PAGE_NBYTES = 4096
_MAGIC = b"cffsblk1"
_DIGEST_NBYTES = 20
_HEADER = struct.Struct(f"<8sIQ{_DIGEST_NBYTES}s{_DIGEST_NBYTES}s")
_CHECKSUM = struct.Struct("<Q")
_SLOT = struct.Struct("<QII")
SLOT_NBYTES = _SLOT.size
#: In every slot that was written: a hole, or zeros after a crash, never look like one.
_MARK = 0x626C6B31
#: The mark as it lies in a slot, and where.
MARK = _MARK.to_bytes(4, "little")
MARK_OFFSET = SLOT_NBYTES - len(MARK)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the file of an object of `total_nbytes` bytes."""

    total_nbytes: int

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.total_nbytes // BLOCK_NBYTES)

    @property
    def data_offset(self) -> int:
        """The offset of block 0 in the file."""
        end = HEADER_NBYTES + self.blocks * SLOT_NBYTES
        return end + -end % _PAGE_NBYTES

    def block_range(self, index: int) -> ByteRange:
        """The bytes of the object that block `index` holds; the last one may be short."""
        start = index * BLOCK_NBYTES
        return ByteRange(start, min(start + BLOCK_NBYTES, self.total_nbytes))

    def block_offset(self, index: int) -> int:
        """The offset of block `index` in the file."""
        return self.data_offset + index * BLOCK_NBYTES

    def slot_offset(self, index: int) -> int:
        """The offset of the block's slot in the file."""
        return HEADER_NBYTES + index * SLOT_NBYTES


def blocks_of(within: ByteRange) -> range:
    """The indexes of the blocks that touch `within`."""
    return range(within.start // BLOCK_NBYTES, -(-within.stop // BLOCK_NBYTES))


def key_digest(key: str) -> bytes:
    """The digest that names the file of an object, whatever its version."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_NBYTES, person=b"cffs key").digest()


def version_digest(version: ObjectVersion) -> bytes:
    """The digest that distinguishes one version of an object from every other version of every other object."""
    text = "\0".join((version.key, repr(version.validator), repr(version.total_nbytes)))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_NBYTES, person=b"cffs version").digest()


def make_header(version: ObjectVersion) -> bytes:
    """The header of a file that holds `version`, whose total must be known."""
    if version.total_nbytes is None:
        raise ValueError("a version without a total has no file")
    body = _HEADER.pack(_MAGIC, BLOCK_NBYTES, version.total_nbytes, key_digest(version.key), version_digest(version))
    return (body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))).ljust(HEADER_NBYTES, b"\0")


def header_holds(header: bytes, version: ObjectVersion) -> bool:
    """True where the header is whole and is that of `version`."""
    return header == make_header(version)


def total_of_header(header: bytes) -> int | None:
    """The total that a whole header of any version states. None for anything else: a torn or foreign file, or one that
    states more than any object has, whose slots alone would fill the memory."""
    if len(header) != HEADER_NBYTES:
        return None
    body = header[: _HEADER.size]
    magic, block_nbytes, total_nbytes, _key, _version = _HEADER.unpack(body)
    (checksum,) = _CHECKSUM.unpack_from(header, _HEADER.size)
    if magic != _MAGIC or block_nbytes != BLOCK_NBYTES or checksum != xxhash.xxh3_64_intdigest(body):
        return None
    if total_nbytes > MAX_OBJECT_NBYTES:
        return None
    return int(total_nbytes)


def seed_of_header(header: bytes) -> int:
    """The seed of the checksums in a file with that header."""
    _magic, _block, _total, _key, digest = _HEADER.unpack_from(header)
    return int.from_bytes(digest[:8], "little")


def seed_of(version: ObjectVersion) -> int:
    """The seed of the checksums in a file of `version`."""
    return int.from_bytes(version_digest(version)[:8], "little")


def make_slot(data: bytes | bytearray | memoryview, *, seed: int, index: int) -> bytes:
    """The slot of a block with that content."""
    return _SLOT.pack(block_checksum(data, seed=seed, index=index), len(data), _MARK)


def slot_matches(slot: bytes, data: bytes | bytearray | memoryview, *, seed: int, index: int) -> bool:
    """True where the block is the one that the slot was made for."""
    return slot == make_slot(data, seed=seed, index=index)


def slots_in(parts: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The slots of written blocks in parts of a slot table, each with its index. A part begins with a whole slot; one
    that is cut off at its end is none."""
    for first, part in parts:
        for begin in range(0, len(part), SLOT_NBYTES):
            slot = part[begin : begin + SLOT_NBYTES]
            if is_written(slot):
                yield first + begin // SLOT_NBYTES, slot


def is_written(slot: bytes) -> bool:
    """True where the slot says that its block was written."""
    return len(slot) == SLOT_NBYTES and _SLOT.unpack(slot)[2] == _MARK


def block_checksum(data: bytes | bytearray | memoryview, *, seed: int, index: int) -> int:
    """The checksum of a block: xxh3, which costs a tenth of the read path where crc32 costs a quarter (measured,
    cffs/docs/performance.md#disk)."""
    return xxhash.xxh3_64_intdigest(data, seed=(seed + index) % 2**64)
