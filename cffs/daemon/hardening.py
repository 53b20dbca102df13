"""Protection from other processes: no core dumps, no tracing, own folders.

Owns the checks of files and folders that must be ours alone. It must not know what is kept in them.
"""

import ctypes
import os
import resource
import stat
from pathlib import Path

from cffs.core.errors import UsageError

#: <sys/prctl.h>: not in Python's standard library.
_PR_SET_DUMPABLE = 4


def harden(*, debug: bool) -> None:
    """Forbid core dumps and, unless `debug`, tracing and reading of /proc/PID/{environ,mem,fd} by other processes.

    Root may still do all of it. A change of uid makes the kernel reset the second: it has to be called again then.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not debug:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def private_folder(path: Path) -> Path:
    """Make sure that `path` is a folder of ours that no other user can enter; returns it.

    Missing folders are made, all of them 0700 whatever the umask, as the XDG specification asks. An empty folder that
    others can look into but not write to, as `mkdir` makes it, is closed to 0700. Raises UsageError, one line, where
    `path` is a symbolic link, no folder, another user's, open to others and either writable or not empty, cannot be
    made, or lies where any user may put another folder in its place.
    """
    try:
        make_folders(path)
        # O_NOFOLLOW: the folder itself is checked, not what a link put there meanwhile leads to
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:
        what = "is a symbolic link" if path.is_symlink() else "is not a folder"
        raise UsageError(f"{path} {what}; name a folder of your own") from error
    except OSError as error:
        raise UsageError(f"cannot use the folder {path}: {error.strerror}; name another") from error
    try:
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and is_open_and_unused(found, descriptor):
            os.fchmod(descriptor, 0o700)
            found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user (uid {found.st_uid}); name a folder of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(f"{path} is open to others; run: chmod 700 {path}")
    for above in path.resolve().parents:
        mode = above.stat().st_mode
        # with the sticky bit, as /tmp has it, other users may add to a folder but neither move nor remove what is ours
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise UsageError(f"{above} can be written by everybody, so {path} is not safe there; name another folder")
    return path


def make_folders(path: Path) -> None:
    """Make the folder and those above it where they are missing, each 0700 whatever the umask. Raises OSError."""
    # the umask takes bits away from mkdir's mode: one of 0177 would leave folders that even we cannot enter
    before = os.umask(0o077)
    try:
        for folder in (*reversed(path.parents), path):
            if not os.path.lexists(folder):
                folder.mkdir(mode=0o700, exist_ok=True)
    finally:
        os.umask(before)


def is_open_and_unused(found: os.stat_result, folder: Path | int) -> bool:
    """True where other users can look into the folder but not write to it, and it is empty: nothing was put into it or
    seen in it."""
    mode = stat.S_IMODE(found.st_mode)
    return bool(mode & 0o077) and not mode & 0o022 and not os.listdir(folder)


def open_to_append(path: Path, *, option: str) -> int:
    """Open a log for appending: 0600 whatever the umask, never through a symbolic link, only a regular file of ours.

    Raises UsageError, one line that names the option, where that is impossible.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        what = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise UsageError(f"{option}: cannot write {path}: {what}") from error
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_nlink != 1 or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise UsageError(f"{option}: {path} is not a plain file of your own; name another")
    os.fchmod(descriptor, 0o600)
    return descriptor
