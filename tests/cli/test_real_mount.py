"""`umount`, `status` and the check of a mount point, on a mount of a tiny daemon."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cffs.cli.messages import Failed
from cffs.cli.mountpoint import is_dead, prepare
from cffs.cli.umount import _refusal
from cffs.daemon.mount_table import mount_at
from tests.cli.helpers import ROOT, cffs, environment, one_line

PROGRAM = [sys.executable, str(ROOT / "tests/cli/tiny_cffs.py")]


@pytest.fixture
def daemon(tmp_path) -> Iterator[subprocess.Popen[str]]:
    """A mounted tiny daemon on tmp_path/mnt; whatever is left of it is cleared."""
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    child = subprocess.Popen([*PROGRAM, str(mountpoint)], stdout=subprocess.PIPE, text=True, env=environment(tmp_path))
    with child.stdout as stream:
        assert stream.readline() == "ready\n"
        yield child
    if mount_at(mountpoint):
        subprocess.run(["fusermount3", "-uz", str(mountpoint)], check=True)
    child.kill()
    child.wait()


def test_umount_waits_for_the_daemon(tmp_path, daemon):
    """After `cffs umount` the mount point is free and the daemon has ended."""
    done = cffs(tmp_path, "umount", "mnt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert daemon.wait(10) == 0
    assert mount_at(tmp_path / "mnt") is None


def test_busy_mount_names_its_holder(tmp_path, daemon):
    """A busy mount is not unmounted: one line names the process; --lazy unmounts all the same."""
    holder = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "mnt")
    try:
        line = one_line(cffs(tmp_path, "umount", "mnt"), 1)
        assert f"sleep (pid {holder.pid})" in line
        assert "--lazy" in line
        assert (tmp_path / "mnt/file").read_text() == "hello\n"
        assert cffs(tmp_path, "umount", "--lazy", "mnt").returncode == 0
        assert mount_at(tmp_path / "mnt") is None
        daemon.wait(20)
    finally:
        holder.kill()
        holder.wait()


def test_a_mounted_folder_is_refused(tmp_path, daemon):
    """A live mount is never mounted over, however the path is spelt."""
    (tmp_path / "link").symlink_to("mnt")
    for name in ("mnt", "link", "./mnt/../mnt/"):
        with pytest.raises(Failed, match="already mounted"):
            prepare(tmp_path / name)


def test_a_dead_mount_is_cleared(tmp_path, daemon, capsys):
    """After kill -9 of the daemon the mount point is cleared with one line, and can be mounted on."""
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert is_dead(tmp_path / "mnt")
    assert prepare(tmp_path / "mnt") == tmp_path / "mnt"
    assert capsys.readouterr().err == f"cffs: cleared a dead mount at {tmp_path / 'mnt'}\n"
    assert mount_at(tmp_path / "mnt") is None


def test_a_dead_mount_can_be_unmounted(tmp_path, daemon):
    """`umount` of a dead mount just frees the mount point."""
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert cffs(tmp_path, "umount", "mnt").returncode == 0
    assert mount_at(tmp_path / "mnt") is None


def test_status_of_mounts(tmp_path, daemon):
    """`status` shows the mount's own account, alone as an object and among all as a list."""
    one = json.loads(cffs(tmp_path, "status", "--json", "mnt").stdout)
    assert one["pid"] == daemon.pid
    every = json.loads(cffs(tmp_path, "status", "--json").stdout)
    assert one in every
    assert "online" in cffs(tmp_path, "status", "mnt").stdout


def test_status_of_a_stuck_daemon(tmp_path, daemon):
    """A daemon that does not answer makes `status` one line, not a hang."""
    daemon.send_signal(signal.SIGSTOP)
    try:
        assert "does not answer" in one_line(cffs(tmp_path, "status", "mnt"), 1)
    finally:
        daemon.send_signal(signal.SIGCONT)


def test_mounting_above_the_cache_is_refused(tmp_path):
    """A mount point that would hide cffs's own folders is refused."""
    (tmp_path / "a").mkdir()
    with pytest.raises(Failed, match="each other's way"):
        prepare(tmp_path / "a", private=(Path(tmp_path / "a/cache"),))


def test_without_mtab_the_mend_is_named():
    """On a system that was never booted an ordinary user cannot unmount: the line says what root does."""
    line = _refusal(Path("/m"), "/usr/bin/fusermount3: failed to open /etc/mtab: No such file or directory\n")
    assert line == "cannot unmount /m: there is no /etc/mtab; as root: ln -s ../proc/self/mounts /etc/mtab"
