"""The shared server against real ones, healthy and not.

Whatever they do, no call raises, and none takes longer than its 50 ms. Wall-clock is held with a factor of five, for a
machine that is busy with something else.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import trio

from cffs.core.settings_options import RequestRate
from cffs.core.source import Api
from cffs.core.units import KIB
from cffs.shared.block_store import BlockStore
from cffs.shared.leases import FetchLease
from cffs.shared.recording_stream import RecordingStream
from cffs.shared.redis_client import Script
from cffs.shared.request_rate import SharedCounter
from cffs.shared.server import CALL_SECONDS, MAX_VALUE_NBYTES, SharedServer
from tests.shared.chaos_proxy import Fault, chaos_proxy
from tests.shared.conftest import Connect, connected
from tests.shared.redis_server import RedisServer, redis_cluster, redis_server, tls_server
from tests.shared.sharing_machines import leases_on

BLOCK = bytes(range(256)) * 512
#: How much longer than promised a call may take on a busy machine.
SLACK = 5
ECHO = Script("return {KEYS[1], ARGV[1], ARGV[2]}")


@contextlib.contextmanager
def in_time(calls: int = 1):
    """The block's calls take no longer than they may."""
    began_at = trio.current_time()
    yield
    assert trio.current_time() - began_at < calls * CALL_SECONDS * SLACK


async def comes_true(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once the condition holds."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.01)


async def found(shared: SharedServer, keys: list[bytes]) -> list[bytes | None]:
    """The values, once the server is asked; a busy machine may take it for gone now and then."""
    with trio.fail_after(10):
        while (values := await shared.read_many(keys)) is None:
            await trio.sleep(0.01)
    return values


async def written(shared: SharedServer, key: bytes, value: bytes | memoryview, *, ttl_seconds: float) -> bool:
    """Whether the server takes the value, once it is asked."""
    with trio.fail_after(10):
        before = shared.counts.refused
        while not (is_taken := await shared.write(key, value, ttl_seconds=ttl_seconds)):
            if shared.counts.refused > before:
                break
            await trio.sleep(0.01)
    return is_taken


async def one_of_each(shared: SharedServer) -> tuple[object, bool, object]:
    """What one call of each kind answers, each in its time."""
    key = shared.key("test", "object")
    with in_time(3):
        return (
            await shared.read_many([key]),
            await shared.write(key, b"x", ttl_seconds=60),
            await shared.run(ECHO, [key], [1, b"2"]),
        )


async def costs_one_call(shared: SharedServer) -> None:
    """One call finds out that the server is gone, in its time; the next ones do not ask."""
    await comes_true(lambda: shared.is_up or shared.trouble == "no answer in time")
    key = shared.key("test", "object")
    with in_time():
        assert await shared.read_many([key]) is None
    for _ in range(100):
        if shared.is_up:  # the machine took it for a hiccup
            break
        began_at = trio.current_time()
        assert await shared.read_many([key]) is None
        assert not await shared.write(key, b"x", ttl_seconds=60)
        assert trio.current_time() - began_at < CALL_SECONDS


async def test_what_was_written_is_read(connect: Connect, server: RedisServer) -> None:
    """Values come back in the order of the keys, with None for one that is absent, and they expire."""
    async with connect() as shared:
        keys = [shared.key("block", "recording/1", str(index)) for index in range(20)]
        for index, key in enumerate(keys[1:], 1):
            assert await written(shared, key, memoryview(BLOCK)[index:], ttl_seconds=60)
        assert await found(shared, keys) == [None] + [BLOCK[index:] for index in range(1, 20)]
        assert await found(shared, [keys[1], keys[1]]) == [BLOCK[1:]] * 2
        assert await shared.read_many([]) == []
        assert 0 < server.ask("PTTL", keys[1]) <= 60_000
        assert await written(shared, keys[0], b"x", ttl_seconds=1e9)
        assert server.ask("PTTL", keys[0]) <= 86_400_000
        assert await shared.run(ECHO, [keys[0]], [1, b"two"]) == [keys[0], b"1", b"two"]


async def test_by_a_socket(tmp_path: Path) -> None:
    """A server is reached by a Unix socket too."""
    with redis_server(tmp_path, socket_path=tmp_path / "s") as running:
        async with connected(running.url) as shared:
            assert await written(shared, shared.key("a"), b"x", ttl_seconds=60)
            assert await found(shared, [shared.key("a")]) == [b"x"]


async def test_keys_name_nothing(connect: Connect) -> None:
    """Keys differ by account, kind and every part; they show none of them; one first part means one slot."""
    async with connect(account="login at host") as one, connect(account="another") as other:
        keys = {
            one.key("block", "recording/88.mp3", "1"),
            one.key("fact", "recording/88.mp3", "1"),
            one.key("block", "recording/88.mp31"),
            one.key("block", "recording/88.mp3", "", "1"),
            other.key("block", "recording/88.mp3", "1"),
        }
        assert len(keys) == 5
        assert not any(word in key for key in keys for word in (b"recording", b"block", b"login", b"host"))
        slots = {key.partition(b"{")[2].partition(b"}")[0] for key in keys}
        assert len(slots) == 3
        assert one.key("block", "é\udcff") == one.key("block", "é\udcff")


async def test_values_of_others_are_absent(connect: Connect, server: RedisServer) -> None:
    """A value of another type, or of 512 MB, under our key is as good as none, and is not transferred."""
    async with connect() as shared:
        listed, huge, good, large = (shared.key("test", "object", name) for name in "abcd")
        server.ask("LPUSH", listed, "x")
        server.ask("SETRANGE", huge, 512 * 1024 * KIB - 1, "x")
        await written(shared, good, b"good", ttl_seconds=60)
        assert not await shared.write(large, bytes(MAX_VALUE_NBYTES + 1), ttl_seconds=60)
        with in_time():
            assert await shared.read_many([listed, huge, good, large]) == [None, None, b"good", None]
        assert await written(shared, listed, b"ours", ttl_seconds=60)
        assert await found(shared, [listed]) == [b"ours"]
        server.ask("UNLINK", huge)


async def test_a_frozen_server_costs_one_call(connect: Connect, server: RedisServer) -> None:
    """While the process is stopped, one call takes its 50 ms and the others nothing; then it goes on by itself."""
    async with connect() as shared:
        server.freeze()
        try:
            await costs_one_call(shared)
            await comes_true(lambda: shared._breaker.failures >= 2)
            assert shared.trouble == "no answer in time"
            await costs_nothing(shared)
        finally:
            server.thaw()
        await comes_true(lambda: shared.is_up)
        assert (await one_of_each(shared))[1]


async def costs_nothing(shared: SharedServer) -> None:
    """Calls are answered at once while the server is gone."""
    began_at = trio.current_time()
    for _ in range(100):
        assert await shared.read_many([shared.key("test")]) is None
        assert await shared.run(ECHO, [shared.key("test")], [1, 2]) is None
    assert trio.current_time() - began_at < CALL_SECONDS * SLACK
    assert shared.counts.not_sent >= 200


async def test_many_calls_wait_together(connect: Connect, server: RedisServer) -> None:
    """Fifty calls at the moment of an outage all end within the one 50 ms."""
    async with connect() as shared:
        server.freeze()
        try:
            with in_time():
                async with trio.open_nursery() as nursery:
                    for index in range(50):
                        nursery.start_soon(shared.read_many, [shared.key("test", str(index))])
        finally:
            server.thaw()


async def test_killed_and_restarted_empty(tmp_path: Path) -> None:
    """Killed: calls fail at once. Restarted: they work, scripts included, and what it held is absent."""
    with redis_server(tmp_path) as running:
        async with connected(running.url) as shared:
            assert (await one_of_each(shared))[1]
            running.stop()
            await costs_one_call(shared)
            await comes_true(lambda: shared.trouble == "no connection: Connection refused")
            running.start()
            await comes_true(lambda: shared.is_up)
            assert await shared.read_many([shared.key("test", "object")]) == [None]
            assert (await one_of_each(shared))[1]


async def test_gone_from_the_start(tmp_path: Path) -> None:
    """A server that was never there is no error; it is used from when it comes."""
    running = RedisServer(tmp_path)
    async with connected(running.url) as shared:
        assert not shared.is_up
        assert await one_of_each(shared) == (None, False, None)
        assert shared.trouble == "no connection: Connection refused"
        try:
            running.start()
            await comes_true(lambda: shared.is_up)
            assert (await one_of_each(shared))[1]
        finally:
            running.stop()


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
async def test_a_full_server(tmp_path: Path, policy: str) -> None:
    """At 8 MB, writes are refused or push others out; reads give right values or none, and it never counts as gone."""
    options = ("--maxmemory", "8mb", "--maxmemory-policy", policy)
    with redis_server(tmp_path, options=options) as running:
        async with connected(running.url) as shared:
            keys = [shared.key("block", str(index)) for index in range(100)]
            taken = [await written(shared, key, BLOCK, ttl_seconds=60) for key in keys]
            values = [(await found(shared, [key]))[0] for key in keys]
            assert set(values) == {BLOCK, None}
            assert taken.count(True) == 100 if policy == "allkeys-lru" else 0 < taken.count(True) < 100
            assert shared.counts.refused == taken.count(False)
            await comes_true(lambda: shared.is_up)


async def test_a_wrong_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is no error, said once, and shows no password; the right one works, for a user too."""
    options = ("--requirepass", "right", "--user", "cffs", "on", ">secret", "~cffs:*", "+@all")
    with redis_server(tmp_path, options=options) as running:
        place = running.url.removeprefix("redis://")
        for login in ("", ":wrong@", "nosuch:right@"):
            async with connected(f"redis://{login}{place}") as shared:
                await comes_true(lambda: shared._breaker.failures > 2)
                assert await one_of_each(shared) == (None, False, None)
                assert shared.trouble == "it refuses the user or the password"
        for login in (":right@", "cffs:secret@"):
            async with connected(f"redis://{login}{place}") as shared:
                assert (await one_of_each(shared))[1]
    gone = [record.getMessage() for record in caplog.records if "shared server gone" in record.getMessage()]
    assert len(gone) == 3
    assert not any(word in line for line in gone for word in ("wrong", "right"))
    caplog.clear()


FAULTS = {
    Fault.DELAY: "no answer in time",
    Fault.STALL: "no answer in time",
    Fault.CUT: "the connection was lost",
    Fault.GARBAGE: "its answers make no sense",
    Fault.HUGE: "no answer in time",
    Fault.TOO_OLD: "it is too old; Redis 6 or newer is needed, or Valkey",
}


#: Left to `scripts/test --all`, because each waits for three tries.
RARE = {Fault.DELAY, Fault.CUT, Fault.TOO_OLD}


@pytest.mark.parametrize("fault", [pytest.param(one, marks=[pytest.mark.slow] * (one in RARE)) for one in FAULTS])
async def test_what_networks_do(connect: Connect, server: RedisServer, fault: Fault) -> None:
    """Each fault costs one call; tries go on in the background, and once it is over all is well."""
    with chaos_proxy(server.port) as proxy:
        async with connect(proxy.url) as shared:
            await written(shared, shared.key("test", "object"), BLOCK, ttl_seconds=60)
            proxy.fault = fault
            with in_time():
                assert await shared.read_many([shared.key("test", "object")]) is None
            await comes_true(lambda: shared._breaker.failures >= 2)
            await costs_nothing(shared)
            proxy.fault = Fault.NONE
            await comes_true(lambda: shared.is_up)
            assert await found(shared, [shared.key("test", "object")]) == [BLOCK]


async def test_too_old_from_the_start(connect: Connect, server: RedisServer) -> None:
    """A server that does not know the commands is said to be too old."""
    with chaos_proxy(server.port) as proxy:
        proxy.fault = Fault.TOO_OLD
        async with connect(proxy.url) as shared:
            assert await one_of_each(shared) == (None, False, None)
            assert shared.trouble == FAULTS[Fault.TOO_OLD]


async def test_cancelled_calls_mix_up_nothing(connect: Connect) -> None:
    """Calls that are cancelled at any moment leave the connection whole: each later reply is that of its own call."""
    async with connect() as shared:
        keys = [shared.key("block", str(index)) for index in range(30)]
        for index, key in enumerate(keys):
            await written(shared, key, b"%d" % index * 20_000, ttl_seconds=60)
        for turn in range(60):
            with trio.move_on_after(turn / 60_000):
                await shared.read_many(keys)
            assert await found(shared, [keys[turn % 30]]) == [b"%d" % (turn % 30) * 20_000]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[RedisServer]]:
    """Three nodes."""
    with redis_cluster(tmp_path) as nodes:
        yield nodes


async def test_a_cluster(cluster: list[RedisServer]) -> None:
    """Keys of many objects are read at once, a slot is followed while it moves and afterwards, by the user of the
    documents; a dead cluster costs one call."""
    for node in cluster:
        node.ask("ACL", "SETUSER", "cffs", *_rights_in_the_documents(), "+cluster|slots", "+asking")
    url = "redis://cffs:PASSWORD@" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    async with connected(url) as shared:
        assert shared.is_up
        keys = [shared.key("block", f"recording/{number}", str(index)) for number in range(8) for index in range(2)]
        for index, key in enumerate(keys):
            assert await written(shared, key, b"%d" % index, ttl_seconds=60)
        wanted = [b"%d" % index for index in range(16)]
        assert await found(shared, keys) == wanted
        assert await shared.run(ECHO, [keys[0], keys[1]], [1, 2]) == [keys[0], b"1", b"2"]
        assert len([node for node in cluster if node.ask("DBSIZE")]) == 3
        with _moving_slot(cluster, keys[0]):
            for _ in range(3):
                assert await found(shared, keys) == wanted
        for _ in range(3):
            assert await found(shared, keys) == wanted
        assert shared.counts.refused == 0
        assert [node.ask("ACL", "LOG") for node in cluster] == [[], [], []]
        for node in cluster:
            node.freeze()
        await costs_one_call(shared)


@contextlib.contextmanager
def _moving_slot(cluster: list[RedisServer], key: bytes) -> Iterator[None]:
    """Give the slot of the key, with what is in it, to another node; the block is run while it is being moved."""
    slot = cluster[0].ask("CLUSTER", "KEYSLOT", key)
    source = next(node for node in cluster if node.ask("CLUSTER", "COUNTKEYSINSLOT", slot))
    target = next(node for node in cluster if node is not source)
    ids = {node: node.ask("CLUSTER", "MYID") for node in cluster}
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    names = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10)
    assert isinstance(names, list)
    for name in names:
        source.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
    yield
    for node in (target, source):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


def _rights_in_the_documents() -> list[str]:
    """What the page on sharing gives to a user of its own; both of its recipes give the same."""
    page = (Path(__file__).parents[2] / "cffs/docs/sharing.md").read_text()
    rights = [word for line in re.findall(r"^ACL SETUSER cffs (.*)$", page, re.MULTILINE) for word in line.split()]
    (recipe,) = re.findall(r"^user cffs (.*)$", page, re.MULTILINE)
    assert recipe.split() == [word.replace("PASSWORD", "CHANGE-THIS") for word in rights]
    assert "`+cluster|slots +asking`" in page
    return rights


async def test_the_user_of_the_documents(connect: Connect, server: RedisServer) -> None:
    """The user that the page on sharing names can do all that is needed, and nothing with what is of others: their
    keys, the names of those, scripts and functions."""
    server.ask("ACL", "SETUSER", "cffs", *_rights_in_the_documents())
    server.ask("ACL", "LOG", "RESET")
    try:
        async with connect(server.url.replace("//", "//cffs:PASSWORD@") + "/3") as shared:
            assert (await one_of_each(shared))[1]
            assert await SharedCounter(shared, RequestRate(10, 1.0), hold=lambda _api, _seconds: None).take(Api.V1) == 0
            store, leases = BlockStore(shared), leases_on(shared)
            lease = await leases.take(store.leases_key("a"), 0, 2)
            assert isinstance(lease, FetchLease)
            await leases.renew(lease, 1)
            await leases.give_back(lease)
            await store.drop_facts("a")
            stream = RecordingStream(shared, "s")
            assert await stream.put(1)
            entry = await stream.take()
            assert entry is not None
            await stream.renew([entry])
            await stream.done(entry)
            assert shared.counts.refused == 0
            assert server.ask("ACL", "LOG") == []
            refused = ("'SET', 'theirs', 'x'", "'FLUSHALL'", "'SCAN', 0", "'RANDOMKEY'", "'DBSIZE'", "'KEYS', '*'")
            for words in refused:
                assert await shared.run(Script(f"return redis.call({words})"), [], []) is None
            assert shared.counts.refused == len(refused)
        for words in (("SCRIPT", "FLUSH"), ("CLIENT", "LIST"), ("FUNCTION", "FLUSH"), ("SWAPDB", 0, 1)):
            with pytest.raises(RuntimeError, match=r"NOPERM|unknown command"):
                server.ask(*words, user="cffs", password="PASSWORD")
    finally:
        server.ask("ACL", "DELUSER", "cffs")


async def test_by_tls(tmp_path: Path) -> None:
    """rediss:// checks the certificate, against the authorities that are given; another one, and one for another host,
    are refused in words."""
    with tls_server(tmp_path) as running:
        for url, bundle, trouble in (
            (running.tls_url, "ca.pem", ""),
            (
                running.tls_url,
                "other.pem",
                "its certificate is not trusted; give --ca-bundle the authority that signed it",
            ),
            (
                running.tls_url.replace("localhost", "127.0.0.1"),
                "ca.pem",
                "its certificate is not for the address that the URL names",
            ),
        ):
            async with connected(url, ca_bundle=tmp_path / bundle) as shared:
                assert shared.trouble == trouble
                assert (await one_of_each(shared))[1] is not bool(trouble)
