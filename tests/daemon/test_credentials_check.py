"""Whether credentials are refused, against the stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core.settings import Credentials, OriginSettings
from cffs.core.source import Api
from cffs.daemon.credentials_check import TRY_SECONDS, refused
from cffs.standin.account import Account
from cffs.standin.server import Standin


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin(Account(seed=3, calls=4)) as running:
        yield running


@asynccontextmanager
async def clients(standin: Standin, *, apikey: str = "", login: str = "") -> AsyncIterator[tuple[V1Client, V2Client]]:
    """Both, with the stand-in's credentials unless others are given."""
    given = standin.credentials
    settings = OriginSettings(
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        credentials=Credentials(apikey=apikey or given.apikey, login=login or given.login, password=given.password),
        timeout_seconds=10.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )
    async with Transport(settings) as transport:
        yield V1Client(transport, base_url=settings.v1_url), V2Client(transport)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({}, set()),
        ({"apikey": "wrong"}, {Api.V1}),
        ({"login": "wrong"}, {Api.V2}),
        ({"apikey": "wrong", "login": "wrong"}, {Api.V1, Api.V2}),
    ],
)
async def test_exactly_the_wrong_ones_are_named(standin, wrong, expected):
    """A plain refusal names its API, and only it."""
    async with clients(standin, **wrong) as (v1, v2):
        assert await refused(v1, v2) == expected


async def test_each_alone(standin):
    """An API without credentials is not asked."""
    async with clients(standin, apikey="wrong", login="wrong") as (v1, v2):
        assert await refused(v1, None) == {Api.V1}
        assert await refused(None, v2) == {Api.V2}
        standin.log.clear()
        assert await refused(None, None) == set()
        assert standin.requests == []


@pytest.mark.parametrize("fault", ["hang", "stall_head", "drip"])
async def test_a_slow_service_refuses_nothing(standin, fault):
    """Within a second there is an answer, and silence is none."""
    standin.faults.add(fault)
    async with clients(standin) as (v1, v2):
        started = trio.current_time()
        assert await refused(v1, v2) == set()
        assert trio.current_time() - started < 5 * TRY_SECONDS


async def test_one_slow_one_refused(standin):
    """The refusal of one API is known although the other hangs."""
    standin.faults.add("hang", path="/v2/")
    async with clients(standin, apikey="wrong") as (v1, v2):
        assert await refused(v1, v2) == {Api.V1}


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("status", {"code": 500}),
        ("status", {"code": 429}),
        ("absent", {}),
        ("html200", {}),
        ("garbage", {}),
        ("reset", {}),
    ],
)
async def test_failures_refuse_nothing(standin, fault, options):
    """Only a plain 401 or 403 is a refusal."""
    standin.faults.add(fault, **options)
    async with clients(standin) as (v1, v2):
        assert await refused(v1, v2) == set()


async def test_a_403_is_a_refusal(standin):
    """403 counts as 401 does."""
    standin.faults.add("status", code=403)
    async with clients(standin) as (v1, v2):
        assert await refused(v1, v2) == {Api.V1, Api.V2}
