"""Properties of blocks and facts on a real server: found under their version."""

from hypothesis import given
from hypothesis import strategies as st

from cffs.cache.disk_format import MARK_OFFSET, SLOT_NBYTES
from cffs.cache.types import ObjectVersion
from cffs.core.units import BLOCK_NBYTES
from cffs.shared.block_store import (
    BlockStore,
    SharedFacts,
    VersionKeys,
    decoded_facts,
    encoded_facts,
    is_shareable,
)
from cffs.shared.leases import FetchLease
from cffs.shared.sealed_values import hide, seal
from cffs.shared.server import MAX_TTL_SECONDS
from tests.shared.sharing_machines import leases_on

VERSION = ObjectVersion("v2:calls/recordings/1.mp3", '"one"', 3 * BLOCK_NBYTES + 5)
KNOWN = SharedFacts(total_nbytes=VERSION.total_nbytes, validator=VERSION.validator)
FACTS = st.builds(
    SharedFacts,
    total_nbytes=st.integers(1, 2**40),
    validator=st.text(min_size=1, max_size=100),
    last_modified_ns=st.none() | st.integers(),
    answered_ms=st.none() | st.integers(),
)


def value_of(keys: VersionKeys, index: int, filler: bytes = b"x") -> bytearray:
    """The hidden value of a block that is all `filler`."""
    value = bytearray(SLOT_NBYTES) + filler * keys.layout.block_range(index).nbytes
    hide(value, seed=keys.seed, index=index)
    return value


def slots_of(keys: VersionKeys, *indexes: int, filler: bytes = b"x") -> dict[int, bytes]:
    """What the slots of such blocks say."""
    return {index: bytes(value_of(keys, index, filler)[:MARK_OFFSET]) for index in indexes}


@given(FACTS)
def test_facts_are_given_back(facts):
    """Facts survive their way to the server and back."""
    assert decoded_facts(memoryview(encoded_facts(facts))) == facts


@given(st.binary(max_size=200) | st.from_regex(rb'\{"total_nbytes": .{0,5}, "validator": .{0,5}\}'))
def test_what_are_no_facts_is_none(data):
    """Whatever bytes there are, they are facts with a believable size, or none."""
    facts = decoded_facts(memoryview(data))
    assert facts is None or 0 < facts.total_nbytes <= 2**40


@given(st.none() | st.text(max_size=600), st.none() | st.integers(0, 10), st.none() | st.integers(0, 10**6))
def test_only_what_is_beyond_doubt_is_shared(validator, total_nbytes, modified_s):
    """No size, no validator, a weak one, or a date of the last seconds: such a version is not shared."""
    modified_ns = None if modified_s is None else modified_s * 10**9
    shareable = is_shareable(
        validator=validator, total_nbytes=total_nbytes, last_modified_ns=modified_ns, answered_ms=5 * 10**8
    )
    is_weak = not validator or validator.startswith("W/") or len(validator) > 512
    is_recent = modified_s is not None and modified_s * 1000 > 5 * 10**8 - 10_000
    assert shareable == (not is_weak and bool(total_nbytes) and not is_recent)


async def test_a_block_is_found_once_it_is_shown(patient, connect):
    """A hidden block is none; a shown one is found by every machine of the account, and lasts a day."""
    async with connect() as server, connect() as another:
        store, keys = BlockStore(server), BlockStore(server).keys_of(VERSION)
        for index in range(4):
            assert await store.put_hidden(keys, index, value_of(keys, index))
        assert await store.read(keys, range(4)) == []
        assert await store.finish(keys, KNOWN, slots_of(keys, 0, 1, 3), None) == 3
        theirs = BlockStore(another)
        assert await theirs.read(theirs.keys_of(VERSION), range(4)) == [b"x" * BLOCK_NBYTES] * 2
        assert await theirs.read(theirs.keys_of(VERSION), range(3, 4)) == [b"x" * 5]
        assert await store.finish(keys, KNOWN, slots_of(keys, 1, 2), None) == 2
        assert len(await theirs.read(theirs.keys_of(VERSION), range(4))) == 4


async def test_blocks_of_an_answer_that_ended_are_put_at_once(patient, connect):
    """What was not put before its answer ended well is put and shown in one call, beside what was hidden, and the lease
    ends with it. It takes the place of what another answer has put."""
    async with connect() as server:
        store, keys = BlockStore(server), BlockStore(server).keys_of(VERSION)
        await store.put_hidden(keys, 0, value_of(keys, 0))
        await store.put_hidden(keys, 1, value_of(keys, 1, b"w"))
        values = {index: bytearray(SLOT_NBYTES) + b"x" * keys.layout.block_range(index).nbytes for index in (1, 3)}
        for index, value in values.items():
            seal(value, seed=keys.seed, index=index)
        leases = leases_on(server)
        lease = await leases.take(store.leases_key(VERSION.key), 0, 4)
        assert isinstance(lease, FetchLease)
        calls = server.counts.answered
        assert await store.finish(keys, KNOWN, {**slots_of(keys, 0), **values}, lease) == 3
        assert server.counts.answered == calls + 1
        assert await store.read(keys, range(4)) == [b"x" * BLOCK_NBYTES] * 2
        assert await store.read(keys, range(3, 4)) == [b"x" * 5]
        assert not await leases.renew(lease, 1)
        assert await store.finish(keys, KNOWN, slots_of(keys, 1, filler=b"w"), None) == 0
        assert len(await store.read(keys, range(4))) == 2


async def test_a_lease_ends_on_a_full_server_too(patient, connect, server):
    """Where nothing can be kept any more, the other machines wait for nothing."""
    async with connect() as shared:
        store, leases = BlockStore(shared), leases_on(shared)
        keys, value = store.keys_of(VERSION), value_of(store.keys_of(VERSION), 0)
        seal(value, seed=keys.seed, index=0)
        lease = await leases.take(store.leases_key(VERSION.key), 0, 1)
        assert isinstance(lease, FetchLease)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        try:
            assert await store.finish(keys, KNOWN, {0: value}, lease) == 0
        finally:
            server.ask("CONFIG", "SET", "maxmemory", 0)
        assert not await leases.renew(lease, 1)
        assert await store.read(keys, range(1)) == []


async def test_an_answer_shows_its_own_bytes_alone(patient, connect, server):
    """Where another answer, which may prove wrong, has put other bytes meanwhile, or the block was evicted, nothing is
    shown; equal bytes are."""
    async with connect() as shared:
        store, keys = BlockStore(shared), BlockStore(shared).keys_of(VERSION)
        for index in range(3):
            await store.put_hidden(keys, index, value_of(keys, index))
        await store.put_hidden(keys, 0, value_of(keys, 0, b"wrong!"[:1]))
        await store.put_hidden(keys, 1, value_of(keys, 1))
        server.ask("DEL", keys.block(2))
        assert await store.finish(keys, KNOWN, slots_of(keys, 0, 1, 2), None) == 1
        assert await store.read(keys, range(2)) == []
        assert await store.read(keys, range(1, 3)) == [b"x" * BLOCK_NBYTES]


async def test_versions_and_accounts_never_meet(patient, connect):
    """A block is found under its own version of its own object of its own account."""
    async with connect() as server, connect(account="another") as other:
        store, keys = BlockStore(server), BlockStore(server).keys_of(VERSION)
        await store.put_hidden(keys, 0, value_of(keys, 0))
        await store.finish(keys, KNOWN, slots_of(keys, 0), None)
        for version in (
            VERSION._replace(key="v1:calls/recordings/1.mp3"),
            VERSION._replace(validator='"two"'),
            VERSION._replace(total_nbytes=VERSION.total_nbytes + 1),
        ):
            assert await store.read(store.keys_of(version), range(1)) == []
        assert await BlockStore(other).read(BlockStore(other).keys_of(VERSION), range(1)) == []
        assert len(await store.read(keys, range(1))) == 1


async def test_a_block_under_the_key_of_another_is_none(patient, connect, server):
    """Values that were exchanged, cut, changed or are of another type are taken for none."""
    async with connect() as shared:
        store, keys = BlockStore(shared), BlockStore(shared).keys_of(VERSION)
        for index in range(3):
            await store.put_hidden(keys, index, value_of(keys, index, bytes([index])))
        for index in range(3):
            await store.finish(keys, KNOWN, slots_of(keys, index, filler=bytes([index])), None)
        first, second = server.ask("GET", keys.block(0)), server.ask("GET", keys.block(1))
        for wrong in (second, first[:-1], first[:7], b"", first[:50] + b"?" + first[51:]):
            server.ask("SET", keys.block(0), wrong)
            assert await store.read(keys, range(3)) == []
        server.ask("DEL", keys.block(0))
        server.ask("LPUSH", keys.block(0), "a list")
        assert await store.read(keys, range(3)) == []
        assert await store.finish(keys, KNOWN, slots_of(keys, 0, 1), None) == 0
        assert len(await store.read(keys, range(1, 3))) == 2


async def test_facts_have_an_age_by_the_server(patient, connect, server):
    """Facts say how long ago they were confirmed, whatever the clocks of machines say; wrong ones are none."""
    async with connect() as shared:
        store, facts = BlockStore(shared), SharedFacts(total_nbytes=9, validator='"v"', answered_ms=1)
        assert await store.facts("object") is None
        assert await store.put_facts("object", facts)
        found = await store.facts("object")
        assert found is not None
        assert found[0] == facts
        assert found[1] < 5
        server.ask("PEXPIRE", store.facts_key("object"), int((MAX_TTL_SECONDS - 3600) * 1000))
        found = await store.facts("object")
        assert found is not None
        assert 3600 <= found[1] < 3605
        assert await store.facts("another") is None
        server.ask("SET", store.facts_key("another"), server.ask("GET", store.facts_key("object")), "EX", 60)
        assert await store.facts("another") is None, "facts are of their own object"
        server.ask("PERSIST", store.facts_key("object"))
        assert await store.facts("object") is None, "what lasts for ever was not put by cffs"
        await store.drop_facts("object")
        assert server.ask("EXISTS", store.facts_key("object")) == 0
