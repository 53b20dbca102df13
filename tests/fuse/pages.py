"""What Linux keeps of files of a FUSE mount: one size and pages for each inode.

It stands on the fake kernel, and must not know versions. Where a READ ends before the known size, the page is filled
with zeros, as the kernel does when another program has asked for attributes meanwhile.
"""

import errno
import os
from dataclasses import dataclass, field

import pyfuse3

from tests.fuse.kernel import CONTEXT, READ_NBYTES, Kernel


@dataclass
class Opened:
    """An open file."""

    inode: int
    info: pyfuse3.FileInfo


@dataclass
class PageCache:
    """Sizes and pages by inode. `invalidated` is where the mount says which attributes have to be asked again."""

    kernel: Kernel
    invalidated: list[int]
    _sizes: dict[int, int] = field(default_factory=dict)
    _pages: dict[tuple[int, int], bytes] = field(default_factory=dict)
    _heard: int = 0

    @property
    def _operations(self) -> pyfuse3.Operations:
        return self.kernel.operations

    def _hear(self) -> None:
        for inode in self.invalidated[self._heard :]:
            self._sizes.pop(inode, None)
        self._heard = len(self.invalidated)

    def _take(self, attributes: pyfuse3.EntryAttributes) -> None:
        self._hear()
        if attributes.attr_timeout:
            self._sizes[attributes.st_ino] = attributes.st_size

    async def fstat(self, inode: int) -> int:
        """The size; asked of the mount where it is not known."""
        self._hear()
        if inode not in self._sizes:
            attributes = await self._operations.getattr(inode, CONTEXT)
            self._take(attributes)
            return attributes.st_size
        return self._sizes[inode]

    async def stat(self, path: str) -> int:
        """The size of what the name stands for; a stale inode is looked up again."""
        for _ in range(2):
            entry = await self.kernel.entry(path)
            self._take(entry)
            try:
                return await self.fstat(entry.st_ino)
            except pyfuse3.FUSEError as error:
                if error.errno_ != errno.ESTALE:
                    raise
        raise OSError(errno.ESTALE, path)

    async def open(self, path: str) -> Opened:
        """open(2): ESTALE makes it look the path up once more."""
        for is_last in (False, True):
            entry = await self.kernel.entry(path)
            self._take(entry)
            try:
                info = await self.kernel.open(entry.st_ino)
            except pyfuse3.FUSEError as error:
                if is_last or error.errno_ != errno.ESTALE:
                    raise OSError(error.errno_, os.strerror(error.errno_)) from error
                continue
            if not info.keep_cache:
                self.drop(entry.st_ino)
            return Opened(entry.st_ino, info)
        raise AssertionError

    async def read(self, file: Opened, offset: int, nbytes: int) -> bytes:
        """pread(2)."""
        try:
            if file.info.direct_io:
                return bytes(await self._operations.read(file.info.fh, offset, nbytes))
            size = await self.fstat(file.inode)
            stop = min(offset + nbytes, size)
            body = bytearray()
            for index in range(offset // READ_NBYTES, -(-stop // READ_NBYTES)):
                body += await self._page(file, index, size)
            begin = offset % READ_NBYTES
            return bytes(body[begin : begin + max(0, stop - offset)])
        except pyfuse3.FUSEError as error:
            raise OSError(error.errno_, os.strerror(error.errno_)) from error

    async def _page(self, file: Opened, index: int, size: int) -> bytes:
        page = self._pages.get((file.inode, index))
        if page is None:
            begin = index * READ_NBYTES
            data = bytes(await self._operations.read(file.info.fh, begin, READ_NBYTES))
            page = self._pages[file.inode, index] = data.ljust(min(READ_NBYTES, max(0, size - begin)), b"\0")
        return page

    async def close(self, file: Opened) -> None:
        """close(2) of the last descriptor."""
        await self._operations.flush(file.info.fh)
        await self._operations.release(file.info.fh)

    def drop(self, inode: int) -> None:
        """Memory is short: the pages of the inode are dropped."""
        self._pages = {place: page for place, page in self._pages.items() if place[0] != inode}

    async def drop_everything(self) -> None:
        """Memory is short: all pages are dropped, and all inodes forgotten."""
        self._pages.clear()
        self._sizes.clear()
        await self.kernel.forget_all()
