"""SHA-256 of objects that are held completely, without a request.

It owns the digests that were computed. It must not know files or folders.
"""

import hashlib

import trio
from cachetools import LRUCache

from cffs.core.source import Source
from cffs.core.units import KIB
from cffs.reader.object_info import Known
from cffs.reader.object_registry import ObjectRegistry

_PIECE_NBYTES = 128 * KIB
#: About 200 bytes each.
_KEPT = 20_000


class Digests:
    """Digests by object and version; each is computed once."""

    def __init__(self, objects: ObjectRegistry) -> None:
        self._objects = objects
        self._kept: LRUCache[tuple[str, int | None, str | None], str] = LRUCache(_KEPT)

    async def digest(self, key: str, sources: tuple[Source, ...], known: Known) -> str | None:
        """The digest in hexadecimal, or None where a byte of the object is not held. Always a checkpoint.

        Raises CffsError where what is held cannot be read. Cancelled, nothing is open.
        """
        await trio.lowlevel.checkpoint()
        version = (key, known.total_nbytes, known.validator)
        if self._objects.held_nbytes(key) < known.total_nbytes:
            return None
        if version in self._kept:
            return self._kept[version]
        file = await self._objects.open(key, sources, known=known)
        try:
            found, offset = hashlib.sha256(), 0
            while piece := await file.read(offset, _PIECE_NBYTES):
                found.update(piece)
                offset += len(piece)
                await trio.lowlevel.checkpoint()
        finally:
            file.close()
        self._kept[version] = found.hexdigest()
        return self._kept[version]
