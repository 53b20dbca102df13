"""Slabs: never two owners of one place, kept while there is room and freed where there is none."""

import gc
import mmap
import threading
import weakref
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from cffs.cache.buffer_pool import MAX_IDLE, POOL_BUFFER_NBYTES, BufferPool
from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange

_MARKED_NBYTES = 64


def marked(slab: memoryview, mark: int) -> bytes:
    """Writes `mark` at both ends; what is written there."""
    told = bytes([mark % 255 + 1]) * _MARKED_NBYTES
    slab[:_MARKED_NBYTES] = slab[-_MARKED_NBYTES:] = told
    return told


class SlabMachine(RuleBasedStateMachine):
    """Whoever takes, views and leaves slabs: nobody's bytes change under a view, however long it is held."""

    slabs = Bundle("slabs")
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BufferPool(lambda: None)
        self.marks = 0

    @rule(target=slabs, takes_idle=st.booleans())
    def take(self, takes_idle: bool):
        slab = self.pool.take_idle() if takes_idle else self.pool.take()
        if slab is None:
            return multiple()
        assert len(slab) == POOL_BUFFER_NBYTES
        self.marks += 1
        return [slab, marked(slab, self.marks)]

    @rule(target=views, held=slabs)
    def view(self, held):
        slab, told = held
        return [slab[-_MARKED_NBYTES:].toreadonly(), told]

    @rule(held=consumes(slabs))
    def leave(self, held) -> None:
        held.clear()

    @rule(held=consumes(views))
    def leave_view(self, held) -> None:
        assert held[0] == held[1]
        held.clear()

    @rule(room=st.integers(-1, 5))
    def settle(self, room: int) -> None:
        before_nbytes = self.pool.idle_nbytes
        self.pool.reclaim(room * POOL_BUFFER_NBYTES)
        assert before_nbytes <= self.pool.idle_nbytes <= max(before_nbytes, room * POOL_BUFFER_NBYTES)

    @rule(nbytes=st.integers(0, 3 * POOL_BUFFER_NBYTES))
    def trim(self, nbytes: int) -> None:
        before_nbytes = self.pool.idle_nbytes
        self.pool.trim(nbytes)
        assert before_nbytes - self.pool.idle_nbytes == min(before_nbytes, nbytes + -nbytes % POOL_BUFFER_NBYTES)

    @rule(held=slabs)
    def look(self, held) -> None:
        slab, told = held
        assert slab[:_MARKED_NBYTES] == slab[-_MARKED_NBYTES:] == told


TestSlabs = SlabMachine.TestCase
TestSlabs.settings = settings(stateful_step_count=40, deadline=None)


def test_a_viewed_slab_is_nobody_elses() -> None:
    """A slab that its owner left comes back with its last view, and not before; its memory is given out again."""
    pool = BufferPool(lambda: None)
    slab = pool.take()
    told = marked(slab, 7)
    view = slab[5:10]
    del slab
    pool.reclaim(POOL_BUFFER_NBYTES)
    assert pool.take_idle() is None
    del view
    pool.reclaim(POOL_BUFFER_NBYTES)
    for again in (pool.take_idle, pool.take):
        slab = again()
        assert slab is not None
        assert slab[:_MARKED_NBYTES] == told
        del slab
        pool.reclaim(POOL_BUFFER_NBYTES)


def resident_nbytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_what_has_no_room_goes_back_to_the_system() -> None:
    """Of slabs that are freed no byte is held, whether the other half of their page is in use or not: whoever takes
    their places finds zeros, and the process is as small as before."""
    pool = BufferPool(lambda: None)
    slabs = [pool.take() for _ in range(48)]
    for slab in slabs:
        slab[:] = b"x" * POOL_BUFFER_NBYTES
    full_nbytes = resident_nbytes()
    del slab, slabs[::2]
    pool.reclaim(0)
    half_nbytes = resident_nbytes()
    assert pool.idle_nbytes == 0
    assert full_nbytes - half_nbytes > 20 * POOL_BUFFER_NBYTES
    again = [pool.take() for _ in range(24)]
    assert not any(any(slab) for slab in again)
    del again, slabs
    pool.reclaim(0)
    assert half_nbytes - resident_nbytes() > 20 * POOL_BUFFER_NBYTES


def test_idle_ones_are_few() -> None:
    """However many come back, no more than MAX_IDLE hold memory."""
    pool = BufferPool(lambda: None)
    slabs = [pool.take() for _ in range(2 * MAX_IDLE)]
    del slabs
    pool.reclaim(4 * MAX_IDLE * POOL_BUFFER_NBYTES)
    assert pool.idle_nbytes == MAX_IDLE * POOL_BUFFER_NBYTES


def test_the_last_view_may_end_in_a_thread() -> None:
    """A thread that wrote a slab to the disk may be the last to let go of it."""
    pool = BufferPool(lambda: None)
    held = [pool.take()]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    pool.reclaim(POOL_BUFFER_NBYTES)
    assert pool.idle_nbytes == POOL_BUFFER_NBYTES


VERSION = ObjectVersion("a", None, None)


def keep(cache: MemoryCache, offset: int, nbytes: int, *, filled_nbytes: int) -> None:
    """Leases, fills and seals; the budget holds whenever it is looked at."""
    lease = cache.lease(VERSION, ByteRange(offset, offset + nbytes), is_urgent=True, is_passing=True)
    assert lease is not None
    assert cache.used_nbytes <= cache.limit_nbytes
    cache.commit(lease, filled_nbytes)
    cache.seal(lease)
    assert cache.used_nbytes <= cache.limit_nbytes


def test_slabs_stay_within_the_budget() -> None:
    """Slabs that are evicted, dropped or left half full are kept as far as the budget allows, and no further."""
    cache = MemoryCache(3 * POOL_BUFFER_NBYTES)
    for index in range(6):
        keep(cache, index * POOL_BUFFER_NBYTES, POOL_BUFFER_NBYTES, filled_nbytes=POOL_BUFFER_NBYTES)
    cache.drop(VERSION)
    assert cache.used_nbytes == 3 * POOL_BUFFER_NBYTES
    for index in range(3):
        keep(cache, index * POOL_BUFFER_NBYTES, POOL_BUFFER_NBYTES, filled_nbytes=POOL_BUFFER_NBYTES // 2)
    keep(cache, 10 * POOL_BUFFER_NBYTES, POOL_BUFFER_NBYTES - 5000, filled_nbytes=POOL_BUFFER_NBYTES - 5000)


@pytest.mark.parametrize(
    ("limit_nbytes", "is_kept"), [(POOL_BUFFER_NBYTES + 5000, True), (POOL_BUFFER_NBYTES + 4999, False)]
)
def test_a_slab_that_was_hardly_filled_is_used_again(limit_nbytes: int, is_kept: bool) -> None:
    """What came is copied out of it, and the slab is idle where both fit."""
    cache = MemoryCache(limit_nbytes)
    keep(cache, 0, POOL_BUFFER_NBYTES, filled_nbytes=5000)
    assert cache.used_nbytes == 5000 + is_kept * POOL_BUFFER_NBYTES


def test_a_cache_that_is_let_go_is_gone() -> None:
    """Nothing holds a cache, or its memory, but its owner."""
    cache = MemoryCache(3 * POOL_BUFFER_NBYTES)
    keep(cache, 0, POOL_BUFFER_NBYTES, filled_nbytes=POOL_BUFFER_NBYTES)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


def test_what_slabs_displace_goes_back_to_the_system() -> None:
    """Memory that small buffers had in the heap is given back for slabs in their place: once for many, and not where
    small ones follow small ones."""
    given_back: list[int] = []
    cache = MemoryCache(32 * POOL_BUFFER_NBYTES, give_back=lambda: given_back.append(cache.used_nbytes))
    small_nbytes = POOL_BUFFER_NBYTES // 32
    for index in range(2 * 32 * 32):
        keep(cache, index * small_nbytes, small_nbytes, filled_nbytes=small_nbytes)
    assert not given_back
    for index in range(32):
        keep(cache, (64 + index) * POOL_BUFFER_NBYTES, POOL_BUFFER_NBYTES, filled_nbytes=POOL_BUFFER_NBYTES)
    assert 1 <= len(given_back) <= 4
