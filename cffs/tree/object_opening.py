"""OPEN of an object of the service, at no request where its size is known.

Owns the order: what the catalogue knows, whether that is still so (`--revalidate`), the open, and the note that an
object is missing. It must not know inodes, nor how bytes are fetched.
"""

from collections.abc import Callable, Hashable

from cffs.catalog.store import Catalog
from cffs.core.errors import RemoteObjectMissing
from cffs.core.units import NS_PER_MS
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.tree.contents import Remote
from cffs.tree.context import known_of


class ObjectOpening:
    """Opens the objects of one catalogue."""

    def __init__(self, objects: ObjectRegistry, catalog: Catalog, *, now_ns: Callable[[], int]) -> None:
        """`now_ns` is the wall clock."""
        self._objects = objects
        self._catalog = catalog
        self._now_ns = now_ns

    async def note_missing(self, content: Remote) -> None:
        """The service does not have the object. Once its row is removed for that, its bytes go too, but for pinned
        ones. Always a checkpoint."""
        if await self._catalog.note_missing(content.key, now_ms=self._now_ns() // NS_PER_MS):
            self._objects.let_go(content.key)

    async def open(self, content: Remote, *, reader: Hashable = None, has_pages: bool = False) -> tuple[OpenFile, bool]:
        """A handle, and whether the object was known before. Its size is exact, or None where the origin gives none.

        `reader` and `has_pages`: see ObjectRegistry.open. A checkpoint unless the size is known and believed. Raises
        what stops an answer; cancelled, nothing is open.
        """
        known = known_of(self._catalog, content.key, content.sources)
        try:
            if known is not None and await self._objects.revalidation.is_another(content.key, content.sources, known):
                known = known_of(self._catalog, content.key, content.sources)
            file = await self._objects.open(
                content.key,
                content.sources,
                known=known,
                hint_nbytes=content.hint_nbytes,
                reader=reader,
                has_pages=has_pages,
            )
        except RemoteObjectMissing:
            await self.note_missing(content)
            raise
        return file, known is not None
