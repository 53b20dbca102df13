"""`cffs umount`: unmounts, and waits for the daemon to end.

It owns the message that names the processes which keep a mount busy. It must not know what the daemon does at its end.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from cffs.cli.control import Line, NoAnswer, NoSocket, connected, unseen
from cffs.cli.messages import Failed
from cffs.cli.mountpoint import is_dead
from cffs.cli.mounts import absolute, read_status
from cffs.cli.options import complete_folder
from cffs.cli.unmount_tools import holders, open_process, unmount, wait_for_end
from cffs.core.procfs import Mount
from cffs.daemon.mount_table import mount_at, mounts_now

#: The daemon ends within 2 s (cffs/docs/semantics.md#ends); a loaded machine may take longer to run it.
_END_SECONDS = 10.0
#: More names than this would not help.
_MOST_NAMED = 8


@click.command("umount", short_help="Unmount, and wait for the daemon to end.")
@click.option("--lazy", is_flag=True, help="Unmount now, also while files are open: they end in errors.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder)
def umount_command(mountpoint: Path, lazy: bool) -> int:
    """Unmount MOUNTPOINT and wait for its daemon to end."""
    umount(mountpoint, lazy=lazy)
    return 0


def umount(given: Path, *, lazy: bool) -> None:
    """Unmount, and return when the daemon is gone. Raises Failed with one line."""
    mountpoint = absolute(given)
    existing = mount_at(mountpoint)
    if existing is None:
        _end_unseen(mountpoint, lazy=lazy)
        return
    if not existing.is_cffs:
        raise Failed(f"{mountpoint} is not a cffs mount but {existing.filesystem}; use umount")
    dead = is_dead(mountpoint)
    with ExitStack() as stack:
        daemon = None if dead else stack.enter_context(_daemon_of(existing))
        try:
            unmount(mountpoint, lazy=lazy or dead)
        except subprocess.CalledProcessError as error:
            raise Failed(_refusal(mountpoint, str(error.stderr))) from error
        except subprocess.TimeoutExpired as error:
            raise Failed(f"unmounting {mountpoint} takes too long; try: cffs umount --lazy {mountpoint}") from error
        if daemon is None or any(other.device == existing.device for other in mounts_now()):
            return  # it is shown at another place too, and served there
        if lazy:
            # a lazy unmount alone leaves the daemon serving what is open; now those calls end in errors
            daemon.end()
        if not daemon.wait_for_end(limit_seconds=_END_SECONDS):
            if lazy:
                raise Failed(f"unmounted, but the daemon{daemon} still runs after {_END_SECONDS:.0f} s")
            raise Failed(
                f"unmounted here, but the daemon{daemon} still serves it to others (another mount namespace, perhaps); "
                f"end it: cffs umount --lazy {mountpoint}"
            )


def _end_unseen(mountpoint: Path, *, lazy: bool) -> None:
    """End the daemon of a mount that our mount table does not show.

    It may still serve another mount namespace, or programs that have files open.
    """
    try:
        line = connected(unseen(mountpoint))
    except Failed:
        raise Failed(f"{mountpoint} is not mounted") from None
    with _daemon_on(line) as daemon:
        if not lazy:
            raise Failed(
                f"{mountpoint} is not mounted here, but its daemon{daemon} still serves it to others (another mount "
                f"namespace, perhaps); end it: cffs umount --lazy {mountpoint}"
            )
        daemon.end()
        if not daemon.wait_for_end(limit_seconds=_END_SECONDS):
            raise Failed(f"the daemon{daemon} of {mountpoint} still runs after {_END_SECONDS:.0f} s")


@dataclass(slots=True, kw_only=True)
class _Daemon:
    """A mount's daemon: its connection where it has one, else the process that its status names."""

    line: Line | None
    process: int | None
    pid: int | None

    def __str__(self) -> str:
        return "" if self.pid is None else f" (pid {self.pid})"

    def end(self) -> None:
        """Have it end, in whatever process namespace it is."""
        if self.line is not None:
            try:
                self.line.ask("end")
                return
            except NoSocket:
                return  # it has ended meanwhile
            except Failed:
                pass  # an older daemon, or a stuck one
        if self.process is not None:
            signal.pidfd_send_signal(self.process, signal.SIGTERM)

    def wait_for_end(self, *, limit_seconds: float) -> bool:
        """False where it still lives after the limit."""
        if self.process is not None:
            return wait_for_end(self.process, limit_seconds=limit_seconds)
        return self.line is None or self.line.wait_for_end(limit_seconds=limit_seconds)


@contextmanager
def _daemon_of(mount: Mount) -> Iterator[_Daemon]:
    try:
        line = connected(mount)
    except Failed as error:  # one that is stuck, or an older daemon
        pid = error.pid if isinstance(error, NoAnswer) else _pid_in(read_status(mount.mountpoint))
        # a status is only a file, and numbers a process as its own namespace does
        pid = pid if pid is not None and _is_its_daemon(pid, mount) else None
        with _daemon_at(None, pid) as daemon:
            yield daemon
    else:
        with _daemon_on(line) as daemon:
            yield daemon


@contextmanager
def _daemon_on(line: Line) -> Iterator[_Daemon]:
    """The daemon at the other end of a connection, which is closed afterwards."""
    with line, _daemon_at(line, line.pid) as daemon:
        yield daemon


@contextmanager
def _daemon_at(line: Line | None, pid: int | None) -> Iterator[_Daemon]:
    """The daemon with a descriptor of its process, where that can be seen: a process outlives its connection."""
    process = open_process(pid) if pid is not None else None
    try:
        yield _Daemon(line=line, process=process, pid=pid)
    finally:
        if process is not None:
            os.close(process)


def _pid_in(raw: bytes | None) -> int | None:
    try:
        status = json.loads(raw or b"null")
    except ValueError:
        return None
    pid = status.get("pid") if isinstance(status, dict) else None
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 1 else None


def _is_its_daemon(pid: int, existing: Mount) -> bool:
    """True where the process is the mount's daemon: root must not signal any process that a user's mount names."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        # not the owner of /proc/PID: a process that cannot be dumped shows root there
        status_text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    uid = re.search(r"^Uid:\s+(\d+)", status_text, re.MULTILINE)
    if b"cffs" not in command or uid is None:
        return False
    # a mount by root may have a daemon that became another user
    return existing.user_id == 0 or int(uid[1]) == existing.user_id


def _refusal(mountpoint: Path, reason: str) -> str:
    """Why it was not unmounted, and what to do, in one line."""
    if "/etc/mtab" in reason:  # a system that was never booted: fusermount3 mounts without it and cannot unmount
        return f"cannot unmount {mountpoint}: there is no /etc/mtab; as root: ln -s ../proc/self/mounts /etc/mtab"
    if "busy" not in reason.lower():
        return f"cannot unmount {mountpoint}: {reason.strip() or 'no reason given'}"
    found = holders(mountpoint)
    names = ", ".join(str(holder) for holder in found[:_MOST_NAMED]) or "a process that cannot be seen from here"
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"{mountpoint} is busy: {names}{more}; close what it has open there, or use --lazy"
