"""Slabs: never two owners of one place, kept while there is room, and no memory held by those that were freed."""

import threading

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from cffs.cache.slabs import MAX_IDLE, SLAB_NBYTES, SlabPool

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
        self.has_room = True
        self.pool = SlabPool(lambda: self.has_room)
        self.marks = 0

    @rule(target=slabs, takes_idle=st.booleans())
    def take(self, takes_idle: bool):
        slab = self.pool.take_idle() if takes_idle else self.pool.take()
        if slab is None:
            return multiple()
        assert len(slab) == SLAB_NBYTES
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

    @rule(has_room=st.booleans())
    def room_changes(self, has_room: bool) -> None:
        self.has_room = has_room

    @rule(nbytes=st.integers(0, 3 * SLAB_NBYTES))
    def trim(self, nbytes: int) -> None:
        before_nbytes = self.pool.idle_nbytes
        self.pool.trim(nbytes)
        assert before_nbytes - self.pool.idle_nbytes == min(before_nbytes, nbytes + -nbytes % SLAB_NBYTES)

    @rule(held=slabs)
    def look(self, held) -> None:
        slab, told = held
        assert slab[:_MARKED_NBYTES] == slab[-_MARKED_NBYTES:] == told

    @invariant()
    def few_are_idle(self) -> None:
        assert self.pool.idle_nbytes <= MAX_IDLE * SLAB_NBYTES


TestSlabs = SlabMachine.TestCase
TestSlabs.settings = settings(stateful_step_count=40, deadline=None)


def test_a_viewed_slab_is_nobody_elses() -> None:
    """A slab that its owner left comes back with its last view, and not before."""
    pool = SlabPool(lambda: True)
    slab = pool.take()
    view = slab[5:10]
    del slab
    assert pool.take_idle() is None
    del view
    assert pool.idle_nbytes == SLAB_NBYTES


def test_where_there_is_no_room_memory_goes_back_to_the_system() -> None:
    """Of slabs that are freed no byte is held: whoever takes their places finds zeros."""
    pool = SlabPool(lambda: False)
    slabs = [pool.take() for _ in range(4)]
    for slab in slabs:
        slab[:] = b"x" * SLAB_NBYTES
    del slab, slabs
    assert pool.idle_nbytes == 0
    assert not any(any(slab) for slab in [pool.take() for _ in range(4)])


def test_idle_ones_are_few() -> None:
    """However many come back, no more than MAX_IDLE hold memory."""
    pool = SlabPool(lambda: True)
    slabs = [pool.take() for _ in range(2 * MAX_IDLE)]
    del slabs
    assert pool.idle_nbytes == MAX_IDLE * SLAB_NBYTES


def test_the_last_view_may_end_in_a_thread() -> None:
    """A thread that wrote a slab to the disk may be the last to let go of it."""
    pool = SlabPool(lambda: True)
    held = [pool.take()]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert pool.idle_nbytes == SLAB_NBYTES
