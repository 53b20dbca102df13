"""A server for the tests of a module, and a connection to it for one test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from cffs.core.server_url import parse_server_url
from cffs.shared import server as server_module
from cffs.shared.server import SharedServer
from tests.shared.redis_server import RedisServer, redis_server

Connect = Callable[..., AbstractAsyncContextManager[SharedServer]]


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running server, shared by the tests of a module."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(module_server: RedisServer) -> RedisServer:
    """That server, empty; it may be frozen, but not ended."""
    module_server.ask("FLUSHALL")
    return module_server


@asynccontextmanager
async def connected(
    url: str, *, account: str = "an account", seconds: float = 5.0, ca_bundle: Path | None = None
) -> AsyncIterator[SharedServer]:
    """A SharedServer whose first try is over."""
    shared = SharedServer(parse_server_url(url), account=account, ca_bundle=ca_bundle)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.keep_connected)
        await shared.first_try(seconds)
        yield shared
        nursery.cancel_scope.cancel()


@pytest.fixture
def connect(server: RedisServer) -> Connect:
    """Opens a connection to the server, or to another `url`."""
    return partial(_connect_to, server.url)


def _connect_to(default: str, url: str | None = None, **options: object) -> AbstractAsyncContextManager[SharedServer]:
    return connected(url or default, **options)  # type: ignore[arg-type]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is shared, and not of how long that takes: on a busy machine the server has its time."""
    monkeypatch.setattr(server_module, "CALL_SECONDS", 5.0)
