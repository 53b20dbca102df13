"""Inode numbers against a naive model: stable until retired, never shared, ascending in listing order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.core.errors import StaleHandle
from cffs.tree.inodes import FIRST_PLACE, ROOT, ROOT_INODE, InodeTable, place
from cffs.tree.nodes import Kind, Node

GROUP = 3


def row_node(seq: int) -> Node:
    """A node that has its row's place."""
    return Node(Kind.MP3, (seq,), place(GROUP, seq, 0))


nodes = st.one_of(
    st.integers(1, 4).map(row_node),
    st.integers(1, 4).map(lambda seq: Node(Kind.MP3, (seq,))),  # the same, found before it had a row
    st.integers(1, 3).map(lambda number: Node(Kind.CALLER_ID, (str(number),))),
    st.just(ROOT),
)


class Table(RuleBasedStateMachine):
    """Every order of what the kernel and the reader do, against dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InodeTable()
        self.numbers: dict[Node, int] = {ROOT: 1}
        self.counts: dict[int, int] = {1: 1}
        self.of: dict[int, Node] = {1: ROOT}
        self.stale: set[int] = set()
        self.rows: set[Node] = set()

    def _numbered(self, node: Node, number: int) -> None:
        assert self.numbers.setdefault(node, number) == number

    def _now(self, node: Node) -> Node:
        """Rows never go away: a node that once had a place always has it."""
        if node.place:
            self.rows.add(node)
        return row_node(int(node.args[0])) if node in self.rows else node

    @rule(node=nodes)
    def hold(self, node: Node) -> None:
        """The kernel looks a node up."""
        node = self._now(node)
        number = self.table.hold(node)
        self._numbered(node, number)
        self.counts[number] = self.counts.get(number, 0) + 1
        self.of[number] = node

    @rule(node=nodes)
    def number(self, node: Node) -> None:
        """readdir shows a node's number."""
        node = self._now(node)
        self._numbered(node, self.table.number(node))

    @rule(data=st.data(), lookups=st.integers(1, 4))
    def forget(self, data: st.DataObject, lookups: int) -> None:
        """The kernel forgets some or more than it has."""
        number = data.draw(st.sampled_from([*sorted(self.counts), 999_999]))
        self.table.forget(number, lookups)  # type: ignore[arg-type]
        if number in self.counts and number != 1:
            self.counts[number] -= lookups
            if self.counts[number] <= 0:
                del self.counts[number], self.of[number]
                self.stale.discard(number)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """A held node's object changed."""
        live = [number for number in self.counts if number not in self.stale and number != 1]
        if not live:
            return
        node = self.of[data.draw(st.sampled_from(sorted(live)))]
        old = self.table.retire(node)
        assert old == self.numbers[node]
        new = self.table.number(node)
        assert new != old
        assert new not in self.counts
        self.numbers[node] = new
        self.stale.add(old)

    @invariant()
    def agrees(self) -> None:
        """What is held, as whom, and whether of an earlier version."""
        assert len(self.table) == len(self.counts)
        for number in self.counts:
            assert self.table.node(number) == self.of[number]  # type: ignore[arg-type]
            assert self.table.is_stale(number) == (number in self.stale)  # type: ignore[arg-type]
        live = [number for number in self.counts if number not in self.stale]
        assert len({self.of[number] for number in live}) == len(live)  # no two live numbers for one node
        assert self.table.number(ROOT) == ROOT_INODE


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@given(
    st.integers(1, 2047),
    st.integers(1, 2**49 - 1),
    st.integers(0, 7),
    st.integers(1, 2047),
    st.integers(1, 2**49 - 1),
    st.integers(0, 7),
)
def test_places(group: int, seq: int, slot: int, group2: int, seq2: int, slot2: int) -> None:
    """Places are different for different (group, row, slot), ascend with them, fit 63 bits, and leave room below for
    numbers given as they come."""
    one, two = place(group, seq, slot), place(group2, seq2, slot2)
    assert (one < two) == ((group, seq, slot) < (group2, seq2, slot2))
    assert FIRST_PLACE <= one < 2**63


def test_two_nodes_of_one_row() -> None:
    """Where a row's node becomes another (a call that changed its campaign) while the kernel holds the first, the
    second gets a number of its own, and keeps it: pages belong to the number."""
    table = InodeTable()
    old = Node(Kind.CALL, (5, 7), place(2, 1, 0))
    new = Node(Kind.CALL, (6, 7), place(2, 1, 0))
    first = table.hold(old)
    second = table.hold(new)
    assert first != second
    assert (table.node(first), table.node(second)) == (old, new)
    table.forget(first, 1)
    assert table.number(new) == second


def test_unknown_number_is_stale() -> None:
    """A number that the kernel does not hold is none of this mount's life."""
    with pytest.raises(StaleHandle):
        InodeTable().node(77)  # type: ignore[arg-type]


def test_root_is_never_forgotten() -> None:
    """However often the kernel forgets the root, it is there."""
    table = InodeTable()
    table.forget(ROOT_INODE, 1000)
    assert table.node(ROOT_INODE) == ROOT


def test_nothing_is_kept_for_rows() -> None:
    """A hundred thousand rows shown and forgotten cost no memory afterwards: their numbers are their places."""
    table = InodeTable()
    for seq in range(1, 100_001):
        table.forget(table.hold(row_node(seq)), 1)
    assert len(table) == 1
    assert len(table._given) == 1
