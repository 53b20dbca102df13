"""Fixtures of the tests of standin: a running one, and clients with credentials."""

from collections.abc import Iterator

import httpx
import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """A small account behind real HTTP."""
    with StandinThread(Account(seed=7, calls=30, recordings_per_call=2)) as running:
        yield running


@pytest.fixture
def v2(standin: StandinThread) -> Iterator[httpx.Client]:
    """An HTTP client with the API's login; paths are below /v2."""
    told = standin.credentials
    with httpx.Client(base_url=standin.v2_url, auth=(told.login, told.password), timeout=10) as client:
        yield client


@pytest.fixture
def v1(standin: StandinThread) -> Iterator[httpx.Client]:
    """An HTTP client with the key; paths are below /cloud/1/files/recording."""
    base = standin.v1_url + "/files/recording"
    with httpx.Client(base_url=base, params={"apikey": standin.credentials.apikey}, timeout=10) as client:
        yield client
