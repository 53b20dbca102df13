"""Attributes as the kernel gets them."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.ids import Inode
from cffs.core.settings import FuseSettings
from cffs.fuse.attributes import SECTOR_NBYTES, AttributeMaker, KernelCaching, blocks, statfs_of
from cffs.tree.namespace import Description

NOW_NS = 1_795_000_000 * 10**9
DAY_NS = 86_400 * 10**9
FIRST_SEEN_NS = NOW_NS - 5 * 10**9
SIZES = st.one_of(st.integers(0, 10_000), st.integers(0, 2**40))


def maker(umask: int = 0, *, is_read_only: bool = True) -> AttributeMaker:
    settings = FuseSettings(uid=1234, gid=5678, umask=umask, timeout_seconds=30, is_read_only=is_read_only)
    return AttributeMaker(settings, KernelCaching(), first_seen_ns=FIRST_SEEN_NS)


def made(description: Description, *, held_nbytes: int = 0, umask: int = 0, is_read_only: bool = True):
    return maker(umask, is_read_only=is_read_only).make(Inode(42), description, held_nbytes=held_nbytes, now_ns=NOW_NS)


@given(SIZES, SIZES)
def test_blocks_laws(size_nbytes, held_nbytes):
    """Blocks: none for an empty file, else at least one; fewer than the size until all is here; never more than is
    held, except for that one."""
    found = blocks(size_nbytes, held_nbytes)
    if size_nbytes == 0:
        assert found == 0
    elif held_nbytes >= size_nbytes:
        assert SECTOR_NBYTES * found >= size_nbytes > SECTOR_NBYTES * (found - 1)
    else:
        assert found >= 1
        assert found == 1 or SECTOR_NBYTES * found <= held_nbytes
        assert SECTOR_NBYTES * found < size_nbytes or size_nbytes <= SECTOR_NBYTES


@given(SIZES, SIZES, SIZES)
def test_blocks_grow_with_what_is_held(size_nbytes, one, other):
    """More bytes here never mean fewer blocks."""
    assert blocks(size_nbytes, min(one, other)) <= blocks(size_nbytes, max(one, other))


@given(st.one_of(st.none(), st.integers(-(2**62), 2**62)), st.booleans())
def test_times_are_clamped(modified_ns, is_folder):
    """Whatever the service says, times of files and folders lie in [1970, now + 1 day]. Where it says nothing, the time
    is that at which the account was first seen."""
    attributes = made(Description(is_folder=is_folder, nbytes=1, modified_ns=modified_ns))
    assert 0 <= attributes.st_mtime_ns <= NOW_NS + DAY_NS
    assert attributes.st_mtime_ns == attributes.st_ctime_ns == attributes.st_atime_ns
    if modified_ns is None:
        assert attributes.st_mtime_ns == FIRST_SEEN_NS
    elif 0 <= modified_ns <= NOW_NS:
        assert abs(attributes.st_mtime_ns - modified_ns) < 10**6


@pytest.mark.parametrize(
    ("is_read_only", "umask", "file", "folder"),
    [
        (True, 0, 0o644, 0o755),
        (True, 0o027, 0o640, 0o750),
        (True, 0o777, 0, 0),
        (False, 0, 0o444, 0o555),
        (False, 0o027, 0o440, 0o550),
    ],
)
def test_modes(is_read_only, umask, file, folder):
    """Files are 0644 and folders 0755 on a mount that refuses writes by itself, 0444 and 0555 on another, less the
    umask. The owner is that of the settings, and there is one link."""
    for is_folder, bits in ((False, file | stat.S_IFREG), (True, folder | stat.S_IFDIR)):
        attributes = made(Description(is_folder=is_folder, nbytes=3), umask=umask, is_read_only=is_read_only)
        assert attributes.st_mode == bits
        assert (attributes.st_uid, attributes.st_gid, attributes.st_nlink) == (1234, 5678, 1)
        assert attributes.st_ino == 42


def test_a_folder_has_no_size():
    """Folders show neither bytes nor blocks."""
    attributes = made(Description(is_folder=True), held_nbytes=10)
    assert (attributes.st_size, attributes.st_blocks) == (0, 0)


def test_how_long_attributes_are_believed():
    """The kernel may believe an exact size for long, a hint for the listing's time to live, and an unknown or changing
    size not at all."""
    caching = KernelCaching()
    for description, seconds in (
        (Description(is_folder=False, nbytes=7), caching.exact_seconds),
        (Description(is_folder=False, nbytes=7, is_exact=False), caching.hint_seconds),
        (Description(is_folder=False, nbytes=None, is_exact=False), 0),
        (Description(is_folder=False, nbytes=7, is_volatile=True), 0),
        (Description(is_folder=True), caching.hint_seconds),
    ):
        assert made(description).attr_timeout == seconds


def test_negative_entries():
    """A name that does not exist has inode 0, and is remembered for 30 s; a name that no rule allows, for longer."""
    for never_ours, seconds in ((False, 30), (True, 300)):
        attributes = maker().missing(never_ours=never_ours)
        assert (attributes.st_ino, attributes.entry_timeout) == (0, seconds)


FIELDS = [
    "st_ino",
    "generation",
    "entry_timeout",
    "attr_timeout",
    "st_mode",
    "st_nlink",
    "st_uid",
    "st_gid",
    "st_rdev",
    "st_size",
    "st_blocks",
    "st_blksize",
    "st_atime_ns",
    "st_mtime_ns",
    "st_ctime_ns",
]
descriptions = st.builds(
    Description,
    is_folder=st.booleans(),
    nbytes=st.none() | SIZES,
    is_exact=st.booleans(),
    is_volatile=st.booleans(),
    is_passing=st.booleans(),
    modified_ns=st.none() | st.integers(-(2**62), 2**62),
)


@given(st.lists(st.tuples(st.integers(2, 2**62), descriptions, SIZES, st.sampled_from([None, 0o640, 0o755]))))
def test_a_listing_tells_what_stat_does(entries):
    """In whatever order a listing shows files and folders, each has the attributes that a stat of it alone has: the
    object that is used again and again keeps nothing of the entry before."""
    making = maker(0o022)
    for inode, description, held_nbytes, permissions in entries:
        alone = making.make(Inode(inode), description, held_nbytes=held_nbytes, now_ns=NOW_NS, permissions=permissions)
        if description.is_folder:
            modified_ms = None if description.modified_ns is None else description.modified_ns // 10**6
            listed = making.listed_folder(Inode(inode), modified_ms, now_ns=NOW_NS, permissions=permissions)
        else:
            listed = making.make(
                Inode(inode),
                description,
                held_nbytes=held_nbytes,
                now_ns=NOW_NS,
                permissions=permissions,
                is_listed=True,
            )
            assert listed is not alone
        assert [getattr(listed, field) for field in FIELDS] == [getattr(alone, field) for field in FIELDS]


@given(st.lists(st.tuples(st.integers(2, 2**62), st.none() | SIZES, st.none() | st.integers(-(2**42), 2**42))))
def test_what_only_a_listing_told_is_told_as_by_stat(entries):
    """A file that only a listing has described has the attributes that a stat of it has."""
    making = maker(0o022)
    for inode, nbytes, modified_ms in entries:
        modified_ns = None if modified_ms is None else modified_ms * 10**6
        description = Description(is_folder=False, nbytes=nbytes, is_exact=False, modified_ns=modified_ns)
        alone = making.make(Inode(inode), description, held_nbytes=0, now_ns=NOW_NS)
        listed = making.only_listed(Inode(inode), nbytes, modified_ms, now_ns=NOW_NS)
        assert [getattr(listed, field) for field in FIELDS] == [getattr(alone, field) for field in FIELDS]


@given(st.integers(0, 2**60), st.integers(0, 2**40), st.booleans())
def test_statfs_tells_what_is_known(known_nbytes, known_files, is_read_only):
    """statfs: the used bytes are those that are known of, rounded up to a block, and never none. Where nothing can be
    written, none are free. No count of blocks is too large for a 32-bit program."""
    told = statfs_of(known_nbytes=known_nbytes, known_files=known_files, is_read_only=is_read_only)
    used_nbytes = (told.f_blocks - told.f_bfree) * told.f_frsize
    assert known_nbytes <= used_nbytes <= max(known_nbytes, 1) + told.f_frsize
    assert told.f_blocks > told.f_bfree
    assert told.f_files - told.f_ffree == max(1, known_files)
    assert (told.f_bfree == told.f_bavail == told.f_ffree == 0) == is_read_only
    assert told.f_blocks < 2**32
    assert told.f_bsize == told.f_frsize
    assert told.f_namemax == 255
