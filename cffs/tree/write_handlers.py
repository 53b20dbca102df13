"""Write handlers of a kind of node: making, filling, renaming and removing.

It owns the signatures of these functions. It must not know any particular kind, nor the kernel. Every function raises a
CffsError for its errno; where a kind does not say otherwise, that is ReadOnlyMount (EROFS).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from cffs.core.errors import CffsError, NotPermitted, ReadOnlyMount
from cffs.tree.context import Context
from cffs.tree.nodes import Node


class WritableFile(Protocol):
    """An open file that takes bytes, from one open() or create(). Its bytes bypass the kernel's page cache.

    Every method may be a checkpoint, and raises a CffsError for its errno.
    """

    async def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes at `offset`; fewer than `nbytes` only at the end."""
        ...

    async def write(self, offset: int, data: bytes) -> int:
        """Take all of `data` at `offset`; returns how many bytes that were."""
        ...

    async def truncate(self, nbytes: int) -> None:
        """Give the file exactly that length."""
        ...

    async def flush(self) -> None:
        """Called as a descriptor of the file is closed: one of several, or the last (what was written then takes
        effect, and this lasts as long as that does). What it raises is the error of close()."""
        ...

    async def fsync(self) -> None:
        """Make what was written so far durable, and raise what is already known to be wrong with it."""
        ...

    async def release(self) -> None:
        """Called once no descriptor is left. What it raises is only logged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOpen:
    """How a file is opened: what for, and by which process (a thread's id). `is_exclusive`: it must not exist yet."""

    writes: bool
    truncates: bool
    pid: int
    is_exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What setattr asks for: a length, or with None only times, owner or mode. `file` is given where the kernel named a
    handle."""

    nbytes: int | None
    file: WritableFile | None


async def _read_only_create(
    _context: Context, folder: Node, _name: str, _opening: WriteOpen
) -> tuple[Node, WritableFile]:
    raise ReadOnlyMount(folder.kind.name)


async def _read_only_make(_context: Context, folder: Node, _name: str) -> Node:
    raise ReadOnlyMount(folder.kind.name)


async def _read_only(_context: Context, folder: Node, _name: str) -> None:
    raise ReadOnlyMount(folder.kind.name)


async def _read_only_rename(_context: Context, folder: Node, _old: str, _new: str, _replaces: bool) -> None:
    raise ReadOnlyMount(folder.kind.name)


async def _read_only_open(_context: Context, file: Node, _opening: WriteOpen) -> WritableFile:
    raise ReadOnlyMount(file.kind.name)


async def _read_only_change(_context: Context, node: Node, _change: Change) -> None:
    raise ReadOnlyMount(node.kind.name)


async def _nothing_stands_in(_context: Context, _file: Node, _problem: CffsError) -> WritableFile | None:
    return None


def _ignore_served(_context: Context, _file: Node) -> None:
    """Nothing was read in the file's place."""


def not_permitted(what: str) -> Callable[..., Awaitable[NoReturn]]:
    """A function, for any of these fields, that raises NotPermitted (EPERM): a writable place that does not do that."""

    async def refuse(*_arguments: object) -> NoReturn:
        raise NotPermitted(what)

    return refuse


async def change_ignored(_context: Context, node: Node, change: Change) -> None:
    """For `change`: accept and ignore times, owner and mode; raise NotPermitted for a length."""
    if change.nbytes is not None:
        raise NotPermitted(f"{node.kind.name} cannot be given another length")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteHandlers:
    """What a writable mount does with nodes of a kind. Names are as the kernel gave them, at most 255 bytes.

    Of a folder: `create_file` returns the node and its open file, `make_folder` the node; `rename` stays within the
    folder. Of a file: `open_file` for writing (and for reading, where its content is `Spooled`). Of both: `change`.
    Where the service refuses a file to a reader, `stand_in` may return what is read instead; once the service gives the
    file out, `served` is called. `permissions` are the mode bits where the mount is writable, None for those of a
    read-only one.

    The kernel knows what its own call made, renamed or removed. Whatever else appears or vanishes with it is reported
    through `Context.name_changed`.
    """

    permissions: int | None = None
    #: Written where notes are kept (`--notes`), whether or not the rest of the mount is writable.
    is_of_notes: bool = False
    #: mkdir makes the names of this folder. A promised name would be answered as existing, where EROFS is due.
    has_mkdir: bool = False
    create_file: Callable[[Context, Node, str, WriteOpen], Awaitable[tuple[Node, WritableFile]]] = _read_only_create
    make_folder: Callable[[Context, Node, str], Awaitable[Node]] = _read_only_make
    remove_file: Callable[[Context, Node, str], Awaitable[None]] = _read_only
    remove_folder: Callable[[Context, Node, str], Awaitable[None]] = _read_only
    rename: Callable[[Context, Node, str, str, bool], Awaitable[None]] = _read_only_rename
    open_file: Callable[[Context, Any, WriteOpen], Awaitable[WritableFile]] = _read_only_open
    change: Callable[[Context, Any, Change], Awaitable[None]] = _read_only_change
    stand_in: Callable[[Context, Any, CffsError], Awaitable[WritableFile | None]] = _nothing_stands_in
    served: Callable[[Context, Any], None] = _ignore_served


#: The value for most kinds: nothing can be written.
NO_WRITING = WriteHandlers()
