"""The spool: a private file on this machine for each upload.

A spool file has mode 0600, a folder of its own, and the name that was written, so that its owner can find what a killed
mount left behind.

Owns the spool's folder. It must not know what becomes of a file. Everything here blocks, and belongs into a thread.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import SpoolFailed, SpoolFull

#: Marks on the folder of a file that is on its way, and of one that has arrived.
SENDING, SENT = "sending", "sent"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file that an earlier mount did not send."""

    path: Path
    nbytes: int
    may_have_arrived: bool


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Raise errors of the disk as SpoolFull or SpoolFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SpoolFull("the disk of --cache-dir has no room for what is being written") from error
        raise SpoolFailed(f"the spool cannot be used: {error.strerror}") from error


class SpoolFile:
    """One open file of the spool, owned by its upload. Only reads may run beside another method."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the file, empty. Raises SpoolFull or SpoolFailed, and then leaves nothing behind."""
        self.nbytes = 0
        self._path = folder / name
        with _disk_errors():
            os.mkdir(folder, 0o700)
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            except OSError:
                os.rmdir(folder)
                raise

    def write(self, offset: int, data: bytes) -> int:
        """Write all of `data` at the offset; returns its length."""
        with _disk_errors():
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:] if written else data, offset + written)
        self.nbytes = max(self.nbytes, offset + written)
        return written

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes at the offset; fewer only at the end of the file."""
        with _disk_errors():
            return os.pread(self._descriptor, nbytes, offset)

    def truncate(self, nbytes: int) -> None:
        """Make the file exactly `nbytes` long."""
        with _disk_errors():
            os.ftruncate(self._descriptor, nbytes)
        self.nbytes = nbytes

    def sync(self) -> None:
        """Have the file on the disk, whatever happens to the machine."""
        with _disk_errors():
            os.fsync(self._descriptor)

    def rename(self, name: str) -> None:
        """Give the file the name that its owner would look for."""
        path = self._path.with_name(name)
        with _disk_errors():
            os.rename(self._path, path)
        self._path = path

    def mark(self, mark: str) -> None:
        """Set a mark on the disk that outlives this process. It replaces an earlier mark."""
        folder = self._path.parent
        marked = folder.with_name(f"{folder.name.partition('.')[0]}.{mark}")
        with _disk_errors():
            os.rename(folder, marked)
        self._path = marked / self._path.name

    def discard(self) -> None:
        """Close the file, and remove it from the disk."""
        os.close(self._descriptor)
        try:
            os.unlink(self._path)
            os.rmdir(self._path.parent)
        except OSError:
            return  # it was removed already


class Spool:
    """The spool of one account; only the mount that holds the account's lock uses it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the account's, 0700."""
        self._folder = folder
        self._number = 0

    def leftovers(self) -> list[Leftover]:
        """The files of earlier mounts, oldest first. Files that are empty, or have arrived, are removed."""
        found = []
        for folder in sorted(self._folder.iterdir()):
            number, _, mark = folder.name.partition(".")
            if not folder.is_dir() or not number.isdecimal():
                continue
            self._number = max(self._number, int(number))
            for path in list(folder.iterdir()):
                nbytes = path.lstat().st_size
                if nbytes and mark != SENT:
                    found.append(Leftover(path=path, nbytes=nbytes, may_have_arrived=mark == SENDING))
                else:
                    path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
        return found

    def make(self, name: str) -> SpoolFile:
        """A new file. Raises SpoolFull or SpoolFailed."""
        self._number += 1
        return SpoolFile(self._folder / f"{self._number:08d}", name)
