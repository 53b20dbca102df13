"""Fixtures of the operations' tests: mounts on demand."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.server import Standin
from tests.canary import CANARIES
from tests.fuse.kernelless_mount import World, built, settings_of

MakeWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def world(tmp_path: Path) -> MakeWorld:
    """`async with world(...)`: a mount of an account of its own; at its end no bug may have been met."""

    @asynccontextmanager
    async def make(
        account: Account | None = None,
        *,
        options: Options | None = None,
        v1: bool = True,
        v2: bool = True,
        timeout_seconds: float = 10.0,
        budget_seconds: float = 5.0,
        **changes: Any,
    ) -> AsyncIterator[World]:
        account = account or Account(seed=5, calls=12, media=8, dynamic=4)
        async with Standin(account, options=options, credentials=CANARIES) as standin:
            settings = settings_of(
                standin, tmp_path, v1=v1, v2=v2, uid=1234, gid=5678, timeout_seconds=timeout_seconds, **changes
            )
            async with built(standin, settings, tmp_path, budget_seconds) as found:
                yield found
                found.honest()

    return make


@pytest.fixture(autouse=True)
def _loggers_restored() -> Iterator[None]:
    """The transport sets the levels of libraries' loggers, on which other tests must not depend."""
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
