"""`cffs mount /dev/fd/N`: the caller opened /dev/fuse and mounted."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cffs.daemon.mount_table import mount_at
from tests.mount.mounting import WATCHDOG_SECONDS, account_variables, environment, is_gone, run, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has mount namespaces of its own; runs in mount-root")
CFFS = [sys.executable, "-P", "-m", "cffs.cli"]


@pytest.fixture
def handed(home: Path) -> Iterator[tuple[Path, int]]:
    """A mount that nothing serves yet, and its kernel's end."""
    path = home / "handed"
    path.mkdir()
    ours, its = socket.socketpair()
    options = "ro,nosuid,nodev,noexec,default_permissions,fsname=callfire:default,subtype=cffs"
    with ours, its:
        command = ["fusermount3", "-o", options, "--", str(path)]
        variables = {"PATH": os.environ["PATH"], "_FUSE_COMMFD": str(its.fileno())}
        subprocess.run(command, check=True, pass_fds=(its.fileno(),), env=variables)
        numbers = array.array("i")
        _data, ancillary, *_ = ours.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
    numbers.frombytes(ancillary[0][2])
    yield path, numbers[0]
    subprocess.run(["fusermount3", "-uzq", str(path)], check=False, stderr=subprocess.DEVNULL)


def served(
    home: Path, descriptor: int, variables: dict[str, str], *options: str, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """`cffs mount /dev/fd/N`, and the caller's own copy of the descriptor closed."""
    command = [*before, *CFFS, "mount", *options, f"/dev/fd/{descriptor}"]
    try:
        return subprocess.run(
            command,
            env=environment(home, variables),
            pass_fds=(descriptor,),
            capture_output=True,
            text=True,
            timeout=WATCHDOG_SECONDS,
        )
    finally:
        os.close(descriptor)


def test_it_is_served_where_the_caller_mounted_it(said, home, standin, handed):
    """The mount is read, named by its path in every command, and ends with the caller's unmount."""
    path, descriptor = handed
    done = served(home, descriptor, account_variables(standin))
    said.outputs.append(done.stdout + done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads((path / ".cffs/status.json").read_bytes())
    assert status["mountpoint"] == str(path)
    recording = next((path / "recordings").glob("*.mp3"))
    assert len(recording.read_bytes()) == recording.stat().st_size > 0
    assert run(said, home, "status", path).returncode == 0
    subprocess.run(["fusermount3", "-u", str(path)], check=True)
    until(lambda: is_gone(status["pid"]))
    assert mount_at(path) is None


def test_a_signal_leaves_the_mount_to_the_caller(said, home, standin, handed):
    """SIGTERM ends the daemon, and what the caller mounted stays mounted, dead, until the caller unmounts it."""
    path, descriptor = handed
    assert served(home, descriptor, account_variables(standin)).returncode == 0
    pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
    os.kill(pid, signal.SIGTERM)
    until(lambda: is_gone(pid))
    assert mount_at(path) is not None
    with pytest.raises(OSError, match="Transport endpoint"):
        os.listdir(path)
    subprocess.run(["fusermount3", "-u", str(path)], check=True)
    said.outputs.append("ended")


@as_root
def test_it_is_served_where_it_is_not_seen(said, home, standin, handed):
    """A daemon whose mount table does not show the mount, as in a container, serves it all the same."""
    path, descriptor = handed
    hide = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'umount -l "$0" && exec "$@"', str(path)]
    done = served(home, descriptor, account_variables(standin), before=hide)
    said.outputs.append(done.stdout + done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads((path / ".cffs/status.json").read_bytes())
    assert status["mountpoint"] == f"/dev/fd/{descriptor}"
    recording = next((path / "recordings").glob("*.mp3"))
    assert len(recording.read_bytes()) == recording.stat().st_size > 0
    assert run(said, home, "status", path).returncode == 0
    subprocess.run(["umount", str(path)], check=True)
    until(lambda: is_gone(status["pid"]))


@pytest.mark.parametrize("mode", [(), ("-f",)])
@pytest.mark.parametrize(
    ("source", "words"),
    [("/dev/null", "is not of /dev/fuse"), ("/dev/fuse", "nothing is mounted through"), (None, "is not open")],
)
def test_wrong_descriptors_are_one_line(said, home, standin, source, words, mode):
    """A descriptor of something else, of no mount, or that is not there is refused, in one line."""
    if source is None:
        done = run(said, home, "mount", *mode, "/dev/fd/77", **account_variables(standin))
    else:
        done = served(home, os.open(source, os.O_RDWR), account_variables(standin), *mode)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert words in done.stderr
