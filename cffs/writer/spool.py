"""Files on this machine for what is being written: 0600, each in a folder of its own under the name it was given.

It must not know what becomes of a file. Everything here blocks and belongs into a thread.
`writer/uploads` owns the one Spool of a mount.

The name on disk is the name that was written, so that what a killed mount left can be found by its owner.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import SpoolFailed, SpoolFull

#: How the folder of a file is marked that is on its way, and of one that has arrived.
SENDING, SENT = "sending", "sent"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file that an earlier mount did not send."""

    path: Path
    nbytes: int
    may_have_arrived: bool


@contextmanager
def _told() -> Iterator[None]:
    """What the disk says, as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SpoolFull("the disk of --cache-dir has no room for what is being written") from error
        raise SpoolFailed(f"the spool cannot be used: {error.strerror}") from error


class SpoolFile:
    """One open file of the spool. Owned by its draft; no two methods run at once but reads."""

    def __init__(self, folder: Path, name: str) -> None:
        """Makes it, empty. Raises SpoolFull or SpoolFailed; then nothing is left."""
        self.nbytes = 0
        self._path = folder / name
        with _told():
            os.mkdir(folder, 0o700)
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            except OSError:
                os.rmdir(folder)
                raise

    def write(self, offset: int, data: bytes) -> int:
        """All of `data`, there."""
        with _told():
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:] if written else data, offset + written)
        self.nbytes = max(self.nbytes, offset + written)
        return written

    def read(self, offset: int, nbytes: int) -> bytes:
        """What is there; fewer bytes only at the end."""
        with _told():
            return os.pread(self._descriptor, nbytes, offset)

    def truncate(self, nbytes: int) -> None:
        """Exactly so long from now on."""
        with _told():
            os.ftruncate(self._descriptor, nbytes)
        self.nbytes = nbytes

    def sync(self) -> None:
        """On the disk, whatever happens to the machine."""
        with _told():
            os.fsync(self._descriptor)

    def rename(self, name: str) -> None:
        """The name that its owner would look for."""
        path = self._path.with_name(name)
        with _told():
            os.rename(self._path, path)
        self._path = path

    def mark(self, mark: str) -> None:
        """A mark on the disk that outlives this process; it takes the place of an earlier one."""
        folder = self._path.parent
        marked = folder.with_name(f"{folder.name.partition('.')[0]}.{mark}")
        with _told():
            os.rename(folder, marked)
        self._path = marked / self._path.name

    def discard(self) -> None:
        """Closed, and gone from the disk."""
        os.close(self._descriptor)
        try:
            os.unlink(self._path)
            os.rmdir(self._path.parent)
        except OSError:
            return  # somebody tidied up already


class Spool:
    """The spool of one account; only the mount that holds the account's lock uses it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the account's, 0700."""
        self._folder = folder
        self._number = 0

    def leftovers(self) -> list[Leftover]:
        """What is there from earlier mounts, oldest first; files that are empty or have arrived are removed."""
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
