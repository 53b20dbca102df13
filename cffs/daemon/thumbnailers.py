"""Operations for `--thumbnailers head`: thumbnailers read only the head.

Indexers count as thumbnailers. The default, `allow`, needs none of this: honest `st_blocks` keeps tumbler away from
audio and video (measured with tumbler of Debian 12). Image thumbnailers and indexers ignore `st_blocks`. A caller is
known by the name of its thread or its process, read once at open, since the kernel names no caller at read. Its handle
is for direct I/O: a read that is refused must not become a failed page of the cache that a player is waiting for.

Owns the names of such programs, and their open handles. It must not know how files are read.
"""

from pathlib import Path

import pyfuse3

from cffs.core.errors import AccessRefused
from cffs.core.procfs import thread_group
from cffs.fuse.handlers import Handlers, WrappedHandlers
from cffs.fuse.handles import HandleTable, RemoteHandle

#: Tags, cover pictures and durations lie in the head (measured: ffprobe of an MP3 reads 64 KiB).
HEAD_NBYTES = 128 * 1024
#: Names of programs, cut at 15 bytes as in /proc.
NAMES = frozenset(
    {
        *("tumblerd", "pool-tumblerd", "ffmpegthumbnail", "gdk-pixbuf-thum", "totem-video-thu", "totem-audio-pre"),
        *("evince-thumbnai", "gsf-office-thum", "gnome-thumbnail", "thumbnailer", "kioslave5", "thumbnail.so"),
        *("tracker-extract", "tracker-miner-f", "localsearch-3", "localsearch-ext", "baloo_file", "baloo_file_extr"),
        *("recollindex", "updatedb", "updatedb.mlocat", "updatedb.plocat", "gvfsd-metadata", "zeitgeist-datah"),
    }
)
#: pcmanfm draws thumbnails in a thread of its own process, whose other threads play and copy.
THREADS = frozenset({("pcmanfm", "loader")})


def is_thumbnailer(thread_id: int, *, proc: Path = Path("/proc")) -> bool:
    """Whether the calling thread belongs to a program that draws thumbnails or builds an index; False where it cannot
    be seen."""
    try:
        thread = _name(proc / str(thread_id))
        status = (proc / str(thread_id) / "status").read_text(errors="replace")
        process = _name(proc / str(thread_group(status) or thread_id))
    except OSError:
        return False  # the process is gone, or in another pid namespace
    return thread in NAMES or process in NAMES or (process, thread) in THREADS


def _name(folder: Path) -> str:
    return (folder / "comm").read_text(errors="replace").rstrip("\n")


class HeadForThumbnailers(WrappedHandlers):
    """Handlers that let thumbnailers read no more than the head of a recording."""

    def __init__(self, inner: Handlers, handles: HandleTable) -> None:
        super().__init__(inner)
        self._handles = handles
        self._head_only: set[int] = set()

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open, and note whether the caller is a thumbnailer."""
        info = await self._inner.open(pyfuse3.InodeT(inode), flags, ctx)
        if isinstance(self._handles.find(info.fh), RemoteHandle) and is_thumbnailer(ctx.pid):
            self._head_only.add(info.fh)
            return pyfuse3.FileInfo(info.fh, direct_io=True, keep_cache=info.keep_cache)
        return info

    def try_read(self, fh: int, off: int, size: int) -> bytes | None:
        """Read from memory, a thumbnailer no further than the head. Raises AccessRefused beyond it."""
        return self._inner.try_read(fh, off, self._allowed(fh, off, size))

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Read, a thumbnailer no further than the head. Raises AccessRefused beyond it."""
        return await self._inner.read(pyfuse3.FileHandleT(fh), off, self._allowed(fh, off, size))

    async def release(self, fh: int) -> None:
        """The last descriptor was closed."""
        self._head_only.discard(fh)
        await self._inner.release(pyfuse3.FileHandleT(fh))

    def _allowed(self, number: int, offset: int, nbytes: int) -> int:
        """How many of the bytes at the offset may be read."""
        if number not in self._head_only:
            return nbytes
        if offset >= HEAD_NBYTES:
            raise AccessRefused("a thumbnailer reads the head of a recording and no more")
        return min(nbytes, HEAD_NBYTES - offset)
