"""The table of open handles, against a dictionary."""

from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.fuse.handles import FolderHandle, Handle, HandleTable, RemoteHandle, SnapshotHandle
from cffs.tree.nodes import CallJsonNode, FixedNode, Kind, SearchNode


class HandleMachine(RuleBasedStateMachine):
    """Adds, gets and removes handles of every kind; the model is a dictionary that remembers every number ever
    given."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.table = HandleTable()
        self.model: dict[int, Handle] = {}
        self.given: set[int] = set()

    def _added(self, handle: Handle) -> int:
        number = self.table.add(handle)
        assert number > 0
        assert number not in self.given
        self.given.add(number)
        self.model[number] = handle
        return number

    @rule(target=numbers, key=st.sampled_from(["a", "b"]))
    def add_remote(self, key):
        return self._added(RemoteHandle(Inode(9), SearchNode(key), key, SimpleNamespace()))

    @rule(target=numbers)
    def add_snapshot(self):
        return self._added(SnapshotHandle(CallJsonNode(7, 5), b"{}"))

    @rule(target=numbers)
    def add_folder(self):
        return self._added(FolderHandle(FixedNode(Kind.ROOT)))

    @rule(target=numbers, number=consumes(numbers))
    def remove(self, number):
        assert self.table.remove(number) is self.model.pop(number, None)
        return number

    @rule(number=numbers)
    def get(self, number):
        if number in self.model:
            assert self.table.get(number) is self.model[number]
        else:
            with pytest.raises(StaleHandle):
                self.table.get(number)

    @rule()
    def get_nonsense(self):
        with pytest.raises(StaleHandle):
            self.table.get(0)
        assert self.table.remove(2**63) is None

    @rule(target=numbers)
    def nothing(self):
        return multiple()

    @invariant()
    def agrees(self):
        handles = list(self.model.values())
        assert len(self.table) == len(handles)
        assert self.table.files() == sum(not isinstance(handle, FolderHandle) for handle in handles)
        for key in ("a", "b", "c"):
            expected = [handle for handle in handles if isinstance(handle, RemoteHandle) and handle.key == key]
            assert self.table.of_object(key) == expected


TestHandles = HandleMachine.TestCase
"""A number is never given twice, and the table agrees with a dict after any history."""
