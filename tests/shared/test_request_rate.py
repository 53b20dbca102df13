"""The rate and the holds of several machines, by one real server."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from cffs.callfire.departure_log import WINDOW_FACTOR
from cffs.core.settings_options import RequestRate
from cffs.core.source import Api
from cffs.shared import request_rate
from cffs.shared.request_rate import SharedCounter
from cffs.standin.answers import Credentials as StandinCredentials
from cffs.standin.thread import StandinThread
from tests.shared.conftest import Connect, connected
from tests.shared.redis_server import RedisServer, redis_server

TEN = RequestRate(10, 1.0)
#: What of the rate is used at least, on a machine that is busy with something else.
USED = 0.7


class Machine:
    """One machine: its counter, what it was asked to hold, and when its requests left."""

    def __init__(self, shared, rate: RequestRate | None) -> None:
        self.server = shared
        self.held: list[tuple[Api, float]] = []
        self.left: list[float] = []
        self.counter = SharedCounter(shared, rate, hold=lambda api, seconds: self.held.append((api, seconds)))

    async def send(self, until: float) -> None:
        """Send as many requests as may leave."""
        while trio.current_time() < until:
            seconds = await self.counter.take(Api.V2)
            if seconds:
                await trio.sleep(seconds)
            else:
                self.left.append(trio.current_time())


@asynccontextmanager
async def machines(url: str, count: int, rate: RequestRate | None) -> AsyncIterator[list[Machine]]:
    """So many machines of one account, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        found = [Machine(await stack.enter_async_context(connected(url)), rate) for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for machine in found:
                nursery.start_soon(machine.counter.keep_beating)
            yield found
            nursery.cancel_scope.cancel()


async def sent_together(found: list[Machine], seconds: float) -> list[float]:
    """When requests left within so many seconds from now, of all machines."""
    before = [len(machine.left) for machine in found]
    async with trio.open_nursery() as nursery:
        for machine in found:
            nursery.start_soon(machine.send, trio.current_time() + seconds)
    return sorted(at for machine, begin in zip(found, before, strict=True) for at in machine.left[begin:])


def most_in_any(left: list[float], seconds: float) -> int:
    """The most departures in any window of so many seconds."""
    return max((sum(at <= other < at + seconds for other in left[place:]) for place, at in enumerate(left)), default=0)


async def comes_true(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once the condition holds."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.01)


async def test_together_they_keep_to_the_rate(server: RedisServer) -> None:
    """Five machines use the rate, and never leave it in any span."""
    async with machines(server.url, 5, TEN) as found:
        left = await sent_together(found, 2.3)
        assert most_in_any(left, 1.0) <= 10
        assert len(left) >= USED * 30
        await comes_true(lambda: found[0].counter.machines == 5)


async def test_accounts_do_not_count_each_other(server: RedisServer) -> None:
    """Two accounts on one server have a rate each."""
    async with connected(server.url, account="one") as first, connected(server.url, account="other") as second:
        left = await sent_together([Machine(first, TEN), Machine(second, TEN)], 0.3)
        assert len(left) == 20


async def test_the_lowest_rate_counts(server: RedisServer) -> None:
    """Machines with 10/s and 4/s keep to 4/s together, and the slower one gets its turn."""
    async with connected(server.url) as first, connected(server.url) as second:
        slow, fast = Machine(first, RequestRate(4, 1.0)), Machine(second, TEN)
        await slow.send(trio.current_time() + 0.05)
        before = list(slow.left)
        left = await sent_together([fast, slow], 1.3)
        assert most_in_any(before + left, 1.0) <= 4
        assert len(slow.left) > len(before)


async def test_holds_reach_every_machine(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that the service asked one machine for holds the others, with a rate or without, and once."""
    monkeypatch.setattr(request_rate, "BEAT_SECONDS", 0.05)
    async with connect() as one, connect() as two, connect() as three, trio.open_nursery() as nursery:
        first, second, third = Machine(one, TEN), Machine(two, TEN), Machine(three, None)
        nursery.start_soon(first.counter.keep_beating)
        nursery.start_soon(third.counter.keep_beating)
        first.counter.note_hold(Api.V1, 20.0)
        await comes_true(lambda: len(third.held) == 1)
        assert await second.counter.take(Api.V2) == 0.0
        for machine in (second, third):
            (api, seconds), *_ = machine.held
            assert api is Api.V1
            assert 15 < seconds <= 20
        third.counter.note_hold(Api.V2, 1e9)  # no machine is held for longer than a minute
        await comes_true(lambda: len(first.held) == 1)
        assert first.held[0][1] <= 60
        await trio.sleep(0.2)
        assert [len(machine.held) for machine in (first, third)] == [1, 1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("policy", ["noeviction", pytest.param("allkeys-lru", marks=pytest.mark.slow)])
async def test_a_full_server_counts_on(tmp_path: Path, policy: str) -> None:
    """A server that is full of other things still counts, and shares holds."""
    with redis_server(tmp_path, options=("--maxmemory", "4mb", "--maxmemory-policy", policy)) as running:
        async with machines(running.url, 2, TEN) as found:
            for index in range(60):
                await found[0].server.write(found[0].server.key("fill", str(index)), bytes(131_072), ttl_seconds=60)
            assert (found[0].server.counts.refused > 0) is (policy == "noeviction")
            left = await sent_together(found, 1.3)
            assert most_in_any(left, 1.0) <= 10
            assert len(left) >= USED * 20
            assert not found[0].counter.is_alone
            found[0].counter.note_hold(Api.V1, 9.0)
            await comes_true(lambda: found[1].held != [])


async def test_never_above_when_the_server_dies_and_comes_back(tmp_path: Path) -> None:
    """Three machines under full demand: killed, gone, restarted empty: in no span is there more than the rate, and
    while it is gone each machine goes on with its share."""
    with redis_server(tmp_path) as running:
        async with machines(running.url, 3, TEN) as found:
            await comes_true(lambda: all(machine.counter.machines == 3 for machine in found))
            async with trio.open_nursery() as nursery:
                began_at = trio.current_time()
                for machine in found:
                    nursery.start_soon(machine.send, began_at + 7.5)
                await trio.sleep(1.3)
                running.stop()
                await trio.sleep(3.2)
                assert all(machine.counter.is_alone for machine in found)
                running.start()
            left = sorted(at for machine in found for at in machine.left)
            assert most_in_any(left, 1.0) <= 10
            assert USED * 9 <= len([at for at in left if 2.5 <= at - began_at < 4.5]) <= 18
            assert len([at for at in left if 5.5 <= at - began_at < 7.5]) >= USED * 9
            await comes_true(lambda: not any(machine.counter.is_alone for machine in found))


async def test_a_clock_that_jumps(server: RedisServer, connect: Connect) -> None:
    """A log that lies in the server's future, because its clock was set back, is begun afresh."""
    async with connect() as shared:
        machine = Machine(shared, TEN)
        log = machine.counter._keys[0]
        seconds, microseconds = (int(part) for part in server.ask("TIME"))  # type: ignore[union-attr]
        future = (seconds + 3600) * 1_000_000 + microseconds
        server.ask("RPUSH", log, *range(future, future + 10))
        assert await machine.counter.take(Api.V1) == 0.0
        assert server.ask("LLEN", log) == 1


async def test_foreign_values_under_its_keys(server: RedisServer, connect: Connect) -> None:
    """Values of another type under the keys of the rate: this machine goes on by itself."""
    async with connect() as shared:
        machine = Machine(shared, TEN)
        for key in machine.counter._keys:
            server.ask("SET", key, "x")
        assert await machine.counter.take(Api.V1) == 0.0
        assert machine.counter.is_alone


CLIENT = """
import logging, sys, time, trio
from pathlib import Path
from cffs.core.settings import Credentials, Settings
from cffs.core.source import Api
from cffs.daemon.assembly import open_origin
from cffs.daemon.sharing import opened_sharing
logging.disable()
url, service, seconds, folder = sys.argv[1:]
settings = Settings(
    credentials=Credentials(login="l", password="p"), cache_dir=Path(folder), state_dir=Path(folder),
    runtime_dir=Path(folder), uid=0, gid=0, v1_url=service, v2_url=service, rate="10/s", shared=url,
)
async def ask(transport, until):
    while time.monotonic() < until:
        await transport.get(Api.V2, ("me", "account"))
async def main():
    async with opened_sharing(settings) as sharing, open_origin(settings.origin(), sharing) as origin:
        until = time.monotonic() + float(seconds)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, origin.transport, until)
trio.run(main)
"""


def arrivals(
    server: RedisServer, folder: Path, *, count: int, seconds: float, meanwhile: Callable[[], None] = lambda: None
) -> list[float]:
    """When requests of so many processes came in at a service; none of them failed."""
    known = StandinCredentials(apikey="k", login="l", password="p", account_login="o", account_password="o")
    with StandinThread(credentials=known) as standin:
        command = [sys.executable, "-c", CLIENT, server.url, standin.v2_url, str(seconds), str(folder)]
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": Path(__file__).parents[2]}
        running = [subprocess.Popen(command, **options) for _ in range(count)]
        meanwhile()
        assert [process.communicate(timeout=60)[1] for process in running] == [b""] * count
        return sorted(record.started_at for record in standin.requests)


@pytest.mark.parametrize(("count", "seconds"), [(3, 3.0), pytest.param(10, 8.0, marks=pytest.mark.slow)])
def test_real_processes_at_a_service(server: RedisServer, tmp_path: Path, count: int, seconds: float) -> None:
    """Processes of their own ask one service as fast as they may: it gets no more than the rate in any second, and at
    least most of it."""
    came = arrivals(server, tmp_path, count=count, seconds=seconds)
    assert most_in_any(came, 1.0) <= 10
    assert len(came) >= USED * 10 / WINDOW_FACTOR * (came[-1] - came[0])


@pytest.mark.slow
def test_real_processes_lose_the_server(tmp_path: Path) -> None:
    """The server is frozen and killed under them: still no more than the rate in any second, and no error."""
    with redis_server(tmp_path) as running:

        def meanwhile() -> None:
            while sum(machines_on(running)) < 4:
                time.sleep(0.05)
            time.sleep(2)
            running.freeze()
            time.sleep(3)
            running.stop()

        came = arrivals(running, tmp_path, count=4, seconds=10.0, meanwhile=meanwhile)
        assert most_in_any(came, 1.0) <= 10
        assert len([at for at in came if came[-1] - 3 < at < came[-1] - 1]) >= USED * 2 * 8 / WINDOW_FACTOR


def machines_on(server: RedisServer) -> list[int]:
    """How many machines the server knows, of each account."""
    keys = server.ask("KEYS", "*")
    assert isinstance(keys, list)
    return [int(str(server.ask("ZCARD", key))) for key in keys if server.ask("TYPE", key) == b"zset"]
