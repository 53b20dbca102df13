"""Attributes that a listing was replied with, for the next one of the same files. No await.

It must not know how attributes are made, nor what they depend on: `fuse/attributes` tells when that is another.

`ls -l` of 10,000 files makes as many attributes, and most often they are what they were at the `ls -l` before.
"""

from collections.abc import Hashable
from copy import copy
from typing import NamedTuple

import pyfuse3

from cffs.core.ids import Inode
from cffs.tree.nodes import Remote

#: Files, some 400 bytes each.
MOST = 16_384


class Kept(NamedTuple):
    """The attributes of a file of which its listing told `told`: all that a content tells beside its sources."""

    key: str
    told: tuple[object, ...]
    attributes: pyfuse3.EntryAttributes
    is_exact: bool


class AttributeCache:
    """Those of one mount."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[Inode, Kept] = {}
        self._stamp: Hashable = None
        self._is_steady = False

    def __len__(self) -> int:
        return len(self._kept)

    def stamped(self, stamp: Hashable) -> None:
        """What all attributes depend on, beside what the listing tells of a file: they are void once it is another. It
        must have been the same before for any to be kept: while files are read, that would be for nothing."""
        self._is_steady = stamp == self._stamp
        if not self._is_steady:
            self._kept.clear()
            self._stamp = stamp

    def get(self, inode: Inode, content: Remote) -> Kept | None:
        """What the file was shown with, where that still holds."""
        kept = self._kept.get(inode)
        if kept is None or kept.told != content[2:] or kept.key != content.key:
            return None
        return kept

    def keep(
        self, inode: Inode, content: Remote, attributes: pyfuse3.EntryAttributes, *, is_exact: bool, now_ns: int
    ) -> None:
        """The file is shown with these; `is_exact`: its size is. What the kernel may not believe is not kept, nor a
        time that goes with the clock."""
        if not self._is_steady or not attributes.attr_timeout or attributes.st_mtime_ns >= now_ns:
            return
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[inode] = Kept(content.key, content[2:], copy(attributes), is_exact)
