"""Fixtures of the catalogue's tests; an unannounced log line fails a test."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from cffs.catalog.account_sync import AccountSync
from cffs.catalog.listing_sync import ListingSync
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from tests.catalog.factories import TTL, CountingBackground, Wall


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """An empty catalogue on disk."""
    async with Catalog.opened(tmp_path / "catalog.sqlite") as opened:
        yield opened


@pytest.fixture
async def background(nursery: trio.Nursery) -> CountingBackground:
    """Tasks that end with the test."""
    return CountingBackground(nursery)


@pytest.fixture(autouse=True)
def announced(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Texts that this test's warnings may hold; any other warning fails it."""
    texts: list[str] = []
    yield texts
    said = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [line for line in said if not any(text in line for text in texts)] == []


@pytest.fixture
def wall() -> Wall:
    """A wall clock that stands until the test moves it."""
    return Wall()


@pytest.fixture
async def make_both(
    catalog: Catalog, background: CountingBackground, wall: Wall
) -> Callable[..., tuple[AccountSync, ListingSync]]:
    """A maker of accounts and their listings over the one catalogue; each pair is a mount of its own."""

    def made(v2: Any = None, v1: Any = None, ttl_seconds: float = TTL) -> tuple[AccountSync, ListingSync]:
        account = AccountSync(
            catalog=catalog,
            single_flight=SingleFlight(background, timeout_seconds=15, is_offline=lambda api: False),
            v1=v1,
            v2=v2,
            has_account_login=False,
            ttl_seconds=ttl_seconds,
            wall_ms=wall,
        )
        return account, ListingSync(account, background=background, ttl_seconds=ttl_seconds, wall_ms=wall)

    return made


@pytest.fixture
async def make(make_both: Callable[..., tuple[AccountSync, ListingSync]]) -> Callable[..., AccountSync]:
    """A maker of accounts alone."""
    return lambda *clients, **options: make_both(*clients, **options)[0]
