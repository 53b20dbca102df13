"""One cache file under damage and malice: no unchecked byte, no file but ours."""

import errno
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cffs.cache import disk_format
from cffs.cache.disk_format import Layout
from cffs.cache.disk_index import files_below
from cffs.core.units import BLOCK_NBYTES
from tests.cache.test_disk import TOTAL, block, opened, put, take, the_file, version


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10**6), what=st.sampled_from(["flip", "cut", "zero"]))
def test_no_damage_is_ever_served(tmp_path_factory, position, what):
    """A byte flipped, zeroed or cut off anywhere in a cache file costs a block or the file, never a wrong byte."""
    folder = tmp_path_factory.mktemp("disk")
    cache, of = opened(folder), version()
    for index in range(3):
        put(cache, of, index)
    cache.close()
    path = the_file(folder)
    data = bytearray(path.read_bytes())
    position %= len(data)
    if what == "cut":
        del data[position:]
    else:
        data[position] = data[position] ^ 0x40 if what == "flip" else 0
    path.write_bytes(data)
    again = opened(folder)
    for index in range(3):
        assert take(again, of, index) in (None, block(of, index))


def test_swapped_files_and_blocks_are_refused(tmp_path):
    """The file of one object under another's name, and a block at another place, are never served."""
    cache = opened(tmp_path)
    one, other = version(1), version(2)
    put(cache, one, 0)
    put(cache, other, 0)
    cache.close()
    first, second = sorted(files_below(tmp_path))
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    again = opened(tmp_path)
    assert take(again, one, 0) is None
    assert take(again, other, 0) is None
    of = version(3)
    put(again, of, 0)
    put(again, of, 1)
    again.close()
    path = next(p for p in files_below(tmp_path) if p.stat().st_size > 2 * BLOCK_NBYTES)
    data = bytearray(path.read_bytes())
    at = Layout(TOTAL).data_offset
    slots = disk_format.HEADER_NBYTES
    data[at : at + BLOCK_NBYTES], data[at + BLOCK_NBYTES : at + 2 * BLOCK_NBYTES] = (
        data[at + BLOCK_NBYTES : at + 2 * BLOCK_NBYTES],
        data[at : at + BLOCK_NBYTES],
    )
    data[slots : slots + 16], data[slots + 16 : slots + 32] = data[slots + 16 : slots + 32], data[slots : slots + 16]
    path.write_bytes(data)
    last = opened(tmp_path)
    assert take(last, of, 0) is None
    assert last.corrupt_blocks == 1


def test_a_slot_without_its_data_fails(tmp_path):
    """A slot that reached the disk before its data (a crash) proves nothing: the block is missing."""
    cache, of = opened(tmp_path), version()
    put(cache, of, 0)
    cache.close()
    path = the_file(tmp_path)
    with path.open("r+b") as file:
        file.seek(disk_format.HEADER_NBYTES + disk_format.SLOT_NBYTES)
        file.write(disk_format.make_slot(block(of, 1), seed=disk_format.seed_of(of), index=1))
    again = opened(tmp_path)
    assert take(again, of, 1) is None
    assert take(again, of, 0) == block(of, 0)


def test_files_are_private_under_any_umask(tmp_path):
    """Cache files are 0600 and their folders 0700 whatever the umask."""
    before = os.umask(0)
    try:
        put(opened(tmp_path), version(), 0)
    finally:
        os.umask(before)
    path = the_file(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_symlink_is_not_followed(tmp_path):
    """A symbolic link in the place of a cache file is refused, and what it points to stays as it is."""
    cache, of = opened(tmp_path / "cache"), version()
    (tmp_path / "cache").mkdir()
    put(cache, of, 0)
    cache.close()
    path, victim = the_file(tmp_path / "cache"), tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(victim)
    again = opened(tmp_path / "cache")
    put(again, of, 0)
    assert take(again, of, 0) is None
    assert victim.read_bytes() == b"precious"


def test_would_block_is_an_errno_of_the_kernel():
    """The flag that reads without waiting exists on this Python and kernel."""
    assert os.RWF_NOWAIT
    assert errno.EAGAIN


@pytest.mark.parametrize("how", ["symlink", "hard link", "foreign"])
def test_what_is_not_a_file_of_ours_alone_is_no_cache(tmp_path, how):
    """A file that was replaced by a link to another (even one of equal bytes) or given to another user is not read, and
    what is kept in its place leaves the other untouched."""
    if how == "foreign" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    (tmp_path / "cache").mkdir()
    cache, of = opened(tmp_path / "cache"), version()
    put(cache, of, 0)
    cache.close()
    path, other = the_file(tmp_path / "cache"), tmp_path / "other"
    other.write_bytes(path.read_bytes())
    if how == "foreign":
        os.chown(path, 65534, 65534)
    else:
        path.unlink()
        path.symlink_to(other) if how == "symlink" else path.hardlink_to(other)
    before = other.read_bytes()
    again = opened(tmp_path / "cache")
    assert take(again, of, 0) is None
    put(again, of, 1)
    put(again, of, 0)
    again.close()
    assert other.read_bytes() == before


@pytest.mark.parametrize("is_there_at_the_start", [True, False])
def test_a_folder_replaced_by_a_link_is_not_followed(tmp_path, is_there_at_the_start):
    """A linked folder is neither read through nor written through, whether found at a scan or planted later; what it
    points to stays untouched."""
    (tmp_path / "cache").mkdir()
    cache, of = opened(tmp_path / "cache"), version()
    put(cache, of, 0)
    shard = the_file(tmp_path / "cache").parent
    if is_there_at_the_start:
        cache.close()
    elsewhere = tmp_path / "elsewhere"
    shard.rename(elsewhere)
    shard.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    if is_there_at_the_start:
        cache = opened(tmp_path / "cache")
        assert take(cache, of, 0) is None
        put(cache, of, 1)
        assert take(cache, of, 1) == block(of, 1)
    else:
        cache.close()  # its descriptors go: what it opens next lies at the end of the link
        assert take(cache, of, 0) is None
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before
