"""Operations that no mount offers, refused with the errno that fits.

No application ever gets ENOSYS, but for a call that the kernel is not to make again.

Owns the refusals, and the two calls that read extended attributes. It must not know anything of the tree. With the
mount option `ro` the kernel refuses most of these calls itself; the handlers are for those that slip through.
"""

from abc import abstractmethod
from collections.abc import Sequence

import pyfuse3

from cffs.core.errors import BadArgument, NeverAskAgain, NotPermitted, NotSupported
from cffs.core.ids import Inode
from cffs.fuse.handlers import Handlers
from cffs.fuse.xattrs import Xattrs
from cffs.tree.nodes import Node

_Context = pyfuse3.RequestContext
_Name = pyfuse3.FileNameT


class UnsupportedOperations(Handlers):
    """The calls that no mount carries out (`cffs/docs/semantics.md#errors`)."""

    _xattrs: Xattrs

    @abstractmethod
    async def _proven(self, inode: Inode) -> Node:
        """The node of an inode, once it is known to exist."""

    async def mknod(
        self, parent_inode: int, name: _Name, mode: pyfuse3.ModeT, rdev: int, ctx: _Context
    ) -> pyfuse3.EntryAttributes:
        """Never possible, writable or not."""
        raise NotPermitted("mknod")

    async def readlink(self, inode: int, ctx: _Context) -> _Name:
        """There are no links."""
        raise BadArgument("not a link")

    async def symlink(self, parent_inode: int, name: _Name, target: _Name, ctx: _Context) -> pyfuse3.EntryAttributes:
        """Never possible, writable or not."""
        raise NotPermitted("symlink")

    async def link(self, inode: int, new_parent_inode: int, new_name: _Name, ctx: _Context) -> pyfuse3.EntryAttributes:
        """Never possible, writable or not."""
        raise NotPermitted("link")

    async def setxattr(self, inode: int, name: pyfuse3.XAttrNameT, value: bytes, ctx: _Context) -> None:
        """There are none to set."""
        raise NotSupported("setxattr")

    async def removexattr(self, inode: int, name: pyfuse3.XAttrNameT, ctx: _Context) -> None:
        """There are none to remove."""
        raise NotSupported("removexattr")

    async def getxattr(self, inode: int, name: pyfuse3.XAttrNameT, ctx: _Context) -> bytes:
        """One extended attribute, with `--xattrs` only: `ls -l` asks twice for each entry, which makes it 22 times
        slower (measured)."""
        self._xattrs.require_any()
        return self._xattrs.get(await self._proven(Inode(inode)), name)

    async def listxattr(self, inode: int, ctx: _Context) -> Sequence[pyfuse3.XAttrNameT]:
        """The names of the extended attributes, with `--xattrs` only."""
        self._xattrs.require_any()
        return self._xattrs.names(await self._proven(Inode(inode)))

    async def poll(self, inode: int, fh: int, poll_handle: pyfuse3.PollHandle | None, ctx: _Context) -> int:
        """A file is always ready. After ENOSYS the kernel answers so itself, and does not ask again."""
        raise NeverAskAgain("poll")
