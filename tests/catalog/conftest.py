"""What the catalogue's tests share: an open catalogue, a background, and that no log line comes unannounced."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from cffs.catalog.store import Catalog
from tests.catalog.factories import CountingBackground


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
    """Texts that warnings of this test may hold; any other warning fails it."""
    texts: list[str] = []
    yield texts
    said = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [line for line in said if not any(text in line for text in texts)] == []
