"""Credentials and caller ids, against the stand-in.

Each action is one request; after an end that is not known, the service's state is asked. Nothing of a password is
anywhere but in memory, in the place of the answer.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.callfire.transport import Transport
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_lists import CALLER_IDS, CREDENTIALS, kept_list
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core import errors
from cffs.core.settings import Credentials, OriginSettings
from cffs.daemon.background import open_background
from cffs.standin.server import Standin
from cffs.writer.account_actions import AccountActions
from cffs.writer.cooldown import PAUSE_SECONDS, Cooldown

NUMBER = "12135551122"
#: Names that must cost no request.
HOSTILE_NAMES = [
    "a\nb",
    "a\x1b[2Jb",
    "\udcff",
    " a",
    "a ",
    "\u202ea",
    "5.json",
    "x.json",
    ".Trash-1000",
    ".git",
    "\x7f",
]
HOSTILE_NUMBERS = ["", "1213555112", "121355511223", "+12135551122", "02135551122", "1213555112x", "١٢١٣٥٥٥١١٢٢"]
HOSTILE_NUMBERS += ["..", "12135551122/x", "12135551122\n", "1213555112%2f", "a" * 11]


@dataclass
class World:
    """What a test looks into; `wall_ms` may be moved."""

    standin: Standin
    catalog: Catalog
    acts: AccountActions
    wall_ms: int = 1_795_000_000_000

    def posts(self) -> list[tuple[str, str]]:
        """The requests that changed something: method and operation."""
        return [(record.method, record.kind) for record in self.standin.requests if record.method != "GET"]


@asynccontextmanager
async def opened(standin: Standin, folder: Path) -> AsyncIterator[World]:
    """The actions of one mount's life."""
    told = standin.credentials
    settings = OriginSettings(
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        credentials=Credentials(
            login=told.login,
            password=told.password,
            account_login=told.account_login,
            account_password=told.account_password,
        ),
        timeout_seconds=4.0,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )
    async with (
        open_background() as background,
        Transport(settings) as transport,
        Catalog.opened(folder / "catalog.sqlite") as catalog,
    ):
        account = AccountSync(
            catalog=catalog,
            single_flight=SingleFlight(background, timeout_seconds=4.0, is_offline=lambda _api: False),
            v1=None,
            v2=V2Client(transport),
            has_account_login=True,
            ttl_seconds=60,
            wall_ms=lambda: 0,
        )
        world = World(standin, catalog, None)  # type: ignore[arg-type]  # in the next line
        world.acts = AccountActions(account, wall_ms=lambda: world.wall_ms)
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One mount's life, against a stand-in of its own."""
    async with Standin() as standin, opened(standin, tmp_path) as world:
        yield world


def test_a_second_within_a_minute_is_one_too_many():
    """Each name has its own cooldown; a minute later, or when the action certainly did not happen, it may be asked for
    again."""
    now = [0.0]
    lately = Cooldown(lambda: now[0])
    lately.begin("a")
    lately.begin("b")
    with pytest.raises(errors.AlreadyExists):
        lately.begin("a")
    lately.undo("b")
    lately.begin("b")
    now[0] = PAUSE_SECONDS + 1
    lately.begin("a")


async def test_a_credential_is_shown_until_it_is_forgotten(world, tmp_path, caplog):
    """It is one request. All that was answered is in memory alone: not in the catalogue, not in a log, not in a
    repr."""
    caplog.set_level(logging.DEBUG)
    credentials = world.acts.credentials
    credential_id = await credentials.create("nightly")
    document = json.loads(credentials.document("nightly"))
    password = world.standin.account.me._passwords[credential_id]
    assert (document["id"], document["name"], document["password"]) == (credential_id, "nightly", password)
    assert credential_id in kept_list(world.catalog, CREDENTIALS)
    with pytest.raises(errors.AlreadyExists):
        await credentials.create("nightly")
    credentials.forget("nightly")
    with pytest.raises(errors.RemoteObjectMissing):
        credentials.document("nightly")
    with pytest.raises(errors.RemoteObjectMissing):
        credentials.forget("nightly")
    with pytest.raises(errors.AlreadyExists):
        await credentials.create("nightly")  # within the minute
    assert world.posts() == [("POST", "createApiCredential")]
    assert password not in caplog.text
    assert password not in repr(credentials._created)
    assert all(password.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_a_deleted_credential_is_gone_everywhere(world):
    """It is one DELETE. The kept list and the password go with it, and a credential that the service does not have is
    missing."""
    credentials = world.acts.credentials
    credential_id = await credentials.create("nightly")
    assert await credentials.delete(credential_id) == ["nightly"]
    assert credentials.numbered() == []
    assert credential_id not in kept_list(world.catalog, CREDENTIALS)
    with pytest.raises(errors.RemoteObjectMissing):
        await credentials.delete(credential_id)
    assert world.posts() == [("POST", "createApiCredential")] + [("DELETE", "deleteApiCredential")] * 2


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
async def test_a_name_that_is_none_costs_nothing(world, name):
    """Control characters, blanks at the ends, surrogates, names of listed credentials and of probes: refused before a
    request."""
    with pytest.raises(errors.ContentRefused):
        await world.acts.credentials.create(name)
    assert world.standin.requests == []


@pytest.mark.parametrize(
    ("code", "error"), [(401, errors.AccessRefused), (403, errors.AccessRefused), (400, errors.ActRefused)]
)
async def test_what_was_refused_may_be_asked_for_again(world, code, error):
    """A refusal changes nothing: the next try is another request, and not "it exists"."""
    rule = world.standin.faults.add("refuse", method="POST", code=code)
    for _ in range(2):
        with pytest.raises(error):
            await world.acts.credentials.create("nightly")
        with pytest.raises(error):
            await world.acts.caller_ids.ask_for_call(NUMBER)
    assert len(world.posts()) == 4
    world.standin.faults.remove(rule)
    await world.acts.credentials.create("nightly")
    await world.acts.caller_ids.ask_for_call(NUMBER)


@pytest.mark.parametrize(("fault", "done"), [("reset_before", True), ("status", True), ("reset_request", False)])
async def test_a_lost_creation_is_looked_after(world, caplog, fault, done):
    """The caller learns that it is uncertain, there is no second request, and one line says what the service lists
    now."""
    before = {row["id"] for row in world.standin.account.me.credentials()}
    world.standin.faults.add(fault, kind="createApiCredential")
    await world.acts.credentials._keep(sorted(before))
    with pytest.raises(errors.ActUncertain):
        await world.acts.credentials.create("nightly")
    with pytest.raises(errors.AlreadyExists):
        await world.acts.credentials.create("nightly")
    assert world.posts() == [("POST", "createApiCredential")]
    new = sorted({row["id"] for row in world.standin.account.me.credentials()} - before)
    assert len(new) == done
    (line,) = [record.getMessage() for record in caplog.records if "uncertain" in record.getMessage()]
    assert "'nightly'" in line
    assert f"new ids={new}" in line
    assert set(kept_list(world.catalog, CREDENTIALS)) == before | set(new)


async def test_a_lost_deletion_is_looked_after(world, caplog):
    """The caller learns that it is uncertain; the list is the service's of now."""
    credential_id = world.standin.account.me.credentials()[0]["id"]
    world.standin.faults.add("reset_before", kind="deleteApiCredential")
    with pytest.raises(errors.ActUncertain):
        await world.acts.credentials.delete(credential_id)
    assert world.posts() == [("DELETE", "deleteApiCredential")]
    assert credential_id not in kept_list(world.catalog, CREDENTIALS)
    assert "uncertain whether the credential" in caplog.text


async def test_a_number_is_rung_once_and_verified(world):
    """A number waits from the call on; the wrong code leaves it waiting, and the right one ends that."""
    caller_ids, me = world.acts.caller_ids, world.standin.account.me
    await caller_ids.ask_for_call(NUMBER)
    assert caller_ids.waiting() == [NUMBER]
    with pytest.raises(errors.ActRefused):
        await caller_ids.verify(NUMBER, "nope")
    assert caller_ids.waiting() == [NUMBER]
    await caller_ids.verify(NUMBER, me.verification_code(NUMBER))
    assert caller_ids.waiting() == []
    assert NUMBER in kept_list(world.catalog, CALLER_IDS)
    assert me.verification_calls == [NUMBER]
    assert NUMBER in me.caller_ids
    assert [kind for _method, kind in world.posts()] == ["sendVerificationCodeToCallerId"] + ["verifyCallerId"] * 2


async def test_a_number_that_is_verified_is_not_rung(world):
    """The service says with 400 that the number is verified: it exists already, and is listed from now on."""
    verified = world.standin.account.me.caller_ids[-1]
    with pytest.raises(errors.AlreadyExists):
        await world.acts.caller_ids.ask_for_call(verified)
    assert world.acts.caller_ids.waiting() == []
    assert world.standin.account.me.verification_calls == []
    assert kept_list(world.catalog, CALLER_IDS) == [verified]


async def test_no_number_is_rung_twice_within_a_minute(world, tmp_path):
    """A number is not rung again while it waits, after that was given up, or by the next mount; a minute later it
    is."""
    caller_ids, me = world.acts.caller_ids, world.standin.account.me
    await caller_ids.ask_for_call(NUMBER)
    with pytest.raises(errors.AlreadyExists):
        await caller_ids.ask_for_call(NUMBER)
    await caller_ids.forget(NUMBER)
    with pytest.raises(errors.RemoteObjectMissing):
        await caller_ids.forget(NUMBER)
    async with opened(world.standin, tmp_path) as next_life:
        with pytest.raises(errors.AlreadyExists):
            await next_life.acts.caller_ids.ask_for_call(NUMBER)
        next_life.wall_ms += 61_000
        await next_life.acts.caller_ids.ask_for_call(NUMBER)
        assert next_life.acts.caller_ids.waiting() == [NUMBER]
    assert me.verification_calls == [NUMBER] * 2


async def test_a_number_waits_after_a_remount(world, tmp_path):
    """Which numbers wait is kept, and the next mount can give their code."""
    await world.acts.caller_ids.ask_for_call(NUMBER)
    async with opened(world.standin, tmp_path) as next_life:
        assert next_life.acts.caller_ids.waiting() == [NUMBER]
        await next_life.acts.caller_ids.verify(NUMBER, world.standin.account.me.verification_code(NUMBER))
        assert next_life.acts.caller_ids.waiting() == []


@pytest.mark.parametrize("fault", ["reset_before", "status", "hang"])
async def test_a_lost_call_is_looked_after(world, caplog, fault):
    """After an uncertain end the state was asked, the number waits, since it may have been rung, and nothing is sent
    again."""
    world.standin.faults.add(fault, kind="sendVerificationCodeToCallerId")
    with pytest.raises(errors.ActUncertain):
        await world.acts.caller_ids.ask_for_call(NUMBER)
    assert world.acts.caller_ids.waiting() == [NUMBER]
    assert world.standin.requests[-1].kind == "getCallerIds"
    assert world.standin.account.me.verification_calls == [NUMBER]
    assert f"uncertain whether {NUMBER} was rung: the service lists it as not verified" in caplog.text
    with pytest.raises(errors.AlreadyExists):
        await world.acts.caller_ids.ask_for_call(NUMBER)


async def test_a_lost_verification_is_looked_after(world, caplog):
    """After an uncertain end, what the service lists now is what is shown."""
    await world.acts.caller_ids.ask_for_call(NUMBER)
    world.standin.faults.add("reset_before", kind="verifyCallerId")
    with pytest.raises(errors.ActUncertain):
        await world.acts.caller_ids.verify(NUMBER, world.standin.account.me.verification_code(NUMBER))
    assert f"uncertain whether {NUMBER} was verified: the service lists it as verified" in caplog.text
    assert world.acts.caller_ids.waiting() == []


@pytest.mark.parametrize("number", HOSTILE_NUMBERS, ids=ascii)
async def test_a_number_that_is_none_costs_nothing(world, number):
    """Anything but 11 digits of ASCII is refused before a request."""
    with pytest.raises(errors.ContentRefused):
        await world.acts.caller_ids.ask_for_call(number)
    assert world.standin.requests == []
    assert world.acts.caller_ids.waiting() == []


@pytest.mark.parametrize("code", ["", "a b", "1\n2", "\udcff", "1" * 33, '"', "../x"], ids=ascii)
async def test_a_code_that_is_none_costs_nothing(world, code):
    """Codes are a few letters and digits; anything else is refused before a request."""
    with pytest.raises(errors.ContentRefused):
        await world.acts.caller_ids.verify(NUMBER, code)
    assert world.standin.requests == []
