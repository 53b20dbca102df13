"""A daemon that is stopped: no command hangs on it."""

import json
import os
import signal
import time

from cffs.daemon.mount_table import mount_at
from tests.mount.mounting import account_variables, is_gone, run, until

#: Each command gives up after 2 s a question; a noisy machine takes longer to start them.
LIMIT_SECONDS = 30


def test_a_stopped_daemon(said, home, standin):
    """With the daemon stopped, status, doctor and a second mount return with one line each, and `umount --lazy` frees
    the mount point, says which daemon lives on, and has it end as soon as it can."""
    variables = account_variables(standin)
    path = home / "mnt"
    path.mkdir()
    assert run(said, home, "mount", path, **variables).returncode == 0
    pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for arguments, says in (
            (("status", path), "--lazy"),
            (("mount", path), "already mounted"),
            (("doctor",), "is stuck"),
        ):
            started = time.monotonic()
            done = run(said, home, *arguments, **variables)
            assert time.monotonic() - started < LIMIT_SECONDS, arguments
            assert says in done.stdout + done.stderr
        done = run(said, home, "umount", "--lazy", path)
        assert mount_at(path) is None
        (line,) = done.stderr.splitlines()
        assert (done.returncode, f"(pid {pid}) still runs" in line) == (1, True)
        os.kill(pid, signal.SIGCONT)
        until(lambda: is_gone(pid))  # it was asked to end
    finally:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)
