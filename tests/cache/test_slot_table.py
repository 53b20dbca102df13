"""The slot table against a plain dict, and the cost of a claimed total."""

import os
import tracemalloc

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.cache.disk_check import held_nbytes_in, verify_file
from cffs.cache.disk_file import DiskFile
from cffs.cache.disk_format import SLOT_NBYTES, make_slot
from cffs.cache.slot_table import PAGE_SLOTS, SlotTable
from cffs.cache.types import ObjectVersion
from cffs.core.units import BLOCK_NBYTES

#: Around the borders of pages, and far away.
INDEXES = st.sampled_from(
    [0, 1, 2, PAGE_SLOTS - 2, PAGE_SLOTS - 1, PAGE_SLOTS, PAGE_SLOTS + 1, 5 * PAGE_SLOTS, 2**23 - 1]
)
SPANS = st.tuples(INDEXES, st.integers(0, 2 * PAGE_SLOTS + 3)).map(lambda span: range(span[0], sum(span)))
#: What a page and its two arrays may take, times the number of pages.
PAGE_COST_NBYTES = 4 * PAGE_SLOTS * SLOT_NBYTES


class SlotTableMachine(RuleBasedStateMachine):
    """A table answers what a dict of slots would, whatever was kept and forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.model = SlotTable(), dict[int, bytes]()

    @rule(index=INDEXES, data=st.binary(max_size=3))
    def put(self, index: int, data: bytes) -> None:
        """What is kept is here."""
        slot = make_slot(data, seed=1, index=index)
        assert self.table.put(index, slot) == (index not in self.model)
        self.model[index] = slot

    @rule(span=SPANS)
    def fill(self, span: range) -> None:
        """Keep many in a row, across the borders of pages."""
        for index in span:
            self.model[index] = make_slot(b"", seed=1, index=index)
            self.table.put(index, self.model[index])

    @rule(index=INDEXES)
    def forget(self, index: int) -> None:
        """What is forgotten is not here, and saying so twice changes nothing."""
        assert self.table.forget(index) == (self.model.pop(index, None) is not None)

    @rule(span=SPANS)
    def runs(self, span: range) -> None:
        """Runs begin and end where the dict says."""
        missing = next((index for index in span if index not in self.model), None)
        found = self.table.first_missing(span)
        if missing is None:
            assert found is None
        else:
            stop = next((index for index in range(missing, span.stop) if index in self.model), span.stop)
            assert found == range(missing, stop)
        assert self.table.run_at(span) == range(span.start, span.stop if missing is None else missing)

    @invariant()
    def agrees(self) -> None:
        """Each slot is the one kept last."""
        for index in (0, 1, PAGE_SLOTS - 1, PAGE_SLOTS, 5 * PAGE_SLOTS, 2**23 - 1, 2**22):
            assert self.table.has(index) == (index in self.model)
            assert self.table[index] == self.model.get(index, bytes(SLOT_NBYTES))


SlotTableMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestSlotTable = SlotTableMachine.TestCase


def test_a_claimed_total_costs_nothing(tmp_path):
    """An object that claims 2^40 bytes costs the memory and the disk of the blocks that came, also after a restart."""
    version, last = ObjectVersion("wav:1", '"x"', 2**40), 2**40 // BLOCK_NBYTES - 1
    blocks = {0: bytes(BLOCK_NBYTES), last: b"\1" * BLOCK_NBYTES}
    tracemalloc.start()
    try:
        file = DiskFile(tmp_path / "file", version, create=True)
        for index, data in blocks.items():
            run = range(index, index + 1)
            file.write(run, memoryview(data))
            file.wrote(run, file.slots_of(run, memoryview(data)))
        publishing = file.publishing(blocks)
        assert publishing is not None
        publishing.run()
        file.close()
        again = DiskFile(tmp_path / "file", version, create=False)
        most_nbytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_nbytes < len(blocks) * (2 * BLOCK_NBYTES + PAGE_COST_NBYTES) + 4 * 1024 * 1024
    assert again.held_nbytes == held_nbytes_in(tmp_path / "file") == 2 * BLOCK_NBYTES
    assert again.first_missing(range(last + 1)) == range(1, last)
    assert again.run_at(range(last, last + 1)) == range(last, last + 1)
    assert verify_file(tmp_path / "file") == (2, 0)
    assert os.stat(tmp_path / "file").st_blocks * 512 < 4 * BLOCK_NBYTES
    again.close()
    (tmp_path / "file").unlink()  # a search through what tests leave would read 2^40 bytes of it
