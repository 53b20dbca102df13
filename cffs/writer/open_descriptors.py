"""Open descriptors in /proc: who can still write a file, who was killed.

FLUSH names no caller. It comes for every close of every duplicate of a descriptor, and at the end of a process for what
that had open, killed or not; the closed descriptor has then left the table of its process. A process that is being
killed waits for our answer with the flag PF_SIGNALED set (measured on 6.18; `include/linux/sched.h`, there since 2.6).
Processes that cannot be seen, above all another user's, count as absent.

Owns how /proc is read. It must not know files of the mount: it reads links and texts of /proc only, and never asks for
the attributes of what a link points to, which would be a call into the mount itself. It blocks, and belongs into a
thread.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cffs.core.procfs import thread_group

#: include/linux/sched.h.
_PF_EXITING = 0x4
_PF_SIGNALED = 0x400
#: Fields of /proc/PID/stat after the name (proc(5)): state, parent, …, flags.
_STATE, _PARENT, _FLAGS = 0, 1, 6
_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterState:
    """Whether a process can still write the file, and whether a process that wrote it, or a child, is being killed."""

    is_open: bool
    was_killed: bool


def process_of(thread_id: int, *, proc: Path = Path("/proc")) -> int:
    """The process of a thread, or the number itself where that cannot be seen."""
    try:
        return thread_group((proc / str(thread_id) / "status").read_text(errors="replace")) or thread_id
    except OSError:
        return thread_id


def find_writers(name: bytes, inode: int, writers: Collection[int], *, proc: Path = Path("/proc")) -> WriterState:
    """Whether a process has the file `name`, whose inode on the mount is `inode`, open for writing; and whether one of
    the processes `writers`, or a child of one, is being ended by a signal."""
    is_open = was_killed = False
    for folder in _processes(proc):
        is_open = is_open or _has_open(folder, name, inode)
        was_killed = was_killed or _is_killed(folder, writers)
    return WriterState(is_open=is_open, was_killed=was_killed)


def _processes(proc: Path) -> Iterator[str]:
    with os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield entry.path


def _has_open(folder: str, name: bytes, inode: int) -> bool:
    try:
        numbers = os.listdir(f"{folder}/fd")
    except OSError:
        return False  # the process ended, or is another user's
    for number in numbers:
        try:
            target = os.fsencode(os.readlink(f"{folder}/fd/{number}"))
        except OSError:
            continue
        if target.removesuffix(_DELETED).endswith(b"/" + name) and _writes(f"{folder}/fdinfo/{number}", inode):
            return True
    return False


def _writes(path: str, inode: int) -> bool:
    """Whether the descriptor is of that inode and can write. A file of the same name elsewhere has another inode; a
    kernel before 5.14 shows none, and then the name decides."""
    try:
        with open(path) as file:
            shown = dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)
        flags = int(shown["flags"], 8)
        same = "ino" not in shown or int(shown["ino"]) == inode
    except (OSError, KeyError, ValueError):
        return False
    return same and flags & os.O_ACCMODE != os.O_RDONLY


def _is_killed(folder: str, writers: Collection[int]) -> bool:
    try:
        with open(f"{folder}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        flags, parent = int(fields[_FLAGS]), int(fields[_PARENT])
    except (OSError, IndexError, ValueError):
        return False
    if flags & (_PF_EXITING | _PF_SIGNALED) != _PF_EXITING | _PF_SIGNALED:
        return False
    if int(folder.rpartition("/")[2]) in writers:
        return True
    # a child that wrote through a descriptor it inherited; a zombie ended earlier, and does not wait for us
    return parent in writers and fields[_STATE] != b"Z"
