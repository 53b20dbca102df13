"""The private folder of a process: its catalogue, and its blocks, if any.

A mount locks the folders of its account, and a cluster runs several processes of one account on one machine. So each
process has a folder of its own, which is removed at its end. What a killed process leaves behind holds names and
numbers of calls: the next process that starts on the machine removes it. A lock on the folder shows that its process
lives.

Owns these folders. It must not know what is kept in them.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cffs.core.errors import UsageError

PREFIX = "cffs-fsspec-"
#: A folder is locked a moment after it was made; before that it must not be taken for one that was left behind.
YOUNG_SECONDS = 60.0


@contextmanager
def process_folder(parent: Path) -> Iterator[Path]:
    """A new folder below `parent` that only this user can enter, for the length of the block. Raises UsageError."""
    try:
        remove_left_behind(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot make a folder in {parent}: {error.strerror}; name another in cache_dir") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_left_behind(parent: Path) -> None:
    """Remove the folders of this user's processes that have ended without doing so."""
    for path in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or gone
        try:
            if _is_left_behind(descriptor):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_left_behind(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        return False
    if time.time_ns() / 1e9 - found.st_mtime < YOUNG_SECONDS:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
