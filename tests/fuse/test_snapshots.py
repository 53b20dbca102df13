"""Open rendered files, against a model of the kernel: one size for an inode."""

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from trio.testing import MockClock

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.fuse.invalidation import KernelView
from cffs.fuse.snapshots import Pages, Snapshots
from cffs.tree.inodes import InodeTable
from cffs.tree.nodes import LISTED, AboutFolderNode, CallJsonNode, CampaignNode, Kind, Node

NODES = (
    AboutFolderNode(CampaignNode(5, LISTED), Kind.PLAYLIST),
    AboutFolderNode(CampaignNode(5, LISTED), Kind.MANIFEST),
    CallJsonNode(7, 5),
)


class Handle:
    """An open file of a program."""

    def __init__(self, inode: Inode, body: bytes, *, is_direct: bool) -> None:
        self.inode, self.body, self.is_direct = inode, body, is_direct


class Kernel(RuleBasedStateMachine):
    """Programs that look up, open, read, map and close files whose content changes meanwhile."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.inodes = InodeTable()
        self.forgotten: list[Inode] = []
        self.table = Snapshots(self.inodes, KernelView(self.forgotten.append))
        self.content = dict.fromkeys(NODES, b"first")
        self.entries: dict[Node, Inode] = {}
        self.pages: dict[Inode, bytes] = {}
        self.open: list[Handle] = []

    @rule(node=st.sampled_from(NODES), body=st.binary(max_size=3))
    def change(self, node: Node, body: bytes) -> None:
        """The content of the file changes."""
        self.content[node] = body

    @rule(node=st.sampled_from(NODES), is_known=st.booleans())
    def look_up(self, node: Node, is_known: bool) -> None:
        """The kernel's entry expired, or the kernel was made to look again."""
        self.table.renew(node, len(self.content[node]) if is_known else None)
        inode = self.entries[node] = self.inodes.hold(node)
        # stat then shows the content of now, unless its size is not known yet
        assert self.table.nbytes(inode) in (None, len(self.content[node]))

    @rule(
        target=handles,
        node=st.sampled_from(NODES),
        thread=st.integers(1, 2),
        meanwhile=st.lists(st.tuples(st.integers(3, 4), st.binary(max_size=3)), max_size=2),
    )
    def open_file(self, node: Node, thread: int, meanwhile: list[tuple[int, bytes]]) -> Handle:
        """Open by the entry that the kernel has. A program that is sent back looks once more, and others may open in
        between."""
        try:
            return self._opened(node, thread)
        except StaleHandle:
            for other, body in meanwhile:
                self.content[node] = body
                self.look_up(node, is_known=True)
                try:
                    self._opened(node, other)
                except StaleHandle:
                    continue
            self.look_up(node, is_known=False)
            return self._opened(node, thread, seen=tuple(body for _other, body in meanwhile))

    def _opened(self, node: Node, thread: int, *, seen: tuple[bytes, ...] = ()) -> Handle:
        """`seen` are the contents that the file had since the program called open, besides that of now."""
        if node not in self.entries:
            self.look_up(node, is_known=True)
        inode, body = self.entries[node], self.content[node]
        seen = (*seen, body)
        self.forgotten.clear()
        pages, body = self.table.open(inode, node, body, thread=thread)
        assert body in seen
        if pages is Pages.DROPPED:
            self.pages.pop(inode, None)
            assert self.forgotten == [inode]
        handle = Handle(inode, body, is_direct=pages is Pages.BYPASSED)
        self.open.append(handle)
        return handle

    @rule(handle=handles)
    def read(self, handle: Handle) -> None:
        """Read through the pages, which the first reader fills."""
        if handle in self.open and not handle.is_direct:
            assert self.pages.setdefault(handle.inode, handle.body) == handle.body

    @rule(handle=consumes(handles))
    def close(self, handle: Handle) -> None:
        """Close the last descriptor, or the last mapping."""
        self.open.remove(handle)
        if not handle.is_direct:
            self.table.close(handle.inode)

    @invariant()
    def each_inode_has_one_size(self) -> None:
        """fstat of a handle shows the size of what it reads."""
        for handle in self.open:
            assert handle.is_direct or self.table.nbytes(handle.inode) == len(handle.body)


async def test_one_content_an_inode(autojump_clock: MockClock) -> None:
    """However files change while they are looked up, opened, read and closed: each handle reads its own snapshot, fstat
    shows that one's size, stat the size of now, and no program is sent back twice."""
    run_state_machine_as_test(Kernel, settings=settings(deadline=None))


async def test_whoever_is_sent_back_twice(autojump_clock: MockClock) -> None:
    """A thread that meets another content twice in a row shares the snapshot that was opened since it was sent back,
    and reads past the pages of one that was open before. Later it is sent back again."""
    inodes, (node, *_) = InodeTable(), NODES
    table, numbers = Snapshots(inodes, KernelView(lambda _inode: None)), set[Inode]()
    first = inodes.hold(node)
    assert table.open(first, node, b"a", thread=1) == (Pages.DROPPED, b"a")
    assert table.open(first, node, b"a", thread=2) == (Pages.KEPT, b"a")
    await trio.sleep(1)
    for seconds, thread, expected in ((0, 3, None), (1, 3, Pages.BYPASSED), (0, 3, None), (6, 3, None), (0, 4, None)):
        await trio.sleep(seconds)
        if expected is None:
            with pytest.raises(StaleHandle):
                table.open(first, node, b"b", thread=thread)
        else:
            assert table.open(first, node, b"b", thread=thread) == (expected, b"b")
        numbers.add(inodes.number(node))
    second = inodes.hold(node)
    assert numbers == {second} != {first}  # one new inode, however many were sent back
    assert inodes.is_stale(first)
    assert table.open(second, node, b"c", thread=5) == (Pages.DROPPED, b"c")
    assert table.open(second, node, b"d", thread=4) == (Pages.KEPT, b"c")
    for _ in range(2):
        table.close(first)
        table.close(second)
    assert table.nbytes(first) is table.nbytes(second) is None
    assert table.open(first, node, b"b", thread=3) == (Pages.DROPPED, b"b")
