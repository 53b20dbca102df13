"""`--thumbnailers head`: programs that draw thumbnails or build indexes get the head of a recording and EACCES beyond.

It must not know how files are read. `daemon/assembly` puts it in the place of plain operations where the option asks.

The default, `allow`, needs none of this: honest `st_blocks` keeps tumbler away from audio and video (measured, shared
notes). Image thumbnailers and indexers ignore those. A caller is known by its thread's or its process's name, read once
at open, since the kernel names nobody at read. Its handle is direct I/O: what it is refused must not become a failed
page of the cache that a player is waiting for.
"""

import errno
from pathlib import Path
from typing import Any

import pyfuse3

from cffs.core.procfs import thread_group
from cffs.fuse.handles import RemoteHandle
from cffs.fuse.operations import Operations

#: Tags, cover thumbnails and durations lie in it (measured: ffprobe of an MP3 reads 64 KiB).
HEAD_NBYTES = 128 * 1024
#: Names as /proc cuts them, at 15 bytes.
NAMES = frozenset(
    {
        *("tumblerd", "pool-tumblerd", "ffmpegthumbnail", "gdk-pixbuf-thum", "totem-video-thu", "totem-audio-pre"),
        *("evince-thumbnai", "gsf-office-thum", "gnome-thumbnail", "thumbnailer", "kioslave5", "thumbnail.so"),
        *("tracker-extract", "tracker-miner-f", "localsearch-3", "localsearch-ext", "baloo_file", "baloo_file_extr"),
        *("recollindex", "updatedb", "updatedb.mlocat", "updatedb.plocat", "gvfsd-metadata", "zeitgeist-datah"),
    }
)
#: pcmanfm draws thumbnails in a thread of itself; its other threads play and copy.
THREADS = frozenset({("pcmanfm", "loader")})


def is_thumbnailer(thread_id: int, *, proc: Path = Path("/proc")) -> bool:
    """Whether the thread that calls belongs to a program that thumbnails or indexes; False where it cannot be seen."""
    try:
        thread = _name(proc / str(thread_id))
        status = (proc / str(thread_id) / "status").read_text(errors="replace")
        process = _name(proc / str(thread_group(status) or thread_id))
    except OSError:
        return False  # gone already, or in another pid namespace
    return thread in NAMES or process in NAMES or (process, thread) in THREADS


def _name(folder: Path) -> str:
    return (folder / "comm").read_text(errors="replace").rstrip("\n")


class HeadForThumbnailers(Operations):
    """Operations that hold thumbnailers to the head. Its overrides add nothing that waits or fails, so the guard of
    what they call is theirs too."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._held: set[int] = set()

    async def open(self, inode: int, flags: pyfuse3.FlagT, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """As ever, and the caller is looked at."""
        info = await super().open(inode, flags, ctx)
        if isinstance(self.handles.get(info.fh), RemoteHandle) and is_thumbnailer(ctx.pid):
            self._held.add(info.fh)
            return pyfuse3.FileInfo(info.fh, direct_io=True, keep_cache=info.keep_cache)
        return info

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """As ever, or up to the end of the head. Raises FUSEError(EACCES) beyond."""
        if fh in self._held:
            if off >= HEAD_NBYTES:
                raise pyfuse3.FUSEError(errno.EACCES)
            size = min(size, HEAD_NBYTES - off)
        return await super().read(fh, off, size)

    async def release(self, fh: int) -> None:
        """The handle is gone."""
        self._held.discard(fh)
        await super().release(fh)


for _method in ("open", "read", "release"):
    # read by the test that holds every handler wrapped: these hand on to one that is
    getattr(HeadForThumbnailers, _method).is_guarded = True
