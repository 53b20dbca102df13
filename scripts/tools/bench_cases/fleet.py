# ruff: noqa: T201  # a script prints
"""A fleet that shares one Redis: three mounts, and a Dask cluster of four workers.

It owns what is read and how that is printed: what the origin sent against one copy, listings asked for, times, and how
long a hit takes. All of it runs on this machine, so times are those of its processors; the copies are what counts.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
from cffs.core.byte_range import ByteRange  # noqa: E402
from cffs.core.units import BLOCK_NBYTES  # noqa: E402
from cffs.standin.account import Account  # noqa: E402
from cffs.standin.thread import StandinThread  # noqa: E402
from tests.mount.mounting import account_variables, environment  # noqa: E402
from tests.reader.simulated_link import Origin, Remote  # noqa: E402
from tests.shared.conftest import connected  # noqa: E402
from tests.shared.redis_server import RedisServer, redis_server  # noqa: E402
from tests.shared.sharing_machines import machine, recording, written  # noqa: E402

MOUNTS, WORKERS, THREADS, HITS = 3, 4, 2, 200
#: Fewer than the queue of what is to be put holds.
BLOCKS_OF_AN_OBJECT = 50
#: Reads a mount's recordings one after the other, and says how many bytes they have.
READ_MOUNT = """
import os, sys
folder = sys.argv[1] + "/recordings/"
print(sum(len(open(folder + name, "rb").read()) for name in sorted(os.listdir(folder)) if name.endswith(".mp3")))
"""
#: Four workers of Dask read each recording once, through the mounts that are named before them, or `callfire://`; says
#: how long that took, and how many bytes they have.
READ_BY_DASK = f"""
import sys, time
from distributed import Client, LocalCluster, get_worker

def start():
    import fsspec
    fsspec.filesystem("callfire").ls("")

def read(one, mounts):
    if mounts:
        with open(mounts[get_worker().name] + "/recordings/" + one + ".mp3", "rb") as file:
            return len(file.read())
    import fsspec
    with fsspec.open("callfire://recordings/" + one + ".mp3") as file:
        return len(file.read())

if __name__ == "__main__":
    with LocalCluster(
        n_workers={WORKERS}, threads_per_worker={THREADS}, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster, Client(cluster) as client:
        mounts, ids = [one for one in sys.argv[1:] if "/" in one], [one for one in sys.argv[1:] if "/" not in one]
        client.gather(client.map(len, ids))
        if not mounts:
            client.run(start)  # mounts have started too
        began_at = time.perf_counter()
        nbytes = sum(client.gather(client.map(read, ids, mounts=mounts)))
        print(time.perf_counter() - began_at, nbytes)
"""


@dataclass
class Fleet:
    """The service, the server, and the mounts that run now."""

    standin: StandinThread
    redis: RedisServer
    home: Path
    copy_nbytes: int
    mounts: list[Path] = field(default_factory=list)

    def variables(self, *, shares: bool) -> dict[str, str]:
        """The environment of a mount or a worker."""
        return account_variables(self.standin) | ({"CFFS_SHARED": self.redis.url} if shares else {})

    def sent(self) -> str:
        """What the service sent and was asked since the last look, in words."""
        records = self.standin.requests
        self.standin.log.clear()
        audio = [record for record in records if "Mp3" in record.kind or "Recording" in record.kind]
        nbytes = sum(record.body_nbytes for record in audio if record.kind != "listRecordings")
        listings = sum(record.kind == "findCalls" for record in records)
        return f"{nbytes / self.copy_nbytes:7.3f} copies {len(audio):5d} requests {listings:2d} findCalls"

    def alone(self) -> int:
        """How many blocks the mounts asked for without the server."""
        statuses = [json.loads((path / ".cffs/status.json").read_bytes()) for path in self.mounts]
        return sum(status["shared"]["blocks"]["alone"] for status in statuses if "shared" in status)


def main(arguments_given: list[str]) -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(prog="scripts/bench fleet")
    parser.add_argument("--recordings", type=int, default=300, help="recordings of the account  [300]")
    arguments = parser.parse_args(arguments_given)
    if shutil.which("redis-server") is None:
        raise SystemExit("scripts/bench fleet: missing: redis-server\nas root: apt-get install redis-server")
    account = Account(seed=11, calls=arguments.recordings, uncampaigned_every=10)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cffs-bench-", ignore_cleanup_errors=True)))
        redis = stack.enter_context(redis_server(home))
        standin = stack.enter_context(StandinThread(account))
        with mounted(Fleet(standin, redis, home, 1), 1, shares=False) as (mount,):
            (copy_nbytes,) = read_at_once([mount])
        fleet = Fleet(standin, redis, home, copy_nbytes)
        fleet.sent()
        busy = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
        print(f"{arguments.recordings} recordings, {copy_nbytes / 1e6:.1f} MB, {busy}")
        mounts(fleet, shares=False)
        mounts(fleet, shares=True)
        dask(fleet, "Dask, the server has all")
        redis.ask("FLUSHALL")
        dask(fleet, "Dask, the server is empty")
        redis.ask("FLUSHALL")
        with mounted(fleet, WORKERS, shares=True) as paths:
            dask(fleet, "Dask, by four mounts that share", paths)
        redis.ask("FLUSHALL")
        trio.run(hits, redis.url)


def mounts(fleet: Fleet, *, shares: bool) -> None:
    """Three mounts read everything at the same time."""
    with mounted(fleet, MOUNTS, shares=shares) as paths:
        fleet.sent()
        began_at = time.perf_counter()
        found = read_at_once(paths)
        seconds = time.perf_counter() - began_at
        if found != [fleet.copy_nbytes] * MOUNTS:
            raise SystemExit(f"bench: the mounts have {found} bytes, and not {fleet.copy_nbytes} each")
        what = "three mounts that share" if shares else "three mounts, each by itself"
        rate = MOUNTS * fleet.copy_nbytes / seconds / 1e6
        print(f"{what:32} {seconds:6.2f} s {rate:7.1f} MB/s {fleet.sent()} {fleet.alone():4d} blocks alone")


@contextmanager
def mounted(fleet: Fleet, count: int, *, shares: bool) -> Iterator[list[Path]]:
    """That many new mounts, as of machines of their own."""
    with ExitStack() as stack:
        for number in range(count):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=fleet.home, ignore_cleanup_errors=True)))
            path = home / f"mnt{number}"
            path.mkdir()
            cffs = [sys.executable, "-m", "cffs.cli"]
            env = environment(home, fleet.variables(shares=shares))
            subprocess.run([*cffs, "mount", "--log-file", home / "log", path], env=env, cwd=ROOT, check=True)
            stack.callback(unmount, [*cffs, "umount"], path, env)
            fleet.mounts.append(path)
        try:
            yield list(fleet.mounts)
        finally:
            fleet.mounts.clear()


def unmount(umount: list[str], path: Path, env: dict[str, str]) -> None:
    """Unmount, lazily where another mount namespace of this machine still shows the mount."""
    if subprocess.run([*umount, path], env=env, cwd=ROOT, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run([*umount, "--lazy", path], env=env, cwd=ROOT, stderr=subprocess.DEVNULL)


def read_at_once(paths: list[Path]) -> list[int]:
    """How many bytes of recordings a process read of each mount, all of them at the same time."""
    readers = [
        subprocess.Popen([sys.executable, "-c", READ_MOUNT, path], stdout=subprocess.PIPE, text=True) for path in paths
    ]
    return [int(reader.communicate()[0]) for reader in readers]


def dask(fleet: Fleet, what: str, paths: list[Path] | None = None) -> None:
    """A cluster of four workers reads each recording once, through `callfire://`, or each by a mount of its own."""
    account, folder = fleet.standin.account, tempfile.mkdtemp(dir=fleet.home)
    ids = [str(one) for call_id in account.call_ids() for one in account.recording_ids(call_id)]
    script = Path(folder) / "read.py"
    script.write_text(READ_BY_DASK)
    env = environment(Path(folder), fleet.variables(shares=True))
    fleet.sent()
    done = subprocess.run(
        [sys.executable, script, *(paths or ()), *ids], env=env, cwd=folder, stdout=subprocess.PIPE, check=True
    )
    seconds, nbytes = map(float, done.stdout.split())
    print(f"{what:32} {seconds:6.2f} s {nbytes / seconds / 1e6:7.1f} MB/s {fleet.sent()}")


async def hits(url: str) -> None:
    """How long a hit of one block takes, from the question to its bytes."""
    origin, took = Origin(), []
    async with connected(url) as server, machine(server, origin) as one, machine(server, origin) as two:
        for number in range(HITS // BLOCKS_OF_AN_OBJECT):
            source = recording(number)
            remote = origin.objects[source.key] = Remote(total=BLOCKS_OF_AN_OBJECT * BLOCK_NBYTES)
            await one.read_all(source)
            await written(one)
            for index in range(BLOCKS_OF_AN_OBJECT):
                wanted = ByteRange(index * BLOCK_NBYTES, (index + 1) * BLOCK_NBYTES)
                buffer = memoryview(bytearray(BLOCK_NBYTES))
                began_at = time.perf_counter()
                async with two.opener.open_range(source, wanted) as answer:
                    nbytes = await answer.receive_into(buffer)
                took.append(time.perf_counter() - began_at)
                if buffer[:nbytes] != remote.content(wanted.start, BLOCK_NBYTES):
                    raise SystemExit("bench: a wrong byte")
        cuts = statistics.quantiles(took, n=100)
        print(f"a hit of 128 KiB: median {cuts[49] * 1000:.2f} ms, p90 {cuts[89] * 1000:.2f} ms, {two.sharing.counts}")
