"""Load: many readers, many handles, no descriptors left."""

import errno
import os
import resource
import statistics
import threading
import time
from pathlib import Path

from tests.faults.bench import NOISE, PATIENT_SECONDS, make_account, pss_nbytes, until
from tests.faults.conftest import MakeBench
from tests.mount.mounting import contention

READERS = 64
OPENS = 10_000
#: The longest that stat of a neighbour may take in 99 of 100 cases.
STAT_P99_SECONDS = 0.25


def descriptors(pid: int) -> int:
    """How many descriptors the daemon has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_many_readers(home: Path, make_bench: MakeBench):
    """64 programs reading 64 files at once, each answer taking its time and some failing once, are all right, and stat
    of a neighbour takes less than 0.25 s at its worst hundredth meanwhile."""
    account = make_account(calls=READERS + 6)
    # they share 16 connections and this machine: their turn may come late
    with make_bench(home, account=account, timeout_seconds=PATIENT_SECONDS) as bench:
        targets = [bench.fresh() for _ in range(READERS)]
        bystander = bench.fresh()
        assert bystander.path.stat().st_size
        bench.standin.link.latency_seconds = 0.02
        # three in all: no file can meet the four that would be its end
        faults = [
            bench.standin.faults.add(fault, path=r"\.mp3$", probability=0.1, times=1)
            for fault in ("reset", "trunc", "status")
        ]
        outcomes, waits = {}, []
        readers = [threading.Thread(target=lambda t=t: outcomes.update({t: bench.read(t)})) for t in targets]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            began_at = time.monotonic()
            os.stat(bystander.path)
            os.listdir(bench.mount.path / "campaigns")
            waits.append(time.monotonic() - began_at)
            time.sleep(0.005)
        for target, seen in outcomes.items():
            assert seen.errno is None, str(seen)
            assert seen.data == bench.truth(target)
            assert seen.slowest_seconds <= bench.timeout_seconds
        assert len(outcomes) == READERS
        assert sum(map(bench.standin.faults.fired, faults)) > 0
        if len(waits) > 20:
            assert statistics.quantiles(waits, n=100)[-1] < STAT_P99_SECONDS * NOISE * contention()
        bench.alive()


def test_ten_thousand_opens(home: Path, make_bench: MakeBench):
    """10,000 open handles cost the daemon no descriptor each and less than 20 MB, and all of them close again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPENS + 2000), hard))
    count = min(OPENS, min(hard, OPENS + 2000) - 1000)
    try:
        with make_bench(home) as bench:
            targets = [bench.fresh() for _ in range(8)]
            for target in targets:
                bench.succeeds(target)
            before, memory = descriptors(bench.mount.pid), pss_nbytes(bench.mount.pid)
            began_at = time.monotonic()
            opened = [os.open(targets[number % 8].path, os.O_RDONLY) for number in range(count)]
            assert time.monotonic() - began_at < 5 * NOISE * contention()
            assert bench.mount.status()["open_files"] >= count
            assert descriptors(bench.mount.pid) - before < 40
            assert pss_nbytes(bench.mount.pid) - memory < 20_000_000
            for descriptor in opened[::1000]:
                assert len(os.pread(descriptor, 4096, 100_000)) == 4096
            for descriptor in opened:
                os.close(descriptor)
            # the kernel sends each RELEASE in its own time
            until(lambda: bench.mount.status()["open_files"] <= 1, seconds=60)
            bench.alive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_exhausted(home: Path, make_bench: MakeBench):
    """With three descriptors left for the daemon, forty readers get right bytes or an error, none hangs, the daemon
    lives, and works when it may open files again."""
    with make_bench(home, account=make_account(calls=60), timeout_seconds=PATIENT_SECONDS) as bench:
        bench.succeeds(bench.fresh())
        targets = [bench.fresh() for _ in range(40)]
        limits = resource.prlimit(bench.mount.pid, resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir(f"/proc/{bench.mount.pid}/fd")))
        resource.prlimit(bench.mount.pid, resource.RLIMIT_NOFILE, (highest + 3, limits[1]))
        bench.standin.link.latency_seconds = 0.05
        outcomes = {}
        readers = [threading.Thread(target=lambda t=t: outcomes.update({t: bench.read(t)})) for t in targets]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(2 * PATIENT_SECONDS)
        assert len(outcomes) == len(targets)
        for target, seen in outcomes.items():
            assert seen.errno in (None, errno.EIO, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EMFILE), str(seen)
            assert bench.truth(target).startswith(seen.data)
            assert seen.slowest_seconds <= bench.timeout_seconds, str(seen)
        resource.prlimit(bench.mount.pid, resource.RLIMIT_NOFILE, limits)
        bench.standin.link.latency_seconds = 0
        for target in targets[:5]:
            bench.recovers(target)
        bench.alive()
