"""The system's own tools: unmounting, holders of a mount, ends of processes.

It must not know commands.
"""

import os
import select
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: fusermount3 answers in milliseconds; an unmount that waits for a hung daemon would never end.
_UNMOUNT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has something open below the mount point."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def unmount(mountpoint: Path, *, lazy: bool) -> None:
    """Unmount, as root or as the user who mounted.

    Raises CalledProcessError with the tool's line in `stderr`, or TimeoutExpired.
    """
    tool = shutil.which("fusermount3") or shutil.which("fusermount")
    if tool is not None:
        command = [tool, "-u", *(["-z"] if lazy else []), "--", str(mountpoint)]
    else:
        command = ["umount", *(["-l"] if lazy else []), "--", str(mountpoint)]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, timeout=_UNMOUNT_SECONDS, errors="replace"
    )


def holders(mountpoint: Path) -> list[Holder]:
    """The processes that hold the mount, as far as they can be seen. It uses readlink only, which asks no file
    system."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _holds(Path(entry.path), mountpoint):
            found.append(Holder(int(entry.name), _name(Path(entry.path))))
    return sorted(found, key=lambda holder: holder.pid)


def _holds(process: Path, mountpoint: Path) -> bool:
    links = [process / "cwd", process / "root", process / "exe"]
    for folder in ("fd", "map_files"):
        try:
            links.extend(process / folder / name for name in os.listdir(process / folder))
        except OSError:
            continue  # another user's process, or one that has just ended
    for link in links:
        try:
            target = Path(os.readlink(link))
        except OSError:
            continue
        if target == mountpoint or mountpoint in target.parents:
            return True
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"


def open_process(pid: int) -> int | None:
    """A descriptor of the process, or None where there is none. Unlike the number, it never names another process."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def wait_for_end(process: int, *, limit_seconds: float) -> bool:
    """Wait for the process of a descriptor from `open_process`; False where it still lives after the limit."""
    return bool(select.select([process], [], [], limit_seconds)[0])


def end(child: "subprocess.Popen[bytes]", *, grace_seconds: float) -> None:
    """End a child: by a signal first, killed after the grace period. Returns when it is gone."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
