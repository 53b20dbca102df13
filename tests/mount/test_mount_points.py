"""Mount points: which are accepted, races, moves, and each way to end a mount."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.daemon.mount_table import mount_at, mounts_now
from tests.mount.mounting import WATCHDOG_SECONDS, account_variables, environment, is_gone, run, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount so; runs in mount-root")
CFFS = [sys.executable, "-P", "-m", "cffs.cli"]
HELPER = [sys.executable, "-P", "-m", "cffs.cli.mount_helper"]
#: <linux/auto_fs.h>
AUTOFS_READY, AUTOFS_FAIL, AUTOFS_CATATONIC = 0x9360, 0x9361, 0x9362


def sh(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=WATCHDOG_SECONDS, **options)


def daemon_of(path) -> int:
    return json.loads((path / ".cffs/status.json").read_bytes())["pid"]


@contextmanager
def clean(home):
    """A home below which nothing stays mounted."""
    try:
        yield
    finally:
        for mount in reversed(mounts_now()):
            if mount.mountpoint.is_relative_to(home):
                tool = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
                sh(*tool, mount.mountpoint)


def mount_now(said, home, standin, path, *options: object) -> int:
    """Mount in the background; the daemon's pid."""
    path.mkdir(parents=True, exist_ok=True)
    done = run(said, home, "mount", *options, path, **account_variables(standin))
    assert (done.returncode, done.stderr) == (0, "")
    return daemon_of(path)


def test_two_at_one_moment(said, home, standin):
    """Of two mounts of one mount point that start together one wins, and the other says so; there is one layer."""
    variables = environment(home, account_variables(standin))
    with clean(home):
        for number in range(3):
            path = home / f"mnt{number}"
            path.mkdir()
            both = [
                subprocess.Popen(
                    [*CFFS, "mount", "--cache-dir", home / f"cache{number}{one}", path],
                    env=variables | {"XDG_STATE_HOME": str(home / f"state{number}{one}")},
                    cwd=home,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for one in "ab"
            ]
            errors = [child.communicate(timeout=WATCHDOG_SECONDS)[1] for child in both]
            assert sorted(child.returncode for child in both) == [0, 1]
            (line,) = "".join(errors).splitlines()
            assert "already mounted" in line
            assert len([mount for mount in mounts_now() if mount.mountpoint == path]) == 1
            assert run(said, home, "umount", path).returncode == 0


@as_root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_an_empty_mount_of_ones_own_is_a_folder(said, home, standin, kind):
    """An empty tmpfs or bind mount is mounted over, and is there again afterwards; one with something in it is not."""
    path, other = home / "mnt", home / "other"
    path.mkdir()
    other.mkdir()
    command = ["mount", "-t", "tmpfs", "tmpfs", path] if kind == "tmpfs" else ["mount", "--bind", other, path]
    assert sh(*command).returncode == 0
    with clean(home):
        mount_now(said, home, standin, path)
        assert "campaigns" in os.listdir(path)
        assert run(said, home, "umount", path).returncode == 0
        assert mount_at(path).filesystem != "fuse.cffs"
        (path / "something").touch()
        done = run(said, home, "mount", path, **account_variables(standin))
        assert done.returncode == 1
        assert "is not empty" in done.stderr


@contextmanager
def automount_trap(path, serve):
    """A trap as systemd sets it: autofs, direct, for the process group of its server. `serve()` mounts; True where it
    did."""
    libc = ctypes.CDLL(None, use_errno=True)
    read_end, write_end = os.pipe()
    options = f"fd={write_end},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
    assert libc.mount(b"systemd-1", bytes(path), b"autofs", 0, options.encode()) == 0
    os.close(write_end)
    trap = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def answer() -> None:
        while packet := os.read(read_end, 4096):
            (token,) = struct.unpack_from("8xI", packet)
            fcntl.ioctl(trap, AUTOFS_READY if serve() else AUTOFS_FAIL, token)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        fcntl.ioctl(trap, AUTOFS_CATATONIC, 0)
        os.close(trap)


@pytest.fixture
def place():
    """A folder that every user can reach; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="cffs-points-"))
    folder.chmod(0o755)
    with clean(folder):
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@as_root
@pytest.mark.parametrize("user", [[], ["uid=65534,gid=65534"]], ids=["root", "uid"])
def test_an_automount_trap(said, home, place, standin, user):
    """The first access to a trap has mount.cffs mount on it, as its own daemon or as another user's; after an unmount
    the next access does so again."""
    path, cache, told = place / "mnt", place / "cache", []
    path.mkdir()
    cache.mkdir(mode=0o700)
    if user:
        os.chown(cache, 65_534, 65_534)
    config = home / "config/cffs/config.toml"
    config.parent.mkdir(parents=True)
    names = {name.removeprefix("CFFS_").lower(): value for name, value in account_variables(standin).items()}
    config.write_text("".join(f'{name} = "{value}"\n' for name, value in names.items()))
    config.chmod(0o600)

    def serve() -> bool:
        options = ",".join(["_netdev,nofail,x-systemd.automount", f"cache_dir={cache},config={config}", *user])
        done = sh(*HELPER, "callfire:default", path, "-o", options, cwd="/", env=environment(home, {}))
        told.append((done.returncode, done.stderr))
        return done.returncode == 0

    with automount_trap(path, serve):
        for looks in (1, 2):
            seen = sh("ls", path, start_new_session=True)
            assert told == [(0, "")] * looks
            assert user or "campaigns" in seen.stdout, seen.stderr
            found = [mount.filesystem for mount in mounts_now() if mount.mountpoint == path]
            assert found == ["autofs", "fuse.cffs"]
            done = run(said, home, "umount", path, CFFS_CACHE_DIR=str(cache))
            assert (done.returncode, done.stderr) == (0, "")


@as_root
def test_the_helper_a_second_time(said, home, standin):
    """`mount -a` for the second time finds that source mounted and prints nothing, status 0; another source gets the
    error that the mount point is taken."""
    path = home / "mnt"
    path.mkdir()
    variables = environment(home, account_variables(standin))
    with clean(home):
        for _ in range(2):
            done = sh(*HELPER, "default", path, "-o", "noauto", env=variables, cwd=home)
            assert (done.returncode, done.stderr) == (0, "")
        assert len([mount for mount in mounts_now() if mount.mountpoint == path]) == 1
        done = sh(*HELPER, "default", path, "-o", f"uid=65534,cache_dir={home}/c", env=variables, cwd=home)
        assert done.returncode == 1
        assert "already mounted" in done.stderr
        assert run(said, home, "umount", path).returncode == 0


@as_root
@pytest.mark.parametrize("writable", [False, True])
def test_remount(said, home, standin, writable):
    """mount(8)'s remount through the helper sets the kernel's flags and nothing else; what was made without --writable
    stays read-only, whatever mount(8) fills in."""
    path = home / "mnt"

    def flags() -> set[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        (line,) = [line for line in lines if f" {path} " in line]
        return set(line.split()[5].split(",")) & {"ro", "rw", "nosuid", "nodev", "noexec"}

    with clean(home):
        mount_now(said, home, standin, path, *(["--writable"] if writable else []))
        for options, is_read_only in (("remount", not writable), ("rw,remount", not writable), ("remount,ro", True)):
            done = sh(*HELPER, "callfire:default", path, "-o", options, env=environment(home, {}), cwd=home)
            assert (done.returncode, done.stderr) == (0, "")
            assert flags() == {"nosuid", "nodev", "noexec", "ro" if is_read_only else "rw"}
        done = sh(*HELPER, "callfire:default", home, "-o", "remount", env=environment(home, {}), cwd=home)
        assert (done.returncode, "not a cffs mount" in done.stderr) == (1, True)
        assert run(said, home, "umount", path).returncode == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, "umount", "--lazy"])
@pytest.mark.parametrize("how", ["rename", pytest.param("move", marks=as_root)])
def test_it_is_found_where_it_went(said, home, standin, how, ending):
    """A mount whose folder was renamed, or that was moved, is unmounted where it is now by each way to end it; commands
    find it by its new path."""
    before, after = home / "before/mnt", home / "after/mnt"
    with clean(home):
        pid = mount_now(said, home, standin, before)
        if how == "rename":
            (home / "before").rename(home / "after")
        else:
            after.mkdir(parents=True)
            assert sh("mount", "--move", before, after).returncode == 0
        assert json.loads(run(said, home, "status", "--json", after).stdout)["pid"] == pid
        if ending == signal.SIGTERM:
            os.kill(pid, ending)
            until(lambda: is_gone(pid))
        else:
            options = [ending] if ending.startswith("-") else []
            done = run(said, home, "umount", *options, after)
            assert (done.returncode, done.stderr) == (0, "")
        assert mount_at(after) is None
        assert is_gone(pid)


@as_root
def test_bind_mounts_of_it(said, home, standin):
    """A bind mount of the mount, or of a folder in it, is unmounted alone; SIGTERM frees all places."""
    path, whole, part = home / "mnt", home / "whole", home / "part"
    whole.mkdir()
    part.mkdir()
    with clean(home):
        pid = mount_now(said, home, standin, path)
        assert sh("mount", "--bind", path, whole).returncode == 0
        assert sh("mount", "--bind", path / "recordings", part).returncode == 0
        for name in (whole, part):
            done = run(said, home, "umount", name)
            assert (done.returncode, done.stderr) == (0, "")
        assert daemon_of(path) == pid
        assert sh("mount", "--bind", path, whole).returncode == 0
        os.kill(pid, signal.SIGTERM)
        until(lambda: is_gone(pid))
        assert mount_at(path) is None
        assert mount_at(whole) is None


@as_root
def test_a_copy_in_another_mount_namespace(said, home, standin):
    """A copy that another mount namespace holds keeps the daemon alive after a plain unmount, which says so; --lazy
    ends it, before and after that."""
    path = home / "mnt"
    for first in ("umount", "--lazy"):
        with clean(home):
            pid = mount_now(said, home, standin, path, "--cache-dir", home / "elsewhere")
            other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"])
            try:
                until(lambda other=other: os.readlink(f"/proc/{other.pid}/exe").endswith("sleep"))
                if first == "umount":
                    done = run(said, home, "umount", path)
                    assert done.returncode == 1
                    assert f"cffs umount --lazy {path}" in done.stderr
                    assert mount_at(path) is None
                    assert not is_gone(pid)
                    again = run(said, home, "umount", path)
                    assert (again.returncode, f"(pid {pid})" in again.stderr) == (1, True)
                done = run(said, home, "umount", "--lazy", path)
                assert (done.returncode, done.stderr) == (0, "")
                assert is_gone(pid)
            finally:
                other.kill()
                other.wait()


@as_root
def test_a_daemon_in_a_pid_namespace(said, home, standin):
    """A daemon that has another pid in its own namespace is waited for, and ended."""
    path = home / "mnt"
    path.mkdir()
    variables = environment(home, account_variables(standin))
    for options in ([], ["--lazy"]):
        script = '"$@" && echo mounted && sleep 600'
        inner = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *CFFS, "mount", path]
        with clean(home), subprocess.Popen(inner, env=variables, cwd=home, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout.readline() == b"mounted\n"
                inside = daemon_of(path)
                assert inside < 100
                done = run(said, home, "umount", *options, path)
                assert (done.returncode, done.stderr) == (0, "")
                assert sh("pgrep", "-f", f"cffs.daemon.*{home}").stdout == ""
                assert mount_at(path) is None
            finally:
                other.kill()


@as_root
def test_an_aborted_connection(said, home, standin):
    """The kernel's abort of the connection frees the mount point, and the log calls it that."""
    path, log = home / "mnt", home / "log"
    control = home / "connections"
    control.mkdir()
    with clean(home):
        assert sh("mount", "-t", "fusectl", "fusectl", control).returncode == 0
        pid = mount_now(said, home, standin, path, "--log-file", log)
        number = mount_at(path).device.partition(":")[2]
        (control / number / "abort").write_text("1")
        until(lambda: is_gone(pid))
        until(lambda: mount_at(path) is None)
        assert "aborted" in log.read_text()
        assert "unmounted mountpoint" not in log.read_text()
        said.outputs.append(log.read_text())
