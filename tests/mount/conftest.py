"""Fixtures of the real mount: an account behind real HTTP, and homes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.mount.mounting import Said


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """A small account behind real HTTP, its credentials canaries."""
    with StandinThread(Account(seed=11, calls=24), credentials=CANARIES) as running:
        yield running


@pytest.fixture
def seed_only() -> Iterator[StandinThread]:
    """A small account whose service answers the operations of the two documents and nothing else."""
    with StandinThread(Account(seed=11, calls=24), seed_only=True, credentials=CANARIES) as running:
        yield running


@pytest.fixture(scope="session")
def said() -> Iterator[Said]:
    """The output of the session's mounts. `tests/conftest` searches it, and every file they leave, for credentials."""
    everything = Said()
    yield everything
    assert everything.outputs, "a search of nothing finds nothing"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home for one test, searched for canaries at the session's end."""
    return tmp_path
