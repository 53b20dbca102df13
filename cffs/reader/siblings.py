"""Reading a folder's files in order brings the next ones early: who reads so, and how far ahead to go.

It owns what it knows of each folder's opens and the handles of what it brought; it must not know paths or listings.
`fuse/` tells it each open of a remote file and where the file lies in its folder. Measured: readpath.md section 3.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import trio

from cffs.core.source import Source
from cffs.reader.facts import Known
from cffs.reader.objects import Objects
from cffs.reader.open_file import OpenFile

FIRST_AHEAD = 2
MAX_AHEAD = 16
#: `xargs -P4` opens a little out of order.
_TOLERANCE = 4
#: Larger files are worth their own stream, and little is won at their start.
MAX_FILE_NBYTES = 16 * 1024 * 1024
#: Brought and not opened yet: this much, or this share of what the run has opened, whichever is more; and never more
#: than that share of the memory. It bounds what is wasted when the reader stops (0.24 of what it read).
_FREE_NBYTES = 2 * 1024 * 1024
_SHARE_OF_RUN = 0.25
_SHARE_OF_MEMORY = 0.5
#: What was brought is held for so long; then it may be evicted like anything else.
HOLD_SECONDS = 30.0
_MAX_FOLDERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A file further on in a folder: what opening it needs, and its place."""

    index: int
    key: str
    sources: tuple[Source, ...]
    known: Known | None
    hint_nbytes: int | None

    @property
    def expected_nbytes(self) -> int | None:
        """Its size, exact or as a hint."""
        return self.hint_nbytes if self.known is None else self.known.total_nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRun:
    """How the files of one folder are being opened; pure."""

    high_index: int = -1
    ahead: int = 0
    opened_nbytes: int = 0

    def opened(self, index: int, nbytes: int, *, was_brought: bool) -> "FolderRun":
        """The run after an open at `index`. The second open in order begins to look ahead; each that was brought
        doubles how far; any other open starts over."""
        if self.high_index >= 0 and abs(index - self.high_index) <= _TOLERANCE:
            if index <= self.high_index:
                return self  # overtaken by its neighbour, or opened again
            ahead = min(self.ahead * 2, MAX_AHEAD) if was_brought else max(self.ahead, FIRST_AHEAD)
            return FolderRun(high_index=index, ahead=ahead, opened_nbytes=self.opened_nbytes + nbytes)
        return FolderRun(high_index=index, opened_nbytes=nbytes)

    def allowance_nbytes(self, memory_nbytes: int) -> int:
        """How much may be brought and unopened."""
        return int(min(max(_FREE_NBYTES, _SHARE_OF_RUN * self.opened_nbytes), _SHARE_OF_MEMORY * memory_nbytes))


@dataclass(frozen=True, slots=True)
class _Brought:
    handle: OpenFile
    nbytes: int
    until: float


class Siblings:
    """The folders being read in order, and what was brought early for them. No method is a checkpoint."""

    def __init__(self, objects: Objects, *, memory_nbytes: int) -> None:
        self._objects = objects
        self._memory_nbytes = memory_nbytes
        self._runs: OrderedDict[Hashable, FolderRun] = OrderedDict()
        self._brought: OrderedDict[str, _Brought] = OrderedDict()

    def opened(
        self,
        folder: Hashable,
        index: int,
        *,
        key: str,
        nbytes: int | None,
        following: Callable[[int], Sequence[Sibling]],
    ) -> None:
        """The file `key`, the `index`-th of `folder` in listing order, was opened (its handle is open already).

        `following(n)` gives up to `n` remote files after it, in order; asked only when somebody reads in order.
        """
        self._let_go(trio.current_time())
        brought = self._brought.pop(key, None)
        if brought is not None:
            brought.handle.close()
        run = self._runs.pop(folder, FolderRun()).opened(index, nbytes or 0, was_brought=brought is not None)
        self._runs[folder] = run
        if len(self._runs) > _MAX_FOLDERS:
            self._runs.popitem(last=False)
        if run.ahead:
            self._bring(following(run.ahead), run.allowance_nbytes(self._memory_nbytes))

    def close(self) -> None:
        """Lets everything go."""
        self._let_go(float("inf"))

    def _bring(self, siblings: Sequence[Sibling], allowance_nbytes: int) -> None:
        unopened_nbytes = sum(brought.nbytes for brought in self._brought.values())
        for sibling in siblings:
            nbytes = sibling.expected_nbytes
            if nbytes is None or nbytes > MAX_FILE_NBYTES or sibling.key in self._brought:
                continue
            unopened_nbytes += nbytes
            if unopened_nbytes > allowance_nbytes:
                return
            handle = self._objects.bring(sibling.key, sibling.sources, known=sibling.known, hint_nbytes=nbytes)
            self._brought[sibling.key] = _Brought(handle, nbytes, trio.current_time() + HOLD_SECONDS)

    def _let_go(self, now: float) -> None:
        while self._brought:
            key = next(iter(self._brought))
            if self._brought[key].until > now:
                return
            self._brought.pop(key).handle.close()
