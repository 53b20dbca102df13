"""The command from outside: help, statuses, failures, secrets, speed."""

import json
import sys
import time

import pytest

from tests.cli.helpers import cffs, one_line
from tests.mount.mounting import contention

KEYS = {"CFFS_APIKEY": "CANARYKEY", "CFFS_LOGIN": "somebody", "CFFS_PASSWORD": "CANARYPASS"}


def test_help_is_quick_and_light(tmp_path):
    """`cffs --help` imports nothing heavy and takes at most 0.3 s (held here with a factor of 5)."""
    took = []
    for _ in range(3):
        started = time.monotonic()
        assert cffs(tmp_path, "--help").returncode == 0
        took.append(time.monotonic() - started)
    assert min(took) < 1.5 * contention()
    program = "import sys, cffs.cli.main, cffs.cli.mount, cffs.cli.demo, cffs.cli.status; print(*sys.modules)"
    from tests.cli.helpers import environment, subprocess

    done = subprocess.run([sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True)
    assert not {"trio", "httpx", "pyfuse3", "rich", "h11", "ssl"} & set(done.stdout.split())


def test_no_credentials(tmp_path):
    """A mount without credentials is one line, status 1."""
    (tmp_path / "mnt").mkdir()
    assert "CFFS_APIKEY" in one_line(cffs(tmp_path, "mount", "mnt"), 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["mount"],
        ["mount", "--nonsense", "mnt"],
        ["mount", "--apikey=CANARYKEY", "mnt"],
        ["mount", "--memory-size", "big", "mnt"],
        ["mount", "-o", "nonsense", "mnt"],
        ["mount", "-o", "password=CANARYPASS", "mnt"],
        ["mount", "-o", "timeout=CAN", "mnt"],
        ["nonsense"],
        ["umount"],
    ],
)
def test_wrong_usage(tmp_path, arguments):
    """Wrong usage is one line, status 2, and repeats no secret."""
    assert "CANARY" not in one_line(cffs(tmp_path, *arguments), 2)


def test_mount_point_checks(tmp_path):
    """A mount point that is missing, a file, not empty, or a mount of something else is one line, status 1."""
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    for name, says in (("none", "does not exist"), ("file", "not a folder"), ("full", "not empty"), ("/proc", "proc")):
        assert says in one_line(cffs(tmp_path, "mount", name, **KEYS), 1)


def test_config_with_secrets_must_be_private(tmp_path):
    """A config that holds a secret and is open to others is refused without showing it; closed, it is used."""
    config = tmp_path / "config/cffs/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('apikey = "CANARYKEY"\n')
    config.chmod(0o644)
    line = one_line(cffs(tmp_path, "config", "show"), 1)
    assert "chmod 600" in line
    assert "CANARY" not in line
    config.chmod(0o600)
    shown = json.loads(cffs(tmp_path, "config", "show", "--json").stdout)
    assert shown["apikey"] == {"value": "***", "source": "config file"}


def test_config_that_is_not_toml(tmp_path):
    """A broken config is one line that shows nothing of its text."""
    (tmp_path / "config.toml").write_text('apikey = "CANARYKEY\n')
    assert "CANARY" not in one_line(cffs(tmp_path, "config", "show", "--config", "config.toml"), 1)


def test_config_named_and_missing(tmp_path):
    """A config file that is named and missing is a failure; the default one may be missing."""
    assert "no config file" in one_line(cffs(tmp_path, "config", "show", "--config", "none.toml"), 1)
    assert cffs(tmp_path, "config", "show").returncode == 0


def test_config_show_hides_secrets(tmp_path):
    """`config show` names every source and no secret."""
    done = cffs(tmp_path, "config", "show", **KEYS)
    assert done.returncode == 0
    assert "CANARY" not in done.stdout
    assert "environment" in done.stdout


def test_unknown_time_zone(tmp_path):
    """A time zone that does not exist here is one line."""
    assert "Mars/Base" in one_line(cffs(tmp_path, "config", "show", "--timezone", "Mars/Base"), 1)


def test_unmounting_what_is_not_mounted(tmp_path):
    """`umount` of a plain folder and of another file system's mount is one line each."""
    assert "not mounted" in one_line(cffs(tmp_path, "umount", tmp_path), 1)
    assert "not a cffs mount" in one_line(cffs(tmp_path, "umount", "/proc"), 1)


def test_status_of_a_plain_folder(tmp_path):
    """`status` of a folder without a mount is one line."""
    assert "not a cffs mount" in one_line(cffs(tmp_path, "status", tmp_path), 1)


def test_a_closed_pipe_is_no_traceback(tmp_path):
    """A reader of the output that leaves early gets no traceback."""
    import subprocess

    from tests.cli.helpers import environment

    command = f"{sys.executable} -P -m cffs.cli config show | head -c 1"
    done = subprocess.run(["sh", "-c", command], env=environment(tmp_path), capture_output=True, text=True)
    assert done.stderr == ""
