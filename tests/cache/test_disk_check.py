"""Cache files by grammar: headers and slots that anyone could have written."""

import struct
import tracemalloc
from pathlib import Path

import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cffs.cache.disk_check import held_nbytes_in, verify_file
from cffs.cache.disk_format import HEADER_NBYTES, Layout, header_holds, total_of_header
from cffs.cache.types import ObjectVersion
from cffs.core.units import BLOCK_NBYTES, MAX_OBJECT_NBYTES
from tests.cache.test_disk import TOTAL, opened, put, the_file, version

_TOTALS = st.sampled_from([0, 1, BLOCK_NBYTES, 2**31, 2**40, 2**40 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
_BLOCKS = st.sampled_from([0, 1, BLOCK_NBYTES, 2**32 - 1])


def header(magic: bytes, block_nbytes: int, total: int, digests: bytes) -> bytes:
    body = struct.pack("<8sIQ40s", magic, block_nbytes, total, digests)
    return (body + struct.pack("<Q", xxhash.xxh3_64_intdigest(body))).ljust(HEADER_NBYTES, b"\0")


HEADERS = st.builds(header, st.sampled_from([b"cffsblk1", b"cffsblk2", b""]), _BLOCKS, _TOTALS, st.binary(max_size=40))
SLOTS = st.lists(
    st.builds(
        lambda checksum, nbytes, mark: struct.pack("<QII", checksum, nbytes, mark),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 0x626C6B31]),
    ),
    max_size=4,
).map(b"".join)
FILES = st.builds(
    lambda head, cut, slots, data: head[:cut] + slots + data,
    HEADERS | st.binary(max_size=100),
    st.sampled_from([0, 7, 60, 67, 68, 4095, 4096]),
    SLOTS,
    st.binary(max_size=5000),
)


@settings(deadline=None)
@given(FILES)
@example(header(b"cffsblk1", BLOCK_NBYTES, 2**64 - 1, b""))
@example(header(b"cffsblk1", BLOCK_NBYTES, MAX_OBJECT_NBYTES, b""))
def test_a_file_of_anybodys_costs_little_and_is_never_taken(tmp_path_factory, data: bytes) -> None:
    """Totals beyond any object, slots beyond the file, marks without blocks: such a file is none of ours, or holds
    nothing right, and looking at it takes neither memory nor an exception."""
    path: Path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        total = total_of_header(data[:HEADER_NBYTES])
        held, found = held_nbytes_in(path), None
        if total is None or total <= 2**31:  # a check of 2^40 bytes of nothing takes its time, and nothing else
            found = verify_file(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert total is None or total <= MAX_OBJECT_NBYTES
    assert held <= (total or 0)
    assert found is None or found[0] == 0
    version = ObjectVersion("key", "validator", total if total is not None else 5)
    assert not header_holds(data[:HEADER_NBYTES], version)


def test_verify_counts_and_changes_nothing(tmp_path):
    """verify_file distinguishes right from damaged blocks and a cache file from any other, and leaves the file as it
    is."""
    cache, of = opened(tmp_path), version()
    put(cache, of, 0)
    put(cache, of, 1)
    cache.close()
    path = the_file(tmp_path)
    assert verify_file(path) == (2, 0)
    data = bytearray(path.read_bytes())
    data[Layout(TOTAL).block_offset(1) + 5] ^= 1
    path.write_bytes(data)
    assert verify_file(path) == (1, 1)
    assert path.read_bytes() == data
    (tmp_path / "other").write_bytes(b"not ours")
    assert verify_file(tmp_path / "other") is None
