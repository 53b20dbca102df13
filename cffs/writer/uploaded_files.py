"""What this mount sent: the names written, and the spool files that stand in for what the service has not ready yet.

It must not know how anything is sent or read. `writer/uploads` adds to it; the tree asks it.

The service may transcode what it was given, so a spool file is never taken for the service's object: it is read only
where the service refuses, and given up once it does not.
"""

import trio
from cachetools import TTLCache

from cffs.writer.upload_file import UploadFile

#: A file that the service still calls unavailable after so long is in trouble that a copy of ours does not mend.
KEPT_SECONDS = 3600.0
#: Each holds a descriptor.
_MOST_FILES = 64
#: In all, as many times the largest upload.
_MOST_LIMITS = 4


class UploadedFiles:
    """The uploads that ended well. Owned by `Uploads`; no method is a checkpoint."""

    def __init__(self, *, limit_nbytes: int) -> None:
        self._ids: dict[str, int] = {}
        self._made: set[int] = set()
        self._kept: TTLCache[int, UploadFile] = TTLCache(2 * _MOST_FILES, KEPT_SECONDS, timer=trio.current_time)
        self._most_nbytes = _MOST_LIMITS * limit_nbytes

    def add(self, name: str, media_id: int, draft: UploadFile) -> list[UploadFile]:
        """The file was sent; returns the drafts that are given up to make room."""
        self._ids[name] = media_id
        self._made.add(media_id)
        dropped = [old for _id, old in self._kept.expire()]
        while self._kept and (len(self._kept) >= _MOST_FILES or draft.nbytes + self._kept_nbytes() > self._most_nbytes):
            dropped.append(self._kept.pop(next(iter(self._kept))))
        self._kept[media_id] = draft
        return dropped

    def media_id(self, name: str) -> int | None:
        """What the name written stands for now."""
        return self._ids.get(name)

    def is_made_here(self, media_id: int) -> bool:
        """Whether this mount sent it."""
        return media_id in self._made

    def stand_in(self, media_id: int) -> UploadFile | None:
        """What can be read in its place."""
        return self._kept.get(media_id)

    def drop(self, media_id: int) -> UploadFile | None:
        """The service has it: nothing stands in for it any more."""
        return self._kept.pop(media_id, None)

    def keeps(self, draft: UploadFile) -> bool:
        """Whether the draft stands in for something."""
        return draft.media_id is not None and self._kept.get(draft.media_id) is draft

    def drop_all(self) -> list[UploadFile]:
        """The mount ends."""
        dropped = list(self._kept.values())
        self._kept.clear()
        return dropped

    def _kept_nbytes(self) -> int:
        return sum(draft.nbytes for draft in self._kept.values())
