"""Services of a running mount: control socket, signals, service manager, kernel."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.mount.mounting import Mounted, account_variables, contention, mounted, run

#: A noisy machine gets five times of what is promised (status 0.3 s).
NOISE = 5


def wait_for(found, *, seconds: float = 30.0) -> None:
    """Wait until `found()` is true."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def blocked_reader(mount: Mounted, standin: StandinThread) -> Iterator[None]:
    """Every request hangs during the block, and a program waits for a recording."""
    name = next(name for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3"))
    standin.faults.add("stall_head")
    reader = subprocess.Popen(
        ["cat", str(mount.path / "recordings" / name)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: json.loads((mount.path / ".cffs/inflight.json").read_bytes()))
        yield
    finally:
        standin.faults.clear()
        reader.kill()
        reader.wait()


def test_status_while_the_origin_hangs(said, home, standin):
    """With every request hanging and a reader blocked, `cffs status` answers at once and shows what waits."""
    with mounted(said, home, account_variables(standin), "--timeout", "10") as mount:
        with blocked_reader(mount, standin):
            took = []
            for _ in range(3):
                started = time.monotonic()
                done = run(said, home, "status", "--json", mount.path)
                took.append(time.monotonic() - started)
            assert min(took) < 0.3 * NOISE * contention()
            told = json.loads(done.stdout)
            assert told["pid"] == mount.pid
            assert Path(told["control"]).parent == home / "cache/cffs"


def test_socket_lies_where_the_contract_says(said, home, standin, tmp_path):
    """The socket lies in $XDG_RUNTIME_DIR/cffs/ where there is one, else in the cache folder; status finds it in
    both."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    variables = {**account_variables(standin), "XDG_RUNTIME_DIR": str(runtime)}
    with mounted(said, home, variables) as mount:
        assert len(list((runtime / "cffs").glob("*.sock"))) == 1
        assert json.loads(run(said, home, "status", "--json", mount.path, **variables).stdout)["pid"] == mount.pid
    assert list((runtime / "cffs").iterdir()) == []
    with mounted(said, home, account_variables(standin), "--cache-dir", str(home / "elsewhere")) as mount:
        assert len(list((home / "elsewhere").glob("*.sock"))) == 1


def test_usr1_logs_every_waiting_call(said, home, standin):
    """SIGUSR1 writes a line per waiting call, with its age and subject, and the mount lives on."""
    with mounted(said, home, account_variables(standin), "--timeout", "6") as mount:
        with blocked_reader(mount, standin):
            os.kill(mount.pid, signal.SIGUSR1)
            wait_for(lambda: "call waiting operation=open" in mount.log())
            line = next(line for line in mount.log().splitlines() if "call waiting operation=open" in line)
            assert "age_seconds=" in line


def write_config(home: Path, standin, **more: str) -> Path:
    """A config file for this stand-in."""
    told = standin.credentials
    folder = home / "config/cffs"
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "v1_url": standin.v1_url,
        "v2_url": standin.v2_url,
        "apikey": told.apikey,
        "login": told.login,
        "password": told.password,
        **more,
    }
    config = folder / "config.toml"
    config.touch(mode=0o600)
    config.write_text("".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()))
    return config


def test_hangup_reads_the_configuration_again(said, home, standin, tmp_path_factory):
    """SIGHUP takes over log level and credentials at once; what needs a remount is named; a broken file changes
    nothing."""
    # outside the folder that is searched for canaries, because this is where they belong
    private = tmp_path_factory.mktemp("hangup")
    try:
        config = write_config(private, standin, log_level="info", password="wrong-at-first-password")
        variables = {"XDG_CONFIG_HOME": str(private / "config")}
        path, log = home / "mnt", home / "log"
        path.mkdir()
        assert run(said, home, "mount", "--log-file", log, path, **variables).returncode == 0
        try:
            pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
            write_config(private, standin, log_level="debug", dir_ttl="7")
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: "configuration read again" in log.read_text())
            assert "needs a remount settings=dir_ttl_seconds" in log.read_text()
            assert 'log_level = "debug"' in (path / ".cffs/config.toml").read_text()
            config.write_text("broken = [")
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: "configuration not taken over" in log.read_text())
            assert json.loads((path / ".cffs/status.json").read_bytes())["pid"] == pid
        finally:
            assert run(said, home, "umount", path).returncode == 0
            said.outputs.append(log.read_text())
    finally:
        (private / "config/cffs/config.toml").unlink()


def test_hangup_takes_new_credentials(said, home, standin, tmp_path_factory):
    """A password changed at the service and in the config works after SIGHUP, without a remount."""
    private = tmp_path_factory.mktemp("rotated")
    try:
        write_config(private, standin)
        variables = {"XDG_CONFIG_HOME": str(private / "config")}
        path, log = home / "mnt", home / "log"
        path.mkdir()
        assert run(said, home, "mount", "--log-file", log, path, **variables).returncode == 0
        try:
            pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
            name = next(name for name in os.listdir(path / "recordings") if name.endswith(".mp3"))
            write_config(private, standin, password="CANARYROTATEDv2")
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: "configuration read again changed=credentials" in log.read_text())
            with pytest.raises(PermissionError):
                (path / "recordings" / name).read_bytes()
            write_config(private, standin)
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: log.read_text().count("changed=credentials") == 2)
            assert (path / "recordings" / name).read_bytes()
        finally:
            assert run(said, home, "umount", path).returncode == 0
            said.outputs.append(log.read_text())
    finally:
        (private / "config/cffs/config.toml").unlink()


def test_service_manager_is_told(said, home, standin, tmp_path):
    """READY with the main pid once the mount answers, STATUS for people, RELOADING on SIGHUP, STOPPING at the end."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = tmp_path / "notify"
    channel.bind(str(address))
    channel.settimeout(20)
    with mounted(said, home, {**account_variables(standin), "NOTIFY_SOCKET": str(address)}) as mount:
        first = channel.recv(4096).decode()
        assert first.startswith(f"READY=1\nMAINPID={mount.pid}\nSTATUS={mount.path}: online")
        os.kill(mount.pid, signal.SIGHUP)
        assert channel.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert channel.recv(4096).startswith(b"READY=1")
    assert channel.recv(4096).startswith(b"STOPPING=1")
    channel.close()


def test_kernel_settings_are_raised_and_told(said, home, standin):
    """Mounted by root, read-ahead is 1 MiB; status shows the settings, and an ordinary user's mount leaves them
    alone."""
    with mounted(said, home, account_variables(standin)) as mount:
        wait_for(lambda: mount.status()["kernel"]["read_ahead_kb"] is not None)
        expected = 1024 if os.geteuid() == 0 else 128
        assert mount.status()["kernel"]["read_ahead_kb"] == expected
