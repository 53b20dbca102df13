# ruff: noqa: T201, S311, TID251  # a script prints, waits, and its dice make a schedule that --seed repeats
"""Readers, listers, faults, evictions and remounts at random; what a mount holds must come back to where it was.

One mount lives from start to end and is measured at rest once a minute: memory, descriptors, tasks, inodes, lookups. A
second one with a cache of its own is unmounted or killed and mounted again all the time. Every byte read is compared.
`scripts/soak` calls it.
"""

import argparse
import errno
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cffs.standin.thread import StandinThread  # noqa: E402 - the checkout is found first
from tests.faults.bench import CANARIES, TIMEOUT_SECONDS, make_account, pss_nbytes, recordings  # noqa: E402
from tests.mount.mounting import account_variables, environment  # noqa: E402

READERS, LISTERS, CALLS = 6, 2, 40
#: Far less than there is to read, so that both caches evict all the time.
CACHES = ("--cache-size", "24M", "--memory-size", "16M", "--dir-ttl", "5")
ROUND_SECONDS, REST_SECONDS = 55.0, 5.0
#: What a plateau may differ from the first one; memory by the allocator's habits.
MORE_MEMORY_NBYTES, MORE_OF_ANYTHING = 15_000_000, 8
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(
        (name, {})
        for name in ("reset_before", "reset", "trunc", "trunc_nolen", "trunc_chunk", "cr_wrong", "cr_missing")
    ),
    *((name, {}) for name in ("long206", "html200", "gzip", "garbage", "bighead", "416", "redirect", "short_by_one")),
    *((name, {}) for name in ("full200", "nolen", "close", "no_etag", "weak_etag", "drip", "drip_head", "interim")),
    *((name, {}) for name in ("stall", "stall_head", "hang", "slow", "absent")),
    *(("status", {"code": code}) for code in (500, 502, 503, 403)),
    ("status", {"code": 429, "retry_after": 1}),
    ("status", {"code": 503, "retry_after": 1}),
)
#: What a reader may meet while faults are on.
EXPECTED = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ESTALE, errno.EACCES, errno.ENOENT}
#: And where its mount is being killed or unmounted.
ENDING = {errno.ENOTCONN, errno.ECONNABORTED, errno.EBADF}


@dataclass
class Tally:
    """What all threads saw. Each counter is touched under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    trouble: list[str] = field(default_factory=list)

    def add(self, name: str, number: int = 1) -> None:
        with self.lock:
            self.counts[name] += number

    def failed(self, error: OSError, *, ends: bool) -> None:
        with self.lock:
            self.errors[errno.errorcode.get(error.errno or 0, "?")] += 1
            if error.errno not in EXPECTED and not (ends and error.errno in ENDING):
                self.counts["unexpected"] += 1
                self.trouble.append(f"unexpected {error}")

    def took(self, seconds: float, what: object) -> None:
        with self.lock:
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            if seconds > TIMEOUT_SECONDS:
                self.counts["late"] += 1
                self.trouble.append(f"{seconds:.2f} s for {what}")


class Mount:
    """A mount of the service in a home of its own."""

    def __init__(self, home: Path, standin: StandinThread) -> None:
        self.home, self.path = home, home / "mnt"
        self.path.mkdir(parents=True)
        self._variables = {**account_variables(standin), "CFFS_TIMEOUT": str(TIMEOUT_SECONDS)}
        self.pid = 0

    def run(self, *arguments: object) -> int:
        command = [sys.executable, "-P", "-m", "cffs.cli", *map(str, arguments)]
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            env=environment(self.home, self._variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        return done.returncode

    def start(self) -> None:
        if self.run("mount", *CACHES, "--log-file", self.home / "log", self.path) != 0:
            raise RuntimeError("the mount did not come")
        self.pid = int(self.status()["pid"])

    def status(self) -> dict[str, Any]:
        import json

        found: dict[str, Any] = json.loads((self.path / ".cffs/status.json").read_bytes())
        return found

    def end(self, *, kill: bool) -> None:
        if kill:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        elif self.run("umount", self.path) != 0:
            self.run("umount", "--lazy", self.path)


class Soak:
    """The threads and what they share."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.account = make_account(calls=CALLS)
        self.standin = StandinThread(self.account, credentials=CANARIES, fault_seed=seed)
        self.tally, self.seed = Tally(), seed
        self.steady, self.restless = Mount(folder / "steady", self.standin), Mount(folder / "restless", self.standin)
        self.numbers = recordings(self.account)
        self.versions: dict[str, list[bytes]] = {}
        self.versions_lock = threading.Lock()
        self.over, self.resting = threading.Event(), threading.Event()
        self.idle: dict[str, bool] = {}

    # -- truth --

    def remote(self, name: str) -> str:
        stem, _, form = name.partition(".")
        return f"/cloud/1/files/recording/{stem}" if form == "wav" else f"/v2/calls/recordings/{name}"

    def truths(self, name: str) -> list[bytes]:
        """Every version that the file ever had."""
        with self.versions_lock:
            if name not in self.versions:
                self.versions[name] = [self.account.object_for(self.remote(name)).read()]  # type: ignore[union-attr]
            return list(self.versions[name])

    def replace(self, number: int) -> None:
        names = [f"{number}.mp3", f"{number}.wav"]
        for name in names:
            self.truths(name)
        with self.versions_lock:
            self.account.replace_object(self.remote(names[0]))
            for name in names:
                self.versions[name].append(self.account.object_for(self.remote(name)).read())  # type: ignore[union-attr]
        self.tally.add("replaced")

    # -- threads --

    def thread(self, name: str, step: Callable[[random.Random], None]) -> threading.Thread:
        dice = random.Random(f"{self.seed}/{name}")

        def run() -> None:
            while not self.over.is_set():
                if self.resting.is_set():
                    self.idle[name] = True
                    time.sleep(0.05)
                    continue
                self.idle[name] = False
                try:
                    step(dice)
                except OSError as error:
                    self.tally.failed(error, ends=True)
                except Exception:
                    self.tally.add("unexpected")
                    self.tally.trouble.append(traceback.format_exc())
            self.idle[name] = True

        return threading.Thread(target=run, name=name, daemon=True)

    def read(self, dice: random.Random) -> None:
        mount = dice.choice([self.steady, self.steady, self.restless])
        name = f"{dice.choice(self.numbers)}.{dice.choice(['mp3', 'wav'])}"
        truths = self.truths(name)
        whole, pieces, position = dice.random() < 0.6, list[tuple[int, bytes]](), 0
        descriptor = -1
        try:
            descriptor = self.timed(name, lambda: os.open(mount.path / "recordings" / name, os.O_RDONLY))
            total = os.fstat(descriptor).st_size
            while whole or len(pieces) < 5:
                offset = position if whole else dice.randrange(total)
                nbytes = dice.choice([4096, 65_536, 131_072])
                piece = self.timed(name, lambda o=offset, n=nbytes: os.pread(descriptor, n, o))
                pieces.append((offset, piece))
                position = offset + len(piece)
                if not piece:  # fewer than asked is no end: where a page fails, the kernel gives those before it first
                    break
        except OSError as error:
            self.tally.failed(error, ends=mount is self.restless)
        else:
            if position < total and whole:
                self.tally.add("wrong")
                self.tally.trouble.append(f"{name}: a short file, {position} of {total}")
        finally:
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        truths = self.truths(name)
        if pieces and not any(all(t[o : o + len(p)] == p for o, p in pieces) for t in truths):
            self.tally.add("wrong")
            self.tally.trouble.append(f"{name}: wrong bytes")
        self.tally.add("reads", len(pieces))
        self.tally.add("bytes", sum(len(piece) for _offset, piece in pieces))

    def timed(self, what: object, call: Callable[[], Any]) -> Any:
        began_at = time.monotonic()
        try:
            return call()
        finally:
            self.tally.took(time.monotonic() - began_at, what)

    def list_(self, dice: random.Random) -> None:
        mount = dice.choice([self.steady, self.restless])
        folder = mount.path / dice.choice(["", "campaigns", "recordings", "calls", "media", "dynamic", "me", ".cffs"])
        for _ in range(3):
            entries = self.timed(folder, lambda f=folder: list(os.scandir(f)))
            self.tally.add("listings")
            for entry in dice.sample(entries, min(5, len(entries))):
                self.timed(entry.path, lambda e=entry: e.stat())
            folders = [entry for entry in entries if entry.is_dir()]
            if not folders:
                break
            folder = Path(dice.choice(folders).path)
        time.sleep(dice.random() * 0.1)

    def misbehave(self, dice: random.Random) -> None:
        rules = []
        for _ in range(dice.randrange(1, 4)):
            fault, options = dice.choice(FAULTS)
            number = dice.choice(self.numbers)
            path = dice.choice([rf"{number}", rf"{number}", r"/recording", r"/v2/calls", r"/v2/media|broadcasts"])
            chance = dice.choice([0.05, 0.3, 1.0]) if path == str(number) else 0.05
            rules.append(self.standin.faults.add(fault, path=path, probability=chance, **options))
        if dice.random() < 0.1:
            self.replace(dice.choice(self.numbers[:5]))
        self.standin.link.latency_seconds = dice.choice([0, 0, 0.01, 0.1])
        time.sleep(dice.random() * 2)
        for rule in rules:
            self.tally.add("faults", self.standin.faults.fired(rule))
            self.standin.faults.remove(rule)

    def remount(self, dice: random.Random) -> None:
        for _ in range(int(dice.uniform(3, 8) * 10)):
            if self.over.is_set() or self.resting.is_set():
                return
            time.sleep(0.1)
        self.restless.end(kill=dice.random() < 0.5)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.restless.start()
                break
            except (RuntimeError, OSError, ValueError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.tally.add("remounts")

    # -- rest --

    def at_rest(self) -> dict[str, float]:
        """What the steady mount holds with nobody asking and nothing known to the kernel."""
        self.resting.set()
        deadline = time.monotonic() + 40
        while not all(self.idle.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.standin.faults.clear()
        self.standin.link.latency_seconds = 0
        time.sleep(REST_SECONDS)
        if os.geteuid() == 0:
            Path("/proc/sys/vm/drop_caches").write_text("2")  # FORGETs: of the whole machine's names, hence rarely
            time.sleep(1)
        pid = self.steady.pid
        status = self.steady.status()
        self.resting.clear()
        return {
            "pss": pss_nbytes(pid),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            **status["held"],
            "open": status["open_files"],
            "bugs": status["bugs"],
        }


def main() -> int:
    """0 where nothing was wrong, late or left over."""
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="cffs-soak-"))
    soak = Soak(folder, arguments.seed)
    ends_at = time.monotonic() + arguments.minutes * 60
    rows: list[dict[str, float]] = []
    try:
        soak.steady.start()
        soak.restless.start()
        threads = [soak.thread(f"reader {number}", soak.read) for number in range(READERS)]
        threads += [soak.thread(f"lister {number}", soak.list_) for number in range(LISTERS)]
        threads += [soak.thread("faults", soak.misbehave), soak.thread("remounts", soak.remount)]
        for thread in threads:
            thread.start()
        print(f"{'minute':>6}{'reads':>9}{'faults':>8}{'wrong':>6}{'late':>5}{'Pss MB':>8}{'fds':>5}{'thr':>4}", end="")
        print(f"{'tasks':>6}{'inodes':>7}{'lookups':>8}{'open':>5}{'bugs':>5}", flush=True)
        while time.monotonic() < ends_at or not rows:
            time.sleep(max(0.0, min(ROUND_SECONDS, ends_at - time.monotonic())))
            row, counts = soak.at_rest(), soak.tally.counts
            rows.append(row)
            minute = arguments.minutes - (ends_at - time.monotonic()) / 60
            print(f"{minute:6.1f}{counts['reads']:9}{counts['faults']:8}{counts['wrong']:6}{counts['late']:5}", end="")
            print(f"{row['pss'] / 1e6:8.1f}{row['descriptors']:5}{row['threads']:4}{row['tasks']:6}", end="")
            print(f"{row['inodes']:7}{row['lookups']:8}{row['open']:5}{row['bugs']:5}", flush=True)
        soak.over.set()
        for thread in threads:
            thread.join(60)
    finally:
        soak.over.set()
        for mount in (soak.steady, soak.restless):
            with suppress(OSError, subprocess.TimeoutExpired):
                mount.end(kill=False)
        soak.standin.close()
    verdict = judged(soak, rows)
    if not verdict:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print("left in", folder)
    return 1 if verdict else 0


def judged(soak: Soak, rows: list[dict[str, float]]) -> list[str]:
    """Prints the sums; what was not as promised."""
    counts, tally = soak.tally.counts, soak.tally
    print(f"{counts['reads']} reads of {counts['bytes'] / 1e6:.0f} MB, {counts['listings']} listings,", end=" ")
    print(f"{counts['faults']} faults, {counts['replaced']} replaced, {counts['remounts']} remounts;", end=" ")
    print(f"slowest call {tally.slowest_seconds:.2f} s of {TIMEOUT_SECONDS}; errors {dict(tally.errors)}")
    found = [f"{name}: {counts[name]}" for name in ("wrong", "late", "unexpected") if counts[name]]
    first, last = rows[0], rows[-1]
    if last["bugs"]:
        found.append(f"bugs: {last['bugs']}")
    ends = statistics.median(row["pss"] for row in rows[-3:])
    if ends - first["pss"] > MORE_MEMORY_NBYTES:
        found.append(f"memory grew from {first['pss'] / 1e6:.1f} to {ends / 1e6:.1f} MB")
    for name in ("descriptors", "threads", "tasks", "inodes", "lookups", "open"):
        if last[name] - first[name] > MORE_OF_ANYTHING:
            found.append(f"{name} grew from {first[name]} to {last[name]}")
    for line in tally.trouble[:20]:
        print("  ", line)
    print(
        "FAILED: " + ", ".join(found) if found else "passed: no wrong byte, no late call, everything back to baseline"
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
