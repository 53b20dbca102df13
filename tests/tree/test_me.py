"""me/: the account's documents, kept and shown again, and none with a password."""

from typing import Any

import pytest

from cffs.core.errors import (
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.standin.thread import StandinThread
from cffs.tree.contents import Document
from tests.tree.sample_account import Facts, Open


async def test_documents_kept(world: Open, standin: StandinThread) -> None:
    """The account's documents are asked for once within the time to live, and shown again when the service fails, also
    in the next mount."""
    paths = ("me/account.json", "me/billing/plan-usage.json", "me/billing/credit-usage.json")
    async with world() as tree:
        shown = {path: await tree.text(path) for path in paths}
        numbers = await tree.names("me/callerids")
        for _ in range(3):
            assert {path: await tree.text(path) for path in paths} == shown
        assert tree.requests() == 4
    standin.faults.add("status", path="/v2/me", code=500)
    async with world(timeout_seconds=0.15) as tree:
        assert {path: await tree.text(path) for path in paths} == shown
        assert await tree.names("me/callerids") == numbers
        with pytest.raises(ServerFailure):
            await tree.text("me/billing/credit-usage/2024-05.json")


async def test_gone_is_not_shown_again(world: Open, facts: Facts, standin: StandinThread) -> None:
    """What the service says it does not have any more is not shown from memory."""
    path = f"me/api/credentials/{facts.credential}.json"
    async with world() as tree:
        await tree.text(path)
    async with world() as tree:
        node = await tree.node(path)
        standin.account.me.delete_credential(facts.credential)
        content = tree.namespace.content(node)
        assert isinstance(content, Document)
        with pytest.raises(RemoteObjectMissing):
            await tree.namespace.load(content)


async def test_no_password_is_kept(world: Open, facts: Facts, standin: StandinThread, tmp_path: Any) -> None:
    """A credential's password, should the service ever send it in clear, is neither shown nor kept on disk."""
    standin.faults.add("rows", kind="getApiCredential", change=lambda row: {**row, "password": "CANARYPASSWORD"})
    async with world() as tree:
        text = await tree.text(f"me/api/credentials/{facts.credential}.json")
        assert b"CANARY" not in text
        assert b'"password": "****' in text
        assert not any(b"CANARY" in file.read_bytes() for file in tmp_path.iterdir())
