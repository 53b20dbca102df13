"""What the kernel is made to forget once facts were learned."""

from pathlib import Path

import trio
import trio.testing

from cffs.catalog.changes import MAX_PENDING
from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.fuse.invalidation import KernelView, drain_changes


async def test_more_changes_than_are_kept(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Where more changed than was kept, every inexact size is taken back once; otherwise only the sizes of what
    changed."""
    told: list[int] = []
    kernel = KernelView(told.append)
    for number in range(1, 2001):
        kernel.note(f"recording/{number}.mp3", Inode(number))
    async with Catalog.opened(tmp_path / "catalog.sqlite") as catalog:
        nursery.start_soon(drain_changes, catalog, kernel)
        catalog.changes.add("recording/7.mp3")
        await trio.testing.wait_all_tasks_blocked()
        assert told == [7]
        for number in range(MAX_PENDING + 1):
            catalog.changes.add(f"recording/{10_000 + number}.mp3")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(told) == list(range(1, 2001))
        nursery.cancel_scope.cancel()


def test_what_was_shown_last_is_noted() -> None:
    """However many sizes were inexact, a bounded number of them is kept: those that were shown last."""
    told: list[int] = []
    kernel = KernelView(told.append)
    for number in range(1, 120_001):
        kernel.note(f"recording/{number}.mp3", Inode(number))
    noted = kernel.noted()
    assert 45_000 <= len(noted) <= 50_000
    assert noted[-1] == "recording/120000.mp3"
    kernel.forget_attributes_of("recording/120000.mp3")
    kernel.forget_attributes_of("recording/1.mp3")
    assert told == [120_000]
