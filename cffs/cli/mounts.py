"""The mount table of the kernel, read from /proc/self/mountinfo, and what each cffs mount says of itself.

It must not mount or unmount, and never touches a mount in a way that could hang. `cli/mountpoint`,
`umount` and `status` call it.
"""

import os
import re
import select
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cffs.cli.messages import Failed

FILESYSTEM = "fuse.cffs"
_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
#: A status is a few KiB; more is not one.
_LARGEST_STATUS_NBYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the mount table. `user_id` and `group_id` are who mounted it, for FUSE."""

    mountpoint: Path
    filesystem: str
    source: str
    user_id: int | None
    group_id: int | None = None

    @property
    def is_cffs(self) -> bool:
        """True for a mount of ours."""
        return self.filesystem == FILESYSTEM


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts in the order they were made; lines that are not understood are left out."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not separator or len(before) < 6 or len(after) < 3:
            continue
        user, group = (re.search(rf"(?:^|,){name}_id=(\d+)", after[2]) for name in ("user", "group"))
        mounts.append(
            Mount(
                mountpoint=Path(_unescaped(before[4])),
                filesystem=after[0],
                source=_unescaped(after[1]),
                user_id=int(user[1]) if user else None,
                group_id=int(group[1]) if group else None,
            )
        )
    return mounts


def mounts_now() -> list[Mount]:
    """The mount table as it is; raises Failed where the kernel does not show it."""
    try:
        return parse_mountinfo(_MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise Failed(f"cannot read {_MOUNTINFO}: {error.strerror}; is /proc mounted?") from error


def mount_at(mountpoint: Path) -> Mount | None:
    """The topmost mount whose mount point is exactly this path, or None."""
    return next((mount for mount in reversed(mounts_now()) if mount.mountpoint == mountpoint), None)


def cffs_mounts(*, of_everyone: bool) -> list[Mount]:
    """The cffs mounts in the order they were made: this user's own, or everyone's."""
    return [mount for mount in mounts_now() if mount.is_cffs and (of_everyone or mount.user_id == os.geteuid())]


def absolute(path: Path) -> Path:
    """The path with symbolic links resolved, except that its last part is not touched: that may be a dead or hung
    mount, where any question fails or waits."""
    try:
        whole = Path(os.path.abspath(path))
    except OSError as error:  # the kernel does not tell where we are
        raise Failed(f"{path} is relative, and the current folder is gone; write it from /") from error
    parent = Path(os.path.realpath(whole.parent))
    plain = parent / whole.name if whole.name else parent
    try:
        # readlink of a mount point asks the folder above it, not the mount
        return Path(os.path.realpath(plain)) if not mount_at(plain) and plain.is_symlink() else plain
    except OSError:
        return plain


def read_status(mountpoint: Path, *, limit_seconds: float = 2.0) -> bytes | None:
    """`.cffs/status.json` of a mount, or None where it does not come in time.

    A child reads it: a read that hangs in the kernel cannot be given up by the process that made it, not even by
    ending; the child is left behind then.
    """
    command = ["cat", "--", str(mountpoint / ".cffs/status.json")]
    # start_new_session: Ctrl-C on a watch must not print the child's end
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
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
    return None


def _unescaped(text: str) -> str:
    """The kernel writes blank, tab, newline and backslash as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
