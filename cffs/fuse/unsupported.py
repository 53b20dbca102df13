"""Every operation that is never possible, refused with the errno that fits: never ENOSYS to an application.

It must not know anything of the tree; extended attributes, which can only be read, are `fuse/xattrs`. With the mount
option `ro` the kernel refuses most of them itself; these are for what slips through. `fuse/write_operations` inherits
it.
"""

from abc import abstractmethod
from collections.abc import Sequence

import pyfuse3

from cffs.core.errors import BadArgument, NeverAskAgain, NotPermitted, NotSupported
from cffs.core.ids import Inode
from cffs.fuse.guard import CallTable, handler
from cffs.fuse.xattrs import Xattrs
from cffs.tree.nodes import Node

_Context = pyfuse3.RequestContext
_Name = pyfuse3.FileNameT


class UnsupportedOperations(pyfuse3.Operations):
    """What no mount does (contract section 6)."""

    calls: CallTable
    xattrs: Xattrs

    def subject_of(self, number: int) -> str:
        """What an inode stands for, for people."""
        return str(number)

    def subject_of_handle(self, number: int) -> str:
        """What a handle stands for, for people."""
        return f"handle {number}"

    @abstractmethod
    async def _proven(self, inode: Inode) -> Node:
        """The node of an inode, once it is known to be there."""

    @handler
    async def mknod(
        self, parent_inode: int, name: _Name, mode: pyfuse3.ModeT, rdev: int, ctx: _Context
    ) -> pyfuse3.EntryAttributes:
        """Never, writable or not."""
        raise NotPermitted("mknod")

    @handler
    async def readlink(self, inode: int, ctx: _Context) -> _Name:
        """There are no links."""
        raise BadArgument("not a link")

    @handler
    async def symlink(self, parent_inode: int, name: _Name, target: _Name, ctx: _Context) -> pyfuse3.EntryAttributes:
        """Never, writable or not."""
        raise NotPermitted("symlink")

    @handler
    async def link(self, inode: int, new_parent_inode: int, new_name: _Name, ctx: _Context) -> pyfuse3.EntryAttributes:
        """Never, writable or not."""
        raise NotPermitted("link")

    @handler
    async def setxattr(self, inode: int, name: pyfuse3.XAttrNameT, value: bytes, ctx: _Context) -> None:
        """There are none to set."""
        raise NotSupported("setxattr")

    @handler
    async def removexattr(self, inode: int, name: pyfuse3.XAttrNameT, ctx: _Context) -> None:
        """There are none to remove."""
        raise NotSupported("removexattr")

    @handler
    async def getxattr(self, inode: int, name: pyfuse3.XAttrNameT, ctx: _Context) -> bytes:
        """With `--xattrs` only: asking twice per entry costs `ls -l` a factor of 22 (measured)."""
        self.xattrs.require_any()
        return self.xattrs.get(await self._proven(Inode(inode)), name)

    @handler
    async def listxattr(self, inode: int, ctx: _Context) -> Sequence[pyfuse3.XAttrNameT]:
        """As getxattr."""
        self.xattrs.require_any()
        return self.xattrs.names(await self._proven(Inode(inode)))

    @handler
    async def poll(self, inode: int, fh: int, poll_handle: pyfuse3.PollHandle | None, ctx: _Context) -> int:
        """A file is always ready, which is what the kernel says once it need not ask."""
        raise NeverAskAgain("poll")
