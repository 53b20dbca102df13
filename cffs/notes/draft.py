"""An open note: writes go to a copy, which takes the note's place whole.

It owns the copy and its descriptor. It must not know which notes there are.

* A program writes to a draft, an unpublished copy of the note. The draft takes the note's place by rename(2) when a
  descriptor that has written is closed. Whatever happens to the disk or the mount before that, the old note is whole.
  The kernel closes what a killed program had open: what that had written takes the note's place.
* After the rename what is read is the published note; the next write begins another copy.
* All descriptors of one note share its draft, so that what one writes the others read.
* A note that an open truncated is blank: it has no file until the first write, or until it takes the note's place. That
  open asks the disk nothing, since whatever lies there is replaced.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from cffs.core.errors import CffsError, NotInTree, ReadOnlyMount, SpoolFailed, SpoolFull
from cffs.core.units import MIB
from cffs.notes.keys import Key, NoteStat

_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_NBYTES = MIB


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise SpoolFull, ReadOnlyMount or SpoolFailed for what the disk of the notes answers."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SpoolFull("the disk of --notes has no room for what is being written") from error
        if error.errno == errno.EROFS:
            raise ReadOnlyMount("the disk of --notes is read-only") from error
        raise SpoolFailed(f"the folder of --notes cannot be used: {error.strerror}") from error


def stat_of(path: Path | str) -> NoteStat | None:
    """What a regular file is like; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return NoteStat(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def require_stat(path: Path) -> NoteStat:
    """What a file of ours is like. Raises SpoolFailed where it is gone."""
    found = stat_of(path)
    if found is None:
        raise SpoolFailed("a file in the folder of --notes was removed while it was written")
    return found


class Publisher(Protocol):
    """What a draft needs of the store."""

    def new_draft(self, key: Key | None) -> tuple[int, Path]:
        """An empty file, 0600, that can take the place of the note, or of none: its descriptor and its path."""
        ...

    def open_published(self, key: Key) -> int:
        """A descriptor, for reading, on what lies at the key now. Raises NotInTree where there is nothing."""
        ...

    def publish(self, key: Key, path: Path, found: NoteStat) -> None:
        """Let the file at `path`, which is like `found`, take the place of the note."""
        ...

    def has_published(self, key: Key) -> bool:
        """True where a note lies at the key now."""
        ...

    def require_fits(self, nbytes: int) -> None:
        """Raise TooLarge for more bytes than a note may have."""
        ...

    def released(self, draft: "Draft") -> None:
        """Nothing has the draft open any more."""
        ...


class Draft:
    """A note that is open, by one descriptor or several. `NoteStore` makes it."""

    def __init__(self, store: Publisher, key: Key) -> None:
        self.key = key
        self.handles = 0
        #: What is here differs from what is published.
        self.is_dirty = False
        #: What it is like while it is dirty.
        self.stat = NoteStat(0, 0)
        #: Dirty and empty, and without a file yet.
        self._is_blank = False
        #: No note is known to lie at its key, so that the first close publishes it, however empty it is.
        self.is_new = False
        self._store = store
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._has_written = False
        #: It was truncated since it was last published: nothing of what is published is its own.
        self._replaces_all = False
        #: Its name is gone, or another file's.
        self.is_forgotten = False
        self._failure: CffsError | None = None

    def read(self, offset: int, nbytes: int) -> bytes:
        """What is there; fewer bytes only at the end."""
        if self._is_blank:
            return b""
        with disk_errors():
            return os.pread(self._opened(), nbytes, offset)

    def write(self, offset: int, data: bytes) -> int:
        """All of `data`, at `offset`. Raises TooLarge, or what the disk answers; after that nothing of what was
        written since the last `publish` is kept."""
        self._store.require_fits(offset + len(data))
        written = 0
        with self._failing():
            self.begin(keeps=True)
            descriptor = self._opened()
            with disk_errors():
                while written < len(data):
                    written += os.pwrite(descriptor, data[written:] if written else data, offset + written)
        self._has_written = True
        self._look(descriptor)
        return written

    def truncate(self, nbytes: int) -> None:
        """Exactly so long from now on."""
        self._store.require_fits(nbytes)
        with self._failing():
            self.begin(keeps=nbytes > 0)
            self._replaces_all |= nbytes == 0
            with disk_errors():
                os.ftruncate(self._opened(), nbytes)
        self._look(self._opened())

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What the disk refuses is never published in part."""
        try:
            yield
        except CffsError as failure:
            if self.is_dirty:
                self._failure = failure
            raise

    def make_blank(self, *, is_new: bool, now_ns: int) -> None:
        """It is empty from now on. No I/O: call it on a draft that has just been made."""
        self.is_dirty = self._is_blank = self._replaces_all = True
        self.is_new = is_new
        self.stat = NoteStat(0, now_ns)

    def begin(self, *, keeps: bool) -> None:
        """Write to a copy from now on; `keeps` says that what is there so far is copied."""
        if self.is_dirty and not self._is_blank:
            return
        descriptor, path = self._store.new_draft(None if self.is_forgotten else self.key)
        try:
            if keeps and not self._replaces_all:
                self._copy_to(descriptor)
            if self.is_forgotten:
                path.unlink()
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._close()
        self._look(descriptor)
        self._descriptor, self.is_dirty, self._is_blank = descriptor, True, False
        self._path = None if self.is_forgotten else path

    def flush(self) -> None:
        """A descriptor was closed. A shell that opens with `>` closes one before anything is written: the old note is
        kept until there is something in its place."""
        if self.is_new and self._is_blank and self._failure is None:
            self.is_new = not self._store.has_published(self.key)  # another mount may have written it meanwhile
        if self._has_written or self._failure is not None or (self.is_new and self._is_blank):
            self.publish()

    def sync(self) -> None:
        """What was written is published, and on the disk whatever happens to the machine."""
        self.publish()
        with disk_errors():
            os.fsync(self._opened())

    def publish(self) -> None:
        """Let what was written take the note's place. Raises what a write met since the last time."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.drop()
            raise failure
        if self._is_blank:
            self.begin(keeps=False)
        if self._path is not None:
            self._store.publish(self.key, self._path, self.stat)
            self._path, self.is_new = None, False
        self.is_dirty = self._has_written = self._replaces_all = False

    def forget(self) -> None:
        """Its name is about to go: what is open keeps its bytes, and what is written goes with the last descriptor."""
        if not self._is_blank:
            with suppress(SpoolFailed, NotInTree):
                self._opened()
        self.is_forgotten = True
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def give_up(self) -> None:
        """A call did not come to its end in time: nothing of what was written since the last `publish` is published. No
        I/O; allowed while the call is still in the thread."""
        self._failure = SpoolFailed("the disk of --notes did not answer in time")

    @property
    def is_settled(self) -> bool:
        """True where a release would ask nothing of the disk."""
        return not (self.is_dirty or self.is_new or self._failure is not None)

    def take_descriptor(self) -> int | None:
        """The descriptor, for the caller to close: the last handle is about to be released."""
        descriptor, self._descriptor = (self._descriptor, None) if self.handles == 1 else (None, self._descriptor)
        return descriptor

    def release(self) -> None:
        """One descriptor fewer. Raises what `publish` raises."""
        self.handles -= 1
        if self.handles:
            return
        try:
            self.publish()
        finally:
            self._store.released(self)
            self.drop()

    def _look(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self.stat = NoteStat(found.st_size, found.st_mtime_ns)

    def _opened(self) -> int:
        if self._is_blank:
            self.begin(keeps=False)
        if self._descriptor is None:
            self._descriptor = self._store.open_published(self.key)
        return self._descriptor

    def _copy_to(self, descriptor: int) -> None:
        source, offset = self._opened(), 0
        with disk_errors():
            while data := os.pread(source, _READ_NBYTES, offset):
                offset += os.pwrite(descriptor, data, offset)

    def drop(self) -> None:
        """Give up what is not published, and close the descriptor."""
        self._close()
        self.is_dirty = self._has_written = self._is_blank = False
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
