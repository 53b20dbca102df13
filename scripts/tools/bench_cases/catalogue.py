# ruff: noqa: T201  # a script prints
"""The catalogue of a large account: a million rows.

It owns what is measured and how it is printed: rows taken as a listing takes them, then opened, listed and looked up as
a mount does. It needs no network and no mount.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import trio

from cffs.catalog.bulk_upserts import put_calls
from cffs.catalog.store import Catalog
from cffs.core.v2_parsers import parse_call
from cffs.core.values import Call
from cffs.standin.account import Account
from cffs.standin.call_filter import CallFilter

PAGE = 1000


def main(arguments_given: list[str]) -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(prog="scripts/bench catalogue")
    parser.add_argument("--rows", type=int, default=1_000_000, help="calls in the catalogue  [1000000]")
    arguments = parser.parse_args(arguments_given)
    with tempfile.TemporaryDirectory(prefix="cffs-bench-") as folder:
        trio.run(catalogue, Path(folder) / "catalog.sqlite", arguments.rows)


async def catalogue(path: Path, rows: int) -> None:
    """A catalogue of that many calls with a recording each."""
    account = Account(seed=1, calls=rows, campaigns=50)
    async with Catalog.opened(path) as catalog:
        started = time.perf_counter()
        for calls in pages(account, rows):
            await catalog.write(lambda db, calls=calls: put_calls(db, calls))
        seconds = time.perf_counter() - started
    print(f"taking {rows} calls: {seconds:.1f} s, {rows / seconds:.0f} a second")
    started = time.perf_counter()
    async with Catalog.opened(path) as catalog:
        print(f"opening it: {time.perf_counter() - started:.3f} s")
        campaign_id = next(iter(catalog.campaigns(after_seq=0))).id
        middle = account.call_ids()[rows // 2]
        show("first page of a campaign", lambda: catalog.calls(campaign_id=campaign_id, after_seq=0))
        show("a page from the middle", lambda: catalog.calls(campaign_id=campaign_id, after_seq=rows // 2))
        show("a page of recordings", lambda: catalog.recordings(after_seq=rows // 2))
        show("one call", lambda: catalog.call(middle))
        show("its recordings", lambda: catalog.recordings_of_call(middle))
        show("counting everything", catalog.counts)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def pages(account: Account, rows: int) -> Iterator[list[Call]]:
    """The account's calls as the client would parse them, a page at a time."""
    for offset in range(0, rows, PAGE):
        page, _total = account.call_page(CallFilter(), offset=offset, limit=PAGE)
        yield [parse_call(row) for row in page]


def show(what: str, ask: Callable[[], object]) -> None:
    """The best of five, in milliseconds."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        ask()
        best = min(best, time.perf_counter() - started)
    print(f"{what}: {best * 1000:.2f} ms")
