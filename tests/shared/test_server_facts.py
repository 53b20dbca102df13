"""What a server says of itself."""

import pytest

from cffs.shared.server_facts import ServerFacts, facts_in, server_facts
from tests.shared.conftest import Connect, connected
from tests.shared.redis_server import PROGRAM, RedisServer


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            b"# Server\r\nredis_version:7.0.15\r\nmaxmemory:8388608\r\nmaxmemory_policy:noeviction\r\n",
            ServerFacts(version="redis 7.0.15", maxmemory_nbytes=8_388_608, maxmemory_policy="noeviction"),
        ),
        (
            b"redis_version:7.2.4\r\nvalkey_version:8.1.0\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n",
            ServerFacts(version="valkey 8.1.0", maxmemory_nbytes=0, maxmemory_policy="allkeys-lru"),
        ),
        (b"\xff:\r\nmaxmemory:many", ServerFacts(version="redis ?", maxmemory_nbytes=0, maxmemory_policy="?")),
    ],
)
def test_facts(info: bytes, expected: ServerFacts) -> None:
    """Versions of both programs are read, and nonsense is no error."""
    assert facts_in(info) == expected


async def test_a_real_server(connect: Connect, server: RedisServer) -> None:
    """A server is asked; a user who may not ask, and a server that is gone, have no facts."""
    async with connect() as shared:
        facts = await server_facts(shared)
        assert facts is not None
        name, _, version = facts.version.partition(" ")
        assert name == ("valkey" if "valkey" in PROGRAM else "redis")
        assert version[:1].isdecimal()
    allowed = ("~cffs:*", "resetchannels", "-@all", "+@read", "+@write", "+@scripting", "+@connection", "+@stream")
    server.ask("ACL", "SETUSER", "least", "on", ">secret", *allowed, "-@dangerous")
    try:
        async with connected(server.url.replace("//", "//least:secret@")) as shared:
            assert await shared.write(shared.key("a"), b"x", ttl_seconds=60)
            assert await server_facts(shared) is None
    finally:
        server.ask("ACL", "DELUSER", "least")
    assert await server_facts(shared) is None
