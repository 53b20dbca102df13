"""A real mount from start to end.

Signals, kills, an origin that is down, wrong credentials, a second mount. Every wait has a watchdog, every mount is
unmounted whatever happens, and at its end no bug may have been met.
"""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.daemon.mount_table import mount_at
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.cli.helpers import cffs, environment, one_line

#: A promised time may take so many times as long on a busy machine.
NOISE = 5
#: The promise of `cffs/docs/semantics.md#ends`; far less than a blocked reader would otherwise wait (half of --timeout,
#: 15 s).
END_SECONDS = 2.0 * NOISE
#: How long a mount may take whose service is down or silent.
MOUNT_SECONDS = 2.0 * NOISE
#: Nothing here takes so long, unless it hangs.
WATCHDOG_SECONDS = 60.0
LARGE_NBYTES = 3 * 1024 * 1024


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """An account whose newest recording is larger than one request."""
    account = Account(seed=9, calls=6, media=4, dynamic=2)
    account.resize_recording(newest(account), form="mp3", total_nbytes=LARGE_NBYTES)
    with StandinThread(account, credentials=CANARIES) as running:
        yield running


def newest(account: Account) -> int:
    return next(number for call_id in account.call_ids() for number in account.recording_ids(call_id))


def variables(standin: StandinThread, **changes: str) -> dict[str, str]:
    given = standin.credentials
    return {
        "CFFS_V1_URL": standin.v1_url,
        "CFFS_V2_URL": standin.v2_url,
        "CFFS_APIKEY": given.apikey,
        "CFFS_LOGIN": given.login,
        "CFFS_PASSWORD": given.password,
        **changes,
    }


@dataclass
class Mount:
    """A mount and the process behind it."""

    path: Path
    home: Path
    pid: int
    said: str = ""

    def status(self) -> dict[str, object]:
        """status.json of now."""
        return json.loads((self.path / ".cffs/status.json").read_bytes())

    def log(self) -> str:
        """The text of the daemon's log."""
        return (self.home / "log").read_text()


def until(condition: Callable[[], object], *, seconds: float = WATCHDOG_SECONDS) -> float:
    """Wait for the condition; returns how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - started


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def free(path: Path, pid: int | None) -> None:
    """Nothing of ours is left: neither the mount nor its process."""
    if mount_at(path):
        subprocess.run(["fusermount3", "-uz", str(path)], check=False, timeout=WATCHDOG_SECONDS)
    if pid is not None and not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def mounted(home: Path, told: dict[str, str], *options: object) -> Iterator[Mount]:
    """A mount in the background for the length of the block. If it still exists at the end, it has met no bug."""
    path = home / "mnt"
    path.mkdir(exist_ok=True)
    pid = None
    try:
        done = cffs(home, "mount", "--log-file", home / "log", *options, path, **told)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
        mount = Mount(path, home, pid, done.stderr)
        yield mount
        if mount_at(path):
            assert mount.status()["bugs"] == 0, mount.log()
    finally:
        free(path, pid)


@contextmanager
def in_foreground(home: Path, told: dict[str, str]) -> Iterator[tuple[Mount, "subprocess.Popen[bytes]"]]:
    """A mount that is a child of ours, so that its exit status can be seen; its umask is 0."""
    path = home / "mnt"
    path.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-m", "cffs.cli", "mount", "-f", "--log-file", home / "log", path]
    with (home / "stderr").open("wb") as stderr:
        child = subprocess.Popen(command, cwd=home, env=environment(home, **told), stderr=stderr, umask=0)
    try:
        until(lambda: mount_at(path) or child.poll() is not None)
        assert child.poll() is None, (home / "stderr").read_text()
        mount = Mount(path, home, child.pid)
        assert mount.status()["pid"] == child.pid
        yield mount, child
        assert "bug in" not in mount.log()
    finally:
        free(path, child.pid)
        child.wait(WATCHDOG_SECONDS)


@contextmanager
def reading(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that reads the whole file, and ends with the errno that it met."""
    program = f"""
import sys
try:
    with open({str(path)!r}, "rb") as file:
        while file.read(65536):
            pass
except OSError as error:
    sys.exit(error.errno)
"""
    child = subprocess.Popen([sys.executable, "-c", program])
    try:
        yield child
    finally:
        child.kill()
        child.wait(WATCHDOG_SECONDS)


def is_waiting(mount: Mount) -> bool:
    """Return once a reader of an MP3 is blocked in the mount."""
    calls = json.loads((mount.path / ".cffs/inflight.json").read_bytes())
    return any(call["operation"] in ("open", "read") and call["subject"].startswith("MP3") for call in calls)


@pytest.mark.parametrize("fault", ["hang", "stall"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_mount_with_a_blocked_reader(tmp_path, standin, fault, ending):
    """With a reader blocked on a hanging origin, a signal ends everything within 2 s: the reader gets an error, the
    mount point is free, the exit status is 0."""
    number = newest(standin.account)
    with in_foreground(tmp_path, variables(standin)) as (mount, child):
        file = mount.path / f"recordings/{number}.mp3"
        assert file.stat().st_size
        standin.faults.add(fault, path=rf"{number}\.mp3")
        with reading(file) as reader:
            until(lambda: is_waiting(mount))
            assert mount.status()["bugs"] == 0
            started = time.monotonic()
            os.kill(child.pid, ending)
            assert child.wait(WATCHDOG_SECONDS) == 0
            assert time.monotonic() - started < END_SECONDS
            assert mount_at(mount.path) is None
            assert os.listdir(mount.path) == []
            assert reader.wait(END_SECONDS) in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ETIMEDOUT)
            assert time.monotonic() - started < END_SECONDS


def test_many_signals_are_one(tmp_path, standin):
    """Signals that keep coming do not delay the end."""
    number = newest(standin.account)
    with in_foreground(tmp_path, variables(standin)) as (mount, child):
        file = mount.path / f"recordings/{number}.mp3"
        assert file.stat().st_size
        standin.faults.add("hang", path=rf"{number}\.mp3")
        with reading(file):
            until(lambda: is_waiting(mount))
            started = time.monotonic()
            while child.poll() is None and time.monotonic() - started < END_SECONDS:
                os.kill(child.pid, signal.SIGTERM)
                time.sleep(0.2)
            assert child.wait(END_SECONDS) in (0, -signal.SIGTERM)
            assert time.monotonic() - started < END_SECONDS
            assert mount_at(mount.path) is None


def test_what_is_kept_is_private(tmp_path, standin):
    """In the foreground as well, and with a umask of 0, our folders are 0700 and our files 0600."""
    with in_foreground(tmp_path, variables(standin)) as (mount, _child):
        number = newest(standin.account)
        assert len((mount.path / f"recordings/{number}.mp3").read_bytes()) == LARGE_NBYTES
        cache, state = tmp_path / "cache/cffs", tmp_path / ".local/state/cffs"
        kept = [cache, *cache.rglob("*"), state, *state.rglob("*")]
        assert any(path.name == "catalog.sqlite" for path in kept)
        for path in kept:
            found = path.lstat().st_mode
            expected = 0o700 if stat.S_ISDIR(found) else 0o600
            assert stat.S_IMODE(found) == expected, path


def test_kill_and_mount_again(tmp_path, standin):
    """After kill -9 the next mount clears the dead mount point, says so in one line, and works."""
    told = variables(standin)
    with mounted(tmp_path, told) as first:
        assert os.listdir(first.path / "campaigns")
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: is_gone(first.pid))
        with pytest.raises(OSError) as raised:
            os.listdir(first.path)
        assert raised.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        with mounted(tmp_path, told) as second:
            assert second.pid != first.pid
            (line,) = second.said.splitlines()
            assert "cleared a dead mount" in line
            assert str(second.path) in line
            assert os.listdir(second.path / "campaigns")
            assert second.status()["bugs"] == 0


def test_an_origin_that_is_down_at_mount_time(tmp_path, standin):
    """With the service down the mount is ready within 2 s, in state offline, and recovers by itself within 5 s of the
    service's return on the same port."""
    told = variables(standin)
    port = int(standin.base_url.rpartition(":")[2])
    account, credentials = standin.account, standin.credentials
    standin.close()
    started = time.monotonic()
    with mounted(tmp_path, told) as mount:
        assert time.monotonic() - started < MOUNT_SECONDS
        origin = mount.status()["origin"]
        assert (origin["state"], origin["v1"], origin["v2"]) == ("offline",) * 3
        with pytest.raises(OSError) as raised:
            os.listdir(mount.path / "campaigns")
        assert raised.value.errno == errno.EHOSTUNREACH

        def works() -> bool:
            try:
                return bool(os.listdir(mount.path / "campaigns"))
            except OSError as error:
                if error.errno not in (errno.EHOSTUNREACH, errno.ETIMEDOUT):
                    raise
                return False

        with StandinThread(account, port=port, credentials=credentials):
            until(works, seconds=5 + 3)
            assert mount.status()["origin"]["v2"] == "online"
            number = newest(account)
            assert len((mount.path / f"recordings/{number}.mp3").read_bytes()) == LARGE_NBYTES


def test_a_hanging_origin_at_mount_time(tmp_path, standin):
    """With a service that accepts connections and says nothing, the mount is ready within 2 s, and its own files
    answer."""
    standin.faults.add("hang")
    started = time.monotonic()
    with mounted(tmp_path, variables(standin)) as mount:
        assert time.monotonic() - started < MOUNT_SECONDS
        for name in os.listdir(mount.path / ".cffs"):
            assert (mount.path / ".cffs" / name).read_bytes()
        assert mount.said == ""


def test_wrong_credentials_for_both(tmp_path, standin):
    """Credentials that every API refuses: one line that names both, exit status 1, nothing mounted, no process left."""
    (tmp_path / "mnt").mkdir()
    told = variables(standin, CFFS_APIKEY="wrong", CFFS_LOGIN="wrong")
    line = one_line(cffs(tmp_path, "mount", tmp_path / "mnt", **told), 1)
    assert "v1 refuses the key and v2 refuses the login" in line
    assert "wrong" not in line
    assert mount_at(tmp_path / "mnt") is None
    alone = {name: text for name, text in told.items() if "LOGIN" not in name and "PASSWORD" not in name}
    assert "v1 refuses the key" in one_line(cffs(tmp_path, "mount", tmp_path / "mnt", **alone), 1)
    assert mount_at(tmp_path / "mnt") is None


@pytest.mark.parametrize(
    ("wrong", "refusing", "refused"), [("CFFS_APIKEY", "v1", "recordings/88.wav"), ("CFFS_PASSWORD", "v2", "media")]
)
def test_one_wrong_one_right(tmp_path, standin, wrong, refusing, refused):
    """Credentials that one API refuses: the mount is ready, one line says what is missing, status.json shows whose
    login is bad, and what only that API knows is EACCES, not absent."""
    with mounted(tmp_path, variables(standin, **{wrong: "wrong"})) as mount:
        (line,) = mount.said.splitlines()
        assert line.startswith(f"cffs: {refusing} refuses")
        assert "mounted without" in line
        origin = mount.status()["origin"]
        assert origin[refusing] == origin["state"] == "auth-failed"
        with pytest.raises(PermissionError):
            (mount.path / refused).read_bytes() if refusing == "v1" else os.listdir(mount.path / refused)
        number = newest(standin.account)
        right = mount.path / f"recordings/{number}.{'mp3' if refusing == 'v1' else 'wav'}"
        assert right.read_bytes()


def test_a_second_mount_of_the_account(tmp_path, standin):
    """A second mount with the same cache folder is refused in one line, with exit status 1, which names pid, mount
    point and --cache-dir. The first one is not disturbed, and another cache folder is the way out."""
    with mounted(tmp_path, variables(standin)) as mount:
        other = tmp_path / "other"
        other.mkdir()
        line = one_line(cffs(tmp_path, "mount", other, **variables(standin)), 1)
        assert all(part in line for part in (f"pid {mount.pid}", str(mount.path), "--cache-dir"))
        assert mount_at(other) is None
        assert os.listdir(mount.path / "campaigns")
        pid = None
        try:
            changes = ("--cache-dir", tmp_path / "cache2")
            done = cffs(tmp_path, "mount", *changes, other, XDG_STATE_HOME=str(tmp_path / "s2"), **variables(standin))
            assert done.returncode == 0, done.stderr
            pid = json.loads((other / ".cffs/status.json").read_bytes())["pid"]
            assert cffs(tmp_path, "umount", other).returncode == 0
            assert is_gone(pid)
        finally:
            free(other, pid)


def test_unmounting_from_outside(tmp_path, standin):
    """`fusermount3 -u` refuses while a file is open, and ends the daemon otherwise."""
    with mounted(tmp_path, variables(standin)) as mount:
        number = newest(standin.account)
        with (mount.path / f"recordings/{number}.mp3").open("rb") as file:
            assert file.read(10)
            busy = subprocess.run(["fusermount3", "-u", str(mount.path)], capture_output=True, timeout=WATCHDOG_SECONDS)
            assert busy.returncode != 0
            assert mount.status()["open_files"] >= 1
        assert mount.status()["bugs"] == 0
        subprocess.run(["fusermount3", "-u", str(mount.path)], check=True, timeout=WATCHDOG_SECONDS)
        assert until(lambda: is_gone(mount.pid)) < END_SECONDS
        assert mount_at(mount.path) is None
