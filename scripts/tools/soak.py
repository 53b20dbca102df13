# ruff: noqa: T201, S311, TID251  # a script prints, waits, and its dice make a schedule that --seed repeats
"""Soak test: readers, writers, faults and remounts at random for minutes.

What a mount holds must come back to its baseline. There are three mounts, each with a cache of its own. One has small
caches, lives from start to end and is measured at rest once a minute: memory, descriptors, tasks, inodes, lookups. One
is unmounted or killed and mounted again all the time. One has the default memory, so that recordings of up to 60 MB
reach its buffer pool, and takes uploads. Every byte read is compared, and so is every upload that its `close` reported
as done.
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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cffs.standin import faults  # noqa: E402 - the checkout is found first
from cffs.standin.objects import StandinObject  # noqa: E402
from cffs.standin.thread import StandinThread  # noqa: E402
from tests.faults.bench import CANARIES, TIMEOUT_SECONDS, make_account, pss_nbytes, recordings  # noqa: E402
from tests.mount.mounting import account_variables, environment  # noqa: E402

READERS, LISTERS, CALLS = 6, 2, 40
#: Readers of large recordings, how many of those there are, and how large: the buffer pool begins at 32 MiB of memory.
LARGE_READERS, LARGE_RECORDINGS, LARGE_NBYTES = 2, 4, (20_000_000, 60_000_000)
#: A slice of a large file: on the slower of a shared machine's cores a file of 60 MB read whole takes too long.
MOST_OF_LARGE_NBYTES = 24_000_000
#: One call of a program, however many READs the kernel makes of it.
READ_NBYTES, LARGE_READ_NBYTES = (4096, 65_536, 131_072), (4096, 131_072, 1 << 20)
UPLOAD_NBYTES = (20_000, 400_000)
#: Far less than there is to read, so that both caches evict all the time.
SMALL_CACHES = ("--cache-size", "24M", "--memory-size", "16M", "--dir-ttl", "5")
#: The default memory, and a disk cache that holds some of the large recordings and not all.
DEFAULT_MEMORY = ("--cache-size", "150M", "--dir-ttl", "5", "--writable")
ROUND_SECONDS, REST_SECONDS = 55.0, 5.0
#: How far a plateau may differ from the first one; memory varies by the allocator's habits.
MORE_MEMORY_NBYTES, MORE_OF_ANYTHING = 15_000_000, 8
#: Faults that no client can notice, or that need a function of the test that uses them.
NOT_DRAWN = {
    "shift": "the head is right and the bytes are others: no client can tell",
    "body": "its default is an empty body of the right kind; `html200` and `garbage` are bodies that are wrong",
    "rows": "it bends JSON by a function that its test gives",
    "replace": "the soak replaces recordings itself, so that it knows every version",
    "other_machine": "its test names the objects that the machines have",
    "codec": "it serves a WAV that the soak does not know",
    "bomb": "200 MB of processor a time would be the whole soak",
}
#: Options of a fault; every other fault of the stand-in is drawn with its defaults.
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "status": (
        *({"code": code} for code in (500, 502, 503, 403, 405)),
        {"code": 429, "retry_after": 1},
        {"code": 503, "retry_after": 1},
    ),
    "refuse": ({"code": 400}, {"code": 413}, {"code": 500}),
}
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = tuple(
    (name, options) for name in faults.NAMES if name not in NOT_DRAWN for options in OPTIONS.get(name, ({},))
)
#: Errors that a reader may meet while faults are on.
EXPECTED = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ESTALE, errno.EACCES, errno.ENOENT}
#: Errors that an uploader may meet.
REFUSED = {errno.EINVAL, errno.EFBIG, errno.EEXIST}
#: Errors where the mount is being killed or unmounted.
ENDING = {errno.ENOTCONN, errno.ECONNABORTED, errno.EBADF}


@dataclass
class Tally:
    """The counters of all threads, each touched under the lock."""

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

    def __init__(self, home: Path, standin: StandinThread, *options: str) -> None:
        self.home, self.path, self._options = home, home / "mnt", options
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
        if self.run("mount", *self._options, "--log-file", self.home / "log", self.path) != 0:
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
    """The threads and their shared state."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.account = make_account(calls=CALLS)
        self.standin = StandinThread(self.account, credentials=CANARIES, fault_seed=seed)
        self.tally, self.seed = Tally(), seed
        self.steady = Mount(folder / "steady", self.standin, *SMALL_CACHES)
        self.restless = Mount(folder / "restless", self.standin, *SMALL_CACHES)
        self.spacious = Mount(folder / "spacious", self.standin, *DEFAULT_MEMORY)
        numbers = recordings(self.account)
        self.large, self.numbers = numbers[:LARGE_RECORDINGS], numbers[LARGE_RECORDINGS:]
        dice = random.Random(f"{seed}/sizes")
        for number in self.large:
            for form in ("mp3", "wav"):
                self.account.resize_recording(number, form=form, total_nbytes=dice.randrange(*LARGE_NBYTES))
        self.versions: dict[str, list[StandinObject]] = {}
        self.versions_lock = threading.Lock()
        self.over, self.resting = threading.Event(), threading.Event()
        self.idle: dict[str, bool] = {}
        #: How often each fault hit; only the thread of faults writes it.
        self.fired: Counter[str] = Counter()

    # -- truth --

    def remote(self, name: str) -> str:
        stem, _, form = name.partition(".")
        return f"/cloud/1/files/recording/{stem}" if form == "wav" else f"/v2/calls/recordings/{name}"

    def truths(self, name: str) -> list[StandinObject]:
        """Every version that the file ever had."""
        with self.versions_lock:
            if name not in self.versions:
                self.versions[name] = [self.now(name)]
            return list(self.versions[name])

    def now(self, name: str) -> StandinObject:
        found = self.account.object_for(self.remote(name))
        if found is None:
            raise RuntimeError(f"the stand-in has no {name}")
        return found

    def replace(self, number: int) -> None:
        names = [f"{number}.mp3", f"{number}.wav"]
        for name in names:
            self.truths(name)
        with self.versions_lock:
            self.account.replace_object(self.remote(names[0]))
            for name in names:
                self.versions[name].append(self.now(name))
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
        self.read_one(dice, mount, dice.choice(self.numbers), READ_NBYTES, limit_nbytes=1 << 40)

    def read_large(self, dice: random.Random) -> None:
        self.read_one(dice, self.spacious, dice.choice(self.large), LARGE_READ_NBYTES, MOST_OF_LARGE_NBYTES)

    def read_one(
        self, dice: random.Random, mount: Mount, number: int, sizes: tuple[int, ...], limit_nbytes: int
    ) -> None:
        name = f"{number}.{dice.choice(['mp3', 'wav'])}"
        self.truths(name)
        whole, pieces, position = dice.random() < 0.6, list[tuple[int, bytes]](), 0
        descriptor = -1
        try:
            descriptor = self.timed(name, lambda: os.open(mount.path / "recordings" / name, os.O_RDONLY))
            total = os.fstat(descriptor).st_size
            while position < limit_nbytes if whole else len(pieces) < 5:
                offset = position if whole else dice.randrange(total)
                nbytes = dice.choice(sizes)
                piece = self.timed(name, lambda o=offset, n=nbytes: os.pread(descriptor, n, o))
                pieces.append((offset, piece))
                position = offset + len(piece)
                if not piece:  # a short read is no end: where a page fails, the kernel returns those before it first
                    break
        except OSError as error:
            self.tally.failed(error, ends=mount is self.restless)
        else:
            if position < min(total, limit_nbytes) and whole:
                self.tally.add("wrong")
                self.tally.trouble.append(f"{name}: a short file, {position} of {total}")
        finally:
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        if pieces and not any(all(t.read(o, len(p)) == p for o, p in pieces) for t in self.truths(name)):
            self.tally.add("wrong")
            self.tally.trouble.append(f"{name}: wrong bytes")
        self.tally.add("reads", len(pieces))
        self.tally.add("bytes", sum(len(piece) for _offset, piece in pieces))

    def upload(self, dice: random.Random) -> None:
        """A WAV written into media/: once its close reports success, the service has exactly these bytes, once."""
        stem, data = f"soak-{dice.getrandbits(48):012x}", self.now(f"{dice.choice(self.numbers)}.wav")
        written = data.read(0, dice.randrange(*UPLOAD_NBYTES))
        try:
            # close waits for the service: it has no deadline of --timeout
            (self.spacious.path / "media" / f"{stem}.wav").write_bytes(written)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            self.tally.add("refused")
        else:
            media = [self.account.media.media_object(number) for number in self.account.media.media_ids()]
            found = sum(one is not None and one.total_nbytes == len(written) and one.read() == written for one in media)
            if found != 1:
                self.tally.add("wrong")
                self.tally.trouble.append(f"{stem}: the service has {found} of an upload that was reported as done")
            self.tally.add("uploads")
        time.sleep(dice.random())

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
        rules = list[tuple[str, int]]()
        for _ in range(dice.randrange(2, 6)):
            fault, options = dice.choice(FAULTS)
            number = dice.choice([dice.choice(self.numbers), dice.choice(self.large)])
            path = dice.choice([str(number), str(number), r"/recording", r"/v2/calls", r"/v2/media|broadcasts"])
            if fault in faults.REQUEST_FAULTS:
                path = r"/v2/media"
            chance = dice.choice([0.05, 0.3, 1.0]) if path == str(number) else dice.choice([0.05, 0.2])
            rules.append((fault, self.standin.faults.add(fault, path=path, probability=chance, **options)))
        if dice.random() < 0.1:
            self.replace(dice.choice(self.numbers[:5]))
        self.standin.link.latency_seconds = dice.choice([0, 0, 0.01, 0.1])
        time.sleep(dice.random() * 2)
        for fault, rule in rules:
            fired = self.standin.faults.fired(rule)
            self.tally.add("faults", fired)
            self.fired[fault] += fired
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
        """What the steady mount holds while no program uses it and the kernel knows nothing of it."""
        self.resting.set()
        deadline = time.monotonic() + 40
        while not all(self.idle.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.standin.faults.clear()
        self.standin.link.latency_seconds = 0
        time.sleep(REST_SECONDS)
        if os.geteuid() == 0:
            # this sends FORGETs for the names of the whole machine, hence rarely
            Path("/proc/sys/vm/drop_caches").write_text("2")
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
    """The exit status: 0 where nothing was wrong, late or left over."""
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
        soak.spacious.start()
        threads = [soak.thread(f"reader {number}", soak.read) for number in range(READERS)]
        threads += [soak.thread(f"lister {number}", soak.list_) for number in range(LISTERS)]
        threads += [soak.thread(f"large reader {number}", soak.read_large) for number in range(LARGE_READERS)]
        threads += [soak.thread("uploads", soak.upload), soak.thread("remounts", soak.remount)]
        threads += [soak.thread("faults", soak.misbehave)]
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
        for mount in (soak.steady, soak.restless, soak.spacious):
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
    """Print the sums, and return what was not as promised."""
    counts, tally = soak.tally.counts, soak.tally
    print(f"{counts['reads']} reads of {counts['bytes'] / 1e6:.0f} MB, {counts['listings']} listings,", end=" ")
    print(f"{counts['faults']} faults, {counts['replaced']} replaced, {counts['remounts']} remounts,", end=" ")
    print(f"{counts['uploads']} uploads, {counts['refused']} refused;", end=" ")
    print(f"slowest call {tally.slowest_seconds:.2f} s of {TIMEOUT_SECONDS}; errors {dict(tally.errors)}")
    silent = sorted({name for name, _options in FAULTS} - set(+soak.fired))
    print(f"faults that never hit a request: {', '.join(silent) or 'none'}")
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
