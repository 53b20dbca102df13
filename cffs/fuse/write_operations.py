"""Operations that change something, handed to the tree.

Owns the handles of files that are written. The tree refuses a change where the mount is read-only. It must not know
what a change means: the namespace's writing half does.
"""

import os
import stat
from abc import abstractmethod

import pyfuse3

from cffs.core.errors import BadArgument, ReadOnlyMount
from cffs.core.ids import Inode
from cffs.core.names import from_kernel
from cffs.fuse.handles import HandleTable, RemoteHandle, SnapshotHandle, UnsettledHandle, WrittenHandle
from cffs.fuse.snapshots import Snapshots
from cffs.fuse.unsupported import UnsupportedOperations
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS
from cffs.tree.write_handlers import Change, WritableFile, WriteOpen

_Context = pyfuse3.RequestContext
_Name = pyfuse3.FileNameT

#: Flags that open for writing. O_TRUNC is among them: a program may truncate a file that it opens only for reading.
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_TRUNC


def opening(flags: int, context: _Context) -> WriteOpen:
    """What the flags of an open ask for."""
    return WriteOpen(
        writes=bool(flags & WRITING_FLAGS),
        truncates=bool(flags & os.O_TRUNC),
        pid=context.pid,
        is_exclusive=bool(flags & os.O_EXCL),
    )


class WriteOperations(UnsupportedOperations):
    """The changing half of the operations (`cffs/docs/semantics.md#writing`).

    A base class of `Operations` and no part of it: pyfuse3 wants one object with all handlers, and a part would need as
    many methods again that only hand on. The classes are cut by what a handler may do.
    """

    _handles: HandleTable
    _namespace: Namespace
    _inodes: InodeTable
    _snapshots: Snapshots

    @abstractmethod
    def _attributes_of(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        """The attributes of a node, from what is known."""

    @abstractmethod
    async def _attributes_asked(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        """The attributes of a node; what is not known of them is asked."""

    # -- names --

    async def create(
        self, parent_inode: int, name: _Name, mode: pyfuse3.ModeT, flags: pyfuse3.FlagT, ctx: _Context
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """A new file and its handle. The mode that is given is not kept."""
        folder = self._inodes.node(Inode(parent_inode))
        node, file = await self._namespace.writing.create_file(folder, from_kernel(name), opening(flags, ctx))
        info = self._opened_here(node, file, writes=True)
        return info, self._attributes_of(self._inodes.hold(node), node)

    async def mkdir(
        self, parent_inode: int, name: _Name, mode: pyfuse3.ModeT, ctx: _Context
    ) -> pyfuse3.EntryAttributes:
        """A new folder, where the tree has a meaning for one."""
        folder = self._inodes.node(Inode(parent_inode))
        node = await self._namespace.writing.make_folder(folder, from_kernel(name))
        return self._attributes_of(self._inodes.hold(node), node)

    async def unlink(self, parent_inode: int, name: _Name, ctx: _Context) -> None:
        """Remove a file's name; what is open under it stays open."""
        await self._namespace.writing.remove_file(self._inodes.node(Inode(parent_inode)), from_kernel(name))

    async def rmdir(self, parent_inode: int, name: _Name, ctx: _Context) -> None:
        """Remove a folder's name."""
        await self._namespace.writing.remove_folder(self._inodes.node(Inode(parent_inode)), from_kernel(name))

    async def rename(
        self,
        parent_inode_old: int,
        name_old: _Name,
        parent_inode_new: int,
        name_new: _Name,
        flags: pyfuse3.FlagT,
        ctx: _Context,
    ) -> None:
        """A new name, which may be what sends the file. Two files cannot be exchanged."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise BadArgument("only a plain rename is possible")
        await self._namespace.writing.rename(
            self._inodes.node(Inode(parent_inode_old)),
            from_kernel(name_old),
            self._inodes.node(Inode(parent_inode_new)),
            from_kernel(name_new),
            replaces=not flags,
        )

    async def setattr(
        self, inode: int, attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields, fh: int | None, ctx: _Context
    ) -> pyfuse3.EntryAttributes:
        """A new length. Times, owner and mode are the service's; a change of them is accepted only where the file was
        just written."""
        node = await self._proven(Inode(inode))
        handle = self._handles.find(fh) if fh is not None else None
        await self._namespace.writing.change(
            node,
            Change(
                nbytes=attr.st_size if fields.update_size else None,
                file=handle.file if isinstance(handle, WrittenHandle) else None,
            ),
        )
        return await self._attributes_asked(Inode(inode), node)

    async def access(self, inode: int, mode: pyfuse3.ModeT, ctx: pyfuse3.RequestContext) -> bool:
        """Whether the file may be used so. The kernel checks modes itself (default_permissions), except on a private
        writable mount, whose one user must be able to distinguish EROFS from EPERM. There everything may be read, and
        what means something may be written."""
        node = await self._proven(Inode(inode))
        if mode & os.X_OK and node.kind not in FOLDERS:
            return False
        if not mode & os.W_OK or (self._namespace.writing.permissions(node) or 0) & stat.S_IWUSR:
            return True
        raise ReadOnlyMount(f"inode {inode}")

    # -- bytes --

    async def _open_written(self, node: Node, flags: int, context: _Context) -> pyfuse3.FileInfo:
        wanted = opening(flags, context)
        file = await self._namespace.writing.open_file(node, wanted)
        return self._opened_here(node, file, writes=wanted.writes)

    def _opened_here(self, node: Node, file: WritableFile, *, writes: bool) -> pyfuse3.FileInfo:
        number = self._handles.add(WrittenHandle(node, file, writes))
        # no pages: written bytes must reach the spool at once and in order, and a shared mmap is refused
        return pyfuse3.FileInfo(pyfuse3.FileHandleT(number), direct_io=True, keep_cache=False)

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write all of the buffer, or raise."""
        handle = self._handles.find(fh)
        if not isinstance(handle, WrittenHandle):
            raise ReadOnlyMount(f"handle {fh}")
        return await handle.file.write(off, buf)

    async def flush(self, fh: int) -> None:
        """A descriptor was closed. Never ENOSYS, which would end FLUSH for the whole mount."""
        handle = self._handles.find(fh)
        if isinstance(handle, WrittenHandle) and handle.writes:
            await handle.file.flush()

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Have the written bytes on this machine's disk. Of any other file nothing is ever unwritten."""
        handle = self._handles.find(fh)
        if isinstance(handle, WrittenHandle) and handle.writes:
            await handle.file.fsync()

    async def release(self, fh: int) -> None:
        """The last descriptor of a handle was closed. No program waits for this answer."""
        handle = self._handles.remove(fh)
        if isinstance(handle, RemoteHandle | UnsettledHandle):
            handle.file.close()
        elif isinstance(handle, SnapshotHandle) and handle.inode is not None:
            self._snapshots.close(handle.inode)
        elif isinstance(handle, WrittenHandle):
            await handle.file.release()
