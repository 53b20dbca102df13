"""The demo's parts: a stand-in as a child, and settings of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cffs.cli.demo import demo_settings, temporary_folder
from cffs.cli.standin import running_standin
from tests.cli.helpers import cffs, environment


def answers(url: str) -> bool:
    """True where something listens on that port."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310  # our own loopback
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something listens, for 10 s at most."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_standin_child_and_demo_settings():
    """The demo's settings reach a running stand-in with all credentials, and keep everything in one folder."""
    with running_standin(calls=3) as standin, temporary_folder() as folder:
        settings = demo_settings(standin, folder, foreground=True)
        assert answers(settings.v2_url)
        assert settings.credentials.has_v1
        assert settings.credentials.has_v2
        assert settings.credentials.has_account
        assert {settings.cache_dir.parent, settings.state_dir.parent, settings.runtime_dir.parent} == {folder}
    assert not folder.exists()
    assert not answers(standin.base_url)


def exported(text: str) -> dict[str, str]:
    """The variables of a shell after it has evaluated the output."""
    done = subprocess.run(
        ["sh", "-c", f"{text}\nenv"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("CFFS_"))


def test_variables_for_a_shell(tmp_path):
    """`--export` returns at once with lines that a shell evaluates, all credentials and both addresses among them, and
    ends with how to mount. The stand-in that it started answers, and ends on SIGTERM."""
    done = cffs(tmp_path, "standin", "--export", "--calls", "5", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "cffs mount" in done.stdout.splitlines()[-1]
    assert "cffs mount" in done.stderr
    told = exported(done.stdout)
    names = {"V1_URL", "V2_URL", "APIKEY", "LOGIN", "PASSWORD", "ACCOUNT_LOGIN", "ACCOUNT_PASSWORD", "STANDIN_PID"}
    assert set(told) == {f"CFFS_{name}" for name in names}
    pid = int(told.pop("CFFS_STANDIN_PID"))
    try:
        shown = json.loads(cffs(tmp_path, "doctor", "--json", **told).stdout)
        states = {line["check"]: line["state"] for line in shown}
        assert [states[f"{name} credentials"] for name in ("v1", "v2", "account")] == ["ok"] * 3
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not answers(told["CFFS_V2_URL"]))


def test_it_ends_with_the_session(tmp_path):
    """The stand-in ends with the shell that started it."""
    program = (
        f'eval "$({sys.executable} -P -m cffs.cli standin --export --calls 1 2>/dev/null)"; echo $CFFS_V2_URL; read x'
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["sh", "-c", program], env=environment(tmp_path), stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as shell:
        url = shell.stdout.readline().strip()
        assert answers(url)
        shell.stdin.close()
    wait_until(lambda: not answers(url))


def test_a_taken_port_is_one_line(tmp_path):
    """A stand-in that cannot listen says so, and nothing is exported."""
    with running_standin(calls=1) as standin:
        port = standin.base_url.rpartition(":")[2]
        done = cffs(tmp_path, "standin", "--export", "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_standin_ends_with_its_parent(tmp_path, number):
    """However the demo ends, kill -9 included, its stand-in ends too."""
    program = (
        "from cffs.cli.standin import *\nwith running_standin(calls=1) as s: print(s.base_url, flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(Path(tmp_path)), stdin=pipe, stdout=pipe, text=True) as parent:
        url = parent.stdout.readline().strip()
        assert answers(url)
        parent.send_signal(number)
    wait_until(lambda: not answers(url))
