"""Starts without what a shell gives: streams, signals, a current folder, a home.

The mount works as elsewhere, or there is one line.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from cffs.daemon.mount_table import mount_at
from tests.mount.mounting import ROOT, WATCHDOG_SECONDS, account_variables, environment, is_gone, run, until

#: What the starter does before it becomes the command.
ODD = {
    "stdin closed": "os.close(0)",
    "stdout closed": "os.close(1)",
    "stderr closed": "os.close(2)",
    "stdin and stdout closed": "os.close(0); os.close(1)",
    "all closed": "os.closerange(0, 3)",
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "every signal blocked": "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())",
    "SIGTERM and SIGINT ignored": "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT)]",
    "umask 0177": "os.umask(0o177)",
    "umask 0777": "os.umask(0o777)",
    "the current folder removed": "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "an empty HOME": "os.environ['HOME'] = ''",
}
BECOME = "import os, signal, sys\n{odd}\nos.execv(sys.argv[1], sys.argv[1:])\n"


def command(odd: str, *arguments: object) -> list[str]:
    """`cffs` as started by an unusual parent."""
    cffs = [sys.executable, "-P", "-m", "cffs.cli", *map(str, arguments)]
    return [sys.executable, "-c", BECOME.format(odd=odd), *cffs]


@pytest.mark.parametrize(
    ("odd", "ending"),
    [
        *((odd, "umount") for odd in ODD),
        *((odd, ending) for odd in ODD if "SIG" in odd or "signal" in odd for ending in ("--lazy", "SIGTERM")),
    ],
)
def test_in_the_background(said, home, standin, odd, ending):
    """It mounts with exit status 0 and no output, and each way to end it ends it."""
    path = home / "mnt"
    path.mkdir()
    variables = environment(home, account_variables(standin))
    errors = home / "stderr"
    with errors.open("wb") as stderr:
        done = subprocess.run(
            command(ODD[odd], "mount", path), cwd=home, env=variables, stderr=stderr, timeout=WATCHDOG_SECONDS
        )
    try:
        assert (done.returncode, errors.read_text()) == (0, "")
        pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
        assert os.listdir(path / "campaigns")
        if ending == "SIGTERM":
            os.kill(pid, signal.SIGTERM)
            until(lambda: is_gone(pid))
        else:
            options = [ending] if ending.startswith("-") else []
            ended = run(said, home, "umount", *options, path)
            assert (ended.returncode, ended.stderr) == (0, "")
        assert mount_at(path) is None
        assert is_gone(pid)
    finally:
        if mount_at(path):
            run(said, home, "umount", "--lazy", path)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_in_the_foreground(said, home, standin, odd):
    """It serves until SIGTERM, and ends with status 0."""
    path = home / "mnt"
    path.mkdir()
    variables = environment(home, account_variables(standin))
    child = subprocess.Popen(
        command(odd, "mount", "-f", "--log-file", home / "log", path),
        cwd=home,
        env=variables,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: mount_at(path) or child.poll() is not None)
        assert os.listdir(path / "campaigns")
        child.terminate()
        assert child.wait(WATCHDOG_SECONDS) == 0
        assert mount_at(path) is None
    finally:
        child.kill()
        child.wait(WATCHDOG_SECONDS)
        if mount_at(path):
            run(said, home, "umount", "--lazy", path)


@pytest.mark.parametrize(("place", "given"), [(".", "."), (".", "{path}"), ("recordings", "{path}")])
def test_in_the_dead_mount(said, home, standin, place, given):
    """A shell whose current folder is the mount of a killed daemon mounts it again, by its path and by `.` where the
    kernel still knows that."""
    path = home / "mnt"
    path.mkdir()
    variables = account_variables(standin)
    assert run(said, home, "mount", path, **variables).returncode == 0
    pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
    odd = f"os.chdir({str(path / place)!r}); os.kill({pid}, signal.SIGKILL)"
    odd += f"\nwhile os.path.exists('/proc/{pid}/exe'): pass"
    try:
        done = subprocess.run(
            command(odd, "mount", given.format(path=path)),
            cwd=home,
            env=environment(home, variables),
            stderr=subprocess.PIPE,
            text=True,
            timeout=WATCHDOG_SECONDS,
        )
        assert (done.returncode, done.stderr) == (0, f"cffs: cleared a dead mount at {path}\n")
        assert os.listdir(path / "campaigns")
    finally:
        run(said, home, "umount", "--lazy", path)


def test_relative_paths_where_the_current_folder_is_gone(said, home, standin):
    """A relative mount point, config file or cache folder is one line that says what to write instead."""
    variables = environment(home, account_variables(standin))
    for arguments in (["mount", "m"], ["mount", "--config", "c.toml", "/x"], ["mount", "--cache-dir", "c", "/x"]):
        done = subprocess.run(
            command(ODD["the current folder removed"], *arguments),
            cwd=home,
            env=variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert "the current folder is gone; write it from /" in line


@pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts read-only folders in a mount table of its own; runs in mount-root"
)
def test_nowhere_to_put_temporary_files(said, home, standin):
    """With /tmp and /var/tmp read-only it mounts, lists and searches."""
    place = "/mnt"
    variables = environment(home, account_variables(standin))
    at_home = {name: value.replace(str(home), place) for name, value in variables.items()}
    # the checkout may lie below /tmp itself: it is bound to where it stays visible
    checkout = f"{place}/checkout"
    at_home["PYTHONPATH"] = checkout
    python = sys.executable.replace(str(ROOT), checkout, 1)
    script = f"""
set -e
mount -t tmpfs tmpfs {place}; mkdir {place}/mnt {checkout}
mount --bind '{ROOT}' {checkout}
for folder in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o ro tmpfs $folder; done
cd {place}
"$@" mount {place}/mnt
find {place}/mnt -name '*.mp3' | sort | uniq | wc -l
"$@" umount {place}/mnt
"""
    own_table = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*own_table, python, "-P", "-m", "cffs.cli"],
        env=at_home,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    said.outputs.append(done.stdout + done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0
