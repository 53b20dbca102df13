"""A mount with a stopwatch outside: faults for one recording, and what is seen.

It must not know which fault means what.
"""

import json
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import errorcode
from pathlib import Path

from cffs.standin.account import Account
from cffs.standin.request_log import RequestRecord
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, Mounted

#: `--timeout` of these mounts: the application's limit.
TIMEOUT_SECONDS = 4
#: A call that takes this long has hung: the daemon is killed, so that the test ends.
HUNG_SECONDS = 30
#: No passing fault is remembered longer (cffs/docs/semantics.md#errors), with what a busy machine needs for the next
#: read.
RECOVERY_SECONDS = 5 + 3
#: What a promise becomes on the busy machine of a test run: its time, so many times.
NOISE = 5
#: `--timeout` where a test is not about it: work that a busy machine does late is late, and not wrong.
PATIENT_SECONDS = 30
#: More than two requests of the reader's first size.
MP3_NBYTES, WAV_NBYTES = 1_400_000, 900_000
READ_NBYTES = 128 * 1024
STRIDE = 7


def make_account(*, calls: int = 90, seed: int = 23) -> Account:
    """Recordings of more than one request each, no two of one size."""
    account = Account(seed=seed, calls=calls, media=4, dynamic=2)
    for number, recording_id in enumerate(recordings(account)):
        account.resize_recording(recording_id, form="mp3", total_nbytes=MP3_NBYTES + number)
        account.resize_recording(recording_id, form="wav", total_nbytes=WAV_NBYTES + number)
    return account


def recordings(account: Account) -> list[int]:
    """The ids of all recordings, newest first."""
    return [number for call_id in account.call_ids() for number in account.recording_ids(call_id)]


@dataclass(frozen=True)
class Target:
    """One form of one recording: its place in the mount, the pattern of its requests, its present bytes."""

    number: int
    path: Path
    remote: str
    pattern: str
    """Of every path that the service gives these bytes by."""


@dataclass
class Outcome:
    """What an application met with one file: its bytes, the errno, its longest wait in one call."""

    data: bytes = b""
    errno: int | None = None
    slowest_seconds: float = 0.0
    total_seconds: float = 0.0

    def __str__(self) -> str:
        error = "no error" if self.errno is None else errorcode[self.errno]
        return f"{len(self.data)} bytes, {error}, slowest call {self.slowest_seconds:.2f} s"


@dataclass
class Bench:
    """A running mount and its service."""

    standin: StandinThread
    mount: Mounted
    timeout_seconds: float = TIMEOUT_SECONDS
    #: False where nothing can be listed yet.
    lists: bool = True
    _unused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # never two neighbours in a row: files read in the folder's order would have the next ones prefetched
        numbers = recordings(self.standin.account)
        self._unused = [number for first in range(STRIDE) for number in numbers[first::STRIDE]]
        if self.lists:
            known = os.listdir(self.mount.path / "recordings")  # known from here on: opening costs no lookup
            assert len(known) >= len(self._unused)

    def fresh(self, form: str = "mp3") -> Target:
        """A recording that no test has touched."""
        return self.target(self._unused.pop(), form)

    def target(self, number: int, form: str = "mp3") -> Target:
        """That recording."""
        call_id = self.standin.account.recording_row(number)["callId"]
        if form == "wav":
            remote = f"/cloud/1/files/recording/{number}"
            pattern = re.escape(remote) + "$"
        else:
            remote = f"/v2/calls/recordings/{number}.mp3"
            pattern = rf"{re.escape(remote)}$|/v2/calls/{call_id}/recordings/.*\.mp3$"
        return Target(number, self.mount.path / f"recordings/{number}.{form}", remote, pattern)

    def truth(self, target: Target) -> bytes:
        """The service's present bytes of it."""
        return self.standin.account.object_for(target.remote).read()

    # -- faults --

    def inject(self, target: Target, fault: str, **rule: object) -> int:
        """Have the fault hit the requests for that target's bytes."""
        return self.standin.faults.add(fault, path=target.pattern, **rule)

    def requests(self, target: Target) -> list[RequestRecord]:
        """The requests for that target's bytes."""
        return [record for record in self.standin.requests if re.search(target.pattern, record.path)]

    def hits(self, target: Target, fault: str) -> list[RequestRecord]:
        """Those of them that the fault really hit, by the service's own log; at least one."""
        hit = [record for record in self.requests(target) if fault in (record.fault or "").split("+")]
        assert hit, f"{fault} never fired"
        return hit

    def lies(self, record: RequestRecord, truth: bytes) -> bool:
        """True where what went over the wire was not what was asked for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", record.range or "")
        wanted = truth if match is None else truth[int(match[1]) : int(match[2]) + 1]
        return (record.body_nbytes, record.body_crc) != (len(wanted), zlib.crc32(wanted))

    # -- what an application does --

    def read(self, target: Target) -> Outcome:
        """Open, read all and close, each call timed; what came must be the beginning of the truth."""
        return self.read_path(target.path)

    def read_path(self, path: Path) -> Outcome:
        """Read any file to its end, as `read` does."""
        seen, began_at, descriptor = Outcome(), time.monotonic(), -1
        pieces = []
        with self.watched():
            try:
                descriptor = self.timed(seen, lambda: os.open(path, os.O_RDONLY))
                while piece := self.timed(seen, lambda: os.read(descriptor, READ_NBYTES)):
                    pieces.append(piece)
            except OSError as error:
                seen.errno = error.errno
            finally:
                if descriptor >= 0:
                    with suppress(OSError):  # of a dead mount
                        os.close(descriptor)
        seen.data, seen.total_seconds = b"".join(pieces), time.monotonic() - began_at
        return seen

    @staticmethod
    def timed(seen: Outcome, call: Callable[[], object]) -> object:
        """The call's result; its time counts whatever becomes of it."""
        began_at = time.monotonic()
        try:
            return call()
        finally:
            seen.slowest_seconds = max(seen.slowest_seconds, time.monotonic() - began_at)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A block that never ends kills the daemon: a hang fails its test and no other."""
        timer = threading.Timer(HUNG_SECONDS, os.kill, (self.mount.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    # -- what is promised --

    def fails(self, target: Target, *errnos: int) -> Outcome:
        """Reading ends in one of these errnos, in time, and every byte before it is right."""
        truth = self.truth(target)
        seen = self.read(target)
        assert seen.errno in errnos, str(seen)
        assert truth.startswith(seen.data), "bytes that are not the service's"
        assert seen.slowest_seconds <= self.timeout_seconds, str(seen)
        return seen

    def succeeds(self, target: Target) -> Outcome:
        """Reading gives every byte, in time."""
        seen = self.read(target)
        assert seen.errno is None, str(seen)
        assert seen.data == self.truth(target), "bytes that are not the service's"
        assert seen.slowest_seconds <= self.timeout_seconds, str(seen)
        assert os.stat(target.path).st_size == len(seen.data)
        return seen

    def recovers(self, target: Target) -> None:
        """With the faults gone a new open reads the whole, within 5 s (and the noise)."""
        self.standin.faults.clear()
        deadline = time.monotonic() + RECOVERY_SECONDS
        while (seen := self.read(target)).errno is not None:
            assert time.monotonic() < deadline, str(seen)
            time.sleep(0.1)
        assert seen.data == self.truth(target)

    def passing(self, target: Target, fault: str, **rule: object) -> None:
        """A fault in one answer is made good by another request, and no reader sees it."""
        self.inject(target, fault, times=1, **rule)
        truth = self.truth(target)
        self.succeeds(target)
        assert any(self.lies(record, truth) for record in self.hits(target, fault))
        self.standin.faults.clear()

    def standing(self, target: Target, fault: str, *errnos: int, is_a_lie: bool = True, **rule: object) -> Outcome:
        """A fault in every answer ends in the errno; with it gone everything is right."""
        self.inject(target, fault, **rule)
        truth = self.truth(target)
        seen = self.fails(target, *errnos)
        hits = self.hits(target, fault)
        assert not is_a_lie or any(self.lies(record, truth) for record in hits)
        self.recovers(target)
        return seen

    def alive(self) -> None:
        """The mount answers, waits for nothing and met no bug."""
        with self.watched():
            assert os.listdir(self.mount.path)
            deadline = time.monotonic() + self.timeout_seconds
            while json.loads((self.mount.path / ".cffs/inflight.json").read_bytes()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert self.mount.status()["bugs"] == 0

    def origin(self) -> dict[str, object]:
        """`origin` of status.json."""
        return self.mount.status()["origin"]


def pss_nbytes(pid: int) -> int:
    """The daemon's memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) * 1024


def until(found: Callable[[], object], *, seconds: float = 10.0) -> float:
    """Wait until `found()`; how long it took."""
    began_at = time.monotonic()
    while not found():
        assert time.monotonic() - began_at < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began_at


def is_gone(pid: int) -> bool:
    """True where the process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


__all__ = ["CANARIES", "Bench", "Outcome", "Target", "is_gone", "make_account", "pss_nbytes", "recordings", "until"]
