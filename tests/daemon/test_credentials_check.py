"""The verdicts on credentials and addresses: what they mean for a mount.

The service is the stand-in.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from cffs.callfire.credential_check import Login, LoginVerdict, Outcome
from cffs.callfire.transport import Transport
from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, OriginSettings
from cffs.core.source import Api
from cffs.daemon.credentials_check import TRY_SECONDS, CredentialsCheck, start_notices
from cffs.standin.account import Account
from cffs.standin.server import Standin

SETTINGS = OriginSettings(
    v1_url="https://one.example/cloud/1",
    v2_url="https://two.example/v2",
    credentials=Credentials(apikey="k", login="l", password="p"),
    timeout_seconds=10.0,
    connections=4,
    ca_bundle=None,
    insecure_http=False,
    offline=False,
)


def verdicts(v1: Outcome | None, v2: Outcome | None) -> list[LoginVerdict]:
    """One verdict for each API that has credentials."""
    told = [(Login.V1, v1), (Login.V2, v2)]
    return [
        LoginVerdict(login=login, outcome=outcome, why="" if outcome is Outcome.ACCEPTED else f"{login} {outcome}")
        for login, outcome in told
        if outcome is not None
    ]


@pytest.mark.parametrize("v1", [None, *Outcome])
@pytest.mark.parametrize("v2", [None, *Outcome])
def test_a_mount_starts_unless_all_is_hopeless(v1, v2):
    """A mount fails where every API that has credentials refuses them or is another service, with a line that names
    each; otherwise it starts. An API that refuses, is or may be another service, or cannot be reached is named in a
    line; the others are not."""
    told = verdicts(v1, v2)
    hopeless = {Outcome.REFUSED, Outcome.NOT_THE_SERVICE}
    if told and {verdict.outcome for verdict in told} <= hopeless:
        with pytest.raises(UsageError) as raised:
            start_notices(told, SETTINGS)
        assert all(verdict.why in str(raised.value) for verdict in told)
        return
    lines = start_notices(told, SETTINGS)
    assert all("\n" not in line for line in lines)
    for verdict in told:
        host = {Login.V1: "one.example", Login.V2: "two.example"}[verdict.login]
        mentioned = sum(verdict.why in line for line in lines) if verdict.why else 0
        assert mentioned == (verdict.outcome in hopeless | {Outcome.UNREACHABLE, Outcome.DOUBTFUL})
        if verdict.outcome is Outcome.UNREACHABLE:
            assert any(host in line for line in lines)


def test_one_line_for_one_trouble():
    """Two hosts that cannot be reached are one line, and so is one host of both APIs."""
    told = [
        LoginVerdict(login=login, outcome=Outcome.UNREACHABLE, why="no connection") for login in (Login.V1, Login.V2)
    ]
    (line,) = start_notices(told, SETTINGS)
    assert line.startswith("one.example and two.example cannot be reached (no connection); mounted with")


@asynccontextmanager
async def checking(standin: Standin, **changes: str) -> AsyncIterator[tuple[CredentialsCheck, Transport]]:
    """The check of a mount of the stand-in, with its credentials and addresses except for `changes`."""
    given = standin.credentials
    settings = OriginSettings(
        v1_url=changes.get("v1_url", standin.v1_url),
        v2_url=changes.get("v2_url", standin.v2_url),
        credentials=Credentials(
            apikey=changes.get("apikey", given.apikey),
            login=given.login,
            password=changes.get("password", given.password),
            account_login="not",
            account_password="asked",
        ),
        timeout_seconds=10.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline="offline" in changes,
    )
    async with Transport(settings) as transport:
        yield CredentialsCheck(transport, settings), transport


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin(Account(seed=3, calls=4)) as running:
        yield running


async def test_all_is_well(standin):
    """One request goes to each API; there is no line, and nothing is asked later."""
    async with checking(standin) as (credentials, transport):
        assert await credentials.start() == ()
        assert len(standin.requests) == 2
        await credentials.repeat_until_known()
        assert len(standin.requests) == 2
        assert not transport.is_refused(Api.V1)


async def test_offline_asks_nothing(standin):
    """With --offline no request is made, neither at the start nor later."""
    async with checking(standin, offline="yes") as (credentials, _):
        assert await credentials.start() == ()
        await credentials.repeat_until_known()
        assert standin.requests == []


async def test_another_service_behind_one_api(standin):
    """The other API is mounted; what the wrong one would answer is not believed, and status.json says what is wrong."""
    async with checking(standin, v2_url=standin.base_url) as (credentials, transport):
        (line,) = await credentials.start()
        assert f"v2 at {standin.base_url} does not look like the service; is /v2 missing?" in line
        assert "media/" in line
        assert transport.is_refused(Api.V2)
        assert not transport.is_refused(Api.V1)
        assert credentials.notes() == [f"v2 at {standin.base_url} does not look like the service; is /v2 missing?"]


async def test_both_are_wrong(standin):
    """Where no API looks right the mount does not start, and its line names both."""
    async with checking(standin, v2_url=standin.base_url, apikey="wrong") as (credentials, _):
        with pytest.raises(UsageError, match=r"v1 refuses the key and v2 at .* does not look like the service"):
            await credentials.start()


@pytest.mark.parametrize("fault", ["hang", "stall_head", "drip"])
async def test_a_slow_service_holds_no_mount_up(standin, fault):
    """After a second the mount goes on without a line: the answer may come in the next."""
    standin.faults.add(fault)
    async with checking(standin) as (credentials, _):
        started = trio.current_time()
        assert await credentials.start() == ()
        assert trio.current_time() - started < 5 * TRY_SECONDS


async def test_it_becomes_known_later(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture):
    """What was not known at the start is asked again, less and less often, down to once a minute, until it is
    known. What then proves wrong is refused, and logged once."""
    asked: list[float] = []
    answers = [Outcome.SILENT] * 8 + [Outcome.NOT_THE_SERVICE] * 2 + [Outcome.ACCEPTED]
    refused: list[Api] = []

    class Scripted(CredentialsCheck):
        async def _answers(self, logins: list[Login], *, limit_seconds: float) -> list[LoginVerdict]:
            asked.append(trio.current_time())
            return [LoginVerdict(login=login, outcome=answers[len(asked) - 1], why="why") for login in logins]

    class Refusing:
        def refuse(self, api: Api) -> None:
            refused.append(api)

    settings = OriginSettings(
        **{name: getattr(SETTINGS, name) for name in OriginSettings.__dataclass_fields__ if name != "credentials"},
        credentials=Credentials(login="l", password="p"),
    )
    credentials = Scripted(Refusing(), settings)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        await credentials.start()
        await credentials.repeat_until_known()
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60, 60, 60]
    assert refused == [Api.V2, Api.V2]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert credentials.notes() == []
