"""Which mount a path leads into, and the status that a mount shows.

It must not mount or unmount, and never touches a mount in a way that could hang.
"""

import os
import select
import subprocess
from pathlib import Path
from typing import Any

from cffs.cli.messages import Failed
from cffs.core.procfs import Mount
from cffs.daemon.mount_table import mount_at, mounts_now

#: A status is a few KiB; a larger file is none.
_LARGEST_STATUS_NBYTES = 2**20
#: The kernel's own limit.
_MOST_LINKS = 40


def cffs_mounts(*, of_everyone: bool) -> list[Mount]:
    """The cffs mounts in the order they were made: this user's own, or everyone's."""
    return [mount for mount in mounts_now() if mount.is_cffs and (of_everyone or mount.user_id == os.geteuid())]


def absolute(path: Path) -> Path:
    """The path with symbolic links resolved, except in its last part.

    That may be a dead or hung mount, where any question fails or waits.
    """
    try:
        whole = Path(os.path.abspath(path))
    except OSError as error:  # the kernel does not know the current folder
        raise Failed(f"{path} is relative, and the current folder is gone; write it from /") from error
    parent = Path(os.path.realpath(whole.parent))
    plain = parent / whole.name if whole.name else parent
    try:
        # readlink of a mount point asks the folder above it, not the mount
        return Path(os.path.realpath(plain)) if not mount_at(plain) and plain.is_symlink() else plain
    except OSError:
        return plain


def place_in_mount(path: Path) -> tuple[Mount, str]:
    """The cffs mount that a path leads into, and the place in its tree ("" for its root).

    Symbolic links and bind mounts are followed. The mount itself is not asked anything, because it may hang. Raises
    Failed where the path leads into none.
    """
    mounts = mounts_now()
    try:
        waiting = list(reversed(Path(path if path.is_absolute() else Path.cwd() / path).parts[1:]))
    except OSError as error:
        raise Failed(f"{path} is relative, and the current folder is gone; write it from /") from error
    here, links = Path("/"), 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = here.parent
            continue
        here /= part
        if _covering(here, mounts).is_cffs:
            continue  # there are no links in its tree
        try:
            target = Path(os.readlink(here))
        except OSError:
            continue  # no link, or nothing at all, which opening it will show
        links += 1
        if links > _MOST_LINKS:
            raise Failed(f"{path} leads through too many symbolic links")
        here = Path("/") if target.is_absolute() else here.parent
        waiting += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    mount = _covering(here, mounts)
    if not mount.is_cffs:
        raise Failed(f"{path} is not in a cffs mount; cffs status lists what is mounted")
    below = (mount.root / here.relative_to(mount.mountpoint)).relative_to("/")
    return mount, "" if below == Path() else str(below)


def _covering(path: Path, mounts: list[Mount]) -> Mount:
    """The mount that a path without links lies in: the innermost, and of those at one place the latest."""
    found = Mount(mountpoint=Path("/"), filesystem="", source="", user_id=None)
    for mount in mounts:
        is_inner = len(mount.mountpoint.parts) >= len(found.mountpoint.parts)
        if is_inner and path.is_relative_to(mount.mountpoint):
            found = mount
    return found


def read_status(mountpoint: Path, *, limit_seconds: float = 2.0) -> bytes | None:
    """`.cffs/status.json` of a mount, or None where it does not come in time.

    A child reads it, because the process that waits in a read that hangs in the kernel cannot even end; the child is
    left behind then. Root reads as the user who mounted, because the kernel refuses all others.
    """
    command = ["cat", "--", str(mountpoint / ".cffs/status.json")]
    # start_new_session: Ctrl-C in `--watch` must not print the end of the child
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **as_owner(mount_at(mountpoint)),
    )
    if child.stdout is None:
        raise AssertionError("Popen was asked for a pipe")
    collected = b""
    with child.stdout as stream:
        while select.select([stream], [], [], limit_seconds)[0]:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                return collected if child.wait() == 0 else None
            collected += piece
            if len(collected) > _LARGEST_STATUS_NBYTES:
                break
    child.kill()
    child.returncode = 0  # left behind: Popen must not wait for it either
    return None


def as_owner(mount: Mount | None) -> dict[str, Any]:
    """Arguments of Popen that run a child as the user who mounted, where that is another and we are root."""
    if os.geteuid() != 0 or mount is None or not mount.user_id:
        return {}
    return {"user": mount.user_id, "group": mount.group_id, "extra_groups": []}
