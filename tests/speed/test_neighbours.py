"""The cost of looking at the files that follow an opened one."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from trio.testing import MockClock

from cffs.core.ids import Inode
from cffs.core.source import v2_recording
from cffs.fuse.listing_order import ListingOrder
from cffs.reader.folder_read_ahead import MAX_AHEAD, FolderReadAhead
from cffs.tree.contents import Remote
from cffs.tree.nodes import FixedNode, Kind, Mp3Node, Node
from tests.reader.simulated_link import MIB, laboratory
from tests.reader.simulated_link import Remote as Served

COUNT = 100


async def test_each_file_behind_is_looked_at_once_or_twice(autojump_clock: MockClock) -> None:
    """A folder read in order: each file's row is asked for a few times, not for each of the sixteen opens before it."""
    looks: Counter[Node] = Counter()

    def content(node: Node) -> Remote:
        looks[node] += 1
        source = v2_recording(node.recording_id)
        return Remote(key=source.key, sources=(source,), hint_nbytes=100_000)

    nodes = [Mp3Node(number) for number in range(COUNT)]
    namespace = SimpleNamespace(content=content, known=lambda _content: None)
    async with laboratory(latency_seconds=0.05, bytes_per_second=200e6) as lab:
        for number in range(COUNT):
            source = v2_recording(number)
            lab.origin.objects[source.key] = Served(total=100_000, seed=number)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        neighbours = ListingOrder(cast(Any, namespace), siblings)
        neighbours.listed(
            FixedNode(Kind.RECORDINGS), [(Inode(100 + number), node) for number, node in enumerate(nodes)], is_all=True
        )
        for number, node in enumerate(nodes):
            remote = content(node)
            looks[node] -= 1
            handle = await lab.objects.open(remote.key, remote.sources, known=None)
            neighbours.opened(Inode(100 + number), remote, handle)
            await handle.read(0, 100_000)
            handle.close()
        siblings.close()
        assert lab.origin.requests <= COUNT + 2
    assert looks.total() < COUNT * MAX_AHEAD / 4, looks.most_common(5)
