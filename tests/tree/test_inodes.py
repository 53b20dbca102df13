"""Inode numbers against a naive model: stable, never shared, alike in every mount."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.core.errors import StaleHandle
from cffs.tree.inodes import ROOT, ROOT_INODE, InodeTable, number_of
from cffs.tree.nodes import (
    BY_ID,
    DIRECT,
    LISTED,
    CallerIdNode,
    CallJsonNode,
    CallMonthNode,
    CallNode,
    CampaignCallsNode,
    CampaignJsonNode,
    CampaignNode,
    ClipNode,
    CreatedCredentialNode,
    CredentialJsonNode,
    CreditUsageNode,
    DateNode,
    DynamicFileNode,
    DynamicFolderNode,
    FixedNode,
    Kind,
    LoneCallNode,
    MediaFileNode,
    MediaJsonNode,
    MediaPublicFileNode,
    MediaRawNode,
    Mp3Node,
    Node,
    OwnFileNode,
    RecordingJsonNode,
    SearchNode,
    UnprovenNode,
    UploadNode,
    ViewFolderNode,
    WavNode,
    about,
)
from cffs.tree.object_keys import object_key
from tests.tree.sample_account import Open

nodes = st.one_of(
    st.integers(1, 4).map(lambda ident: Mp3Node(ident)),
    st.integers(2**62, 2**62 + 2).map(lambda ident: Mp3Node(ident)),  # an id beyond those that fit
    st.tuples(st.integers(5, 6), st.just(7)).map(
        lambda ids: CallNode(*ids, LISTED, LISTED)
    ),  # two that want one number
    st.integers(1, 3).map(lambda number: CallerIdNode(str(number))),
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
            # the only reason for another number: it was taken while the kernel did not hold the node
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
        """The object of a node was found changed: its next lookup finds another number."""
        if (key := object_key(node)) is not None:
            self._numbered(node, self.table.number(node))
            self.versions[key] = self.versions.get(key, 0) + 1
            self.epochs[node] = self.epochs.get(node, 0) + 1
            self._numbered(node, self.table.number(node))

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """The kernel has bytes under a number that its node has not any more, whether a version says so or not."""
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
ROW_NODES: tuple[Callable[[int], Node], ...] = (
    CampaignJsonNode,
    lambda ident: CallJsonNode(ident, 5),
    Mp3Node,
    RecordingJsonNode,
    WavNode,
    MediaJsonNode,
)


@given(st.sampled_from(ROW_NODES), ids, st.sampled_from(ROW_NODES), ids)
def test_numbers_of_ids(kind: Callable[[int], Node], ident: int, kind2: Callable[[int], Node], ident2: int) -> None:
    """Numbers are different for different ids and kinds, ascend with the ids of a kind, and fit 63 bits."""
    one, two = number_of(kind(ident)), number_of(kind2(ident2))
    assert (one == two) == ((kind, ident) == (kind2, ident2))
    assert number_of(kind(ident2)) >= one or ident2 < ident
    assert 2**50 <= one < 2**62


UNPROVEN = UnprovenNode(CampaignNode(5, LISTED), "7", Kind.UNPROVEN_FOLDER)
DYNAMIC = DynamicFolderNode(("abc", "2025", "08", "5"), Kind.DYNAMIC_CAMPAIGN)
#: Of each kind a node, its number, and that of its first other version, as version 0.1.0 made them.
NUMBERS: list[tuple[Node, int, int]] = [
    (FixedNode(Kind.README), 5389465455484734167, 6744458977880597403),
    (CampaignNode(5, LISTED), 1125899906842704, 4645940451812157368),
    (CampaignNode(2**60, BY_ID), 6377353430333301851, 4958039811944558715),
    (CampaignCallsNode(5, BY_ID), 1125899906842709, 7527373244759544991),
    (CampaignJsonNode(5), 1125899906842706, 5240605842130761837),
    (CallNode(5, 7, LISTED, LISTED), 2251799813685360, 7351185203483528577),
    (CallNode(5, 7, BY_ID, DIRECT), 2251799813685361, 8667904766425957709),
    (CallNode(5, 7, LISTED, DIRECT), 6895226981618745983, 8009077465051022894),
    (LoneCallNode(7, DIRECT), 2251799813685364, 6466679800475884524),
    (CallMonthNode(24310), 7881299348287328, 8649821148057909187),
    (CallMonthNode(-1), 5176149800491677983, 8810087843334173529),
    (CallJsonNode(7, 5), 2251799813685365, 5261979913640260288),
    (WavNode(88), 4503599627371904, 7448222522823948898),
    (RecordingJsonNode(88), 3377699720529281, 6038110749623812203),
    (DynamicFolderNode(("abc", "2025", "08"), Kind.DYNAMIC_MONTH), 7562228658972429118, 7618191532310706691),
    (DynamicFileNode("abc", "2025", "08", "5", "x.wav"), 8261635104032269405, 5746755183438970750),
    (MediaFileNode(9, "mp3"), 5629499534213268, 6051748386887856533),
    (MediaFileNode(9, "xyz"), 5629499534213275, 5707752409244890869),
    (MediaRawNode(9), 5629499534213278, 6369206739338827084),
    (MediaJsonNode(9), 5629499534213279, 6040639831687136861),
    (MediaPublicFileNode("key", "jpg"), 5246811809787004221, 5469268483008138611),
    (UploadNode(3), 8454861788623610527, 6050513720630271171),
    (CreditUsageNode(1, 2), 5303318519310047303, 8667506462394603833),
    (CallerIdNode("12135550100"), 4707820302660363386, 5618141009582271375),
    (CallerIdNode("12135550100", Kind.VERIFICATION_CODE), 7985665229990084040, 5966847981774805244),
    (CredentialJsonNode(4), 8681568496799430466, 5471874697241048352),
    (CreatedCredentialNode("é"), 7780523195239067810, 6679135836942767270),
    (CreatedCredentialNode("é", Kind.CREATED_CREDENTIAL_JSON), 4658467338866473691, 8550316362841769420),
    (DateNode(("2025",), Kind.YEAR), 5523916716832193359, 5523846845714711121),
    (DateNode(("2025", "10"), Kind.MONTH), 5672690163434177322, 6392136640399426398),
    (DateNode(("2025", "10", "09"), Kind.DAY), 7597277189484459759, 4847530141079445515),
    (ViewFolderNode(6, Kind.ONE_NUMBER), 6755399441055840, 4683640567677558214),
    (ViewFolderNode(6, Kind.ONE_LABEL), 6755399441055840, 6960618904873371351),
    (SearchNode("number=1"), 6512456435141399256, 6692623745889698505),
    (about(CampaignNode(5, BY_ID), Kind.PLAYLIST), 1125899906842707, 8433607607512462497),
    (about(CallNode(5, 7, BY_ID, DIRECT), Kind.PLAYLIST), 8539030267520315874, 8246252048425832141),
    (about(LoneCallNode(7, DIRECT), Kind.PLAYLIST), 8236272364439889444, 6743674776436937599),
    (about(FixedNode(Kind.RECORDINGS), Kind.PLAYLIST), 6102382138307428039, 8260789737167272466),
    (about(DateNode(("2025", "10", "09"), Kind.DAY), Kind.PLAYLIST), 4892220245395120314, 6848201334175433191),
    (
        about(DYNAMIC, Kind.PLAYLIST),
        5772363825274022265,
        5475333402498977993,
    ),
    (about(SearchNode("number=1"), Kind.MANIFEST), 5752878899468021266, 7636359675749683508),
    (about(CampaignNode(5, BY_ID), Kind.MANIFEST), 7892935767802919081, 8706229818405275921),
    (ClipNode(88, "60", "90", 0), 5469981228089110893, 6960936790830117242),
    (ClipNode(88, "60", "90", 2), 6952446142704105954, 6386482586116859394),
    (OwnFileNode("metrics"), 4712466387542236181, 8978989659576702815),
    (UNPROVEN, 8159259460066647661, 5317034783639957791),
    (
        UnprovenNode(UNPROVEN, "a.mp3", Kind.UNPROVEN_FILE),
        6059016110734757602,
        7135593563068578801,
    ),
]


@pytest.mark.parametrize(("node", "number", "changed"), NUMBERS, ids=[node.kind.name for node, *_numbers in NUMBERS])
def test_numbers_never_change(node: Node, number: int, changed: int) -> None:
    """What archives remember of earlier mounts stays true, those of earlier versions of cffs included."""
    assert (number_of(node), number_of(node, version=1)) == (number, changed)


def test_numbers_of_fixed_folders_never_change() -> None:
    """Folders that exist once keep their numbers, too."""
    assert number_of(Mp3Node(180010000003)) == 3 << 50 | 180010000003 << 4
    assert number_of(FixedNode(Kind.CAMPAIGNS)) == 5211156044174739598
    assert number_of(Mp3Node(180010000003), version=1) == 8554226133692173971


@given(
    st.sampled_from([node for node, *_numbers in NUMBERS])
    | st.builds(MediaFileNode, st.integers(1, 2**63), st.text(max_size=5))
    | st.builds(SearchNode, st.text(max_size=5))
    | st.builds(DynamicFileNode, *[st.text(max_size=5)] * 5)
    | st.builds(ClipNode, st.integers(1, 2**63), st.text(max_size=5), st.text(max_size=5), st.integers(0, 9))
    | st.builds(UnprovenNode, st.builds(Mp3Node, ids), st.text(max_size=5), st.just(Kind.UNPROVEN_FILE)),
    st.integers(0, 9),
)
def test_numbers_are_made_of_what_tells_apart(node: Node, version: int) -> None:
    """Any node has the same number in every mount, and each version another one; all are positive and fit 63 bits."""
    number = number_of(node, version=version)
    assert InodeTable().number(node) == number_of(node) == InodeTable().hold(node)
    assert 0 < number < 2**63
    assert number_of(node, version=version + 1) != number


def test_every_way_to_spell_a_folder_is_a_folder_of_its_own() -> None:
    """The kernel gives a folder one place only: each path to a campaign or call has a number of its own."""
    ways = (LISTED, BY_ID, DIRECT)
    nodes: list[Node] = [kind(5, way) for kind in (CampaignNode, CampaignCallsNode) for way in ways[:2]]
    nodes += [CallNode(5, 7, campaign, call) for campaign in ways[:2] for call in ways]
    nodes += [LoneCallNode(7, way) for way in ways]
    assert len({number_of(node) for node in nodes}) == len(nodes)


async def test_keys_are_those_of_the_files(world: Open) -> None:
    """Every file whose bytes are the service's has the key that is made of its node."""
    from cffs.tree.contents import Remote

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
    old, new = CallNode(5, 7, LISTED, LISTED), CallNode(6, 7, LISTED, LISTED)
    first = table.hold(old)
    second = table.hold(new)
    assert first != second
    assert (table.node(first), table.node(second)) == (old, new)
    table.forget(first, 1)
    assert table.number(new) == second


def test_unknown_number_is_stale() -> None:
    """A number that the kernel does not hold belongs to no node of this mount."""
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
        table.forget(table.hold(Mp3Node(ident)), 1)
    assert len(table) == 1
    assert len(table._given) == 0
