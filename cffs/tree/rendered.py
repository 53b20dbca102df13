"""Texts rendered from the catalogue alone, kept until it changes.

It owns no rendering and must not know what the texts are. `tree/playlists` asks it, since `ls -l` of a folder asks the
size of its playlist each time, and that of ten thousand recordings takes a quarter of a second to make.
"""

from collections.abc import Hashable

from cachetools import LRUCache

#: A playlist of ten thousand recordings is 1 MB.
MAX_NBYTES = 4 * 1024 * 1024


class Rendered:
    """The texts used last. Owner: the tree's context."""

    def __init__(self) -> None:
        self._kept: LRUCache[Hashable, tuple[int, bytes]] = LRUCache(MAX_NBYTES, getsizeof=lambda kept: len(kept[1]))

    def get(self, key: Hashable, version: int) -> bytes | None:
        """The text rendered at that version of the catalogue."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == version else None

    def keep(self, key: Hashable, version: int, text: bytes) -> None:
        """`version` is that of before rendering began: what changed meanwhile may be half in it."""
        if len(text) <= MAX_NBYTES:
            self._kept[key] = version, text
