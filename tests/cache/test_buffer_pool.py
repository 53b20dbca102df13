"""Pooled buffers: one owner per place, kept while there is room, freed where not."""

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


def marked(buffer: memoryview, mark: int) -> bytes:
    """Write `mark` at both ends; return what is written there."""
    written = bytes([mark % 255 + 1]) * _MARKED_NBYTES
    buffer[:_MARKED_NBYTES] = buffer[-_MARKED_NBYTES:] = written
    return written


class BufferPoolMachine(RuleBasedStateMachine):
    """In any order of taking, viewing and leaving buffers, no byte changes under a view, however long it is held."""

    buffers = Bundle("buffers")
    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.pool = BufferPool(lambda: None)
        self.marks = 0

    @rule(target=buffers, takes_idle=st.booleans())
    def take(self, takes_idle: bool):
        buffer = self.pool.take_idle() if takes_idle else self.pool.take()
        if buffer is None:
            return multiple()
        assert len(buffer) == POOL_BUFFER_NBYTES
        self.marks += 1
        return [buffer, marked(buffer, self.marks)]

    @rule(target=views, held=buffers)
    def view(self, held):
        buffer, written = held
        return [buffer[-_MARKED_NBYTES:].toreadonly(), written]

    @rule(held=consumes(buffers))
    def leave(self, held) -> None:
        held.clear()

    @rule(held=consumes(views))
    def leave_view(self, held) -> None:
        assert held[0] == held[1]
        held.clear()

    @rule(room=st.integers(-1, 5))
    def reclaim(self, room: int) -> None:
        before_nbytes = self.pool.idle_nbytes
        self.pool.reclaim(room * POOL_BUFFER_NBYTES)
        assert before_nbytes <= self.pool.idle_nbytes <= max(before_nbytes, room * POOL_BUFFER_NBYTES)

    @rule(nbytes=st.integers(0, 3 * POOL_BUFFER_NBYTES))
    def trim(self, nbytes: int) -> None:
        before_nbytes = self.pool.idle_nbytes
        self.pool.trim(nbytes)
        assert before_nbytes - self.pool.idle_nbytes == min(before_nbytes, nbytes + -nbytes % POOL_BUFFER_NBYTES)

    @rule(held=buffers)
    def look(self, held) -> None:
        buffer, written = held
        assert buffer[:_MARKED_NBYTES] == buffer[-_MARKED_NBYTES:] == written


TestBufferPool = BufferPoolMachine.TestCase
TestBufferPool.settings = settings(stateful_step_count=40, deadline=None)


def test_a_viewed_buffer_is_lent_to_no_other() -> None:
    """A buffer that its owner left comes back with its last view, and not before; its memory is given out again."""
    pool = BufferPool(lambda: None)
    buffer = pool.take()
    written = marked(buffer, 7)
    view = buffer[5:10]
    del buffer
    pool.reclaim(POOL_BUFFER_NBYTES)
    assert pool.take_idle() is None
    del view
    pool.reclaim(POOL_BUFFER_NBYTES)
    for again in (pool.take_idle, pool.take):
        buffer = again()
        assert buffer is not None
        assert buffer[:_MARKED_NBYTES] == written
        del buffer
        pool.reclaim(POOL_BUFFER_NBYTES)


def resident_nbytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_what_has_no_room_goes_back_to_the_system() -> None:
    """Of buffers that are freed no byte is held, whether the other half of their page is in use or not: their places
    hold zeros when they are lent again, and the process is as small as before."""
    pool = BufferPool(lambda: None)
    buffers = [pool.take() for _ in range(48)]
    for buffer in buffers:
        buffer[:] = b"x" * POOL_BUFFER_NBYTES
    full_nbytes = resident_nbytes()
    del buffer, buffers[::2]
    pool.reclaim(0)
    half_nbytes = resident_nbytes()
    assert pool.idle_nbytes == 0
    assert full_nbytes - half_nbytes > 20 * POOL_BUFFER_NBYTES
    again = [pool.take() for _ in range(24)]
    assert not any(any(buffer) for buffer in again)
    del again, buffers
    pool.reclaim(0)
    assert half_nbytes - resident_nbytes() > 20 * POOL_BUFFER_NBYTES


def test_idle_ones_are_few() -> None:
    """However many come back, no more than MAX_IDLE hold memory."""
    pool = BufferPool(lambda: None)
    buffers = [pool.take() for _ in range(2 * MAX_IDLE)]
    del buffers
    pool.reclaim(4 * MAX_IDLE * POOL_BUFFER_NBYTES)
    assert pool.idle_nbytes == MAX_IDLE * POOL_BUFFER_NBYTES


def test_the_last_view_may_end_in_a_thread() -> None:
    """A thread that wrote a buffer to the disk may be the last to let go of it."""
    pool = BufferPool(lambda: None)
    held = [pool.take()]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    pool.reclaim(POOL_BUFFER_NBYTES)
    assert pool.idle_nbytes == POOL_BUFFER_NBYTES


VERSION = ObjectVersion("a", None, None)


def keep(cache: MemoryCache, offset: int, nbytes: int, *, filled_nbytes: int) -> None:
    """Lease, fill and seal; the budget holds whenever it is looked at."""
    lease = cache.lease(VERSION, ByteRange(offset, offset + nbytes), is_urgent=True, is_passing=True)
    assert lease is not None
    assert cache.used_nbytes <= cache.limit_nbytes
    cache.commit(lease, filled_nbytes)
    cache.seal(lease)
    assert cache.used_nbytes <= cache.limit_nbytes


def test_buffers_stay_within_the_budget() -> None:
    """Buffers that are evicted, dropped or left half full are kept as far as the budget allows, and no further."""
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
def test_a_buffer_that_was_hardly_filled_is_used_again(limit_nbytes: int, is_kept: bool) -> None:
    """What came is copied out of it, and the buffer is idle where both fit."""
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


def test_what_buffers_displace_goes_back_to_the_system() -> None:
    """Memory that small buffers had in the heap is given back for pooled buffers in their place: once for many, and not
    where small ones follow small ones."""
    given_back: list[int] = []
    cache = MemoryCache(32 * POOL_BUFFER_NBYTES, give_back=lambda: given_back.append(cache.used_nbytes))
    small_nbytes = POOL_BUFFER_NBYTES // 32
    for index in range(2 * 32 * 32):
        keep(cache, index * small_nbytes, small_nbytes, filled_nbytes=small_nbytes)
    assert not given_back
    for index in range(32):
        keep(cache, (64 + index) * POOL_BUFFER_NBYTES, POOL_BUFFER_NBYTES, filled_nbytes=POOL_BUFFER_NBYTES)
    assert 1 <= len(given_back) <= 4
