"""Fixtures of the plugin: an account behind real HTTP, and its file system."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cffs.fsspec_plugin.filesystem import CallFireFileSystem
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES, SAID

#: How long a script of a test may take.
SCRIPT_SECONDS = 60


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """A small account behind real HTTP, its credentials canaries."""
    with StandinThread(Account(seed=11, calls=24), credentials=CANARIES) as running:
        yield running


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The credentials of the stand-in, and nothing else that this process may be set to."""
    for name in os.environ:
        if name.startswith("CFFS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CFFS_APIKEY", CANARIES.apikey or "")
    monkeypatch.setenv("CFFS_LOGIN", CANARIES.login or "")
    monkeypatch.setenv("CFFS_PASSWORD", CANARIES.password or "")


@pytest.fixture
def options(standin: StandinThread, tmp_path: Path) -> dict[str, Any]:
    """The storage options that lead to the stand-in."""
    return {"v1_url": standin.v1_url, "v2_url": standin.v2_url, "cache_dir": str(tmp_path), "timezone": "UTC"}


@pytest.fixture
def fs(options: dict[str, Any]) -> CallFireFileSystem:
    """The file system of the stand-in's account."""
    return CallFireFileSystem(**options)


@pytest.fixture
def recordings(standin: StandinThread) -> list[int]:
    """The ids of the account's recordings, the newest first."""
    account = standin.account
    return [one for call in account.call_ids() for one in account.recording_ids(call)]


@pytest.fixture
def run(options: dict[str, Any], recordings: list[int], tmp_path: Path) -> Callable[[str], tuple[list[str], int]]:
    """Run a script with `options`, `fs` and `paths` in a process of its own; returns what it printed and its exit
    status."""

    def run_script(script: str) -> tuple[list[str], int]:
        head = f"""
            import os, sys, threading, time
            from cffs.fsspec_plugin.filesystem import CallFireFileSystem
            options = {options!r}
            fs = CallFireFileSystem(**options)
            paths = {[f"recordings/{one}.mp3" for one in recordings[:4]]!r}
        """
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(script))
        environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        done = subprocess.run(
            [sys.executable, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        SAID.append(done.stdout + done.stderr)
        assert done.returncode >= 0, done.stderr
        assert "Exception ignored" not in done.stderr
        return done.stdout.splitlines(), done.returncode

    return run_script


def true_bytes(standin: StandinThread, recording_id: int, form: str = "mp3") -> bytes:
    """What a correct client must have read."""
    found = standin.account.recording_object(recording_id, form=form)
    assert found is not None
    return found.read()


def bodies(standin: StandinThread, recording_id: int) -> int:
    """How many requests asked for the bytes of the recording."""
    paths = (f"/recordings/{recording_id}.mp3", f"/files/recording/{recording_id}")
    return sum(request.path.endswith(paths) for request in standin.requests)
