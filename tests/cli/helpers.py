"""The command as a user runs it: a process of its own with a home of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.canary import SAID

ROOT = Path(__file__).resolve().parents[2]


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A clean environment with this home."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        **variables,
    }


def cffs(home: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `cffs`; its status, stdout and stderr."""
    command = [sys.executable, "-P", "-m", "cffs.cli", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=home, env=environment(home, **variables), capture_output=True, text=True, timeout=60
    )
    SAID.append(done.stdout + done.stderr)
    return done


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The single line of a failure with that status."""
    assert done.returncode == status, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("cffs: ")
    return lines[0].removeprefix("cffs: ")
