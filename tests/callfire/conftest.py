"""Fixtures of the tests of callfire: a stand-in, transports and mock wires."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from cffs.callfire.transport import Transport
from cffs.callfire.wire.interfaces import Wires
from cffs.core.byte_range import ByteRange
from cffs.core.settings import Credentials, OriginSettings
from cffs.standin.server import Standin
from tests.canary import CANARIES as STANDIN_CANARIES

CANARIES = Credentials(
    apikey="CANARYKEYv1&=/?",
    login="CANARYSIDv2",
    password="CANARYTOKENv2",
    account_login="CANARYACCOUNT",
    account_password="CANARYACCOUNTPASSWORD",
)


def make_settings(**changes: Any) -> OriginSettings:
    """Settings for https origins, with canaries for credentials."""
    fields: dict[str, Any] = {
        "v1_url": "https://v1.example.com/cloud/1",
        "v2_url": "https://v2.example.com/v2",
        "credentials": CANARIES,
        "timeout_seconds": 30.0,
        "connections": 4,
        "ca_bundle": None,
        "insecure_http": False,
        "offline": False,
    }
    return OriginSettings(**{**fields, **changes})


@pytest.fixture(params=["own", "stock"])
def wire(request: pytest.FixtureRequest) -> str:
    """Each wire in turn: every test that uses a real socket runs on both."""
    return str(request.param)


@pytest.fixture
def settings(wire: str) -> Callable[..., OriginSettings]:
    """A function that makes settings."""
    return partial(make_settings, wire=wire)


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    """An embedded CallFire on loopback."""
    async with Standin(credentials=STANDIN_CANARIES) as standin:
        yield standin


@pytest.fixture
async def transport(standin: Standin, wire: str) -> AsyncIterator[Transport]:
    """A transport with the stand-in's credentials, and a short total time so that a hanging test ends."""
    async with Transport(settings_of(standin, wire=wire)) as transport:
        yield transport


def settings_of(standin: Standin, **changes: Any) -> OriginSettings:
    given = standin.credentials
    credentials = Credentials(
        apikey=given.apikey,
        login=given.login,
        password=given.password,
        account_login=given.account_login,
        account_password=given.account_password,
    )
    fields = {"v1_url": standin.v1_url, "v2_url": standin.v2_url, "credentials": credentials, "timeout_seconds": 2.0}
    return make_settings(**{**fields, **changes})


@pytest.fixture
def settings_for(wire: str) -> Callable[..., OriginSettings]:
    """A function that makes settings for a stand-in."""
    return partial(settings_of, wire=wire)


Handler = Callable[[httpx.Request], Any]


@pytest.fixture
def mocked() -> Callable[..., Transport]:
    """A transport whose wires call a handler; the handler sees `request.extensions["wire"]`: origin, acts or bare."""

    def make(handler: Handler, *, counter: Any = None, on_hold: Any = None, **changes: Any) -> Transport:
        def wires(bases: Any, *, ca_bundle: Path | None, connections: int) -> dict[Any, Wires]:
            def wire(name: str) -> httpx.AsyncBaseTransport:
                async def handle(request: httpx.Request) -> httpx.Response:
                    await trio.lowlevel.checkpoint()
                    request.extensions["wire"] = name
                    response = handler(request)
                    return response if isinstance(response, httpx.Response) else await response

                return httpx.MockTransport(handle)

            return {
                api: Wires(base_url=url, base=base, origin=wire("origin"), acts=wire("acts"), bare=wire("bare"))
                for api, (url, base) in bases.items()
            }

        given = {} if on_hold is None else {"on_hold": on_hold}
        return Transport(
            make_settings(**changes),
            make_wires=wires,
            dice=lambda: 0.5,
            now_ns=lambda: 1_800_000_000 * 10**9,
            counter=counter,
            **given,
        )

    return make


@pytest.fixture
def drain() -> Callable[..., Any]:
    """Reads a range to its verified end; returns the first offset and the bytes."""

    async def read(
        transport: Transport, source: Any, byte_range: ByteRange | None = None, *, pinned: Any = None, step: int = 65536
    ) -> tuple[int, bytes]:
        buffer, received = memoryview(bytearray(step)), bytearray()
        async with transport.open_range(source, byte_range, pinned=pinned) as answer:
            while nbytes := await answer.receive_into(buffer):
                received += buffer[:nbytes]
            return answer.start, bytes(received)

    return read


@pytest.fixture(autouse=True)
def _loggers_restored() -> Iterator[None]:
    """Restore the levels of foreign loggers, which the transport sets."""
    import logging

    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
