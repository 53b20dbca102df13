"""Open files for programs: Python's own buffering over the one read path.

Owns a file's position. It must not know how bytes are found.
"""

import io
from typing import TYPE_CHECKING, Any

from cffs.core.units import BLOCK_NBYTES
from cffs.fsspec_plugin.tree_loop import TreeLoop, current_loop
from cffs.fsspec_plugin.unmounted_tree import OpenedFile, UnmountedTree

if TYPE_CHECKING:
    from cffs.fsspec_plugin.filesystem import CallFireFileSystem


class UnmountedRaw(io.RawIOBase):
    """An open file without a buffer: each read is one read of the reader. A forked child opens the file again."""

    mode = "rb"

    def __init__(self, fs: "CallFireFileSystem", path: str) -> None:
        """Opens the file. Raises OSError."""
        super().__init__()
        self.name = path
        self._fs = fs
        self._position = 0
        self._loop, self._opened = self._open()
        self.size = self._opened.nbytes

    def _open(self) -> tuple[TreeLoop, OpenedFile]:
        return current_loop(), self._fs.ask(self.name, UnmountedTree.open, self.name)

    def _here(self) -> OpenedFile:
        """The file as it is open in this process. Raises ValueError where it was closed."""
        self._checkClosed()
        if not self._loop.is_alive:
            self._loop, self._opened = self._open()
        return self._opened

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer; returns how many bytes, 0 at the end alone. Raises OSError."""
        opened = self._here()
        target = memoryview(buffer).cast("B")[: max(0, self.size - self._position)]
        nbytes = self._run(UnmountedTree.read_into, opened, self._position, target) if target else 0
        self._position += nbytes
        return nbytes

    def readall(self) -> bytes:
        """All that is left. Raises OSError."""
        opened = self._here()
        data: bytes = self._run(UnmountedTree.read_range, opened, self._position, max(self._position, self.size))
        self._position += len(data)
        return data

    def _run(self, function: Any, *arguments: Any) -> Any:
        return self._fs.ask(self.name, function, *arguments)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; returns the new position."""
        self._checkClosed()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}.get(whence)
        if base is None:
            raise ValueError(f"invalid whence ({whence})")
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        self._checkClosed()
        return self._position

    def close(self) -> None:
        """Close the file; the loop lets go of it a moment later."""
        if not self.closed and hasattr(self, "_opened") and self._loop.is_alive:
            self._loop.run_soon(self._opened.close)
        super().close()


class UnmountedFile(io.BufferedReader):
    """An open file as `fsspec.open` returns it. Small reads share a piece of 128 KiB, as they do on a mount; larger
    ones go past the buffer. Pickled, it is its path and position."""

    def __init__(self, fs: "CallFireFileSystem", path: str) -> None:
        super().__init__(UnmountedRaw(fs, path), BLOCK_NBYTES)
        self.fs = fs
        self.path = path

    @property
    def size(self) -> int:
        """The exact size, as it was at the open."""
        raw: UnmountedRaw = self.raw  # type: ignore[assignment]  # it was given one
        return raw.size

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return self.__reduce__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_at, (self.fs, self.path, self.tell())


def _opened_at(fs: "CallFireFileSystem", path: str, position: int) -> UnmountedFile:
    file = UnmountedFile(fs, path)
    file.seek(position)
    return file
