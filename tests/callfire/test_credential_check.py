"""The credential check: which answers accept, refuse, or prove nothing."""

import json
from collections.abc import AsyncIterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from cffs.callfire.credential_check import (
    HOPELESS,
    Login,
    LoginVerdict,
    Outcome,
    check,
    read_account,
    read_v1,
    read_v2,
)
from cffs.callfire.status_reader import UncheckedResponse
from cffs.callfire.transport import Transport
from cffs.core.errors import AccessRefused, CffsError, OriginBusy, RemoteObjectMissing, ServerFailure
from cffs.core.settings import Credentials, OriginSettings
from cffs.standin.account import Account
from cffs.standin.server import Standin

V1, V2 = "https://www.example.com/cloud/1", "https://api.example.com/v2"
PAGE = b"<!DOCTYPE html><html><body>Welcome</body></html>"
ACCOUNT = json.dumps({"id": 3, "email": "a@b.example", "name": "Ada", "permissions": ["API"]}).encode()
GONE = json.dumps({"httpStatusCode": 404, "message": "not found"}).encode()
#: The meaning of each status for the transport.
ERRORS: dict[int, CffsError] = {
    401: AccessRefused("the service answered 401"),
    403: AccessRefused("the service answered 403"),
    404: RemoteObjectMissing("the service does not have it"),
    429: OriginBusy(1.0),
}


def answer(
    status: int = 200, body: bytes = b"", kind: str = "application/json", *, foreign: bool = False
) -> UncheckedResponse:
    """An answer with the error that its status means."""
    error = None if status < 300 else ERRORS.get(status) or ServerFailure(status, "GET it")
    return UncheckedResponse(status=status, content_type=kind, body=body, is_foreign=foreign, error=error)


def v1_says(description: str, *, successful: bool = False) -> bytes:
    """v1's own form."""
    flag = str(successful).lower()
    return (
        f'<?xml version="1.0"?><fileResponse><description>{description}</description>'
        f"<successful>{flag}</successful><callid>1</callid><campaignid>1</campaignid></fileResponse>"
    ).encode()


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (answer(200, ACCOUNT), Outcome.ACCEPTED),
        (answer(200, b'{"id": 1, "name": "Case"}'), Outcome.ACCEPTED),
        (answer(200, b'\xef\xbb\xbf{"permissions": []}', "text/plain"), Outcome.ACCEPTED),
        (answer(401, GONE), Outcome.REFUSED),
        (answer(403, b""), Outcome.REFUSED),
        (answer(404, GONE), Outcome.NOT_THE_SERVICE),
        (answer(404, PAGE, "text/html"), Outcome.NOT_THE_SERVICE),
        (answer(405), Outcome.NOT_THE_SERVICE),
        (answer(501), Outcome.NOT_THE_SERVICE),
        (answer(302), Outcome.NOT_THE_SERVICE),
        (answer(400, PAGE, "text/html"), Outcome.NOT_THE_SERVICE),
        (answer(200, PAGE, "text/html"), Outcome.NOT_THE_SERVICE),
        (answer(200, PAGE, "application/json"), Outcome.NOT_THE_SERVICE),
        (answer(200, b'{"status": "ok"}'), Outcome.NOT_THE_SERVICE),
        (answer(200, b'{"name": "node-1", "version": {}}'), Outcome.NOT_THE_SERVICE),
        (answer(200, b"[]"), Outcome.NOT_THE_SERVICE),
        (answer(200, b"{}"), Outcome.NOT_THE_SERVICE),
        (answer(200, b""), Outcome.NOT_THE_SERVICE),
        (answer(200, b"OK", "text/plain"), Outcome.NOT_THE_SERVICE),
        (answer(200, ACCOUNT, foreign=True), Outcome.NOT_THE_SERVICE),
        (answer(401, foreign=True), Outcome.NOT_THE_SERVICE),
        (answer(400, GONE), Outcome.UNDECIDED),
        (answer(500, PAGE, "text/html"), Outcome.SILENT),
        (answer(503, PAGE, "text/html"), Outcome.SILENT),
        (answer(429), Outcome.SILENT),
    ],
)
def test_what_v2_answers(told, outcome):
    """An account accepts, 401 and 403 refuse, an answer that is no account is not the service, and a passing failure
    proves nothing."""
    assert read_v2(told, url=V2).outcome is outcome


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (answer(200, v1_says("Recordings Fetched", successful=True), "application/xml"), Outcome.ACCEPTED),
        (answer(404, v1_says("none", successful=True), "application/xml"), Outcome.ACCEPTED),
        (answer(200, b'{"fileResponse": {"successful": "true", "callid": "1"}}'), Outcome.ACCEPTED),
        (answer(401, b""), Outcome.REFUSED),
        (answer(401, PAGE, "text/html"), Outcome.REFUSED),
        (answer(200, v1_says("Invalid API key"), "application/xml"), Outcome.REFUSED),
        (answer(200, v1_says("Invalid API key").replace(b"file", b"campaign"), "application/xml"), Outcome.REFUSED),
        (answer(200, v1_says("Authentication failed"), "application/xml"), Outcome.REFUSED),
        (answer(403, b'{"message": "unknown apikey"}'), Outcome.REFUSED),
        (answer(403, b""), Outcome.UNDECIDED),
        (answer(403, v1_says("Forbidden"), "application/xml"), Outcome.UNDECIDED),
        (answer(403, b'{"message": "this key may not see campaign 1"}'), Outcome.UNDECIDED),
        (answer(200, v1_says("You do not have permission for campaign 1"), "application/xml"), Outcome.UNDECIDED),
        (answer(200, v1_says("API key lacks permission"), "application/xml"), Outcome.UNDECIDED),
        (answer(200, v1_says("Unauthorized for this broadcast"), "application/xml"), Outcome.UNDECIDED),
        (answer(200, v1_says("Something failed"), "application/xml"), Outcome.UNDECIDED),
        (answer(404, b""), Outcome.UNDECIDED),
        (answer(404, GONE), Outcome.UNDECIDED),
        (answer(404, PAGE, "text/html"), Outcome.DOUBTFUL),
        (answer(403, PAGE, "text/html"), Outcome.NOT_THE_SERVICE),
        (answer(200, PAGE, "text/html"), Outcome.NOT_THE_SERVICE),
        (answer(200, b"<?xml version='1.0'?><html></html>", "application/xml"), Outcome.NOT_THE_SERVICE),
        (answer(200, b'{"status": "ok"}'), Outcome.NOT_THE_SERVICE),
        (answer(200, b""), Outcome.NOT_THE_SERVICE),
        (answer(200, v1_says("x", successful=True), "application/xml", foreign=True), Outcome.NOT_THE_SERVICE),
        (answer(503), Outcome.SILENT),
        (answer(429), Outcome.SILENT),
    ],
)
def test_what_v1_answers(told, outcome):
    """Only a 401, or words about the key, refuse: a missing right to the campaign says nothing about the key."""
    assert read_v1(told, url=V1).outcome is outcome


@pytest.mark.parametrize("body", [b"", GONE, b"nothing here", PAGE])
def test_a_denial_by_v1_below_an_unusual_address(body):
    """Where the base lacks v1's usual path, a 404 in another form than v1's comes from another service."""
    for url in ("https://www.example.com", "https://www.example.com/v2"):
        verdict = read_v1(answer(404, body), url=url)
        assert verdict.outcome is Outcome.NOT_THE_SERVICE
        assert verdict.why == f"v1 at {url} does not look like the service; is /cloud/1 missing?"


def test_the_hint():
    """The usual end of the base URL is named where it is missing."""
    assert read_v2(answer(404), url="https://h.example").why.endswith("; is /v2 missing?")
    assert read_v2(answer(404), url=V2).why.endswith("; is the address right?")


def test_what_the_account_login_is_answered():
    """A page of credentials accepts, a refusal refuses, and anything else comes from another service."""
    assert read_account(answer(200, b'{"items": []}'), url=V2).outcome is Outcome.ACCEPTED
    assert read_account(answer(401), url=V2).outcome is Outcome.REFUSED
    assert read_account(answer(200, b"{}"), url=V2).outcome is Outcome.NOT_THE_SERVICE


@given(
    status=st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 405, 410, 418, 429, 500, 501, 503]),
    body=st.one_of(st.binary(max_size=200), st.sampled_from([PAGE, ACCOUNT, GONE, v1_says("no key")])),
    kind=st.sampled_from(["", "text/html", "application/json", "application/xml", "audio/mpeg"]),
    foreign=st.booleans(),
)
def test_every_answer_has_a_verdict(status, body, kind, foreign):
    """Any answer gives one verdict and no exception; hopeless ones have a reason in one line, and no failure
    accepts."""
    told = answer(status, body, kind, foreign=foreign)
    for verdict in (read_v1(told, url=V1), read_v2(told, url=V2), read_account(told, url=V2)):
        assert isinstance(verdict, LoginVerdict)
        assert bool(verdict.why) == (verdict.outcome is not Outcome.ACCEPTED)
        assert "\n" not in verdict.why
        assert verdict.is_hopeless == (verdict.outcome in HOPELESS)
        if foreign:
            assert verdict.outcome is Outcome.NOT_THE_SERVICE
        elif status >= 500 and status != 501:
            assert verdict.outcome is Outcome.SILENT


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin(Account(seed=3, calls=4)) as running:
        yield running


def origin(standin: Standin, **changes: str) -> OriginSettings:
    """Settings with the stand-in's address and credentials, except for `changes`."""
    given = standin.credentials
    fields = {name: getattr(given, name) for name in Credentials.__dataclass_fields__}
    return OriginSettings(
        v1_url=changes.pop("v1_url", standin.v1_url),
        v2_url=changes.pop("v2_url", standin.v2_url),
        credentials=Credentials(**fields | changes),
        timeout_seconds=10.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )


async def outcomes(settings: OriginSettings, *, limit_seconds: float = 10.0) -> dict[Login, Outcome]:
    """The outcome for each login, each asked by a transport of its own: a refused one closes its API to the others."""
    found = {}
    for login in Login:
        async with Transport(settings) as transport:
            (verdict,) = await check(transport, settings, [login], limit_seconds=limit_seconds)
            found[login] = verdict.outcome
    return found


@pytest.mark.parametrize(
    "wrong",
    [set(), {Login.V1}, {Login.V2}, {Login.ACCOUNT}, {Login.V1, Login.V2}],
    ids=lambda wrong: "+".join(wrong),
)
async def test_exactly_the_wrong_ones_are_refused(standin, wrong):
    """Each login is judged by itself."""
    names = {Login.V1: "apikey", Login.V2: "password", Login.ACCOUNT: "account_password"}
    found = await outcomes(origin(standin, **{names[login]: "wrong" for login in wrong}))
    assert found == {login: Outcome.REFUSED if login in wrong else Outcome.ACCEPTED for login in Login}


@pytest.mark.parametrize("path", ["", "/v3", "/v2/me", "/cloud/1"])
async def test_a_wrong_base_of_v2(standin, path):
    """Any other path of the right host is another service."""
    found = await outcomes(origin(standin, v2_url=standin.base_url + path))
    assert found[Login.V1] is Outcome.ACCEPTED
    assert found[Login.V2] is found[Login.ACCOUNT] is Outcome.NOT_THE_SERVICE


@pytest.mark.parametrize("path", ["", "/cloud", "/v2"])
async def test_a_wrong_base_of_v1(standin, path):
    """A base of v1 that lacks its path, or is v2's, is another service."""
    found = await outcomes(origin(standin, v1_url=standin.base_url + path))
    assert found[Login.V1] is Outcome.NOT_THE_SERVICE
    assert found[Login.V2] is Outcome.ACCEPTED


async def test_no_one_listens(standin):
    """A refused connection is neither an answer nor a refusal."""
    found = await outcomes(origin(standin, v1_url="http://127.0.0.1:9/cloud/1", v2_url="http://127.0.0.1:9/v2"))
    assert set(found.values()) == {Outcome.UNREACHABLE}


@pytest.mark.parametrize("fault", ["hang", "stall_head", "drip"])
async def test_a_slow_service_refuses_nothing(standin, fault):
    """There is a verdict within the limit, and silence is not a refusal."""
    standin.faults.add(fault)
    started = trio.current_time()
    assert set((await outcomes(origin(standin), limit_seconds=0.5)).values()) == {Outcome.SILENT}
    assert trio.current_time() - started < 5


@pytest.mark.parametrize(
    ("fault", "options", "outcome"),
    [
        ("status", {"code": 500}, Outcome.SILENT),
        ("status", {"code": 429}, Outcome.SILENT),
        ("reset", {}, Outcome.SILENT),
        ("absent", {}, Outcome.NOT_THE_SERVICE),
        ("html200", {}, Outcome.NOT_THE_SERVICE),
    ],
)
async def test_failures_of_v2(standin, fault, options, outcome):
    """A passing failure proves nothing; an answer that no account can get comes from another service."""
    standin.faults.add(fault, path="^/v2/", **options)
    found = await outcomes(origin(standin), limit_seconds=1.0)
    assert found[Login.V2] is outcome
    assert found[Login.V1] is Outcome.ACCEPTED
