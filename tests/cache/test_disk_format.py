"""The layout of a cache file: what earlier mounts wrote is found, nothing else."""

import struct

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from cffs.cache.disk_format import (
    HEADER_NBYTES,
    MARK,
    SLOT_NBYTES,
    Layout,
    block_checksum,
    blocks_of,
    header_holds,
    is_written,
    key_digest,
    make_header,
    make_slot,
    seed_of,
    seed_of_header,
    slot_matches,
    slots_in,
    total_of_header,
    version_digest,
)
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES, MAX_OBJECT_NBYTES

VERSION = ObjectVersion("mp3:88", '"e1"', 300_000)
#: What 0.1.0 wrote for VERSION: the header up to its padding, and the slot of block 2 holding b"abc".
HEADER_OF_0_1_0 = (
    "63666673626c6b3100000200e09304000000000050e8150bc0a48b97d75194fae39ab873"
    "79a6252ddf6148a29c4b42d4ce6e0dee5e8b80e157aed454964d0e2b44b446f6"
)
SLOT_OF_0_1_0 = "1ac8b2713234c8c603000000316b6c62"

#: Lone surrogates too: a name of the service may hold them.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
VERSIONS = st.builds(ObjectVersion, TEXTS, st.none() | TEXTS, st.integers(0, MAX_OBJECT_NBYTES), st.just(0))


def test_the_format_is_that_of_earlier_mounts():
    """A cache that version 0.1.0 filled is read: header, digests, seed and slot are the very bytes it wrote."""
    header = make_header(VERSION)
    assert header[: len(HEADER_OF_0_1_0) // 2].hex() == HEADER_OF_0_1_0
    assert set(header[len(HEADER_OF_0_1_0) // 2 :]) == {0}
    assert len(header) == HEADER_NBYTES
    assert make_slot(b"abc", seed=seed_of(VERSION), index=2).hex() == SLOT_OF_0_1_0


@given(VERSIONS, VERSIONS)
@example(ObjectVersion("\ud800", None, 1), ObjectVersion("\udfff", None, 1))
def test_digests_differ_where_versions_do(one, other):
    """Two versions have one digest exactly where key, validator and total are equal; the key's digest is its own."""
    assert (version_digest(one) == version_digest(other)) == (one == other)
    assert (key_digest(one.key) == key_digest(other.key)) == (one.key == other.key)
    assert len(version_digest(one)) == len(key_digest(one.key)) == 20
    assert key_digest(one.key) != version_digest(one)


@pytest.mark.parametrize(
    "other",
    [
        VERSION._replace(key="mp3:89"),
        VERSION._replace(validator='"e2"'),
        VERSION._replace(validator=None),
        VERSION._replace(total_nbytes=300_001),
    ],
)
def test_each_part_of_a_version_counts(other):
    """Another key, validator or total makes another digest, seed and header."""
    assert version_digest(other) != version_digest(VERSION)
    assert seed_of(other) != seed_of(VERSION)
    assert header_holds(make_header(VERSION), VERSION)
    assert not header_holds(make_header(other), VERSION)


@given(VERSIONS)
def test_a_header_states_its_total_and_seed(version):
    """A whole header gives back the total and the seed of the version that it was made for."""
    header = make_header(version)
    assert total_of_header(header) == version.total_nbytes
    assert seed_of_header(header) == seed_of(version)


def resealed(header: bytes, body: bytes) -> bytes:
    """A header with another body and a checksum that fits it."""
    sealed = body + struct.pack("<Q", xxhash.xxh3_64_intdigest(body))
    return sealed + header[len(sealed) :]


def test_a_header_of_another_format_is_none():
    """Another magic, block size or checksum, a wrong length, and a total beyond every object are no header of ours."""
    header = make_header(VERSION)
    body = header[:60]
    assert total_of_header(resealed(header, body)) == VERSION.total_nbytes
    assert total_of_header(resealed(header, b"cffsblk2" + body[8:])) is None
    assert total_of_header(resealed(header, body[:8] + struct.pack("<I", BLOCK_NBYTES * 2) + body[12:])) is None
    most = resealed(header, body[:12] + struct.pack("<Q", MAX_OBJECT_NBYTES) + body[20:])
    assert total_of_header(most) == MAX_OBJECT_NBYTES
    assert total_of_header(resealed(header, body[:12] + struct.pack("<Q", MAX_OBJECT_NBYTES + 1) + body[20:])) is None
    for position in range(68):
        flipped = bytearray(header)
        flipped[position] ^= 1
        assert total_of_header(bytes(flipped)) is None
    assert total_of_header(header + b"\0") is None
    assert total_of_header(header[:-1]) is None


def test_a_version_without_a_total_has_no_file():
    """What has no known length cannot be laid out."""
    with pytest.raises(ValueError, match="without a total"):
        make_header(VERSION._replace(total_nbytes=None))


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 2**64 - 1), st.integers(0, 5), st.integers(0, 5))
def test_a_slot_is_of_one_block_at_one_place(data, other, seed, index, elsewhere):
    """A slot matches the bytes it was made for, at its index and under its seed, and nothing else."""
    slot = make_slot(data, seed=seed, index=index)
    assert is_written(slot)
    assert slot_matches(slot, data, seed=seed, index=index)
    assert slot_matches(slot, other, seed=seed, index=index) == (data == other)
    assert slot_matches(slot, data, seed=seed, index=elsewhere) == (index == elsewhere)
    assert not slot_matches(slot, data, seed=(seed + 1) % 2**64, index=index + 7)


def test_a_hole_is_no_slot():
    """Zeros, a cut slot and one without the mark were not written."""
    slot = make_slot(b"abc", seed=1, index=0)
    assert not is_written(bytes(len(slot)))
    assert not is_written(slot[:-1])
    assert not is_written(slot[:-4] + bytes(4))


def test_slots_are_found_at_their_places():
    """Written slots are found with their indexes, behind holes too; a mark within a checksum begins none, and what is
    cut off at the end of a part is none."""
    hole = bytes(SLOT_NBYTES)
    slot = MARK + bytes(SLOT_NBYTES - 2 * len(MARK)) + MARK  # its checksum begins as a mark
    parts = [(5, hole + slot + slot[:-1]), (90, slot)]
    assert list(slots_in(parts)) == [(6, slot), (90, slot)]


def test_the_seed_wraps_at_64_bits():
    """The seed of the highest digest and an index is still a seed of the checksum: it wraps, and is never refused."""
    assert block_checksum(b"abc", seed=2**64 - 1, index=1) == block_checksum(b"abc", seed=0, index=0)


@given(st.integers(0, 5 * BLOCK_NBYTES), st.integers(0, 3 * BLOCK_NBYTES))
def test_blocks_of_a_range_are_those_it_touches(start, nbytes):
    """An index is given exactly where the block and the range have a byte in common."""
    within = ByteRange(start, start + nbytes)
    layout = Layout(20 * BLOCK_NBYTES)
    touched = [index for index in range(10) if within and layout.block_range(index).overlaps(within)]
    assert [index for index in blocks_of(within) if within] == touched


@given(st.integers(0, 40 * BLOCK_NBYTES))
def test_nothing_overlaps_in_a_file(total_nbytes):
    """Header, slots and blocks follow each other without a byte in common, the blocks aligned to pages."""
    layout = Layout(total_nbytes)
    assert layout.slot_offset(0) == HEADER_NBYTES
    assert layout.slot_offset(layout.blocks) <= layout.data_offset < layout.slot_offset(layout.blocks) + 4096
    assert layout.data_offset % 4096 == 0
    covered = [layout.block_range(index) for index in range(layout.blocks)]
    assert sum(part.nbytes for part in covered) == total_nbytes
    for index, part in enumerate(covered):
        assert part.start == index * BLOCK_NBYTES
        assert layout.block_offset(index) == layout.data_offset + part.start
