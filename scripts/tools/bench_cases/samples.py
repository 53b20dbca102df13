"""One measurement: time, requests, bytes, memory; kept raw, as JSON.

It must not know what is compared with what.
"""

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench_cases.programs import NEWEST, ROOT, Mounted
from bench_cases.site import Site

#: How often memory is read: each time costs the daemon about a millisecond.
_LOOK_SECONDS = 0.2
#: What a server needs to note a request that was just given up.
_SETTLE_SECONDS = 0.1


@dataclass(slots=True)
class Sample:
    """One run of one program in one row. `nbytes` were read; the server sent `sent_nbytes` in `requests`; the mount's
    daemon used `cpu_seconds` and had at most `pss_nbytes` of memory."""

    row: str
    program: str
    seconds: float = 0.0
    nbytes: int = 0
    requests: float = 0
    sent_nbytes: int = 0
    cpu_seconds: float = 0.0
    pss_nbytes: int = 0
    round: int = 0


@dataclass(slots=True)
class Samples:
    """All samples of a run, in the order they were taken."""

    about: dict[str, Any] = field(default_factory=dict)
    taken: list[Sample] = field(default_factory=list)

    def of(self, row: str, program: str) -> list[Sample]:
        """The samples of one program in one row."""
        return [sample for sample in self.taken if (sample.row, sample.program) == (row, program)]

    def seconds(self, row: str, program: str) -> float | None:
        """The median time; None where it was not measured."""
        return _median(sample.seconds for sample in self.of(row, program))

    def rate(self, row: str, program: str) -> float | None:
        """The median of bytes a second."""
        return _median(sample.nbytes / sample.seconds for sample in self.of(row, program))

    def requests(self, row: str, program: str) -> float | None:
        """The worst count of requests."""
        return max((sample.requests for sample in self.of(row, program)), default=None)

    def write(self, path: Path) -> None:
        """Write the samples."""
        rows = ",\n".join(json.dumps(asdict(sample)) for sample in self.taken)
        path.write_text(f'{{"about": {json.dumps(self.about, indent=1)},\n"samples": [\n{rows}\n]}}\n')

    @classmethod
    def read(cls, path: Path) -> "Samples":
        """Read what `write` wrote."""
        kept = json.loads(path.read_text())
        return cls(kept["about"], [Sample(**row) for row in kept["samples"]])


def about(rounds: int) -> dict[str, Any]:
    """The circumstances of the figures: commit, machine, versions, date."""
    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?: unknown")
    memory = next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", ROOT, "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=12"),
        "machine": {
            "cpu": cpu.partition(":")[2].strip(),
            "cores": sum(line.startswith("processor") for line in _lines("/proc/cpuinfo")),
            "memory_gib": round(int(memory.split()[1]) / 2**20),
            "kernel": platform.release(),
            "load_before": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("pyfuse3", "trio", "httpx", "h11")},
            "nginx": _said("/usr/sbin/nginx", "-v").rpartition("/")[2],
            "rclone": _said("rclone", "version").partition("\n")[0].removeprefix("rclone v"),
            "newest_rclone": _said(NEWEST / "rclone", "version").partition("\n")[0].removeprefix("rclone v"),
            "juicefs": _said(NEWEST / "juicefs", "version").removeprefix("juicefs version ").partition("+")[0],
            "httpdirfs": _said("dpkg-query", "-W", "-f", "${Version}", "httpdirfs"),
            "curl": _said("curl", "--version").split()[1],
        },
        "rounds": rounds,
    }


@contextmanager
def measuring(sample: Sample, site: Site, mount: Mounted | None = None) -> Iterator[Sample]:
    """Fill in the sample: the block's time, what the server answered, and the daemon's memory."""
    position = site.log_position()
    is_over = threading.Event()
    looker = threading.Thread(target=_look, args=(sample, mount, is_over))
    looker.start()
    used_seconds = mount.cpu_seconds() if mount is not None else 0.0
    began = time.perf_counter()
    try:
        yield sample
        sample.seconds = time.perf_counter() - began
        sample.cpu_seconds = round(mount.cpu_seconds() - used_seconds, 2) if mount is not None else 0.0
    finally:
        is_over.set()
        looker.join()
    time.sleep(_SETTLE_SECONDS)  # noqa: TID251  # no loop to block
    sample.requests, sample.sent_nbytes = site.answered_since(position)


def _look(sample: Sample, mount: Mounted | None, is_over: threading.Event) -> None:
    while mount is not None:
        ending = is_over.wait(_LOOK_SECONDS)
        sample.pss_nbytes = max(sample.pss_nbytes, mount.pss_nbytes())
        if ending:
            return


def _median(values: Iterable[float]) -> float | None:
    listed = list(values)
    return median(listed) if listed else None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _said(*command: object) -> str:
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=10)
    except OSError:
        return "?"
    return (done.stdout or done.stderr).strip() or "?"
