"""The start of the daemon: ready, errors, deaths, and where secrets do not go.

The daemon here is a few lines of Python.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cffs.cli.launch import start_in_background
from cffs.cli.messages import Failed
from cffs.core.settings import Credentials, Settings
from tests.cli.helpers import ROOT

PRELUDE = "import json, os, sys, time; pipe = int(sys.argv[1]); task = json.load(sys.stdin)\n"


def make_settings(folder: Path) -> Settings:
    return Settings(
        credentials=Credentials(apikey="CANARYKEY"),
        cache_dir=folder,
        state_dir=folder,
        runtime_dir=folder,
        uid=0,
        gid=0,
        v1_url="https://h/1",
        v2_url="https://h/2",
    )


def start(folder: Path, program: str) -> None:
    start_in_background(make_settings(folder), folder, command=[sys.executable, "-c", PRELUDE + program])


def test_ready(tmp_path, monkeypatch, capsys):
    """`ready` ends the wait; notices are printed; the secret reached the child by stdin and not by argv or
    environment."""
    monkeypatch.setenv("CFFS_APIKEY", "CANARYKEY")
    found = tmp_path / "found.secret"
    start(
        tmp_path,
        f"""
seen = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()
key = task['settings']['credentials']['apikey']
open({str(found)!r}, 'w').write(' '.join([str('CANARY' + 'KEY' in seen), key, str(os.getpid())]))
os.write(pipe, b'{{"notice": "look"}}\\n{{"ready": true}}\\n')
time.sleep(60)
""",
    )
    leaked, key, pid = found.read_text().split()
    os.kill(int(pid), signal.SIGKILL)
    os.waitpid(int(pid), 0)
    assert (leaked, key) == ("False", "CANARYKEY")
    assert capsys.readouterr().err == "cffs: look\n"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("""os.write(pipe, b'{"error": "no such account"}\\n')""", "no such account"),
        ("sys.exit(3)", "ended with status 3 before the mount was ready"),
        ("raise SystemError('broken')", "SystemError: broken"),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("os.write(pipe, b'nonsense\\n')", "not understood"),
        ("os.close(pipe); time.sleep(60)", "without a word"),
    ],
)
def test_failures_are_one_line(tmp_path, monkeypatch, program, says):
    """A daemon that fails, dies or talks nonsense gives one line, and is gone afterwards."""
    # only one of the daemons uses all of this time; the others end by themselves, on a busy machine a little later
    monkeypatch.setattr("cffs.cli.launch._GRACE_SECONDS", 0.3 if says == "without a word" else 5.0)
    with pytest.raises(Failed, match=says) as caught:
        start(tmp_path, program)
    assert "\n" not in str(caught.value)


def test_interrupt_ends_the_child(tmp_path):
    """Ctrl-C while waiting ends the daemon too."""
    pid_file = tmp_path / "pid"
    child = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()) + ' '); time.sleep(60)"
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.cli.test_launch import start
start(Path({str(tmp_path)!r}), {child!r})
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text().endswith(" ")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.send_signal(signal.SIGTERM)
    assert b"KeyboardInterrupt" in parent.communicate(timeout=60)[1]
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()
