"""Blocks and facts of objects on the shared server.

An object is named by its source. Its facts say which version it is, as an answer of the origin stated it; its blocks
are those of the disk cache, each under a key that holds the version. So blocks of an earlier version are never found
under a later one. A block is put hidden, and shown once its answer has ended well, or is not put before that: what a
broken answer brought is never given to another machine.

Only versions that the origin names beyond doubt are shared (`is_shareable`). It owns keys, values and how long they
last. It must not know requests, or who fetches.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from cffs.cache.disk_format import MARK, MARK_OFFSET, Layout, version_digest
from cffs.cache.types import ObjectVersion
from cffs.core.units import MAX_OBJECT_NBYTES, MS_PER_SECOND, NS_PER_MS
from cffs.shared.leases import SMALL_NBYTES, FetchLease
from cffs.shared.loop_time import Look
from cffs.shared.redis_client import Argument, Script
from cffs.shared.sealed_values import read_aged, read_value, sealed, seed_of, unsealed
from cffs.shared.server import MAX_TTL_SECONDS, SharedServer

#: A hidden block outlasts the slowest answer; after that it is the remains of a machine that ended.
_HIDDEN_SECONDS: Final = 120.0
#: What was modified so shortly before it was asked for may be a part of a recording in progress, as far as the clocks
#: of the service's machines agree (as in `tree/unlisted_recordings`).
_SETTLED_MS: Final = 10_000
#: Blocks that are shown by one call.
_SHOWN_AT_ONCE: Final = 64
_LONGEST_VALIDATOR: Final = 512

#: KEYS: the facts of the object, its leases, then blocks. ARGV: the value of the facts, milliseconds to last, the token
#: of the lease that ends or nothing, the offset of the mark, the mark, and of each block what its slot says before the
#: mark, or the whole value of one that was not put before. A block that was evicted meanwhile stays away; one that
#: another answer has overwritten with other bytes stays hidden. Where the server takes no more memory nothing is shown,
#: and the lease ends all the same. Returns how many were shown.
_FINISH: Final = Script("""
local shown, last = 0, #KEYS
local kept = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if kept.err then
    last = 0
end
for index = 3, last do
    local given = ARGV[index + 3]
    if #given > tonumber(ARGV[4]) then
        redis.call('SET', KEYS[index], given, 'PX', ARGV[2])
        shown = shown + 1
    elseif redis.pcall('GETRANGE', KEYS[index], 0, ARGV[4] - 1) == given then
        redis.call('SETRANGE', KEYS[index], ARGV[4], ARGV[5])
        redis.call('PEXPIRE', KEYS[index], ARGV[2])
        shown = shown + 1
    end
end
if ARGV[3] ~= '' then
    redis.pcall('HDEL', KEYS[2], ARGV[3])
end
return shown
""")
_DROP: Final = Script("return redis.call('DEL', KEYS[1])")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFacts:
    """What an answer of the origin stated of an object; `answered_ms` is when, by the service's clock."""

    total_nbytes: int
    validator: str
    last_modified_ns: int | None = None
    answered_ms: int | None = None


def is_shareable(
    *, validator: str | None, total_nbytes: int | None, last_modified_ns: int | None, answered_ms: int | None
) -> bool:
    """True where an answer names its version beyond doubt, and the object was not being made when it was sent. Pure."""
    if not total_nbytes or not validator or validator.startswith("W/") or len(validator) > _LONGEST_VALIDATOR:
        return False
    if last_modified_ns is None:
        return True
    return answered_ms is not None and last_modified_ns // NS_PER_MS + _SETTLED_MS <= answered_ms


def encoded_facts(facts: SharedFacts) -> bytes:
    """The facts as they are kept. Pure."""
    return json.dumps(asdict(facts)).encode("ascii")


def decoded_facts(data: memoryview) -> SharedFacts | None:
    """The facts of a value; None where they are none. Pure."""
    try:
        found = json.loads(bytes(data)) if len(data) <= SMALL_NBYTES else None
        facts = SharedFacts(**found) if isinstance(found, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None
    if facts is None or type(facts.total_nbytes) is not int or not isinstance(facts.validator, str):
        return None
    times = (facts.last_modified_ns, facts.answered_ms)
    if not 0 < facts.total_nbytes <= MAX_OBJECT_NBYTES or any(type(time) not in (int, type(None)) for time in times):
        return None
    return facts


class VersionKeys:
    """The keys and the seed of one version's blocks."""

    def __init__(self, server: SharedServer, version: ObjectVersion) -> None:
        """The total of `version` must be known, and its key is that of a source."""
        self.version = version
        self.layout = Layout(version.total_nbytes or 0)
        self._server = server
        self._digest = version_digest(version).hex()
        self.seed = seed_of(server.key, version.key, self._digest)

    def block(self, index: int) -> bytes:
        """The key of a block."""
        return self._server.key("block", self.version.key, self._digest, str(index))

    def unsealed(self, value: bytes | None, index: int) -> memoryview | None:
        """The bytes of a block; None where the value is not that block."""
        data = unsealed(value, seed=self.seed, index=index)
        return data if data is not None and len(data) == self.layout.block_range(index).nbytes else None


class BlockStore:
    """The objects of one account on its server. Every async method is a checkpoint where the server is asked, for at
    most 50 ms, and raises nothing."""

    def __init__(self, server: SharedServer) -> None:
        self._server = server

    @property
    def is_up(self) -> bool:
        """Whether a call would be sent now."""
        return self._server.is_up

    def look(self) -> Look:
        """The time for several calls that together take no longer than one may."""
        return self._server.look()

    def keys_of(self, version: ObjectVersion) -> VersionKeys:
        """The keys of a version."""
        return VersionKeys(self._server, version)

    def leases_key(self, key: str, kind: str = "blocks") -> bytes:
        """Where the leases of the object `key` are kept; `kind` distinguishes what is fetched."""
        return self._server.key("leases", key, kind)

    def facts_key(self, key: str) -> bytes:
        """Where the facts of the object `key` are kept."""
        return self._server.key("facts", key)

    async def facts(self, key: str) -> tuple[SharedFacts, float] | None:
        """The facts of the object `key`, and how many seconds ago they were confirmed, by the server's clock. None
        where there are none, or the server cannot be had."""
        seed = seed_of(self._server.key, key)
        found = await read_aged(self._server, self.facts_key(key), seed=seed, most_nbytes=SMALL_NBYTES)
        return None if found is None else _aged_facts(*found)

    async def read_small(self, key: bytes) -> tuple[bytes, int] | None:
        """A small value and for how many milliseconds it lasts, unchecked; None where there is none."""
        return await read_value(self._server, key, most_nbytes=SMALL_NBYTES)

    def facts_in(self, key: str, value: bytes, left_ms: int) -> tuple[SharedFacts, float] | None:
        """The facts that a value holds which was found under their key, and how old they are. Never a checkpoint."""
        data = unsealed(value, seed=seed_of(self._server.key, key))
        return None if data is None or left_ms <= 0 else _aged_facts(data, left_ms)

    async def put_facts(self, key: str, facts: SharedFacts) -> bool:
        """Keep the facts for a day, in the place of others."""
        value = sealed(encoded_facts(facts), seed=seed_of(self._server.key, key))
        return await self._server.write(self.facts_key(key), value, ttl_seconds=MAX_TTL_SECONDS)

    async def drop_facts(self, key: str) -> None:
        """Forget the facts: they are no longer true."""
        await self._server.run(_DROP, (self.facts_key(key),), ())

    async def read(self, keys: VersionKeys, run: range) -> list[memoryview] | None:
        """The blocks of `run` from its first on, up to the first that is not there, each checked. None where the server
        cannot be had."""
        values = await self._server.read_many([keys.block(index) for index in run])
        if values is None:
            return None
        found = list[memoryview]()
        for index, value in zip(run, values, strict=True):
            data = keys.unsealed(value, index)
            if data is None:
                break
            found.append(data)
        return found

    async def put_hidden(self, keys: VersionKeys, index: int, value: bytearray) -> bool:
        """Put a hidden value; `finish` makes a block of it."""
        return await self._server.write(keys.block(index), memoryview(value), ttl_seconds=_HIDDEN_SECONDS)

    async def finish(
        self,
        keys: VersionKeys,
        facts: SharedFacts,
        blocks: Mapping[int, bytes | bytearray],
        lease: FetchLease | None,
    ) -> int | None:
        """Let the blocks of an answer be found, for a day, and its facts, and end its lease: it ended well. `blocks`
        has what the slot of each says that was put hidden, and the values of `VALUES_AT_ONCE` others at most. Returns
        how many there are, without those that another answer has overwritten with other bytes; None where the server
        did not take it."""
        key, items, shown = keys.version.key, list(blocks.items()), 0
        values = sum(len(given) > MARK_OFFSET for given in blocks.values())
        value = sealed(encoded_facts(facts), seed=seed_of(self._server.key, key))
        fixed = [self.facts_key(key), self.leases_key(key) if lease is None else lease.key]
        for begin in range(0, max(1, len(items)), _SHOWN_AT_ONCE):
            run, is_last = items[begin : begin + _SHOWN_AT_ONCE], begin + _SHOWN_AT_ONCE >= len(items)
            token = lease.token if lease is not None and is_last else ""
            arguments: list[Argument] = [value, int(MAX_TTL_SECONDS * MS_PER_SECOND), token, MARK_OFFSET, MARK]
            arguments += [bytes(given) for _, given in run]
            script_keys = [*fixed, *(keys.block(index) for index, _ in run)]
            reply = await self._server.run(_FINISH, script_keys, arguments, values=values)
            if not isinstance(reply, int):
                return None
            shown += reply
        return shown


def _aged_facts(data: memoryview, left_ms: int) -> tuple[SharedFacts, float] | None:
    facts = decoded_facts(data)
    return None if facts is None else (facts, max(0.0, MAX_TTL_SECONDS - left_ms / MS_PER_SECOND))
