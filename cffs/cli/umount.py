"""`cffs umount`: unmounts, waits for the daemon to end, and names who keeps the mount busy.

It must not know what the daemon does at its end. `cli/main` registers it.
"""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import click

from cffs.cli.context import complete_folder
from cffs.cli.control import ask
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import is_dead
from cffs.cli.mounts import Mount, absolute, mount_at, read_status
from cffs.cli.unmounting import holders, open_process, unmount, wait_for_end

#: The daemon ends within 2 s (contract section 10); a loaded machine may take longer to run it.
_END_SECONDS = 10.0
#: More names than this say no more.
_MOST_NAMED = 8


@click.command("umount", short_help="Unmount, and wait for the daemon to end.")
@click.option("--lazy", is_flag=True, help="Unmount now, also while files are open: they end in errors.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder)
def umount_command(mountpoint: Path, lazy: bool) -> int:
    """Unmount MOUNTPOINT and wait for its daemon to end."""
    umount(mountpoint, lazy=lazy)
    return 0


def umount(given: Path, *, lazy: bool) -> None:
    """Unmounts and returns when the daemon is gone; raises Failed with one line."""
    mountpoint = absolute(given)
    existing = mount_at(mountpoint)
    if existing is None:
        raise Failed(f"{mountpoint} is not mounted")
    if not existing.is_cffs:
        raise Failed(f"{mountpoint} is not a cffs mount but {existing.filesystem}; use umount")
    dead = is_dead(mountpoint)
    pid = None if dead else daemon_pid(mountpoint)
    process = open_process(pid) if pid is not None else None
    try:
        try:
            unmount(mountpoint, lazy=lazy or dead)
        except subprocess.CalledProcessError as error:
            raise Failed(_refusal(mountpoint, str(error.stderr))) from error
        except subprocess.TimeoutExpired as error:
            raise Failed(f"unmounting {mountpoint} takes too long; try: cffs umount --lazy {mountpoint}") from error
        if process is not None and pid is not None:
            if lazy and _is_its_daemon(pid, existing):
                # a lazy unmount alone leaves the daemon serving what is open; the signal ends those calls in errors
                signal.pidfd_send_signal(process, signal.SIGTERM)
            if not wait_for_end(process, limit_seconds=_END_SECONDS):
                raise Failed(f"unmounted, but the daemon (pid {pid}) still runs after {_END_SECONDS:.0f} s")
    finally:
        if process is not None:
            os.close(process)


def daemon_pid(mountpoint: Path) -> int | None:
    """The pid that the mount's daemon tells through its socket or its status, or None."""
    mount = mount_at(mountpoint)
    try:
        told = ask(mount, "hello") if mount is not None else None
        if isinstance(told, dict) and isinstance(told.get("pid"), int) and told["pid"] > 1:
            return int(told["pid"])
    except Failed:
        pass  # an older daemon, or one that is stuck
    raw = read_status(mountpoint)
    try:
        status = json.loads(raw or b"null")
    except ValueError:
        return None
    pid = status.get("pid") if isinstance(status, dict) else None
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 1 else None


def _is_its_daemon(pid: int, existing: Mount) -> bool:
    """Guards the signal: a status is only a file, and root must not signal whatever pid another user's mount names."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        # not the owner of /proc/PID: a process that cannot be dumped shows root there
        told = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    uid = re.search(r"^Uid:\s+(\d+)", told, re.MULTILINE)
    if b"cffs" not in command or uid is None:
        return False
    # a mount by root may have a daemon that became another user
    return existing.user_id == 0 or int(uid[1]) == existing.user_id


def _refusal(mountpoint: Path, reason: str) -> str:
    if "busy" not in reason.lower():
        return f"cannot unmount {mountpoint}: {reason.strip() or 'no reason given'}"
    found = holders(mountpoint)
    names = ", ".join(str(holder) for holder in found[:_MOST_NAMED]) or "a process that cannot be seen from here"
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"{mountpoint} is busy: {names}{more}; close what it has open there, or use --lazy"
