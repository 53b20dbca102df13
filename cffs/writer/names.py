"""Which names may be written: those of media, and those that programs give a file until it is whole. Pure.

It must not know what is there, nor what becomes of a name.
`writer/uploads` asks it at create and at rename.
"""

from dataclasses import dataclass

from cffs.core.errors import ContentRefused
from cffs.core.media_types import MIME_TYPES
from cffs.core.names import to_kernel

#: `.jpeg` is the documented `.jpg` in its longer spelling.
_ALIASES = {"jpeg": "jpg"}
#: Browsers, rsync with --suffix, KIO, editors (contract section 8); compared in lower case.
_TEMPORARY_SUFFIXES = (".part", ".tmp", ".crdownload", "~")
#: `.name.ext.XXXXXX` of rsync, `.goutputstream-…` of GLib; office programs' `~$name`.
_TEMPORARY_PREFIXES = (".", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaName:
    """A name under which a file can be sent: what is sent as its name, and its documented extension."""

    stem: str
    extension: str

    @property
    def content_type(self) -> str:
        """What the multipart form says of the file."""
        return MIME_TYPES[self.extension]


def media_name(name: str) -> MediaName | None:
    """What a name of media/ is sent as; None for a temporary one, which is kept until it is renamed.

    `name` is as the kernel gave it; bytes that are no UTF-8 are sent as U+FFFD. Raises ContentRefused for any other.
    """
    lowered = name.lower()
    if lowered.startswith(_TEMPORARY_PREFIXES) or lowered.endswith(_TEMPORARY_SUFFIXES):
        return None
    stem, dot, suffix = name.rpartition(".")
    extension = _ALIASES.get(suffix.lower(), suffix.lower())
    if not dot or not stem or extension not in MIME_TYPES:
        raise ContentRefused(f"media are {', '.join(MIME_TYPES)}; a file is told by its suffix")
    return MediaName(stem=to_kernel(stem).decode("utf-8", "replace"), extension=extension)
