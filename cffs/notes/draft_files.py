"""The files of drafts and the folders of recordings, some of them made ahead.

It owns the folder `.drafts/`, and removes what a mount that was killed left there. It must not know notes.

A disk that has just lost many files can take a millisecond to make one (ext4 passes over the inodes that were freed
within the last seconds), which a program would wait for at its first write.
"""

import errno
import os
import secrets
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Lock

from cffs.notes.draft import disk_errors

#: Made ahead of each once the first note was published, as soon as fewer than half are left.
_SPARES = 32
#: What a mount that was killed left is removed once it is as old as this: younger files may be another mount's.
_LEFT_SECONDS = 24 * 3600
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = _OPEN | os.O_CREAT | os.O_EXCL


class DraftFiles:
    """Empty files, 0600, and empty folders, 0700. `make_ahead` may run in any thread, the rest in one at a time."""

    def __init__(self, folder: Path, *, now_seconds: float) -> None:
        """`folder` is made where it is missing. Raises SpoolFull or SpoolFailed."""
        self._folder = folder
        self._files: deque[str] = deque()
        self._folders: deque[str] = deque()
        #: Held for one file at a time, so that none is made once it is closed.
        self._making = Lock()
        self._is_closed = False
        with disk_errors():
            folder.mkdir(mode=0o700, exist_ok=True)
            self._remove_older_than(now_seconds - _LEFT_SECONDS)

    @property
    def are_few(self) -> bool:
        """True where `make_ahead` has something to do. No I/O."""
        return min(len(self._files), len(self._folders)) < _SPARES // 2

    def take(self) -> tuple[int, Path]:
        """An empty file: its descriptor and its path. Raises SpoolFull or SpoolFailed."""
        with disk_errors():
            while self._files:
                path = self._files.popleft()
                with suppress(FileNotFoundError):  # another mount took it for one that was left behind
                    descriptor = os.open(path, _OPEN)
                    os.utime(descriptor)  # an empty note is as old as its open, not as its file
                    return descriptor, Path(path)
            path = self._new_path()
            return os.open(path, NEW, 0o600), Path(path)

    def make_folder(self, path: str) -> None:
        """Make an empty folder at `path`. Raises FileExistsError where anything but an empty folder is there, and what
        the disk answers."""
        while self._folders:
            spare = self._folders.popleft()
            try:
                os.rename(spare, path)
                return
            except FileNotFoundError:
                continue
            except OSError as problem:
                os.rmdir(spare)
                if problem.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise FileExistsError(path) from problem
                raise
        os.mkdir(path, mode=0o700)

    def make_ahead(self) -> None:
        """Make what is taken next. What the disk refuses is reported to who takes it."""
        with suppress(OSError):
            while self._make_one():
                pass

    def _make_one(self) -> bool:
        """Make a file or a folder; False where there are enough."""
        with self._making:
            path = self._new_path()
            if self._is_closed:
                return False
            if len(self._files) < _SPARES:
                os.close(os.open(path, NEW, 0o600))
                self._files.append(path)
                return True
            if len(self._folders) < _SPARES:
                os.mkdir(path, mode=0o700)
                self._folders.append(path)
                return True
            return False

    def close(self) -> None:
        """Remove what was made ahead; nothing more is."""
        with self._making, suppress(OSError):
            self._is_closed = True
            while self._files:
                os.unlink(self._files.popleft())
            while self._folders:
                os.rmdir(self._folders.popleft())

    def _new_path(self) -> str:
        return f"{self._folder}/{secrets.token_hex(8)}"

    def _remove_older_than(self, oldest_seconds: float) -> None:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another mount uses it, or removes what was left as well
                    if entry.stat(follow_symlinks=False).st_mtime >= oldest_seconds:
                        continue
                    if entry.is_file(follow_symlinks=False):
                        os.unlink(entry.path)
                    elif entry.is_dir(follow_symlinks=False):
                        with suppress(OSError):  # it is not empty, and so no folder of ours
                            os.rmdir(entry.path)
