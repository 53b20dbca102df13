"""The mount table of the kernel, as /proc/self/mountinfo shows it to this process: read without touching a mount.

It must not know commands or the daemon's calls. Both read it, since a mount that hangs answers no question of its own.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import UsageError

FILESYSTEM = "fuse.cffs"
_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the mount table. `user_id` and `group_id` are who mounted it, for FUSE.

    `device` (0:N) is one and the same for every place where a file system is mounted, in every namespace, whatever
    happened to the paths since; `root` is the folder of the file system that is shown there.
    """

    mountpoint: Path
    filesystem: str
    source: str
    user_id: int | None
    group_id: int | None = None
    mount_id: int = 0
    device: str = ""
    root: Path = Path("/")

    @property
    def is_cffs(self) -> bool:
        """True for a mount of ours."""
        return self.filesystem == FILESYSTEM


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts in the order they were made; lines that are not understood are left out."""
    mounts = []
    for line in text.split("\n"):  # the kernel's line ends alone: a path may hold any other
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not separator or len(before) < 6 or len(after) < 3 or not before[0].isdecimal():
            continue
        user, group = (re.search(rf"(?:^|,){name}_id=(\d+)", after[2]) for name in ("user", "group"))
        mounts.append(
            Mount(
                mount_id=int(before[0]),
                device=before[2],
                root=Path(_unescaped(before[3])),
                mountpoint=Path(_unescaped(before[4])),
                filesystem=after[0],
                source=_unescaped(after[1]),
                user_id=int(user[1]) if user else None,
                group_id=int(group[1]) if group else None,
            )
        )
    return mounts


def mounts_now() -> list[Mount]:
    """The mount table as it is; raises UsageError where the kernel does not show it."""
    try:
        return parse_mountinfo(os.fsdecode(_MOUNTINFO.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read {_MOUNTINFO}: {error.strerror}; is /proc mounted?") from error


def mount_at(mountpoint: Path, mounts: Iterable[Mount] | None = None) -> Mount | None:
    """The topmost mount whose mount point is exactly this path, or None."""
    found = mounts_now() if mounts is None else mounts
    return next((mount for mount in reversed(list(found)) if mount.mountpoint == mountpoint), None)


def _unescaped(text: str) -> str:
    """The kernel writes blank, tab, newline and backslash as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
