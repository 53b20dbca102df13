"""The check that a folder can be mounted on; a dead mount there is cleared.

It owns the rule: an empty folder of the user's own, without a FUSE mount. It must not mount.
"""

import errno
import os
import select
import stat
import subprocess
from pathlib import Path

from cffs.cli.messages import Failed, tell
from cffs.cli.mounts import absolute, as_owner
from cffs.cli.unmount_tools import unmount
from cffs.core.procfs import Mount
from cffs.daemon.mount_table import mount_at

#: A daemon that lives answers from memory.
_STUCK_SECONDS = 2.0
#: How the C library spells these errors in the C locale, which the child gets.
_GONE = (os.strerror(errno.ENOTCONN), os.strerror(errno.ECONNABORTED))


def prepare(given: Path, *, create: bool = False, private: tuple[Path, ...] = ()) -> Path:
    """Return the resolved mount point, ready to be mounted on. Raises Failed with one line where it is not.

    Clears a dead cffs mount first, and says so in one line. `create` makes a missing folder (for the demo). `private`
    are folders of cffs itself: a mount on, in or above one of them would hide the cache from its own daemon.
    """
    mountpoint = absolute(given)
    # bounded: root can stack mounts, and each layer may be dead
    for _ in range(16):
        existing = mount_at(mountpoint)
        if existing is None or not existing.filesystem.startswith("fuse"):
            break  # a folder like any other: an automount trap, a bind mount, a tmpfs
        _clear_if_dead(mountpoint, existing)
    if create:
        try:
            mountpoint.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(f"cannot make {mountpoint}: {error.strerror}") from error
    _check_folder(mountpoint)
    for folder in private:
        other = Path(os.path.realpath(folder))
        if mountpoint == other or mountpoint in other.parents or other in mountpoint.parents:
            raise Failed(f"{mountpoint} and cffs's own folder {other} are in each other's way; mount elsewhere")
    return mountpoint


def is_dead(mountpoint: Path) -> bool:
    """True where the daemon of the mount there is gone: the kernel then answers at once, with ENOTCONN.

    A child asks: where the daemon is stuck, the question waits in the kernel, and the process that asked cannot even
    end. Root asks as the user who mounted, because the kernel refuses other users, root among them.
    """
    command = ["stat", "--file-system", "--", str(mountpoint)]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        start_new_session=True,
        **as_owner(mount_at(mountpoint)),
    )
    if child.stderr is None:
        raise AssertionError("Popen was asked for a pipe")
    with child.stderr as stream:
        if not select.select([stream], [], [], _STUCK_SECONDS)[0]:
            child.kill()
            child.returncode = 0  # left behind: Popen must not wait for it either
            return False
        said = stream.read().decode(errors="replace")
    return child.wait() != 0 and any(text in said for text in _GONE)


def _clear_if_dead(mountpoint: Path, existing: Mount) -> None:
    if not existing.is_cffs or not is_dead(mountpoint):
        raise _already_mounted(mountpoint, existing)
    try:
        unmount(mountpoint, lazy=True)
    except subprocess.CalledProcessError as error:
        raise Failed(f"{mountpoint} holds a dead mount that cannot be cleared: {error.stderr.strip()}") from error
    tell(f"cleared a dead mount at {mountpoint}")


def _check_folder(mountpoint: Path) -> None:
    try:
        found = os.stat(mountpoint)
        existing = mount_at(mountpoint)
        if existing is not None and existing.filesystem.startswith("fuse"):  # that stat made an automount trap mount it
            raise _already_mounted(mountpoint, existing)
        if not stat.S_ISDIR(found.st_mode):
            raise Failed(f"{mountpoint} is not a folder")
        if os.geteuid() not in (0, found.st_uid):
            raise Failed(f"{mountpoint} belongs to another user; mount on a folder of your own")
        with os.scandir(mountpoint) as entries:
            if next(entries, None) is not None:
                raise Failed(f"{mountpoint} is not empty; mount on an empty folder")
    except FileNotFoundError as error:
        raise Failed(f"{mountpoint} does not exist; make it: mkdir -p {mountpoint}") from error
    except OSError as error:
        raise Failed(f"cannot use {mountpoint}: {error.strerror}") from error


def _already_mounted(mountpoint: Path, existing: Mount) -> Failed:
    hint = f"unmount it first: cffs umount {mountpoint}" if existing.is_cffs else "choose an empty folder"
    return Failed(f"{mountpoint} is already mounted ({existing.source}); {hint}")
