"""Fixtures of the tree's tests; an unannounced log line fails a test."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.tree.sample_account import Facts
from tests.tree.world import World, opened

#: An account of a few calls, where one more knows all of it.
SMALL = {"seed": 7, "calls": 24, "recordings_per_call": 2, "campaigns": 3}


@pytest.fixture
def served() -> Iterator[Callable[..., StandinThread]]:
    """A maker of stand-ins; arguments of Account and of Options, mixed."""
    with ExitStack() as stack:

        def make(**fields: Any) -> StandinThread:
            shape = {
                name: fields.pop(name, SMALL.get(name))
                for name in ("seed", "calls", "recordings_per_call", "campaigns", "media", "dynamic", "v1_ids_differ")
                if name in fields or name in SMALL
            }
            return stack.enter_context(StandinThread(Account(**shape), options=Options(**fields), credentials=CANARIES))

        yield make


@pytest.fixture
def standin(served: Callable[..., StandinThread]) -> StandinThread:
    """The small account, with every operation offered."""
    return served()


@pytest.fixture
def facts(standin: StandinThread) -> Facts:
    """What the small account holds."""
    return Facts(standin)


@pytest.fixture
def world(standin: StandinThread, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Opens the tree of the small account, or that of `standin`; a second one on the same folder is the next mount."""

    def open_world(served: StandinThread | None = None, **fields: Any) -> AbstractAsyncContextManager[World]:
        return opened(served or standin, tmp_path, **fields)

    return open_world


@pytest.fixture(autouse=True)
def announced(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Texts that this test's warnings may hold; any other warning fails it."""
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    texts: list[str] = []
    yield texts
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    said = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [line for line in said if not any(text in line for text in texts)] == []
