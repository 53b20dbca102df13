"""A real mount in a process of its own, unmounted whatever happens.

It must not know what a test asserts. Credentials are canaries; what a mount prints is kept for the session's search.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cffs.standin.thread import StandinThread
from tests.canary import CANARIES, RIGHT_ORIGIN, SAID

ROOT = Path(__file__).resolve().parents[2]
#: A call that takes longer than this hangs, and the watchdog ends it.
WATCHDOG_SECONDS = 60
#: Long enough to be interrupted often by other processes.
CONTENTION_SECONDS = 0.2


@dataclass
class Said:
    """Everything that mounts of the session printed, searched for canaries at its end."""

    outputs: list[str] = field(default_factory=lambda: SAID)


@dataclass(frozen=True)
class Mounted:
    """A running mount."""

    path: Path
    home: Path
    pid: int

    def status(self) -> dict[str, object]:
        """The present content of .cffs/status.json."""
        return json.loads((self.path / ".cffs/status.json").read_bytes())

    def log(self) -> str:
        """The daemon's log so far."""
        return (self.home / "log").read_text()


def environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: a home of its own and nothing else of ours."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "PYTHONPATH": str(ROOT),
        **variables,
    }


def account_variables(
    standin: StandinThread, *, v1: bool = True, v2: bool = True, owner: bool = True
) -> dict[str, str]:
    """The environment that names this stand-in, with the credentials that are asked for."""
    told, found = standin.credentials, {"CFFS_V1_URL": standin.v1_url, "CFFS_V2_URL": standin.v2_url}
    if v1:
        found["CFFS_APIKEY"] = told.apikey
    if v2:
        found |= {"CFFS_LOGIN": told.login, "CFFS_PASSWORD": told.password}
    if v2 and owner:
        found |= {"CFFS_ACCOUNT_LOGIN": told.account_login, "CFFS_ACCOUNT_PASSWORD": told.account_password}
    return found


def run(
    said: Said, home: Path, *arguments: object, stdin: IO[str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `cffs`, and keep what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cffs.cli", *map(str, arguments)],
        env=environment(home, variables),
        cwd=home,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    said.outputs.append(done.stdout + done.stderr)
    return done


def contention() -> float:
    """How many times longer than its processor time work takes on this machine now: 1 on an idle one."""
    began_at, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < CONTENTION_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began_at) / CONTENTION_SECONDS)


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail where it takes too long."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """True where the process has ended, also where its parent has not waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def mounted(
    said: Said, home: Path, variables: Mapping[str, str], *options: str, may_have_bugs: bool = False
) -> Iterator[Mounted]:
    """A mount during the block, its log at the most verbose level; by its end no bug was met."""
    path = home / "mnt"
    path.mkdir(exist_ok=True)
    log = home / "log"
    done = run(said, home, "mount", *options, "--log-file", log, "--log-level", "debug", path, **variables)
    assert done.returncode == 0, done.stderr
    try:
        pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
        said.outputs.append(Path(f"/proc/{pid}/cmdline").read_text() + Path("/proc/self/mountinfo").read_text())
        running = Mounted(path, home, pid)
        yield running
        said.outputs += [(path / ".cffs" / name).read_text() for name in os.listdir(path / ".cffs")]
        assert running.status()["bugs"] == 0 or may_have_bugs
    finally:
        ended = run(said, home, "umount", path)
        if ended.returncode != 0:
            run(said, home, "umount", "--lazy", path)
        said.outputs.append(log.read_text())
    assert ended.returncode == 0, ended.stderr


__all__ = ["CANARIES", "RIGHT_ORIGIN", "Mounted", "Said", "account_variables", "environment", "mounted", "run"]
