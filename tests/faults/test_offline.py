"""Without the network: known names are listed, cached bytes read, the rest fails."""

import errno
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, NOISE, Bench, Target, make_account, until
from tests.faults.conftest import MakeBench
from tests.mount.mounting import Said, run

#: Known names and cached bytes need no answer of the service.
KNOWN_SECONDS = 1.0
#: Within 5 s of its return the service is used again (cffs/docs/semantics.md#errors).
RETURN_SECONDS = 5.0


def tree_of(path: Path, *, deepest: int = 3) -> dict[str, list[str]]:
    """Every folder's names."""
    found = {}
    for folder, folders, files in os.walk(path):
        found[os.path.relpath(folder, path)] = sorted(folders + files)
        if folder.count(os.sep) - str(path).count(os.sep) >= deepest:
            folders.clear()
    return found


def offline_is_quick(bench: Bench, known: dict[str, list[str]], cached, cold) -> None:
    """Every path that can be answered is, the others are refused within a second."""
    assert tree_of(bench.mount.path) == known, "everything known is listed"
    for target in cached:
        assert bench.succeeds(target).slowest_seconds < KNOWN_SECONDS
    for target in cold:
        assert bench.fails(target, errno.EHOSTUNREACH).slowest_seconds < KNOWN_SECONDS
        assert os.stat(target.path).st_size > 0
    for path in ("recordings/77003.mp3", "campaigns/5/7", "media/12345.mp3", "calls/99"):
        began_at = time.monotonic()
        with pytest.raises(OSError) as raised:
            os.stat(bench.mount.path / path)
        assert raised.value.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT), path
        assert time.monotonic() - began_at < KNOWN_SECONDS, path


def test_a_service_that_refuses_connections(home: Path, make_bench: MakeBench):
    """With the service gone everything known is listed and everything cached is read, also after a remount; the rest
    is EHOSTUNREACH in under a second; within 5 s of its return all of it works, without a remount."""
    standin = StandinThread(make_account(calls=20), credentials=CANARIES)
    port = int(standin.base_url.rpartition(":")[2])
    with make_bench(home, standin=standin) as bench:
        cached, cold = [bench.fresh() for _ in range(3)], [bench.fresh() for _ in range(3)]
        for target in cached:
            bench.succeeds(target)
        known = tree_of(bench.mount.path)
        standin.close()
        bench.fails(cold[0], errno.EHOSTUNREACH)
        until(lambda: bench.origin()["state"] == "offline", seconds=5)
        offline_is_quick(bench, known, cached, cold)
        time.sleep(2.5)  # past a probe
        offline_is_quick(bench, known, cached, cold)
        with StandinThread(standin.account, port=port, credentials=CANARIES) as again:
            came_at = time.monotonic()
            bench.standin = again
            for target in cold:
                bench.recovers(target)
            assert time.monotonic() - came_at < RETURN_SECONDS
            assert bench.origin()["v2"] == "online"
        bench.alive()


def test_a_mount_that_begins_offline(home: Path, make_bench: MakeBench):
    """Mounted without the service, after an earlier mount: the same names, the cached bytes, the rest refused."""
    standin = StandinThread(make_account(calls=20), credentials=CANARIES)
    try:
        with make_bench(home, standin=standin) as bench:
            cached, cold = [bench.fresh() for _ in range(3)], [bench.fresh() for _ in range(2)]
            for target in cached:
                bench.succeeds(target)
            known = tree_of(bench.mount.path)
        standin.close()
        for options in ((), ("--offline",)):
            with make_bench(home, *options, standin=standin) as bench:
                until(lambda b=bench, o=options: o or b.origin()["state"] == "offline", seconds=5)
                assert tree_of(bench.mount.path) == known
                for number in (target.number for target in cached):
                    bench.succeeds(bench.target(number))
                for number in (target.number for target in cold):
                    assert bench.fails(bench.target(number), errno.EHOSTUNREACH).slowest_seconds < KNOWN_SECONDS
                bench.alive()
    finally:
        standin.close()


def test_a_network_that_swallows_everything(home: Path, make_bench: MakeBench):
    """Connections that are never accepted: every call is answered within --timeout, cached reads and listings at once,
    and within 5 s of the network's return everything works."""
    standin = StandinThread(make_account(calls=20), credentials=CANARIES)
    port = int(standin.base_url.rpartition(":")[2])
    with make_bench(home, standin=standin) as bench:
        cached, cold = bench.fresh(), [bench.fresh() for _ in range(2)]
        bench.succeeds(cached)
        known = tree_of(bench.mount.path)
        standin.close()
        with socket.socket() as hole:
            hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            hole.bind(("127.0.0.1", port))
            hole.listen(0)
            plugs = []
            for _ in range(4):  # its queue is full: a new connection gets no answer at all
                plug = socket.socket()
                plug.setblocking(False)
                plug.connect_ex(("127.0.0.1", port))
                plugs.append(plug)
            for target in cold:
                bench.fails(target, errno.EHOSTUNREACH, errno.ETIMEDOUT)
                assert bench.succeeds(cached).slowest_seconds < 0.1 * NOISE
                assert tree_of(bench.mount.path) == known
            for plug in plugs:
                plug.close()
        with StandinThread(standin.account, port=port, credentials=CANARIES) as again:
            came_at = time.monotonic()
            bench.standin = again
            for target in cold:
                bench.recovers(target)
            assert time.monotonic() - came_at < RETURN_SECONDS
        bench.alive()


def is_refused(target: Target) -> bool:
    """A read of it fails."""
    try:
        Path(target.path).read_bytes()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_service_that_is_down_is_one_line(home: Path, make_bench: MakeBench, said: Said, is_gone: bool):
    """A dozen files of a service that is gone, or that fails each request, leave a line that it is down, with the
    reason, and at most three of calls; `cffs status` and `cffs prefetch` say it once."""
    with make_bench(home, account=make_account(calls=40)) as bench:
        targets = [bench.fresh() for _ in range(12)]
        if is_gone:
            bench.standin.close()
        else:
            bench.standin.faults.add("status", code=500)
        with ThreadPoolExecutor(len(targets)) as pool:
            assert all(pool.map(is_refused, targets))
        log = bench.mount.log().splitlines()
        (down,) = [line for line in log if "health changed" in line]
        assert f"to={'offline' if is_gone else 'degraded'} reason=" in down
        assert len([line for line in log if "WARNING" in line or "ERROR" in line]) <= (0 if is_gone else 3), log
        assert len(bench.mount.status()["last_errors"]) <= 3
        done = run(said, home, "prefetch", *(target.path for target in targets))
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if str(bench.mount.path) in line]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("cffs: 12 files: ")
