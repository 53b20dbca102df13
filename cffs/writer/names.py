"""Names that may be written into media/, and temporary ones. Pure.

Owns which names are sent, and as what. It must not know which files exist, nor what becomes of a name.
"""

from dataclasses import dataclass

from cffs.core.errors import ContentRefused
from cffs.core.media_types import MIME_TYPES
from cffs.core.names import to_kernel

#: `.jpeg` is the documented `.jpg` in its longer spelling.
_ALIASES = {"jpeg": "jpg"}
#: Temporary names of browsers, rsync with --suffix, KIO and editors (`cffs/docs/semantics.md#media`), in lower case.
_TEMPORARY_SUFFIXES = (".part", ".tmp", ".crdownload", "~")
#: `.name.ext.XXXXXX` is rsync's, `.goutputstream-…` GLib's, `~$name` that of office programs.
_TEMPORARY_PREFIXES = (".", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaName:
    """A name under which a file can be sent: the name that the service gets, and its documented extension."""

    stem: str
    extension: str

    @property
    def content_type(self) -> str:
        """The type of the file's part of the multipart form."""
        return MIME_TYPES[self.extension]


def media_name(name: str) -> MediaName | None:
    """The name under which a file of media/ is sent; None for a temporary name, which is kept until it is renamed.

    `name` is as the kernel gave it; bytes that are no UTF-8 are sent as U+FFFD. Raises ContentRefused for any other
    name.
    """
    lowered = name.lower()
    if lowered.startswith(_TEMPORARY_PREFIXES) or lowered.endswith(_TEMPORARY_SUFFIXES):
        return None
    stem, dot, suffix = name.rpartition(".")
    extension = _ALIASES.get(suffix.lower(), suffix.lower())
    if not dot or not stem or extension not in MIME_TYPES:
        raise ContentRefused(f"media are {', '.join(MIME_TYPES)}; the suffix of the name says which")
    return MediaName(stem=to_kernel(stem).decode("utf-8", "replace"), extension=extension)
