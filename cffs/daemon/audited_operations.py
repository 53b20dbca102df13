"""Operations that note who opened which recording, and how much of it was read, for `--audit-log`.

It must not know how lines are written. `daemon/mount` takes its operations from `operations_for`.

A program is named once, at open, since the kernel names nobody at read. The page cache is dropped at each open: what
the kernel gives out of it, no file system hears of, and an audit that says 0 bytes for a second reader would be a lie.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyfuse3

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.core.procfs import thread_group
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_SECOND
from cffs.daemon.audit_log import AuditLog
from cffs.daemon.thumbnailers import HeadForThumbnailers
from cffs.fuse.handles import FolderHandle, RemoteHandle, UnsettledHandle, told
from cffs.fuse.operations import Operations
from cffs.tree.inodes import ROOT_INODE

#: Deeper than the tree is.
_MOST_PARENTS = 16
#: The handle whose folder this task lists: pyfuse3's reply names entries and no folder.
_listed: ContextVar[int] = ContextVar("listed")


@dataclass(slots=True)
class _Reading:
    """One open recording."""

    uid: int
    pid: int
    program: str | None
    path: str
    nbytes: int = 0


def caller(thread_id: int, *, proc: Path = Path("/proc")) -> tuple[int, str | None]:
    """The process that a thread belongs to and the program it runs: its file where that may be seen, else its name,
    else None (gone already, or in another pid namespace)."""
    folder, process_id = proc / str(thread_id), thread_id
    try:
        process_id = thread_group((folder / "status").read_text(errors="replace")) or thread_id
        folder = proc / str(process_id)
        try:
            return process_id, str((folder / "exe").readlink())
        except OSError:  # another user's
            return process_id, (folder / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return process_id, None


class AuditedOperations(Operations):
    """Operations that note. Overrides add nothing that waits or fails, so the guard of what they call is theirs too."""

    def __init__(
        self, *, audit: AuditLog, readdir_reply: Callable[..., bool] = pyfuse3.readdir_reply, **parts: Any
    ) -> None:
        def noting(token: pyfuse3.ReaddirToken, name: pyfuse3.FileNameT, attributes: Any, offset: int) -> bool:
            taken = readdir_reply(token, name, attributes, offset)
            handle = self.handles.get(_listed.get())
            if taken and isinstance(handle, FolderHandle):
                self._names[Inode(attributes.st_ino)] = (self._inodes.number(handle.node), name)
            return taken

        super().__init__(readdir_reply=noting, **parts)
        self._audit = audit
        #: Of every inode that the kernel holds: the folder and the name by which it was shown last.
        self._names: dict[Inode, tuple[Inode, bytes]] = {}
        self._readings: dict[int, _Reading] = {}

    async def lookup(
        self, parent_inode: int, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """As ever, and the name is remembered."""
        attributes = await super().lookup(parent_inode, name, ctx)
        if attributes.st_ino:
            self._names[Inode(attributes.st_ino)] = (Inode(parent_inode), name)
        return attributes

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The same for a listing's names."""
        _listed.set(fh)
        await super().readdir(fh, start_id, token)

    async def forget(self, inode_list: Sequence[tuple[pyfuse3.InodeT, int]]) -> None:
        """Names live as long as the kernel's interest."""
        await super().forget(inode_list)
        for number, _lookups in inode_list:
            try:
                self._inodes.node(Inode(number))
            except StaleHandle:
                self._names.pop(Inode(number), None)

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """As ever, and the caller is looked at."""
        info = await super().open(inode, flags, ctx)
        if isinstance(self.handles.get(info.fh), RemoteHandle | UnsettledHandle):
            pid, program = caller(ctx.pid)
            self._readings[info.fh] = _Reading(ctx.uid, pid, program, self._path_of(Inode(inode)))
            info.keep_cache = False
        return info

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """As ever, counted."""
        data = await super().read(fh, off, size)
        if (reading := self._readings.get(fh)) is not None:
            reading.nbytes += len(data)
        return data

    async def release(self, fh: int) -> None:
        """The last descriptor is closed: the line is noted."""
        await super().release(fh)
        self._note(fh)

    def note_open_files(self) -> None:
        """The mount ends: nobody will tell of their end."""
        for number in list(self._readings):
            self._note(number)

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
        """Below the mount point; the kind and ids of what the kernel was never shown by name."""
        names: list[bytes] = []
        place = inode
        while place != ROOT_INODE and place in self._names and len(names) < _MOST_PARENTS:
            place, name = self._names[place]
            names.append(name)
        if place != ROOT_INODE:
            return told(self._inodes.node(inode))
        return b"/".join(reversed(names)).decode(errors="replace")


class _AuditedHead(AuditedOperations, HeadForThumbnailers):
    """Both."""


for _method in ("lookup", "readdir", "open", "read", "release"):
    # read by the test that holds every handler wrapped: these hand on to one that is
    getattr(AuditedOperations, _method).is_guarded = True


@contextmanager
def operations_for(settings: Settings) -> Iterator[Callable[..., Operations]]:
    """The maker of the operations that the settings ask for, usable within the block. Raises UsageError where the
    audit log cannot be written."""
    is_head = settings.thumbnailers == "head"
    if settings.audit_log is None:
        yield HeadForThumbnailers if is_head else Operations
        return
    audit, made = AuditLog(settings.audit_log), []

    def make(**parts: Any) -> Operations:
        made.append((_AuditedHead if is_head else AuditedOperations)(audit=audit, **parts))
        return made[-1]

    with audit.writing():
        try:
            yield make
        finally:
            for operations in made:
                operations.note_open_files()
