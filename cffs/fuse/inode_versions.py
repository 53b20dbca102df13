"""Which version of its object an inode is: tied to the first that is opened under it, until the kernel lets it go.

It must not know how versions are told apart. `fuse/open_remote` ties, `fuse/attributes` shows the sizes,
`fuse/invalidation`
retires what is tied to an object that changed.

The kernel keeps one size and one set of pages an inode, and fills a page with zeros up to that size where a READ ends
before it. So an inode that was opened is shown the size of the version it was opened with, and no other, whoever asks
and whatever is known of the object by then.
"""

from typing import NamedTuple

from cffs.core.ids import Inode


class Tied(NamedTuple):
    """A version of object `key`: its number among the facts, and its size."""

    key: str
    number: int
    nbytes: int


class InodeVersions:
    """The versions of the inodes that the kernel holds and that were opened. No method is a checkpoint."""

    def __init__(self) -> None:
        self._tied: dict[Inode, Tied] = {}
        #: Opened without a size: a private mapping may have made pages that end where the bytes did.
        self._unsized: set[Inode] = set()
        #: Another value once other inodes are tied, or to other versions.
        self.turn = 0

    def of(self, inode: Inode) -> Tied | None:
        """What the inode is tied to."""
        return self._tied.get(inode)

    def of_object(self, key: str) -> list[Inode]:
        """The inodes that are tied to a version of the object."""
        return [inode for inode, tied in self._tied.items() if tied.key == key]

    def admits(self, inode: Inode, key: str, *, number: int, nbytes: int | None) -> bool:
        """Whether bytes of that version may join those of the inode; without a size only those of one not yet tied."""
        tied = self._tied.get(inode)
        return tied is None or (nbytes is not None and tied == Tied(key, number, nbytes))

    def tie(self, inode: Inode, key: str, *, number: int, nbytes: int) -> bool:
        """The inode, which admits it, is of that version from now on; True where pages that the kernel has of the inode
        are of it."""
        self.turn += 1
        self._tied[inode] = Tied(key, number, nbytes)
        is_clean = inode not in self._unsized
        self._unsized.discard(inode)
        return is_clean

    def note_unsized(self, inode: Inode) -> None:
        """It was opened without a size."""
        self._unsized.add(inode)

    def forget(self, inode: Inode) -> None:
        """The kernel does not hold the inode any more, nor a page of it."""
        if self._tied.pop(inode, None) is not None:
            self.turn += 1
        self._unsized.discard(inode)
