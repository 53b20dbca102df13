"""Fixtures of the tests of actions on the account."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cffs.standin.server import Standin
from tests.writer.account_world import World, opened


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One mount's life, against a stand-in of its own."""
    async with Standin() as standin, opened(standin, tmp_path) as world:
        yield world
