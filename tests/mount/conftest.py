"""Fixtures of the real mount: an account behind real HTTP, homes, the search for canaries over the whole session."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, RIGHT_ORIGIN, Said


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """A small account behind real HTTP, its credentials canaries."""
    with StandinThread(Account(seed=11, calls=24), credentials=CANARIES) as running:
        yield running


@pytest.fixture
def seed_only() -> Iterator[StandinThread]:
    """The same, answering the operations of the two documents and nothing else."""
    with StandinThread(Account(seed=11, calls=24), seed_only=True, credentials=CANARIES) as running:
        yield running


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    for encoded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield encoded.encode()
    yield base64.b64encode(raw)
    yield base64.urlsafe_b64encode(raw)


def canary_forms() -> set[bytes]:
    """Every credential in every form in which it could leak."""
    pairs = (
        f"{CANARIES.login}:{CANARIES.password}",
        f"{CANARIES.account_login}:{CANARIES.account_password}",
    )
    secrets = (CANARIES.apikey, CANARIES.login, CANARIES.password, CANARIES.account_login, CANARIES.account_password)
    return {form for secret in (*secrets, *pairs) for form in _forms(secret)}


def find_canaries(said: Said, homes: list[Path]) -> list[str]:
    """Where a credential shows: in something that was said, or in a file of a home."""
    forms = canary_forms()
    found = [f"said: {text[:200]!r}" for text in said.outputs if any(form in text.encode() for form in forms)]
    for home in homes:
        for folder, folders, files in os.walk(home):
            folders[:] = [name for name in folders if name != RIGHT_ORIGIN]
            for name in files:
                path = Path(folder, name)
                data = os.fsencode(name) + (path.read_bytes() if path.is_file() else b"")
                found += [str(path)] if any(form in data for form in forms) else []
    return found


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    """What the session's mounts say; at its end no credential is found in any form, in it or in any file they left."""
    everything = Said()
    yield everything
    assert everything.outputs, "a search of nothing finds nothing"
    assert find_canaries(everything, [tmp_path_factory.getbasetemp()]) == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home for one test, searched for canaries at the session's end."""
    return tmp_path
