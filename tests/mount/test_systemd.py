"""A real user manager of systemd runs the unit as cffs/docs/operations.md says.

The manager lives in a mount table of its own with an empty /run, so it needs no systemd on the machine, only the
package, and touches nothing of the machine's. Only root can make that table; the unit's text is equal for all users.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, ROOT, WATCHDOG_SECONDS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a mount table; runs in mount-root")

MANAGER = Path("/lib/systemd/systemd")
_RUNTIME_FOLDER = "/run/user/0"
#: sd_booted(3) looks for /run/systemd/system, and a user manager refuses to start without it.
_START = f"""
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && mkdir -m 700 -p {_RUNTIME_FOLDER} &&
exec {MANAGER} --user --log-target=console --log-level=warning
"""


class Manager:
    """A running user manager; commands run where its mounts are visible."""

    def __init__(self, process: subprocess.Popen[bytes], variables: dict[str, str]) -> None:
        self.process, self._variables = process, variables

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as the manager's user, in its mount table."""
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "sh", "-euc", script],
            env=self._variables,
            cwd=self._variables["HOME"],
            capture_output=True,
            text=True,
            timeout=WATCHDOG_SECONDS,
        )

    def shows(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.sh(f"systemctl --user show --value -p {name} {unit}").stdout.strip()


@contextmanager
def manager(home: Path) -> Iterator[Manager]:
    """A user manager whose home is that folder, ended with everything it started."""
    (home / "bin").mkdir()
    (home / "bin/cffs").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m cffs.cli "$@"\n')
    (home / "bin/cffs").chmod(0o755)
    variables = {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": _RUNTIME_FOLDER,
        "PYTHONPATH": str(ROOT),
    }
    with (home / "manager.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START],
            env=variables,
            stdout=log,
            stderr=log,
        )
    running = Manager(process, variables)
    try:
        until(lambda: running.sh("systemctl --user show -p Version || true").stdout.startswith("Version="))
        yield running
    finally:
        running.sh("systemctl --user stop 'cffs@*' || true")
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(holds: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def configure(home: Path, standin: StandinThread, *, password: str) -> None:
    """The config file that `cffs login` would have written, for this service."""
    config = home / ".config/cffs/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "v1_url": standin.v1_url,
        "v2_url": standin.v2_url,
        "login": standin.credentials.login,
        "password": password,
    }
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    config.chmod(0o600)


def readme_block() -> str:
    """The lines that the document gives for a mount at boot, without the line that is the login manager's."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "cffs/docs/operations.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    (block,) = [block for block in blocks if "systemctl --user" in block]
    lines = [line for line in block.splitlines() if not line.startswith("loginctl")]
    assert len(lines) >= 2
    return "\n".join(lines)


def test_the_readme_mounts_at_boot(home):
    """The document's lines start a mount that systemd knows as ready; reload, crash and stop do what is promised."""
    unit = "cffs@default"
    recordings = f"{home}/CallFire/default/recordings"
    with StandinThread(Account(seed=4, calls=12), credentials=CANARIES) as standin, manager(home) as systemd:
        configure(home, standin, password=CANARIES.password)
        done = systemd.sh(readme_block())
        assert done.returncode == 0, done.stderr
        # `Type=notify`: the command returned because the mount had answered
        assert systemd.shows(unit, "ActiveState") == "active"
        listed = systemd.sh(f"ls {recordings}")
        assert len(listed.stdout.split()) >= 12, listed.stderr

        done = systemd.sh(f"systemctl --user reload {unit}")
        assert done.returncode == 0, done.stderr
        until(lambda: systemd.shows(unit, "ActiveState") == "active")

        pid = systemd.shows(unit, "MainPID")
        os.kill(int(pid), signal.SIGKILL)
        until(lambda: systemd.shows(unit, "MainPID") not in ("0", pid))
        until(lambda: systemd.shows(unit, "ActiveState") == "active")
        assert systemd.sh(f"ls {recordings}").stdout == listed.stdout

        done = systemd.sh(f"systemctl --user stop {unit} && grep -c '{home}/CallFire' /proc/self/mountinfo || true")
        assert (done.stdout.strip(), done.returncode) == ("0", 0), done.stderr
        assert systemd.shows(unit, "Result") == "success"


def test_refused_credentials_do_not_loop(home):
    """A unit whose password the service refuses fails once, says why, and is not started again."""
    unit = "cffs@default"
    with StandinThread(Account(seed=4, calls=2), credentials=CANARIES) as standin, manager(home) as systemd:
        configure(home, standin, password="wrong")
        done = systemd.sh(readme_block())
        assert done.returncode != 0
        assert systemd.shows(unit, "ActiveState") == "failed"
        asked = len(standin.requests)
        time.sleep(6)  # RestartSec=5 of the unit, and some
        assert systemd.shows(unit, "ActiveState") == "failed"
        assert systemd.shows(unit, "NRestarts") == "0"
        assert len(standin.requests) == asked
