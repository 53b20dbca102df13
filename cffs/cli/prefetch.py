"""`cffs prefetch PATH...`: a mount brings files into its disk cache.

It owns which files are meant, how many are brought at once, and the progress. It must not know how the mount reads. A
file that is wholly on disk costs nothing, so that an interrupted run continues where it ended. A file that is reported
as here is on disk when the command ends.
"""

import errno
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cffs.cli.control import Line, ask, connected
from cffs.cli.durations import parse_age
from cffs.cli.format_status import size as shown_size
from cffs.cli.messages import Failed, tell
from cffs.cli.mounts import place_in_mount
from cffs.core.errors import UsageError
from cffs.core.procfs import Mount

#: Half of the mount's connections by default, so that other readers keep some.
_READERS = 8
_PLAIN_LINE_SECONDS = 5.0
_SECTOR_NBYTES = 512
#: The daemon reports once a second that it continues; its loop may be busy.
_SILENCE_SECONDS = 20.0
#: Names in one question: far below what a line of the control socket may hold.
_ASKED_AT_ONCE = 500
#: Rendered files, of which nothing is cached.
_RENDERED = (".json", ".m3u8")
_OWN_FOLDER = ".cffs"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to bring, as stat showed it before it was opened: its size may be a hint."""

    path: str
    nbytes: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class Brought:
    """The outcome for one file: bytes brought now (0 where it was here), or the problem.

    `key` is its name in the cache, "" where nothing of it is cached.
    """

    nbytes: int = 0
    was_here: bool = False
    problem: str = ""
    key: str = ""
    total_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or a folder, that could not be brought, and the reason."""

    path: str
    reason: str


@click.command(short_help="Bring files into the disk cache ahead of use.")
@click.option("--pin", "pinned", flag_value=True, type=bool, default=None, help="Keep them from eviction.")
@click.option("--unpin", "pinned", flag_value=False, type=bool, help="Let them be evicted again; brings nothing.")
@click.option("--newer", "age", metavar="AGE", help="Only files changed within AGE: 12h, 7d, 8w.")
@click.argument("paths", nargs=-1, required=True, type=Path, metavar="PATH...")
def prefetch(paths: tuple[Path, ...], pinned: bool | None, age: str | None) -> int:
    """Bring files, or all recordings and media below folders, of a mount into its disk cache."""
    try:
        newer_than = None if age is None else time.time_ns() / 1e9 - parse_age(age)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    below: dict[str, list[Path]] = {}
    mounts: dict[str, Mount] = {}
    for path in paths:
        mount, _below = place_in_mount(path)
        below.setdefault(mount.device, []).append(path)  # equal for every bind mount of it
        mounts.setdefault(mount.device, mount)
    problems: list[Problem] = []
    for mount in mounts.values():
        _require_disk(mount, is_needed=pinned is not False)
    for device, mount in mounts.items():
        wanted = list(_wanted(below[device], newer_than, problems))
        problems += _run(mount, wanted, pinned)
    for line in lines_of(problems):
        tell(line)
    return 1 if problems else 0


def lines_of(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each reason: where a service is down, that is one line instead of one for each file."""
    by_reason: dict[str, list[str]] = {}
    for problem in problems:
        by_reason.setdefault(problem.reason, []).append(problem.path)
    for reason, paths in by_reason.items():
        if len(paths) == 1:
            yield f"{paths[0]}: {reason}"
        else:
            yield f"{len(paths)} files: {reason}; the first is {paths[0]} (`cffs why` and `cffs status` tell more)"


def _require_disk(mount: Mount, *, is_needed: bool) -> None:
    answer = ask(mount, "status")
    cache = answer.get("cache") if isinstance(answer, dict) else None
    if is_needed and isinstance(cache, dict) and not cache.get("disk_limit_bytes"):
        raise Failed(f"the mount at {mount.mountpoint} keeps nothing on disk; mount it with --cache-size above 0")


def _wanted(paths: list[Path], newer_than: float | None, problems: list[Problem]) -> Iterator[Wanted]:
    """The files below the paths in the order of their listings, each once however many folders show it."""
    seen: set[int] = set()
    for path in paths:
        for file in _files(path, problems):
            try:
                found = os.stat(file)
            except OSError as error:
                problems.append(Problem(file, error.strerror or str(error)))
                continue
            if found.st_ino not in seen and (newer_than is None or found.st_mtime >= newer_than):
                seen.add(found.st_ino)
                yield Wanted(file, found.st_size, _is_here(found))


def _files(path: Path, problems: list[Problem]) -> Iterator[str]:
    if not os.path.isdir(path):  # False also where stat fails, which then gives the reason
        yield str(path)
        return
    walk = os.walk(path, onerror=lambda error: problems.append(Problem(error.filename, error.strerror or str(error))))
    for folder, folders, names in walk:
        folders[:] = [name for name in folders if name != _OWN_FOLDER]
        yield from (os.path.join(folder, name) for name in names if not name.endswith(_RENDERED))


def _run(mount: Mount, wanted: list[Wanted], pinned: bool | None) -> list[Problem]:
    """Bring all files and return the problems."""
    began_at = time.monotonic()
    problems: list[Problem] = []
    done = here = nbytes = 0
    kept: dict[str, tuple[str, int]] = {}
    lines = _Lines(mount)
    pool = ThreadPoolExecutor(_READERS)
    try:
        futures = {pool.submit(_bring, lines, one, pinned): one for one in wanted}
        with _Progress(len(wanted), sum(one.nbytes for one in wanted)) as progress:
            for future in as_completed(futures):
                one, brought = futures.pop(future), future.result()
                if brought.problem:
                    problems.append(Problem(one.path, brought.problem))
                elif brought.key:
                    kept[brought.key] = (one.path, brought.total_nbytes)
                done, here, nbytes = done + 1, here + brought.was_here, nbytes + brought.nbytes
                progress.advance(one.nbytes, done)
        problems += _lost(mount, kept)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        lines.close()
    seconds = time.monotonic() - began_at
    verb = {True: ", all pinned", False: ", let go"}.get(pinned, "") if pinned is not None else ""
    right = len(wanted) - len(problems)
    if pinned is False:
        tell(f"{right} files let go")
    else:
        tell(f"{right} files here{verb}: {max(0, right - here)} brought ({shown_size(nbytes)}) in {seconds:.1f} s")
    return problems


class _Lines:
    """A connection to the mount's daemon for each thread, so that not every file costs a new one."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._own = threading.local()
        self._all: list[Line] = []

    def ask(self, command: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a command; the daemon reports at least once a second that it continues."""
        line: Line | None = getattr(self._own, "line", None)
        if line is None:
            line = self._own.line = connected(self._mount)
            self._all.append(line)
        answer = line.ask(command, arguments, limit_seconds=_SILENCE_SECONDS)
        return answer if isinstance(answer, dict) else {}

    def close(self) -> None:
        """Close all of them, once no thread uses one."""
        for line in self._all:
            line.close()


def _bring(lines: _Lines, wanted: Wanted, pinned: bool | None) -> Brought:
    brought = _brought(lines, wanted, pinned)
    # a new version was noticed: its file is another one, which a second lookup finds
    return _brought(lines, wanted, pinned) if brought.problem == os.strerror(errno.ESTALE) else brought


def _brought(lines: _Lines, wanted: Wanted, pinned: bool | None) -> Brought:
    """Have the mount bring a file that is open here: bytes in memory or in the kernel would not be read again."""
    try:
        descriptor = os.open(wanted.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return Brought(problem=error.strerror or str(error))
    try:
        inode = os.fstat(descriptor).st_ino
        if pinned is False:
            lines.ask("cache-pin", {"inodes": [inode], "pinned": False})
            return Brought()
        answer = lines.ask("cache-bring", {"inode": inode, "pinned": pinned is True})
    except (OSError, Failed) as error:
        return Brought(problem=(error.strerror if isinstance(error, OSError) else None) or str(error))
    finally:
        os.close(descriptor)
    if "errno" in answer:
        return Brought(problem=os.strerror(int(answer["errno"])))
    if "problem" in answer:
        return Brought(problem=str(answer["problem"]))
    key, total_nbytes, nbytes = str(answer["object"]), int(answer["bytes"]), int(answer["brought"])
    was_here = wanted.is_here and not nbytes  # opening it may have brought all of it
    return Brought(0 if was_here else nbytes or total_nbytes, was_here, key=key, total_nbytes=total_nbytes)


def _lost(mount: Mount, kept: Mapping[str, tuple[str, int]]) -> Iterator[Problem]:
    """Files that were brought and have been evicted since by those that came after them."""
    keys = list(kept)
    for begin in range(0, len(keys), _ASKED_AT_ONCE):
        some = {key: kept[key][1] for key in keys[begin : begin + _ASKED_AT_ONCE]}
        answer = ask(mount, "cache-lost", {"objects": some}, limit_seconds=_SILENCE_SECONDS)
        for key in answer.get("lost", ()) if isinstance(answer, dict) else ():
            yield Problem(kept[key][0], "the disk cache has no room for all of them; it was evicted (--cache-size)")


def _is_here(found: os.stat_result) -> bool:
    return found.st_blocks * _SECTOR_NBYTES >= found.st_size


class _Progress:
    """Progress as a bar on a terminal, and as a line now and then elsewhere."""

    def __init__(self, files: int, nbytes: int) -> None:
        self._files, self._nbytes, self._bar = files, nbytes, None
        self._done_nbytes = 0
        self._shown_at = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(f"{files} files", total=nbytes)

    def __enter__(self) -> "_Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, nbytes: int, done: int) -> None:
        """Count one more file."""
        self._done_nbytes += nbytes
        if self._bar is not None:
            self._bar.advance(self._task, nbytes)
        elif time.monotonic() - self._shown_at >= _PLAIN_LINE_SECONDS:
            self._shown_at = time.monotonic()
            tell(f"{done} of {self._files} files, {shown_size(self._done_nbytes)} of {shown_size(self._nbytes)}")
