"""Faults of time, ends and people: clocks, signals, kills, mapped files."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.faults.bench import (
    CANARIES,
    MP3_NBYTES,
    NOISE,
    PATIENT_SECONDS,
    Bench,
    is_gone,
    make_account,
    recordings,
    until,
)
from tests.faults.conftest import MakeBench, with_shim
from tests.mount.mounting import Mounted, Said, account_variables, run

TEN_YEARS_SECONDS = 10 * 365 * 86_400
#: The mount ends within 2 s (cffs/docs/semantics.md#ends).
END_SECONDS = 2.0
CGROUP = Path("/sys/fs/cgroup/memory")
MAPPED = """
import mmap, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
view = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
assert view[:10]
print("mapped", flush=True)
sys.stdin.readline()
view[1_300_000]
"""


def start_mount(said: Said, home: Path, standin: StandinThread) -> Bench:
    """A mount that a test ends in its own way."""
    path = home / "mnt"
    path.mkdir(exist_ok=True)
    told = {**account_variables(standin), "CFFS_TIMEOUT": str(PATIENT_SECONDS)}
    assert run(said, home, "mount", "--log-file", home / "log", path, **told).returncode == 0
    pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
    return Bench(standin, Mounted(path, home, pid), PATIENT_SECONDS)


@pytest.fixture
def standin():
    """A service that outlives its mounts."""
    with StandinThread(make_account(calls=20), credentials=CANARIES) as running:
        yield running


def test_clock_jump(home: Path, make_bench: MakeBench):
    """The wall clock jumps ten years ahead, back, and twenty years down: everything is listed and read at once, a new
    call is seen, and a hold named by a date is clamped."""
    variables, shim = with_shim(home)
    with make_bench(home, "--dir-ttl", "1", **variables) as bench:
        account = bench.standin.account
        bench.succeeds(bench.fresh())
        for ahead in (TEN_YEARS_SECONDS, 0, -TEN_YEARS_SECONDS, TEN_YEARS_SECONDS):
            (shim / "clock").write_text(str(ahead))
            began_at = time.monotonic()
            for folder in ("campaigns", "recordings", "media", "calls"):
                assert os.listdir(bench.mount.path / folder)
            bench.succeeds(bench.fresh())
            number = account.add_recording(account.add_call(), mp3_nbytes=100_000)
            bench.succeeds(bench.target(number))
            assert time.monotonic() - began_at < 2 * NOISE

            def is_listed(name: str = f"{number}.mp3") -> bool:
                return name in os.listdir(bench.mount.path / "recordings")

            until(is_listed, seconds=3 * NOISE)  # a listing is fresh for a second, whatever the wall clock says
            assert os.stat(bench.target(number).path).st_mtime > 0
        (shim / "clock").write_text(str(-TEN_YEARS_SECONDS))
        target = bench.fresh()
        bench.inject(target, "status", code=429, retry_after="Fri, 01 Jan 2100 00:00:00 GMT", times=1)
        bench.fails(target, errno.EIO)
        bench.hits(target, "status")
        assert 0 < bench.origin()["held_until"] <= 60
        bench.alive()


def test_signals_with_open_files(home: Path, said: Said, standin: StandinThread):
    """SIGTERM, SIGINT and a lazy unmount with a file open and a reader blocked: the reader ends in error, the daemon
    with status 0 (its log says so), the mount point is free, within 2 s."""
    for number in (signal.SIGTERM, signal.SIGINT, None):
        bench = start_mount(said, home, standin)
        target = bench.fresh()
        bench.inject(target, "hang")
        with open(bench.fresh().path, "rb", buffering=0) as idle:
            assert idle.read(10)
            outcomes: list[object] = []
            reader = threading.Thread(target=lambda outcomes=outcomes, b=bench, t=target: outcomes.append(b.read(t)))
            reader.start()
            until(lambda t=target, b=bench: b.requests(t))
            bench.hits(target, "hang")
            began_at = time.monotonic()
            if number is None:
                assert run(said, home, "umount", "--lazy", bench.mount.path).returncode == 0
            else:
                os.kill(bench.mount.pid, number)
            until(
                lambda b=bench: is_gone(b.mount.pid) and not os.path.ismount(b.mount.path), seconds=END_SECONDS * NOISE
            )
            reader.join(END_SECONDS * NOISE)
            assert time.monotonic() - began_at < END_SECONDS * NOISE < bench.timeout_seconds / 2
            assert outcomes[0].errno is not None
            with suppress(OSError):
                idle.read(10)
            with suppress(OSError):
                idle.close()
        standin.faults.clear()
        assert "unmounted mountpoint" in bench.mount.log()
        assert "Traceback" not in bench.mount.log()


def test_unmount_while_busy(bench: Bench, said: Said):
    """`cffs umount` with a file open is refused, names the process that holds it, and the mount serves on."""
    target = bench.fresh()
    with target.path.open("rb") as file:
        assert file.read(10)
        done = run(said, bench.mount.home, "umount", bench.mount.path)
        assert done.returncode == 1
        assert str(os.getpid()) in done.stderr
        assert file.read(10)
    bench.succeeds(target)


def test_kill_9(home: Path, make_bench: MakeBench, said: Said, standin: StandinThread):
    """Killed at any moment of listing and reading: ENOTCONN at once for all, the next mount clears the dead mount point
    and says so in one line, the catalogue is whole, and no cached byte is asked for again."""
    for delay in (0.02, 0.2):
        bench = start_mount(said, home, standin)
        cached = bench.target(recordings(standin.account)[0])
        bench.succeeds(cached)
        until(lambda b=bench: b.mount.status()["cache"]["disk_bytes"] >= MP3_NBYTES)  # a slow disk is written later
        walk = subprocess.Popen(
            ["sh", "-c", f"ls -lR {bench.mount.path}; cat {bench.mount.path}/recordings/*.mp3"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay)
        os.kill(bench.mount.pid, signal.SIGKILL)
        began_at = time.monotonic()
        until(lambda b=bench: is_gone(b.mount.pid))
        with pytest.raises(OSError) as raised:
            os.listdir(bench.mount.path)
        assert raised.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        walk.wait(END_SECONDS * NOISE)
        assert time.monotonic() - began_at < END_SECONDS * NOISE < bench.timeout_seconds / 2
        for catalog in home.glob("state/cffs/**/catalog.sqlite"):
            with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with make_bench(home, standin=standin) as again:
            (line,) = [text for text in said.outputs if "dead mount" in text][-1].splitlines()
            assert str(bench.mount.path) in line
            standin.log.clear()
            again.succeeds(cached)
            # a size learned in the last seconds may have to be asked for again, its bytes not
            assert all(record.body_nbytes <= 1 for record in again.requests(cached))
            for number in recordings(standin.account)[:5]:
                again.succeeds(again.target(number))
            again.alive()


def test_out_of_memory(home: Path, make_bench: MakeBench, said: Said, standin: StandinThread):
    """Killed by the kernel for its memory (a cgroup where there is one, else by us): the next mount works, with the
    cached bytes."""
    bench = start_mount(said, home, standin)
    cached = bench.fresh()
    bench.succeeds(cached)
    group = CGROUP / f"cffs-test-{os.getpid()}"
    try:
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(bench.mount.pid))
            (group / "memory.move_charge_at_immigrate").write_text("3")
            (group / "memory.limit_in_bytes").write_text("3M")
        except OSError:
            os.kill(bench.mount.pid, signal.SIGKILL)
        for _ in range(10):
            if is_gone(bench.mount.pid) or bench.read(bench.fresh()).errno is not None:
                break
        until(lambda: is_gone(bench.mount.pid))
    finally:
        with suppress(OSError):
            group.rmdir()
    with make_bench(home, standin=standin) as again:
        again.succeeds(cached)
        for _ in range(3):
            again.succeeds(again.fresh())


def test_signal_on_a_blocked_read(bench: Bench):
    """A program that waits for a stalled file is gone within --timeout of SIGINT, SIGTERM or SIGKILL, and the mount
    lives on."""
    readers = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        target = bench.fresh()
        bench.inject(target, "stall", at=1000)
        readers.append(
            (subprocess.Popen(["cat", target.path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), number)
        )
        until(lambda target=target: bench.requests(target))
        bench.hits(target, "stall")
    began_at = time.monotonic()
    for reader, number in readers:
        reader.send_signal(number)
    for reader, _number in readers:
        assert reader.wait(bench.timeout_seconds) != 0
    assert time.monotonic() - began_at < bench.timeout_seconds
    bench.alive()


def test_mmap_under_a_stall(bench: Bench):
    """A mapped page that cannot be had is SIGBUS within --timeout (documented: read gives an errno there), and a new
    reader has it once the service answers."""
    target = bench.fresh()
    # the kernel reads a megabyte around the first page: its answer stalls late, every later one at once
    bench.inject(target, "stall", at=700_000)
    bench.inject(target, "stall", at=0, min_offset=1)
    child = subprocess.Popen(
        [sys.executable, "-c", MAPPED, target.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout.readline() == "mapped\n"
        began_at = time.monotonic()
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.wait(bench.timeout_seconds * NOISE) == -signal.SIGBUS
        assert time.monotonic() - began_at <= bench.timeout_seconds
    bench.hits(target, "stall")
    bench.recovers(target)
