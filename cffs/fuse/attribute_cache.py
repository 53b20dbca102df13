"""A cache of the attributes that listings were replied with.

`ls -l` of 10,000 files makes as many attributes, and most of the time they are what they were at the `ls -l` before.

Owns the attributes that were kept, and when they are void. It must not know how attributes are made, nor what they
depend on beyond the file's own content: that comes as a stamp. No await.
"""

from collections.abc import Hashable
from copy import copy
from typing import NamedTuple

import pyfuse3

from cffs.core.ids import Inode
from cffs.tree.contents import Remote

#: Files, some 400 bytes each: a folder of 10,000 recordings, and what lies beside them.
MOST = 12_000


class CachedAttributes(NamedTuple):
    """The attributes of a file, with what they were made from: `content` is all of the file's content but its key and
    its sources."""

    key: str
    content: tuple[object, ...]
    attributes: pyfuse3.EntryAttributes
    is_exact: bool


class AttributeCache:
    """The attributes that one mount's listings were replied with, by inode."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._cached: dict[Inode, CachedAttributes] = {}
        self._stamp: Hashable = None
        self._is_steady = False

    def __len__(self) -> int:
        return len(self._cached)

    def stamped(self, stamp: Hashable) -> None:
        """Begin a listing. `stamp` stands for everything that attributes depend on, beside the content of the file
        itself; all that is cached is void once it differs. Nothing is kept until two listings had the same stamp: while
        files are being read, keeping would be in vain."""
        self._is_steady = stamp == self._stamp
        if not self._is_steady:
            self._cached.clear()
            self._stamp = stamp

    def get(self, inode: Inode, content: Remote) -> CachedAttributes | None:
        """What the file was shown with, where that still holds."""
        cached = self._cached.get(inode)
        if cached is None or cached.content != content[2:] or cached.key != content.key:
            return None
        return cached

    def keep(
        self, inode: Inode, content: Remote, attributes: pyfuse3.EntryAttributes, *, is_exact: bool, now_ns: int
    ) -> None:
        """Keep what the file is shown with; `is_exact` says whether its size is. Attributes that the kernel may not
        believe are not kept, nor is a time that moves with the clock."""
        if not self._is_steady or not attributes.attr_timeout or attributes.st_mtime_ns >= now_ns:
            return
        if len(self._cached) >= self._most and inode not in self._cached:
            return  # a folder of more files would push out its own, and pay for the copies in vain
        self._cached[inode] = CachedAttributes(content.key, content[2:], copy(attributes), is_exact)
