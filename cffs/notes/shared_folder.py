"""A folder that several mounts change: its time says if there is news.

It owns the time of the last change that was seen. It must not know what lies in the folder.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SharedFolder:
    """One folder, as of the last look at it. What the disk answers is raised, but for `touch`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: The time that the folder had at the last look.
        self.seen_ns = -1

    def now_ns(self) -> int:
        """The time that the folder has now."""
        return os.stat(self._path).st_mtime_ns

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A block that changes what lies in the folder. That need not be looked at; what another mount has changed
        since the last look is still to be seen."""
        is_ours = self.now_ns() == self.seen_ns
        yield
        if is_ours:
            self.seen_ns = self.now_ns()

    def touch(self) -> None:
        """Have other mounts look. What they have changed since the last look here is still to be seen."""
        try:
            is_ours = self.now_ns() == self.seen_ns
        except OSError:
            return
        touched_ns = touch(self._path, self.seen_ns)
        if is_ours:
            self.seen_ns = touched_ns


def touch(folder: Path | str, before_ns: int) -> int:
    """Have other mounts look again: returns a time that the folder has not had yet. The kernel itself would set the
    time of its last tick, which another mount may have seen already."""
    now_ns = max(time.time_ns(), before_ns + 1)
    try:
        os.utime(folder, ns=(now_ns, now_ns))
    except OSError:
        return before_ns
    return now_ns
