"""Reads in a thread: the same answers, interrupted once no caller waits."""

import threading
from pathlib import Path

import pytest
import trio

from cffs.catalog import upserts
from cffs.catalog.store import Catalog
from cffs.catalog.views import Condition, Views
from tests.catalog.factories import call, recording


async def filled(catalog: Catalog, count: int) -> None:
    """A catalogue of so many calls with a recording each."""
    calls = [call(n, recordings=(recording(1000 + n, seconds=n, call_id=n),)) for n in range(1, count + 1)]
    await catalog.write(lambda db: [upserts.put_call(db, one) for one in calls] and None)


@pytest.mark.parametrize("is_lean", [True, False])
async def test_the_same_rows(tmp_path: Path, is_lean: bool) -> None:
    """A read in a thread returns what one on the loop does; lean rows lack their documents only."""
    threads = set()
    async with Catalog.opened(tmp_path / "catalog.sqlite") as catalog:
        await filled(catalog, 30)
        conditions = [Condition("r.seconds >= ?", (10,))]

        def ask(views: Views) -> list[int]:
            threads.add(threading.get_ident())
            rows = views.matching(conditions, folders=[], after_seq=0)
            assert all((row.recording.document == b"") is is_lean for row in rows)
            return [row.recording.id for row in rows]

        found = await catalog.ask_in_thread(ask, page_rows=7, is_lean=is_lean)
        inline = [row.recording.id for row in catalog.views.matching(conditions, folders=[], after_seq=0)]
        assert found == inline[:7]
        assert threading.get_ident() not in threads


async def test_interrupted(tmp_path: Path) -> None:
    """A statement that would take for ever ends when its caller is cancelled, and the next one is answered."""
    async with Catalog.opened(tmp_path / "catalog.sqlite") as catalog:
        await filled(catalog, 300)
        endless = Condition(
            "(SELECT count(*) FROM recordings a, recordings b, recordings c, recordings d) = ?", ("nothing",)
        )
        begun, ended = trio.Event(), threading.Event()
        token = trio.lowlevel.current_trio_token()

        def ask(views: Views) -> object:
            token.run_sync_soon(begun.set)
            try:
                return views.matching([endless], folders=[], after_seq=0)
            finally:
                ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(catalog.ask_in_thread, ask)
            await begun.wait()
            nursery.cancel_scope.cancel()
        assert await trio.to_thread.run_sync(ended.wait, 30)
        assert await catalog.ask_in_thread(lambda views: len(views.matching([], folders=[], after_seq=0))) == 200


async def test_a_state_for_each_write(tmp_path: Path) -> None:
    """The state stays while nothing is written, and changes with each write."""
    async with Catalog.opened(tmp_path / "catalog.sqlite") as catalog:
        before = catalog.state
        assert catalog.state == before
        await filled(catalog, 1)
        assert catalog.state != before
