"""The disk cache: whatever happens to its files, right bytes or none."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cffs.cache import disk_format
from cffs.cache.disk import DiskCache
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
    """Write a block as a thread does, and publish it."""
    run = range(index, index + 1)
    if cache.lacking(of, run) is None:
        return
    write = cache.begin_write(of, run, memoryview(block(of, index)))
    if write is not None:
        write.transfer.run()
        cache.finish_write(write, unwanted=() if is_wanted else run)
        publish(cache, of, index)


def publish(cache: DiskCache, of: ObjectVersion, index: int) -> None:
    """Do what follows when the block's answer proved right."""
    transfer = cache.begin_publish(of, [index])
    if transfer is not None:
        transfer.run()


def take(cache: DiskCache, of: ObjectVersion, index: int) -> bytes | None:
    """Read a block as on the loop or, where the disk would have to be waited for, as in a thread."""
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


def test_no_room_at_all_keeps_nothing(tmp_path):
    """With a limit of 0 no byte of audio reaches the disk."""
    cache = opened(tmp_path, limit=0)
    put(cache, version(), 0)
    assert list(files_below(tmp_path)) == []


def test_a_full_disk_disturbs_nobody(tmp_path, caplog):
    """Where the disk refuses, writing pauses with one line of the log, reading goes on, and writing is tried again
    later."""
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
    """A file system of so many bytes with nothing but the cache on it."""

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
    """Where the file system has no more room for others, files that are not being written go. A file that needs more
    than there is ends in one line that calls the disk full, and what is there of it is right."""
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
    """A write that the file system refuses for want of room is tried again once others have gone; where there are none,
    the disk is reported full."""
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
    """Where no file can be opened, open ones are closed for it. Where none is open, nothing is kept for the moment,
    nothing that was kept is lost, and the next block is tried again."""
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
    """The cache keeps to its share of descriptors, whatever is read and written."""
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


def test_a_disk_that_fails_to_read(tmp_path, caplog):
    """A block that the disk fails to read is missing from then on, with one line of the log; the rest of the cache
    stays."""
    cache, of, other = opened(tmp_path), version(1), version(2)
    put(cache, of, 0)
    put(cache, other, 0)
    file = cache._open[of.key]
    os.dup2(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), file._descriptor)
    assert take(cache, of, 0) is None
    assert cache.first_missing(of, ByteRange(0, 10)) == ByteRange(0, 10)
    assert take(cache, other, 0) == block(other, 0)
    assert len([record for record in caplog.records if "pauses" in record.message]) == 1


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
