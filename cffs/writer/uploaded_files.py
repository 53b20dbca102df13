"""Files that this mount sent, and what stands in for them meanwhile.

The service may transcode what it was given, so a spool file is never taken for the service's object: it is read only
where the service refuses, and given up once the service serves the object.

Owns the names that were written, and the stand-ins: spool files that are read until the service serves the object. It
must not know how anything is sent or read.
"""

import trio
from cachetools import TTLCache

from cffs.writer.upload_file import UploadFile

#: A file that the service still calls unavailable after so long has a trouble that our copy does not mend.
KEPT_SECONDS = 3600.0
#: Stand-ins at once: each holds a descriptor.
_MOST_FILES = 64
#: Bytes of all stand-ins, in multiples of the largest upload.
_MOST_LIMITS = 4


class UploadedFiles:
    """The uploads that ended well. No method is a checkpoint."""

    def __init__(self, *, limit_nbytes: int) -> None:
        self._ids: dict[str, int] = {}
        self._made: set[int] = set()
        self._kept: TTLCache[int, UploadFile] = TTLCache(2 * _MOST_FILES, KEPT_SECONDS, timer=trio.current_time)
        self._most_nbytes = _MOST_LIMITS * limit_nbytes

    def add(self, name: str, media_id: int, upload: UploadFile) -> list[UploadFile]:
        """The file was sent; returns the stand-ins that were given up to make room."""
        self._ids[name] = media_id
        self._made.add(media_id)
        dropped = [old for _id, old in self._kept.expire()]
        while self._kept and (
            len(self._kept) >= _MOST_FILES or upload.nbytes + self._kept_nbytes() > self._most_nbytes
        ):
            dropped.append(self._kept.pop(next(iter(self._kept))))
        self._kept[media_id] = upload
        return dropped

    def media_id(self, name: str) -> int | None:
        """The media file that a name written here stands for."""
        return self._ids.get(name)

    def is_made_here(self, media_id: int) -> bool:
        """Whether this mount sent the media file."""
        return media_id in self._made

    def stand_in(self, media_id: int) -> UploadFile | None:
        """What can be read in place of the media file."""
        return self._kept.get(media_id)

    def drop(self, media_id: int) -> UploadFile | None:
        """The service serves the media file: nothing stands in for it any more."""
        return self._kept.pop(media_id, None)

    def keeps(self, upload: UploadFile) -> bool:
        """Whether the upload stands in for a media file."""
        return upload.media_id is not None and self._kept.get(upload.media_id) is upload

    def drop_all(self) -> list[UploadFile]:
        """The mount ends: give up and return all stand-ins."""
        dropped = list(self._kept.values())
        self._kept.clear()
        return dropped

    def _kept_nbytes(self) -> int:
        return sum(upload.nbytes for upload in self._kept.values())
