"""Facts that the shared server reports about itself, for `cffs doctor`.

They are its version, its limit of memory, and what it does when it is full. A user of the server may be forbidden to
ask for them, and a mount needs none of them.

Owns the reading of INFO. It must not know what is made of it.
"""

from dataclasses import dataclass

from cffs.shared.redis_client import Script
from cffs.shared.server import SharedServer

_INFO = Script("return redis.call('INFO', 'server') .. redis.call('INFO', 'memory')")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """`version` with the name of the program; `maxmemory_nbytes` is 0 where there is no limit."""

    version: str
    maxmemory_nbytes: int
    maxmemory_policy: str


async def server_facts(server: SharedServer) -> ServerFacts | None:
    """The facts; None where the server cannot be had, or its user may not ask. A checkpoint where it is asked."""
    reply = await server.run(_INFO, [server.key("probe")], [])
    return facts_in(reply) if isinstance(reply, bytes) else None


def facts_in(info: bytes) -> ServerFacts:
    """The facts in an INFO; what it does not say is a question mark, or no limit."""
    pairs = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    fields = {name: value.strip() for name, colon, value in pairs if colon}
    name = "valkey" if "valkey_version" in fields else "redis"
    limit = fields.get("maxmemory", "")
    return ServerFacts(
        version=f"{name} {fields.get(f'{name}_version', '?')}",
        maxmemory_nbytes=int(limit) if limit.isdecimal() else 0,
        maxmemory_policy=fields.get("maxmemory_policy", "?"),
    )
