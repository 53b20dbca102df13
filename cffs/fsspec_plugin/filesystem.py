"""CallFireFileSystem: fsspec's protocol `callfire`, read-only.

Owns which call of fsspec is which question to the tree, and what a path is. It must not know how anything is found: the
questions are answered in the loop of the process (`tree_loop`).
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar, TypeVarTuple

import trio
from fsspec import AbstractFileSystem

from cffs.core.errors import CffsError
from cffs.fsspec_plugin.os_errors import MISSING, os_error, refused_write
from cffs.fsspec_plugin.remote_io import UnmountedFile
from cffs.fsspec_plugin.storage_options import checked
from cffs.fsspec_plugin.tree_loop import current_loop
from cffs.fsspec_plugin.unmounted_tree import Info, UnmountedTree

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


class CallFireFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The tree of an account, as a mount shows it: `fsspec.open("callfire://recordings/88.wav")`.

    Storage options are options of `cffs mount`, with underscores. Instances with equal options share, in one process,
    what is known and what is fetched. Any thread may use any instance; a pickle holds the options alone.
    """

    protocol = "callfire"

    def __init__(self, **storage_options: Any) -> None:
        """No request is made, and no credentials are looked for, before the first call. Raises TypeError or ValueError
        for an option that is none, and for a credential."""
        super().__init__(**storage_options)
        self._options = checked(storage_options)

    def ask(
        self, path: str, function: Callable[[UnmountedTree, *Arguments], Awaitable[Answer]], *arguments: *Arguments
    ) -> Answer:
        """Ask the tree in the loop. Raises OSError about `path`; ValueError where the settings cannot be used."""
        try:
            loop = current_loop()
            return loop.run(function, loop.tree(self._options), *arguments)
        except (CffsError, trio.TooSlowError) as error:
            raise os_error(error, path) from error

    # -- names --

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    def info(self, path: str, **_kwargs: Any) -> Info:
        """`name`, `size`, `type`, and as seconds since 1970 `created` and `mtime`. The size is exact; where it is not
        known, it is asked for."""
        path = self._strip_protocol(path)
        return self.ask(path, UnmountedTree.info, path)

    def ls(self, path: str, detail: bool = True, **_kwargs: Any) -> list[Info] | list[str]:
        """The entries of a folder, with the sizes that the service lists, at no request for any of them. A size that it
        does not list is None; `info` asks for it."""
        path = self._strip_protocol(path)
        entries = self.ask(path, UnmountedTree.entries, path)
        return entries if detail else [entry["name"] for entry in entries]

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = None,
        **kwargs: Any,
    ) -> Iterator[tuple[str, Any, Any]]:
        """As fsspec's, but what cannot be listed is not left out in silence: only what is not there is."""
        yield from super().walk(path, maxdepth, topdown, on_error or _raise_unless_missing, **kwargs)

    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        """The sizes of what is below a path, as they are listed; only those that are not are asked for."""
        listed = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: self.size(name) if info.get("size") is None else info["size"] for name, info in listed.items()}
        return sum(sizes.values()) if total else sizes

    def exists(self, path: str, **_kwargs: Any) -> bool:
        """Whether there is anything. Raises OSError where that cannot be found out."""
        return self._is_folder(path) is not None

    def isdir(self, path: str) -> bool:
        """Whether it is a folder. Raises OSError where that cannot be found out."""
        return self._is_folder(path) is True

    def isfile(self, path: str) -> bool:
        """Whether it is a file. Raises OSError where that cannot be found out."""
        return self._is_folder(path) is False

    def _is_folder(self, path: str) -> bool | None:
        path = self._strip_protocol(path)
        try:
            return self.ask(path, UnmountedTree.is_folder, path)
        except MISSING:
            return None

    def created(self, path: str) -> datetime:
        """When the recording was made, in UTC."""
        return datetime.fromtimestamp(self.info(path)["created"], UTC)

    def modified(self, path: str) -> datetime:
        """When the recording was made, in UTC: it does not change afterwards."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def ukey(self, path: str) -> str:
        """A digest that differs once the file is another version."""
        path = self._strip_protocol(path)
        return self.ask(path, UnmountedTree.fingerprint, path)

    def checksum(self, path: str) -> int:
        """`ukey` as a number."""
        return int(self.ukey(path), 16)

    # -- bytes --

    def _open(self, path: str, mode: str = "rb", **_kwargs: Any) -> UnmountedFile:
        if mode != "rb":
            raise refused_write(path)
        return UnmountedFile(self, path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_kwargs: Any) -> bytes:
        """The bytes of a file, or of a slice of it."""
        path = self._strip_protocol(path)
        return self.ask(path, UnmountedTree.read_slice, path, start, end)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_kwargs: Any,
    ) -> list[Any]:
        """The bytes of slices, of one file or of many, several at once. `max_gap` is for file systems that join
        requests by themselves: the reader decides here."""
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        starts, ends = (one if isinstance(one, list) else [one] * len(paths) for one in (starts, ends))
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends are of different lengths")
        stripped = self._strip_protocol(paths)
        slices = list(zip(stripped, starts, ends, strict=True))
        answers = self.ask("", _read_slices, slices, on_error != "return")
        found: list[Any] = [
            answer if isinstance(answer, bytes) else os_error(answer, path)
            for answer, path in zip(answers, stripped, strict=True)
        ]
        if on_error != "return":
            for answer in found:
                if isinstance(answer, OSError):
                    raise answer
        return found

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_kwargs: Any) -> Any:
        """The bytes of one file, or a dict of those of many, several at once."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and not isinstance(path, list) and paths[0] == self._strip_protocol(path):
            return self.cat_file(paths[0])
        answers = dict(zip(paths, self.cat_ranges(paths, None, None), strict=True))
        if recursive:
            answers = {name: found for name, found in answers.items() if not isinstance(found, IsADirectoryError)}
        problem = next((found for found in answers.values() if isinstance(found, OSError)), None)
        if problem is not None and on_error == "raise":
            raise problem
        if on_error == "omit":
            return {name: found for name, found in answers.items() if isinstance(found, bytes)}
        return answers

    # -- nothing can be written --

    def _refuse(self, path: Any, *_args: Any, **_kwargs: Any) -> Any:
        """Raise PermissionError."""
        raise refused_write(str(path))

    mkdir = makedirs = rmdir = rm = rm_file = _rm = mv = copy = cp_file = _refuse
    put = put_file = pipe = pipe_file = touch = _refuse


async def _read_slices(tree: UnmountedTree, slices: list[Any], stops_at_once: bool) -> list[Any]:
    return await tree.read_slices(slices, stops_at_once=stops_at_once)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, MISSING):
        raise error
