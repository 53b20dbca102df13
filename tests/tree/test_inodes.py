"""Inode numbers against a naive model: stable until a version changes, never shared, the same in every mount."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.core.errors import StaleHandle
from cffs.tree.inodes import ROOT, ROOT_INODE, InodeTable, number_of
from cffs.tree.nodes import BY_ID, DIRECT, LISTED, Kind, Node
from cffs.tree.object_keys import object_key
from tests.tree.sample_account import Open

nodes = st.one_of(
    st.integers(1, 4).map(lambda ident: Node(Kind.MP3, (ident,))),
    st.integers(2**62, 2**62 + 2).map(lambda ident: Node(Kind.MP3, (ident,))),  # an id beyond those that fit
    st.tuples(st.integers(5, 6), st.just(7)).map(
        lambda ids: Node(Kind.CALL, (*ids, LISTED, LISTED))
    ),  # two that want one number
    st.integers(1, 3).map(lambda number: Node(Kind.CALLER_ID, (str(number),))),
    st.just(ROOT),
)


class Table(RuleBasedStateMachine):
    """Every order of what the kernel and the reader do, against dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, int] = {}
        self.table = InodeTable(self.versions)
        self.epochs: dict[Node, int] = {}
        self.numbers: dict[tuple[Node, int], int] = {(ROOT, 0): 1}
        self.counts: dict[int, int] = {1: 1}
        self.of: dict[int, Node] = {1: ROOT}
        self.stale: set[int] = set()

    def _numbered(self, node: Node, number: int) -> None:
        now = node, self.epochs.get(node, 0)
        assert self.of.get(number, node) == node, "two nodes under one number that the kernel holds"
        assert number not in self.stale
        if self.numbers.setdefault(now, number) != number:
            # the only reason to have another one: it was taken away while the kernel did not hold it
            assert self.of[self.numbers[now]] != node
            self.numbers[now] = number
        others = [known for (other, epoch), known in self.numbers.items() if other == node and epoch != now[1]]
        assert number not in others, "two versions under one number"

    @rule(node=nodes)
    def hold(self, node: Node) -> None:
        """The kernel looks a node up."""
        number = self.table.hold(node)
        self._numbered(node, number)
        self.counts[number] = self.counts.get(number, 0) + 1
        self.of[number] = node

    @rule(node=nodes)
    def number(self, node: Node) -> None:
        """readdir shows a node's number."""
        self._numbered(node, self.table.number(node))

    @rule(data=st.data(), lookups=st.integers(1, 4))
    def forget(self, data: st.DataObject, lookups: int) -> None:
        """The kernel forgets some or more than it has."""
        number = data.draw(st.sampled_from([*sorted(self.counts), 999_999]))
        gone = self.table.forget(number, lookups)  # type: ignore[arg-type]
        if number in self.counts and number != 1:
            self.counts[number] -= lookups
            assert (gone is not None) == (self.counts[number] <= 0)
            if self.counts[number] <= 0:
                assert gone == self.of.pop(number)
                del self.counts[number]
                self.stale.discard(number)

    @rule(node=nodes)
    def learn(self, node: Node) -> None:
        """The object behind a node was found changed: its next lookup finds another number."""
        if (key := object_key(node)) is not None:
            self._numbered(node, self.table.number(node))
            self.versions[key] = self.versions.get(key, 0) + 1
            self.epochs[node] = self.epochs.get(node, 0) + 1
            self._numbered(node, self.table.number(node))

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """The kernel has bytes under a number that its node has not any more, whether a version tells so or not."""
        number = data.draw(st.sampled_from([*sorted(set(self.counts) - {1}), 999_999]))
        node = self.of.get(number)
        if node is not None:
            had = self.table.number(node)
            self._numbered(node, had)
            self.stale.add(number)
            if had == number:
                self.epochs[node] = self.epochs.get(node, 0) + 1
        self.table.retire(number)  # type: ignore[arg-type]
        if node is not None:
            self._numbered(node, self.table.number(node))

    @invariant()
    def agrees(self) -> None:
        """What is held, as whom, and whether of an earlier version."""
        assert len(self.table) == len(self.counts)
        for number, node in self.of.items():
            assert self.table.node(number) == node  # type: ignore[arg-type]
            assert self.table.is_stale(number) == (number in self.stale)  # type: ignore[arg-type]
        assert self.table.number(ROOT) == ROOT_INODE


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)

ids = st.integers(1, 2**46 - 1)
ROW_KINDS = (Kind.CAMPAIGN_JSON, Kind.CALL_JSON, Kind.MP3, Kind.RECORDING_JSON, Kind.WAV, Kind.MEDIA_JSON)


@given(st.sampled_from(ROW_KINDS), ids, st.sampled_from(ROW_KINDS), ids)
def test_numbers_of_ids(kind: Kind, ident: int, kind2: Kind, ident2: int) -> None:
    """Numbers are different for different ids and kinds, ascend with the ids of a kind, and fit 63 bits."""
    one, two = number_of(Node(kind, (ident,))), number_of(Node(kind2, (ident2,)))
    assert (one == two) == ((kind, ident) == (kind2, ident2))
    assert number_of(Node(kind, (ident2,))) >= one or ident2 < ident
    assert 2**50 <= one < 2**62


@given(
    st.sampled_from(list(Kind)),
    st.lists(st.integers(1, 2**63) | st.text(max_size=5), min_size=2, max_size=4),
    st.integers(0, 9),
)
def test_numbers_are_made_of_what_tells_apart(kind: Kind, args: list[int | str], version: int) -> None:
    """Any node has the same number in every mount, and each version another one; all are positive and fit 63 bits."""
    if kind is Kind.ROOT:
        return
    node = Node(kind, tuple(args))
    number = number_of(node, version=version)
    assert InodeTable().number(node) == number_of(node) == InodeTable().hold(node)
    assert 0 < number < 2**63
    assert number_of(node, version=version + 1) != number


def test_numbers_never_change() -> None:
    """What archives remember of earlier mounts, those of earlier versions of cffs among them, stays true."""
    assert number_of(Node(Kind.MP3, (180010000003,))) == 3 << 50 | 180010000003 << 4
    assert number_of(Node(Kind.CAMPAIGNS)) == 5211156044174739598
    assert number_of(Node(Kind.MP3, (180010000003,)), version=1) == 8554226133692173971


def test_every_way_to_spell_a_folder_is_a_folder_of_its_own() -> None:
    """The kernel gives a folder one place only: each path to a campaign or call has a number of its own."""
    ways = (LISTED, BY_ID, DIRECT)
    nodes = [Node(kind, (5, way)) for kind in (Kind.CAMPAIGN, Kind.CAMPAIGN_CALLS) for way in ways[:2]]
    nodes += [Node(Kind.CALL, (5, 7, campaign, call)) for campaign in ways[:2] for call in ways]
    nodes += [Node(Kind.LONE_CALL, (7, way)) for way in ways]
    assert len({number_of(node) for node in nodes}) == len(nodes)


async def test_keys_are_those_of_the_files(world: Open) -> None:
    """Every file whose bytes are the service's has the key that its node tells."""
    from cffs.tree.nodes import Remote

    async with world(formats=("mp3", "wav")) as tree:
        found = [node for top in ("campaigns", "recordings", "media") for node in (await tree.walk(top)).values()]
        kinds = set()
        for node in found:
            if not tree.namespace.describe(node).is_folder:
                content = tree.namespace.content(node)
                key = content.key if isinstance(content, Remote) else None
                assert object_key(node) == key
                kinds.add(node.kind) if key else None
        assert kinds == {Kind.MP3, Kind.WAV, Kind.MEDIA_FILE, Kind.MEDIA_RAW, Kind.MEDIA_PUBLIC_FILE}


def test_two_nodes_of_one_id() -> None:
    """Where a call's folder becomes another (a call that changed its campaign) while the kernel holds the first, the
    second gets a number of its own, and keeps it: pages belong to the number."""
    table = InodeTable()
    old, new = Node(Kind.CALL, (5, 7, LISTED, LISTED)), Node(Kind.CALL, (6, 7, LISTED, LISTED))
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


def test_nothing_is_kept_for_what_is_forgotten() -> None:
    """A hundred thousand files shown and forgotten cost no memory afterwards."""
    table = InodeTable()
    for ident in range(1, 100_001):
        table.forget(table.hold(Node(Kind.MP3, (ident,))), 1)
    assert len(table) == 1
    assert len(table._given) == 0
