"""A kernel made of a few dictionaries, in process.

It looks up, counts, opens, reads, lists and forgets as Linux does. Tests drive the operations with it, and then compare
what it holds with what they hold. It must not know how the operations answer.
"""

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

import pyfuse3
import pytest

T = TypeVar("T")
ROOT = pyfuse3.ROOT_INODE
#: The largest READ of a mount.
READ_NBYTES = 128 * 1024
CONTEXT = pyfuse3.RequestContext()


@dataclass
class Token:
    """What READDIR replies into: room for so many entries."""

    room: int
    taken: list[tuple[bytes, pyfuse3.EntryAttributes, int]]


def take_entry(token: Token, name: bytes, attributes: pyfuse3.EntryAttributes, place: int) -> bool:
    """A stand-in for pyfuse3.readdir_reply."""
    if len(token.taken) >= token.room:
        return False
    token.taken.append((name, copy(attributes), place))  # the mount changes the object for the next entry
    return True


@contextmanager
def refused(number: int) -> Iterator[None]:
    """The block must fail with exactly this errno."""
    with pytest.raises(pyfuse3.FUSEError) as raised:
        yield
    assert errno.errorcode[raised.value.errno_] == errno.errorcode[number]


def is_promise(attributes: pyfuse3.EntryAttributes) -> bool:
    """Whether a lookup was answered before the answer was known."""
    return bool(attributes.attr_timeout == attributes.entry_timeout == 0)


class Kernel:
    """One mount as the kernel sees it. `lookups` are the references that it will give back, by inode.

    With `checks_modes` (default_permissions) it asks for attributes that have expired before it enters a folder or
    opens a file; without, OPEN comes alone.
    """

    def __init__(self, operations: pyfuse3.Operations, *, checks_modes: bool = True) -> None:
        self.operations = operations
        self.checks_modes = checks_modes
        self.lookups: dict[int, int] = {}
        self._open_inodes: dict[int, int] = {}

    async def lookup(self, parent: int, name: str) -> pyfuse3.EntryAttributes:
        """LOOKUP; it counts unless the entry is negative."""
        attributes = await self.operations.lookup(parent, os.fsencode(name), CONTEXT)
        if attributes.st_ino:
            self.lookups[attributes.st_ino] = self.lookups.get(attributes.st_ino, 0) + 1
        return attributes

    async def entry(self, path: str) -> pyfuse3.EntryAttributes:
        """Walk the path. What is promised at its end is proven by ACCESS, and looked up again. Raises FUSEError, ENOENT
        for what does not exist."""

        async def walk() -> pyfuse3.EntryAttributes:
            found = await self.walk(path)
            if not is_promise(found):
                return found
            await self.operations.access(found.st_ino, os.R_OK, CONTEXT)
            return await self.walk(path)

        return await self._again_where_stale(walk)

    async def walk(self, path: str) -> pyfuse3.EntryAttributes:
        """LOOKUP of each name; where modes are checked, a promised folder on the way is proven first."""
        attributes, names = None, path.split("/")
        for depth, name in enumerate(names, start=1):
            attributes = await self.lookup(ROOT if attributes is None else attributes.st_ino, name)
            if not attributes.st_ino:
                raise pyfuse3.FUSEError(errno.ENOENT)
            if self.checks_modes and is_promise(attributes) and depth < len(names):
                attributes = await self.operations.getattr(attributes.st_ino, CONTEXT)
        assert attributes is not None
        return attributes

    async def _again_where_stale(self, walk: Callable[[], Awaitable[T]]) -> T:
        """ESTALE anywhere makes the kernel walk the path once more, and look all names up again."""
        try:
            return await walk()
        except pyfuse3.FUSEError as error:
            if error.errno_ != errno.ESTALE:
                raise
        return await walk()

    async def inode(self, path: str) -> int:
        """The inode of the path."""
        return (await self.entry(path)).st_ino

    async def stat(self, path: str) -> pyfuse3.EntryAttributes:
        """LOOKUP and GETATTR."""

        async def walk() -> pyfuse3.EntryAttributes:
            return await self.operations.getattr((await self.walk(path)).st_ino, CONTEXT)

        return await self._again_where_stale(walk)

    async def open(self, inode: int, flags: int = os.O_RDONLY) -> pyfuse3.FileInfo:
        """OPEN."""
        return await self.operations.open(inode, flags, CONTEXT)

    @asynccontextmanager
    async def opened(self, path: str) -> AsyncIterator[tuple[int, pyfuse3.FileInfo]]:
        """The path's inode and an open handle; a stale inode is looked up once more, as the kernel does."""

        async def walk() -> tuple[int, pyfuse3.FileInfo]:
            inode = (await self.walk(path)).st_ino
            return inode, await self.open(inode)

        inode, info = await self._again_where_stale(walk)
        try:
            yield inode, info
        finally:
            await self.operations.flush(info.fh)
            await self.operations.release(info.fh)

    async def read_handle(self, inode: int, info: pyfuse3.FileInfo, *, step: int = READ_NBYTES) -> bytes:
        """All bytes: through pages up to the size of now, or by direct I/O up to the end that the mount shows."""
        body = bytearray()
        while True:
            if not info.direct_io and len(body) >= (await self.operations.getattr(inode, CONTEXT)).st_size:
                return bytes(body)
            piece = await self.operations.read(info.fh, len(body), step)
            if not piece:
                return bytes(body)
            body += piece

    async def read(self, path: str, *, step: int = READ_NBYTES) -> bytes:
        """Open, read all, close."""
        async with self.opened(path) as (inode, info):
            return await self.read_handle(inode, info, step=step)

    async def readdir(self, handle: int, *, after: int = 0, room: int = 40) -> list[tuple[str, int, int]]:
        """READDIRPLUS once: name, inode and offset of each entry."""
        token = await self.readdir_plus(handle, after=after, room=room)
        return [(os.fsdecode(name), attributes.st_ino, place) for name, attributes, place in token.taken]

    async def readdir_plus(self, handle: int, *, after: int = 0, room: int = 40) -> Token:
        """READDIRPLUS once, with all attributes; each taken entry is a lookup."""
        token = Token(room, [])
        await self.operations.readdir(handle, after, token)
        for _name, attributes, _place in token.taken:
            self.lookups[attributes.st_ino] = self.lookups.get(attributes.st_ino, 0) + 1
        return token

    @asynccontextmanager
    async def opened_folder(self, path: str) -> AsyncIterator[int]:
        """A folder's handle."""

        async def walk() -> int:
            return await self.operations.opendir((await self.walk(path)).st_ino if path else ROOT, CONTEXT)

        handle = await self._again_where_stale(walk)
        try:
            yield handle
        finally:
            await self.operations.releasedir(handle)

    async def listing(self, path: str, *, room: int = 40) -> list[str]:
        """All names of the folder."""
        names: list[str] = []
        async with self.opened_folder(path) as handle:
            after = 0
            while entries := await self.readdir(handle, after=after, room=room):
                names += [name for name, _inode, _place in entries]
                after = entries[-1][2]
        return names

    async def forget_all(self) -> None:
        """Memory is short: every lookup is given back, some of them in two halves."""
        owed, self.lookups = self.lookups, {}
        halves = [(inode, count // 2) for inode, count in owed.items() if count > 1]
        rest = [(inode, count - (count // 2 if count > 1 else 0)) for inode, count in owed.items()]
        await self.operations.forget(halves)
        await self.operations.forget(rest)
