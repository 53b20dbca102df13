"""`cffs prefetch PATH...`: brings files of a mount into its disk cache, in parallel, by reading them.

It must not know how the mount reads. `cli/main` registers it. What is wholly here already is passed over, so that an
interrupted run goes on where it ended. Reading is direct: the kernel's pages would hide a read from the mount.
"""

import mmap
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import click

from cffs.cli.ages import parse_age
from cffs.cli.control import ask
from cffs.cli.messages import Failed, tell
from cffs.cli.mounts import Mount, mounts_now
from cffs.cli.show import size as shown_size
from cffs.core.errors import UsageError

#: As many as the mount has connections by default, of which it keeps some for others.
_READERS = 8
_PIECE_NBYTES = 1024 * 1024
_PLAIN_LINE_SECONDS = 5.0
_SECTOR_NBYTES = 512
#: Rendered from what is known: nothing of them is kept.
_RENDERED = (".json", ".m3u8")
_OWN_FOLDER = ".cffs"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to bring, and what stat said before it was opened: its size may be a hint, opening may bring it."""

    path: str
    nbytes: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of one: bytes read now (0 where it was here), or why not."""

    nbytes: int = 0
    was_here: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or a folder, that could not be brought, and why."""

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
    jobs = [(mount_of(path), path) for path in paths]
    problems: list[Problem] = []
    for mount, _path in jobs:
        _require_disk(mount, is_needed=pinned is not False)
    seen: set[tuple[Path, int]] = set()
    for mount in dict.fromkeys(mount for mount, _path in jobs):
        below = [path for of, path in jobs if of == mount]
        wanted = list(_wanted(below, newer_than, seen, mount, problems))
        problems += _run(mount, wanted, pinned)
    for line in lines_of(problems):
        tell(line)
    return 1 if problems else 0


def lines_of(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each reason: where a service is down, that is one line and not one a file."""
    by_reason: dict[str, list[str]] = {}
    for problem in problems:
        by_reason.setdefault(problem.reason, []).append(problem.path)
    for reason, paths in by_reason.items():
        if len(paths) == 1:
            yield f"{paths[0]}: {reason}"
        else:
            yield f"{len(paths)} files: {reason}; the first is {paths[0]} (`cffs why` and `cffs status` tell more)"


def mount_of(path: Path) -> Mount:
    """The cffs mount that the path lies in; raises Failed where it lies in none."""
    whole = Path(os.path.abspath(path))
    found = [mount for mount in mounts_now() if whole.is_relative_to(mount.mountpoint)]
    if not found:
        whole = Path(os.path.realpath(path))
        found = [mount for mount in mounts_now() if whole.is_relative_to(mount.mountpoint)]
    mount = max(found, key=lambda one: len(one.mountpoint.parts), default=None)
    if mount is None or not mount.is_cffs:
        raise Failed(f"{path} is not in a cffs mount; cffs status lists what is mounted")
    return mount


def _require_disk(mount: Mount, *, is_needed: bool) -> None:
    told = ask(mount, "status")
    cache = told.get("cache") if isinstance(told, dict) else None
    if is_needed and isinstance(cache, dict) and not cache.get("disk_limit_bytes"):
        raise Failed(f"the mount at {mount.mountpoint} keeps nothing on disk; mount it with --cache-size above 0")


def _wanted(
    paths: list[Path], newer_than: float | None, seen: set[tuple[Path, int]], mount: Mount, problems: list[Problem]
) -> Iterator[Wanted]:
    """The files below the paths in the order of their listings, each once however many folders show it."""
    for path in paths:
        for file in _files(path, problems):
            try:
                found = os.stat(file)
            except OSError as error:
                problems.append(Problem(file, error.strerror or str(error)))
                continue
            key = (mount.mountpoint, found.st_ino)
            if key not in seen and (newer_than is None or found.st_mtime >= newer_than):
                seen.add(key)
                yield Wanted(file, found.st_size, _is_here(found))


def _files(path: Path, problems: list[Problem]) -> Iterator[str]:
    if not os.path.isdir(path):  # which is False where it cannot be asked: stat says why
        yield str(path)
        return
    walk = os.walk(path, onerror=lambda error: problems.append(Problem(error.filename, error.strerror or str(error))))
    for folder, folders, names in walk:
        folders[:] = [name for name in folders if name != _OWN_FOLDER]
        yield from (os.path.join(folder, name) for name in names if not name.endswith(_RENDERED))


def _run(mount: Mount, wanted: list[Wanted], pinned: bool | None) -> list[Problem]:
    """Brings them all; what failed."""
    began_at = time.monotonic()
    problems: list[Problem] = []
    done = here = nbytes = 0
    pool = ThreadPoolExecutor(_READERS)
    try:
        futures = {pool.submit(_bring, mount, one, pinned): one for one in wanted}
        with _Progress(len(wanted), sum(one.nbytes for one in wanted)) as progress:
            for future in as_completed(futures):
                one, brought = futures.pop(future), future.result()
                if brought.problem:
                    problems.append(Problem(one.path, brought.problem))
                done, here, nbytes = done + 1, here + brought.was_here, nbytes + brought.nbytes
                progress.advance(one.nbytes, done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    seconds = time.monotonic() - began_at
    verb = {True: ", all pinned", False: ", let go"}.get(pinned, "") if pinned is not None else ""
    right = len(wanted) - len(problems)
    if pinned is False:
        tell(f"{right} files let go")
    else:
        tell(f"{right} files here{verb}: {right - here} brought ({shown_size(nbytes)}) in {seconds:.1f} s")
    return problems


def _bring(mount: Mount, wanted: Wanted, pinned: bool | None) -> Brought:
    try:
        descriptor = _opened(wanted.path)
    except OSError as error:
        return Brought(problem=error.strerror or str(error))
    try:
        found = os.fstat(descriptor)
        nbytes = 0
        was_here = wanted.is_here and _is_here(found)
        if pinned is not False and not was_here:
            nbytes = _read(descriptor)
        if pinned is not None:
            told = ask(mount, "cache-pin", {"inodes": [found.st_ino], "pinned": pinned})
            if pinned and isinstance(told, dict) and told.get("missing"):
                return Brought(problem="nothing of it is on disk; is the cache folder full?")
        return Brought(nbytes, was_here)
    except (OSError, Failed) as error:
        return Brought(problem=(error.strerror if isinstance(error, OSError) else None) or str(error))
    finally:
        os.close(descriptor)


def _is_here(found: os.stat_result) -> bool:
    return found.st_blocks * _SECTOR_NBYTES >= found.st_size


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(descriptor: int) -> int:
    """Reads to the end; how much that was. Raises OSError."""
    nbytes = 0
    with mmap.mmap(-1, _PIECE_NBYTES) as piece:  # direct reads want whole pages
        while got := os.preadv(descriptor, [piece], nbytes):
            nbytes += got
    return nbytes


class _Progress:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, files: int, nbytes: int) -> None:
        self._files, self._nbytes, self._bar = files, nbytes, None
        self._done_nbytes = 0
        self._told_at = time.monotonic()
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
        """One more file is done."""
        self._done_nbytes += nbytes
        if self._bar is not None:
            self._bar.advance(self._task, nbytes)
        elif time.monotonic() - self._told_at >= _PLAIN_LINE_SECONDS:
            self._told_at = time.monotonic()
            tell(f"{done} of {self._files} files, {shown_size(self._done_nbytes)} of {shown_size(self._nbytes)}")
