"""The memory cache against a dict of bytes; its budget, eviction and views."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cffs.cache.extents import Extent
from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange

OBJECT_NBYTES = 20_000
LIMIT_NBYTES = 40_000


def true_byte(version: ObjectVersion, offset: int) -> int:
    return (offset * 31 + offset // 251 + int(version.validator or 0) * 3) % 256


def true_bytes(version: ObjectVersion, wanted: ByteRange) -> bytes:
    return bytes(true_byte(version, offset) for offset in range(wanted.start, wanted.stop))


def fill(cache: MemoryCache, version: ObjectVersion, wanted: ByteRange, *, is_passing: bool = False) -> bool:
    lease = cache.lease(version, wanted, is_urgent=False, is_passing=is_passing, is_ahead=is_passing)
    if lease is None:
        return False
    lease.vacant[:] = true_bytes(version, wanted)
    cache.commit(lease, wanted.nbytes)
    cache.seal(lease)
    return True


VERSIONS = [ObjectVersion(key, validator, OBJECT_NBYTES) for key in ("a", "b") for validator in ("1", "2")]
RANGES = st.tuples(st.integers(0, OBJECT_NBYTES), st.integers(0, OBJECT_NBYTES)).map(
    lambda pair: ByteRange(min(pair), max(pair))
)


class MemoryCacheMachine(RuleBasedStateMachine):
    """Whatever is leased, committed, evicted or dropped, what is served is true, and it fits."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = MemoryCache(LIMIT_NBYTES)
        self.committed: dict[ObjectVersion, set[int]] = {version: set() for version in VERSIONS}
        self.leases: list[tuple[ObjectVersion, Extent]] = []
        self.views: list[tuple[memoryview, bytes]] = []

    @rule(
        version=st.sampled_from(VERSIONS),
        wanted=RANGES,
        is_urgent=st.booleans(),
        is_passing=st.booleans(),
    )
    def lease(self, version: ObjectVersion, wanted: ByteRange, is_urgent: bool, is_passing: bool) -> None:
        if not wanted:
            return
        is_free, stop = self.cache.free_run(version, wanted.start, wanted.stop)
        assert wanted.start < stop <= wanted.stop
        free = ByteRange(wanted.start, stop)
        if not is_free:
            with pytest.raises(ValueError, match="cannot lease"):
                self.cache.lease(version, free, is_urgent=is_urgent, is_passing=is_passing)
            return
        lease = self.cache.lease(version, free, is_urgent=is_urgent, is_passing=is_passing)
        if lease is not None:
            assert len(lease.vacant) == free.nbytes
            self.leases.append((version, lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        version, lease = data.draw(st.sampled_from(self.leases))
        vacant = lease.vacant
        nbytes = data.draw(st.integers(0, len(vacant)))
        arrived = ByteRange(lease.filled_stop, lease.filled_stop + nbytes)
        vacant[:nbytes] = true_bytes(version, arrived)
        before = lease.filled_nbytes
        self.cache.commit(lease, nbytes)
        if lease.filled_nbytes != before or not nbytes:
            self.committed[version].update(range(arrived.start, arrived.stop))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def seal(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.leases) - 1))
        _version, lease = self.leases.pop(index)
        self.cache.seal(lease)
        self.cache.seal(lease)

    @rule(version=st.sampled_from(VERSIONS), wanted=RANGES)
    def get(self, version: ObjectVersion, wanted: ByteRange) -> None:
        is_missing = self.cache.first_missing(version, wanted) is not None
        data = self.cache.try_read(version, wanted)
        assert (data is None) == is_missing
        if data is not None:
            assert set(range(wanted.start, wanted.stop)) <= self.committed[version]
            assert data == true_bytes(version, wanted)
            self.views = [*self.views[-5:], (data, bytes(data))]

    @rule(version=st.sampled_from(VERSIONS))
    def abandon(self, version: ObjectVersion) -> None:
        self.cache.abandon(version)

    @rule(version=st.sampled_from(VERSIONS))
    def protect(self, version: ObjectVersion) -> None:
        self.cache.protect(version)

    @rule(version=st.sampled_from(VERSIONS), within=RANGES)
    def release(self, version: ObjectVersion, within: ByteRange) -> None:
        self.cache.release(version, within)

    @rule(version=st.sampled_from(VERSIONS), offset=st.integers(0, OBJECT_NBYTES))
    def drop_consumed(self, version: ObjectVersion, offset: int) -> None:
        self.cache.drop_consumed(version, offset)

    @rule(version=st.sampled_from(VERSIONS), unwanted=RANGES)
    def forget(self, version: ObjectVersion, unwanted: ByteRange) -> None:
        self.cache.forget(version, unwanted)
        assert not unwanted or self.cache.first_missing(version, unwanted) == unwanted

    @rule(version=st.sampled_from(VERSIONS))
    def drop(self, version: ObjectVersion) -> None:
        self.cache.drop(version)
        assert self.cache.first_missing(version, ByteRange(0, 1)) == ByteRange(0, 1)
        self.committed[version].clear()

    @invariant()
    def fits_the_budget(self) -> None:
        assert 0 <= self.cache.used_nbytes <= LIMIT_NBYTES

    @invariant()
    def counts_what_is_held(self) -> None:
        for key in ("a", "b"):
            held = 0
            for version in VERSIONS:
                if version.key == key:
                    position = 0
                    while position < OBJECT_NBYTES:
                        gap = self.cache.first_missing(version, ByteRange(position, OBJECT_NBYTES))
                        held += (OBJECT_NBYTES if gap is None else gap.start) - position
                        position = OBJECT_NBYTES if gap is None else gap.stop
            assert self.cache.held_nbytes(key) == held

    @invariant()
    def views_never_change(self) -> None:
        for view, as_given in self.views:
            assert view == as_given


MemoryCacheMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemoryCache = MemoryCacheMachine.TestCase


def test_a_read_is_zero_copy_within_an_extent() -> None:
    """Two views of one extent show one memory; a view over two extents is right all the same."""
    cache, version = MemoryCache(LIMIT_NBYTES), VERSIONS[0]
    fill(cache, version, ByteRange(0, 8192))
    fill(cache, version, ByteRange(8192, 10_000))
    first, second = cache.try_read(version, ByteRange(0, 4096)), cache.try_read(version, ByteRange(4096, 8192))
    assert first is not None
    assert second is not None
    assert first.obj is second.obj
    assert first.readonly
    assert cache.try_read(version, ByteRange(8000, 9000)) == true_bytes(version, ByteRange(8000, 9000))


def test_unread_bytes_survive_what_was_read() -> None:
    """Bytes that were not read yet are not evicted for others, unless a reader waits: then the oldest go."""
    cache, version = MemoryCache(40_000), VERSIONS[0]
    fill(cache, version, ByteRange(0, 10_000))
    cache.try_read(version, ByteRange(0, 10_000))
    fill(cache, version, ByteRange(10_000, 40_000))
    other = VERSIONS[2]
    assert fill(cache, other, ByteRange(0, 10_000))
    assert cache.first_missing(version, ByteRange(0, 40_000)) == ByteRange(0, 10_000)
    assert not fill(cache, other, ByteRange(10_000, 20_000))
    assert cache.lease(other, ByteRange(10_000, 20_000), is_urgent=True, is_passing=False) is not None
    assert cache.first_missing(version, ByteRange(0, 40_000)) == ByteRange(0, 40_000)


def test_consumed_stream_goes_before_what_is_kept() -> None:
    """What passed by in a stream is evicted before an older read of another kind; so are abandoned bytes."""
    cache, version, other = MemoryCache(30_000), VERSIONS[0], VERSIONS[2]
    fill(cache, other, ByteRange(0, 10_000))
    cache.try_read(other, ByteRange(0, 10_000))
    fill(cache, version, ByteRange(0, 10_000), is_passing=True)
    cache.try_read(version, ByteRange(0, 10_000))
    fill(cache, version, ByteRange(10_000, 20_000), is_passing=True)
    cache.abandon(version)
    fill(cache, version, ByteRange(20_000, 40_000), is_passing=True)
    assert cache.first_missing(other, ByteRange(0, 10_000)) is None
    assert cache.counters.prefetch_used_nbytes == 10_000
    assert cache.counters.prefetch_wasted_nbytes == 10_000


def test_least_recently_used_goes_first() -> None:
    """Among what is kept, what was unused for longest is evicted."""
    cache, version = MemoryCache(30_000), VERSIONS[0]
    for start in (0, 10_000, 20_000):
        fill(cache, version, ByteRange(start, start + 10_000))
        cache.try_read(version, ByteRange(start, start + 10_000))
    cache.try_read(version, ByteRange(0, 100))
    fill(cache, VERSIONS[2], ByteRange(0, 5000))
    assert cache.first_missing(version, ByteRange(0, 30_000)) == ByteRange(10_000, 20_000)


def test_rename_keeps_the_bytes() -> None:
    """Bytes received before the total was known are those of the version with its total."""
    cache = MemoryCache(LIMIT_NBYTES)
    early, late = ObjectVersion("a", None, None), ObjectVersion("a", None, 5000)
    fill(cache, early, ByteRange(0, 5000))
    cache.rename(early, late)
    assert cache.try_read(late, ByteRange(0, 5000)) == true_bytes(late, ByteRange(0, 5000))
    assert cache.try_read(early, ByteRange(0, 1)) is None


def test_dropped_lease_leads_nowhere() -> None:
    """A receiver may go on writing into a lease whose version was dropped; the bytes are never served."""
    cache, version = MemoryCache(LIMIT_NBYTES), VERSIONS[0]
    lease = cache.lease(version, ByteRange(0, 100), is_urgent=True, is_passing=False)
    assert lease is not None
    cache.drop(version)
    lease.vacant[:] = bytes(100)
    cache.commit(lease, 100)
    cache.seal(lease)
    assert cache.try_read(version, ByteRange(0, 100)) is None
    assert cache.used_nbytes == 0


def test_what_is_on_disk_too_makes_room():
    """Unread bytes hold their place as long as they are nowhere else; so does an extent that reaches beyond what is on
    disk."""
    cache, version = MemoryCache(4000), VERSIONS[0]
    for start in (0, 1000, 2000, 3000):
        assert fill(cache, version, ByteRange(start, start + 1000))
    assert not fill(cache, version, ByteRange(4000, 5000))
    cache.release(version, ByteRange(500, 1900))
    assert not fill(cache, version, ByteRange(4000, 5000))
    cache.release(version, ByteRange(1000, 3000))
    assert fill(cache, version, ByteRange(4000, 6000))
    assert cache.first_missing(version, ByteRange(0, 6000)) == ByteRange(1000, 3000)
