"""Parsers of the kernel's texts in /proc: a process's status and the mount table.

It owns how those texts are parsed; their formats are in proc(5). It must not read a file: the text is passed in.
"""

import re
from dataclasses import dataclass
from pathlib import Path

#: The type of cffs mounts in the mount table.
FILESYSTEM = "fuse.cffs"
_THREAD_GROUP = re.compile(r"^Tgid:[ \t]*([0-9]+)$", re.ASCII | re.MULTILINE)
_OCTAL = re.compile(r"\\([0-7]{3})")


def thread_group(status: str) -> int | None:
    """The process that a thread belongs to, from the text of its `/proc/TID/status`; None where the text has none."""
    found = _THREAD_GROUP.search(status)
    return None if found is None else int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the mount table. `user_id` and `group_id` are who mounted it, for FUSE.

    `device` (0:N) is the same for every place where a file system is mounted, in every namespace, whatever happened to
    the paths since. `root` is the folder of the file system that is shown there.
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
    """The mounts of `/proc/PID/mountinfo`, in the order they were made; lines that cannot be parsed are left out."""
    mounts = []
    for line in text.split("\n"):  # not splitlines: a path may hold every other line end
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


def _unescaped(text: str) -> str:
    """The kernel writes a blank, tab, newline or backslash of a path as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
