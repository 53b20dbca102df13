"""The version of its object that each inode is tied to.

An inode is tied at its first open, until the kernel forgets it. The kernel keeps one size and one set of pages for an
inode, and fills a page with zeros up to that size where a READ ends before it. So an inode that was opened shows the
size of the version that it was opened with, and no other, even where a newer one is known.

Owns the tie. It must not know how versions are distinguished. No method is a checkpoint.
"""

from typing import NamedTuple

from cffs.core.ids import Inode


class Tied(NamedTuple):
    """A version of the object `key`: its number among the facts, and its size."""

    key: str
    number: int
    nbytes: int


class InodeVersions:
    """The versions of those inodes that the kernel holds and that were opened."""

    def __init__(self) -> None:
        self._tied: dict[Inode, Tied] = {}
        #: Inodes that were opened without a size: a private mapping may have made pages that end where the bytes did.
        self._unsized: set[Inode] = set()
        #: Changes whenever an inode is tied to a version, or no longer is.
        self.turn = 0

    def of(self, inode: Inode) -> Tied | None:
        """What the inode is tied to; None where it was not opened."""
        return self._tied.get(inode)

    def of_object(self, key: str) -> list[Inode]:
        """The inodes that are tied to a version of the object."""
        return [inode for inode, tied in self._tied.items() if tied.key == key]

    def admits(self, inode: Inode, key: str, *, number: int, nbytes: int | None) -> bool:
        """Whether bytes of that version may be read under the inode. A version without a size may only where the inode
        is not tied yet."""
        tied = self._tied.get(inode)
        return tied is None or (nbytes is not None and tied == Tied(key, number, nbytes))

    def tie(self, inode: Inode, key: str, *, number: int, nbytes: int) -> bool:
        """Tie the inode to the version, which it admits. Returns whether the pages that the kernel has of the inode are
        of that version."""
        self.turn += 1
        self._tied[inode] = Tied(key, number, nbytes)
        is_clean = inode not in self._unsized
        self._unsized.discard(inode)
        return is_clean

    def note_unsized(self, inode: Inode) -> None:
        """The inode was opened without a size."""
        self._unsized.add(inode)

    def forget(self, inode: Inode) -> None:
        """The kernel no longer holds the inode, nor a page of it."""
        if self._tied.pop(inode, None) is not None:
            self.turn += 1
        self._unsized.discard(inode)
