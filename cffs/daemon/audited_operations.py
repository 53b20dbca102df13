"""Operations that note who opened which recording, for `--audit-log`.

How much of it was read is noted as well. A program is identified once, at open, since the kernel names no caller at
read. The page cache is dropped at each open: a file system does not hear of what the kernel gives out of its cache, and
an audit that says 0 bytes for a second reader would be a lie.

Owns the open recordings, and the names by which the kernel was shown them. It must not know how lines are written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyfuse3

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.core.procfs import thread_group
from cffs.core.units import NS_PER_SECOND
from cffs.daemon.audit_log import AuditLog
from cffs.fuse.handlers import Handlers, WrappedHandlers
from cffs.fuse.handles import FolderHandle, RemoteHandle, UnsettledHandle, node_label
from cffs.fuse.presentation import KernelState
from cffs.fuse.readdir import ReaddirReply
from cffs.tree.inodes import ROOT_INODE

#: Deeper than the tree is.
_MOST_PARENTS = 16
#: Of each inode that the kernel holds: the folder and the name by which it was last shown.
_Names = dict[Inode, tuple[Inode, bytes]]


@dataclass(slots=True)
class _Reading:
    """One open recording."""

    uid: int
    pid: int
    program: str | None
    path: str
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class _NotedListing:
    """A READDIR whose entries are noted: pyfuse3's token, the folder, and where the names go."""

    token: pyfuse3.ReaddirToken
    folder: Inode
    names: _Names


def caller(thread_id: int, *, proc: Path = Path("/proc")) -> tuple[int, str | None]:
    """The process that a thread belongs to, and the program that it runs: the program's file where that may be seen,
    else its name, else None (the process is gone, or in another pid namespace)."""
    folder, process_id = proc / str(thread_id), thread_id
    try:
        process_id = thread_group((folder / "status").read_text(errors="replace")) or thread_id
        folder = proc / str(process_id)
        try:
            return process_id, str((folder / "exe").readlink())
        except OSError:  # another user's process
            return process_id, (folder / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return process_id, None


def noting(readdir_reply: ReaddirReply) -> ReaddirReply:
    """The reply to a READDIR that came through `AuditedOperations`: each entry that the kernel takes is noted."""

    def reply(token: Any, name: pyfuse3.FileNameT, attributes: pyfuse3.EntryAttributes, offset: int) -> bool:
        listing = cast(_NotedListing, token)
        is_taken = readdir_reply(listing.token, name, attributes, offset)
        if is_taken:
            listing.names[Inode(attributes.st_ino)] = (listing.folder, name)
        return is_taken

    return reply


class AuditedOperations(WrappedHandlers):
    """Handlers that note openings and reads; the inner ones have to reply to READDIR with `noting`."""

    def __init__(self, inner: Handlers, *, kernel: KernelState, audit: AuditLog, now_ns: Callable[[], int]) -> None:
        super().__init__(inner)
        self._kernel = kernel
        self._audit = audit
        self._now_ns = now_ns
        self._names: _Names = {}
        self._readings: dict[int, _Reading] = {}

    async def lookup(
        self, parent_inode: int, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Look up, and remember the name."""
        attributes = await self._inner.lookup(pyfuse3.InodeT(parent_inode), name, ctx)
        if attributes.st_ino:
            self._names[Inode(attributes.st_ino)] = (Inode(parent_inode), name)
        return attributes

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List, and remember the names that the kernel takes."""
        handle = self._kernel.handles.find(fh)
        if isinstance(handle, FolderHandle):
            token = cast(
                pyfuse3.ReaddirToken, _NotedListing(token, self._kernel.inodes.number(handle.node), self._names)
            )
        await self._inner.readdir(pyfuse3.FileHandleT(fh), start_id, token)

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """Drop references, and the names of inodes that the kernel no longer holds."""
        await self._inner.forget(inode_list)
        for number, _lookups in inode_list:
            try:
                self._kernel.inodes.node(Inode(number))
            except StaleHandle:
                self._names.pop(Inode(number), None)

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open, and note the caller and the path of a recording."""
        info = await self._inner.open(pyfuse3.InodeT(inode), flags, ctx)
        if isinstance(self._kernel.handles.find(info.fh), RemoteHandle | UnsettledHandle):
            pid, program = caller(ctx.pid)
            self._readings[info.fh] = _Reading(ctx.uid, pid, program, self._path_of(Inode(inode)))
            info.keep_cache = False
        return info

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        """Read from memory, and count the bytes."""
        data = self._inner.try_read(fh, off, size)
        if data is not None:
            self._count(fh, data)
        return data

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Read, and count the bytes."""
        data = await self._inner.read(pyfuse3.FileHandleT(fh), off, size)
        self._count(fh, data)
        return data

    async def release(self, fh: int) -> None:
        """The last descriptor was closed: note the line."""
        await self._inner.release(pyfuse3.FileHandleT(fh))
        self._note(fh)

    def note_open_files(self) -> None:
        """The mount ends, and the kernel will not report the end of what is still open."""
        for number in list(self._readings):
            self._note(number)

    def _count(self, number: int, data: bytes) -> None:
        if (reading := self._readings.get(number)) is not None:
            reading.nbytes += len(data)

    def _note(self, number: int) -> None:
        reading = self._readings.pop(number, None)
        if reading is None:
            return
        now = datetime.fromtimestamp(self._now_ns() / NS_PER_SECOND, UTC)
        self._audit.note(
            {
                "time": now.isoformat(timespec="milliseconds"),
                "uid": reading.uid,
                "pid": reading.pid,
                "program": reading.program,
                "path": reading.path,
                "bytes_read": reading.nbytes,
            }
        )

    def _path_of(self, inode: Inode) -> str:
        """The path below the mount point; the kind and the ids of a node that the kernel was never shown by name."""
        names: list[bytes] = []
        place = inode
        while place != ROOT_INODE and place in self._names and len(names) < _MOST_PARENTS:
            place, name = self._names[place]
            names.append(name)
        if place != ROOT_INODE:
            return node_label(self._kernel.inodes.node(inode))
        return b"/".join(reversed(names)).decode(errors="replace")
