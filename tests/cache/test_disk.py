"""The disk cache: whatever happens to its files, what it gives out is what was put in, or nothing."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cffs.cache import disk_format
from cffs.cache.disk import DiskCache
from cffs.cache.disk_check import verify_file
from cffs.cache.disk_file import WouldBlock
from cffs.cache.disk_format import Layout
from cffs.cache.disk_index import files_below
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from tests.exhaustion import no_descriptors

TOTAL = 2 * BLOCK_NBYTES + 1000
LARGE = 2**30


class Clock:
    """Seconds as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def version(number: int = 0, validator: str = "a", total: int = TOTAL) -> ObjectVersion:
    return ObjectVersion(f"recording/{number}.wav", validator, total)


def block(of: ObjectVersion, index: int) -> bytes:
    """The true content of a block: another for every version and place."""
    nbytes = Layout(of.total_nbytes or 0).block_range(index).nbytes
    return (f"{of.key} {of.validator} {index} ".encode() * nbytes)[:nbytes]


def put(cache: DiskCache, of: ObjectVersion, index: int, *, is_wanted: bool = True) -> None:
    """Writes a block as a thread does, and settles it."""
    run = range(index, index + 1)
    if cache.lacking(of, run) is None:
        return
    write = cache.begin_write(of, run, memoryview(block(of, index)))
    if write is not None:
        write.transfer.run()
        cache.finish_write(write, unwanted=() if is_wanted else run)
        publish(cache, of, index)


def publish(cache: DiskCache, of: ObjectVersion, index: int) -> None:
    """As when the block's answer proved right."""
    transfer = cache.begin_publish(of, [index])
    if transfer is not None:
        transfer.run()


def take(cache: DiskCache, of: ObjectVersion, index: int) -> bytes | None:
    """A block, read as on the loop or, where the disk would have to be waited for, as in a thread."""
    try:
        found = cache.try_read(of, range(index, index + 1))
    except WouldBlock:
        read = cache.begin_read(of, range(index, index + 1))
        assert read is not None
        try:
            read.transfer.run()
        except OSError as problem:
            found = cache.finish_read(read, problem)
        else:
            found = cache.finish_read(read)
    return None if found is None else bytes(found[1])


def opened(folder: Path, limit: int = LARGE) -> DiskCache:
    clock = Clock()
    cache = DiskCache(folder, limit_nbytes=limit, timer=clock, wall_seconds=clock)
    cache.scan()
    return cache


def the_file(folder: Path) -> Path:
    (path,) = files_below(folder)
    return path


def test_blocks_survive_a_restart(tmp_path):
    """What was written is read after a restart, byte for byte, and what was not written is missing."""
    first, of = opened(tmp_path), version()
    put(first, of, 0)
    put(first, of, 2)
    first.close()
    again = opened(tmp_path)
    assert take(again, of, 0) == block(of, 0)
    assert take(again, of, 1) is None
    assert take(again, of, 2) == block(of, 2)
    assert again.first_missing(of, ByteRange(5, TOTAL)) == ByteRange(BLOCK_NBYTES, 2 * BLOCK_NBYTES)
    assert again.held_nbytes(of.key) == BLOCK_NBYTES + 1000
    assert again.used_nbytes >= BLOCK_NBYTES + 1000


def test_another_version_finds_nothing_and_takes_the_place(tmp_path):
    """A version with another validator or total gets no byte of the old one, and replaces it when written."""
    cache, old = opened(tmp_path), version()
    put(cache, old, 0)
    for new in (version(validator="b"), version(total=TOTAL + 1)):
        assert take(cache, new, 0) is None
        assert cache.first_missing(new, ByteRange(0, 10)) == ByteRange(0, 10)
        assert not cache.holds_all(new)
    new = version(validator="b")
    put(cache, new, 1)
    assert take(cache, new, 1) == block(new, 1)
    assert take(cache, old, 0) is None


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
    """A symbolic link in the place of a cache file is refused and what it points at stays as it is."""
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


def test_whole_files_go_by_last_use(tmp_path):
    """Over the limit the file unused for longest goes, whole; a pinned one stays, also after a restart."""
    cache = opened(tmp_path, limit=3 * BLOCK_NBYTES)
    kept, old, new = version(1), version(2), version(3)
    for of in (kept, old, new):
        put(cache, of, 0)
    cache.set_pinned(kept.key, pinned=True)
    cache.close()
    again = opened(tmp_path, limit=4 * BLOCK_NBYTES)
    assert again.is_pinned(kept.key)
    assert take(again, new, 0) == block(new, 0)
    put(again, version(4), 0)
    put(again, version(4), 1)
    assert take(again, old, 0) is None
    assert take(again, kept, 0) == block(kept, 0)
    assert again.used_nbytes <= 4 * BLOCK_NBYTES + 4 * 8192


def test_no_room_at_all_keeps_nothing(tmp_path):
    """With a limit of 0 no byte of audio reaches the disk."""
    cache = opened(tmp_path, limit=0)
    put(cache, version(), 0)
    assert list(files_below(tmp_path)) == []


def test_a_full_disk_disturbs_nobody(tmp_path, caplog):
    """Where the disk refuses, writing is skipped with one line, reading goes on, and it is tried again later."""
    folder = tmp_path / "gone"
    clock = Clock()
    cache = DiskCache(folder, limit_nbytes=LARGE, timer=lambda: clock.now, wall_seconds=clock)
    cache.scan()
    for index in range(3):
        put(cache, version(), index)  # the folder does not exist: every write is refused
    assert take(cache, version(), 0) is None
    assert len([record for record in caplog.records if "pauses" in record.message]) == 1
    assert cache.trouble == "No such file or directory"
    cache.refuse(OSError(errno.ENOSPC, "No space left on device"))
    assert cache.trouble == "disk full"
    folder.mkdir()
    clock.now += 60
    put(cache, version(), 0)
    assert take(cache, version(), 0) == block(version(), 0)
    assert cache.trouble == ""


class SmallFileSystem:
    """Tells of a file system of so many bytes with nothing but the cache on it."""

    def __init__(self, folder: Path, nbytes: int) -> None:
        self.folder, self.nbytes = folder, nbytes

    def __call__(self, _folder: Path) -> os.statvfs_result:
        used = sum(path.stat().st_blocks * 512 for path in files_below(self.folder))
        free = max(0, self.nbytes - used) // 4096
        return os.statvfs_result((4096, 4096, self.nbytes // 4096, free, free, 0, 0, 0, 0, 255))


def write(cache: DiskCache, of: ObjectVersion, index: int) -> None:
    cache.write(of, range(index, index + 1), memoryview(block(of, index)))
    publish(cache, of, index)


@pytest.mark.parametrize("write", [put, write])
def test_room_runs_out_while_a_file_is_written(tmp_path, caplog, write):
    """Where the file system has no room for others any more, files that are not being written go; a file that needs
    more than there is ends in one line that calls the disk full, and what is there of it is right."""
    megabyte = 2**20
    cache = DiskCache(
        tmp_path,
        limit_nbytes=LARGE,
        timer=lambda: 0.0,
        wall_seconds=Clock(),
        statvfs=SmallFileSystem(tmp_path, 24 * megabyte),
    )
    cache.scan()
    old, new, huge = (version(number, total=size * megabyte) for number, size in ((1, 9), (2, 20), (3, 60)))
    for of in (old, new):
        for index in range(Layout(of.total_nbytes).blocks):
            write(cache, of, index)
    assert cache.holds_all(new)
    assert cache.held_nbytes(old.key) == 0
    assert (cache.trouble, caplog.records) == ("", [])
    for index in range(Layout(huge.total_nbytes).blocks):
        write(cache, huge, index)
    assert cache.trouble == "disk full"
    (record,) = caplog.records
    assert "nearly full" in record.message
    missing = cache.first_missing(huge, ByteRange(0, huge.total_nbytes))
    assert missing is not None
    assert missing.start > 0
    assert take(cache, huge, 0) == block(huge, 0)


def test_a_file_without_room_has_others_give_way(tmp_path, caplog):
    """A write that the file system refuses for want of room is tried again once others have gone, and is told of as a
    full disk where there are none."""
    cache = opened(tmp_path)
    old, new = version(1), version(2)
    put(cache, old, 0)
    write = cache.begin_write(new, range(1), memoryview(block(new, 0)))
    assert write is not None
    write.transfer.discard()
    cache.finish_write(write, OSError(errno.ENOSPC, "No space left on device"))
    assert cache.held_nbytes(old.key) == 0
    assert (cache.trouble, caplog.records) == ("", [])
    put(cache, new, 0)
    assert take(cache, new, 0) == block(new, 0)
    write = cache.begin_write(new, range(1, 2), memoryview(block(new, 1)))
    assert write is not None
    write.transfer.discard()
    cache.finish_write(write, OSError(errno.ENOSPC, "No space left on device"))
    assert cache.trouble == "disk full"
    assert take(cache, new, 0) == block(new, 0)


def test_no_descriptor_left_is_no_trouble_of_the_disk(tmp_path, caplog):
    """Where no file can be opened, those that are open give way; where none is, nothing is kept for the moment, and
    nothing that was kept is lost; the next block is tried again."""
    first, second, third = version(1), version(2), version(3)
    before = opened(tmp_path)
    for of in (first, second):
        put(before, of, 0)
    before.close()
    cache = opened(tmp_path)
    with no_descriptors():
        assert take(cache, first, 0) is None
        write(cache, third, 0)
    assert cache.held_nbytes(third.key) == 0
    for of in (first, second):
        assert take(cache, of, 0) == block(of, 0)
    with no_descriptors():
        write(cache, third, 0)  # by the descriptors of the other two
    for of in (first, second, third):
        assert take(cache, of, 0) == block(of, 0)
    assert (cache.trouble, caplog.records) == ("", [])
    cache.close()


def test_no_more_files_are_open_than_it_may_have(tmp_path):
    """The share of descriptors that the cache was given is kept to, whatever is read and written."""
    cache = DiskCache(tmp_path, limit_nbytes=LARGE, timer=Clock(), wall_seconds=Clock(), most_open_files=3)
    cache.scan()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(12):
        put(cache, version(number), 0)
        assert len(os.listdir("/proc/self/fd")) <= before + 3
    for number in range(12):
        assert take(cache, version(number), 0) == block(version(number), 0)
        assert len(os.listdir("/proc/self/fd")) <= before + 3
    cache.close()


def test_clear_leaves_no_byte(tmp_path):
    """Clearing removes every file; pinned ones only when asked."""
    cache = opened(tmp_path)
    put(cache, version(1), 0)
    put(cache, version(2), 0)
    cache.set_pinned(version(2).key, pinned=True)
    assert cache.index.clear(pinned_too=False) >= BLOCK_NBYTES
    assert len(list(files_below(tmp_path))) == 1
    cache.index.clear(pinned_too=True)
    assert list(files_below(tmp_path)) == []
    assert cache.used_nbytes == 0


def test_verify_counts_and_changes_nothing(tmp_path):
    """verify_file tells right from damaged blocks and no cache file from one, and leaves the file as it is."""
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


def test_a_vanished_folder_costs_only_time(tmp_path):
    """Deleting the whole cache under a running mount makes blocks missing, never an error."""
    cache, of = opened(tmp_path / "cache"), version()
    (tmp_path / "cache").mkdir()
    put(cache, of, 0)
    cache.close()
    shutil.rmtree(tmp_path / "cache")
    assert take(cache, of, 0) is None
    put(cache, of, 0)


class DiskMachine(RuleBasedStateMachine):
    """Any sequence of writes, reads, replacements, restarts, evictions and damage against a dict of what was put."""

    @initialize(data=st.data())
    def start(self, data):
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="cffs-disk-"))
        self.cache = opened(self.folder)
        self.put: dict[tuple[ObjectVersion, int], bytes] = {}

    @rule(number=st.integers(0, 2), validator=st.sampled_from("ab"), index=st.integers(0, 2))
    def write(self, number, validator, index):
        of = version(number, validator)
        put(self.cache, of, index)
        for known in [known for known in self.put if known[0].key == of.key and known[0] != of]:
            del self.put[known]
        self.put[of, index] = block(of, index)

    @rule(number=st.integers(0, 2), validator=st.sampled_from("ab"), index=st.integers(0, 2))
    def read(self, number, validator, index):
        of = version(number, validator)
        assert take(self.cache, of, index) == self.put.get((of, index))

    @rule(number=st.integers(0, 2))
    def drop(self, number):
        self.cache.drop_object(version(number).key)
        for known in [known for known in self.put if known[0].key == version(number).key]:
            del self.put[known]

    @rule()
    def restart(self):
        self.cache.close()
        self.cache = opened(self.folder)

    @rule(limit=st.integers(0, 3))
    def prune(self, limit):
        self.cache.index.prune(limit_nbytes=limit * BLOCK_NBYTES)
        names = {path.parent.name + path.name for path in files_below(self.folder)}
        for known in [known for known in self.put if disk_format.key_digest(known[0].key).hex() not in names]:
            del self.put[known]

    @invariant()
    def accounts_for_its_files(self):
        if hasattr(self, "cache"):
            assert self.cache.used_nbytes >= 0
            assert len(self.cache.index) == len(list(files_below(self.folder)))

    def teardown(self):
        if hasattr(self, "cache"):
            self.cache.close()
            shutil.rmtree(self.folder, ignore_errors=True)


DiskMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_against_a_dict = DiskMachine.TestCase
test_against_a_dict.__doc__ = "Any sequence of operations gives out exactly what was put in, or nothing."


def test_would_block_is_an_errno_of_the_kernel():
    """The flag that reads without waiting exists on this Python and kernel."""
    assert os.RWF_NOWAIT
    assert errno.EAGAIN


def test_a_disk_that_fails_to_read(tmp_path, caplog):
    """A block that the disk does not give is missing from then on, with one line; the rest of the cache lives on."""
    cache, of, other = opened(tmp_path), version(1), version(2)
    put(cache, of, 0)
    put(cache, other, 0)
    file = cache._open[of.key]
    os.dup2(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), file._descriptor)
    assert take(cache, of, 0) is None
    assert cache.first_missing(of, ByteRange(0, 10)) == ByteRange(0, 10)
    assert take(cache, other, 0) == block(other, 0)
    assert len([record for record in caplog.records if "pauses" in record.message]) == 1


def test_a_pin_outlives_a_new_version(tmp_path):
    """A pinned object that changed is pinned in its new version too; its old bytes are gone."""
    cache, old, new = opened(tmp_path), version(validator="a"), version(validator="b")
    put(cache, old, 0)
    cache.set_pinned(old.key, pinned=True)
    put(cache, new, 1)
    assert cache.is_pinned(new.key)
    assert the_file(tmp_path).stat().st_mode & stat.S_IXUSR
    assert take(cache, old, 0) is None
    assert cache.held_nbytes(new.key) == BLOCK_NBYTES


def test_a_write_that_is_not_wanted_any_more(tmp_path):
    """What proved wrong while a thread wrote it is not there afterwards, nor after a restart."""
    cache, of = opened(tmp_path), version()
    put(cache, of, 0)
    put(cache, of, 1, is_wanted=False)
    assert take(cache, of, 1) is None
    cache.close()
    assert take(opened(tmp_path), of, 1) is None


def test_a_file_closed_while_a_thread_writes(tmp_path):
    """A write that ends after its file was evicted, or closed for others, harms no other file."""
    cache, of = opened(tmp_path), version()
    put(cache, of, 0)
    write = cache.begin_write(of, range(1, 2), memoryview(block(of, 1)))
    assert write is not None
    cache.drop_object(of.key)
    put(cache, version(9), 0)
    write.transfer.run()
    cache.finish_write(write)
    assert take(cache, of, 1) is None
    assert take(cache, version(9), 0) == block(version(9), 0)
    assert cache.used_nbytes < 2 * BLOCK_NBYTES


@pytest.mark.parametrize("how", ["symlink", "hard link", "foreign"])
def test_what_is_not_a_file_of_ours_alone_is_no_cache(tmp_path, how):
    """A file replaced by a link to another, even one of the same bytes, or given away, is not read, and what is kept
    in its place leaves the other untouched."""
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
    """Neither read through nor written through, found at a scan or planted later; what it names stays untouched."""
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
        cache.close()  # its descriptors: what it opens next lies behind the link
        assert take(cache, of, 0) is None
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_what_is_evicted_or_dropped_is_in_no_file(tmp_path):
    """The bytes themselves are gone, found by their content: of what made room for others, and of an object that left
    the catalogue."""
    (tmp_path / "cache").mkdir()
    cache = opened(tmp_path / "cache", 4 * TOTAL)
    versions = [version(number) for number in range(8)]

    def kept() -> set[int]:
        data = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
        return {number for number, of in enumerate(versions) if bytes(block(of, 1))[1000:1064] in data}

    for of in versions:
        put(cache, of, 0)
        put(cache, of, 1)
    here = kept()
    assert 7 in here
    assert 0 not in here
    cache.drop_object(versions[7].key)
    assert kept() == here - {7}
    cache.close()
