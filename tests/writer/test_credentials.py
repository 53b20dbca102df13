"""API credentials, against the stand-in.

Each action is one request; after an end that is not known, the service's state is asked. Nothing of a password is
anywhere but in memory, in the place of the answer.
"""

import json
import logging

import pytest

from cffs.catalog.account_lists import CREDENTIALS, kept_list
from cffs.core import errors

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


async def test_a_credential_is_shown_until_it_is_forgotten(world, tmp_path, caplog):
    """It is one request. All that was answered is in memory alone: not in the catalogue, not in a log, not in a
    repr."""
    caplog.set_level(logging.DEBUG)
    credentials = world.actions.credentials
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
    credentials = world.actions.credentials
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
        await world.actions.credentials.create(name)
    assert world.standin.requests == []


@pytest.mark.parametrize(("fault", "done"), [("reset_before", True), ("status", True), ("reset_request", False)])
async def test_a_lost_creation_is_looked_after(world, caplog, fault, done):
    """The caller learns that it is uncertain, there is no second request, and one line says what the service lists
    now."""
    before = {row["id"] for row in world.standin.account.me.credentials()}
    world.standin.faults.add(fault, kind="createApiCredential")
    await world.actions.credentials._keep(sorted(before))
    with pytest.raises(errors.ActUncertain):
        await world.actions.credentials.create("nightly")
    with pytest.raises(errors.AlreadyExists):
        await world.actions.credentials.create("nightly")
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
        await world.actions.credentials.delete(credential_id)
    assert world.posts() == [("DELETE", "deleteApiCredential")]
    assert credential_id not in kept_list(world.catalog, CREDENTIALS)
    assert "uncertain whether the credential" in caplog.text
