"""Media formats of the service: extensions, MIME types and suffixes.

It owns the eight documented formats and what may hold text. It must not know media records or requests.

Sources (see cffs/docs/service.md#media): the formats and `jpg` are the second document's. The aliases are the SDK's
table, the types of the OpenAPI document's downloads, the bare words of CallFire's samples (`MP3`), and registered names
of the same formats.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

#: The MIME type that is sent and shown for each documented extension (the SDK's table).
MIME_TYPES: Mapping[str, str] = {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "m4a": "audio/m4a",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "png": "image/png",
    "wav": "audio/x-wav",
}
_EXTENSIONS: Mapping[str, str] = {
    alias: extension
    for extension, aliases in {
        "bmp": "bmp image/bmp image/x-bmp image/x-ms-bmp image/x-windows-bmp",
        "gif": "gif image/gif",
        "jpg": "jpg jpeg jpe image/jpeg image/jpg image/pjpeg",
        "m4a": "m4a audio/m4a audio/x-m4a audio/mp4 audio/mp4a-latm",
        "mp3": "mp3 audio/mp3 audio/mpeg audio/mpeg3 audio/x-mpeg audio/x-mpeg-3 audio/x-mp3 audio/mpg",
        "mp4": "mp4 video/mp4 video/x-m4v",
        "png": "png image/png image/x-png",
        "wav": "wav wave audio/wav audio/x-wav audio/wave audio/x-pn-wav audio/vnd.wave audio/vnd.wav",
    }.items()
    for alias in aliases.split()
}
#: Suffixes of sounds, films and pictures besides the eight: none of them is ever plain text.
_NO_TEXT = re.compile(
    "3g2|3gpp?|aac|aiff?|amr|au|avi|awb|flac|heic|jpeg|m4v|mov|oga|ogg|opus|qcp|tiff?|wbmp|webm|webp|wma|wmv",
    re.IGNORECASE,
)
#: `…/media/public/{key}.{extension}`: the key may hold dots, but is one segment.
_PUBLIC_PATH = re.compile(r"/media/public/([^/]+)\.([0-9A-Za-z]{1,8})\Z")
#: A decoded key has no separator, control character or surrogate; 200 characters leave room for an extension.
_PUBLIC_KEY = re.compile("[^/\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def extension_of(media_type: str) -> str:
    """The documented extension (`jpg`, `mp3`, …) of a MIME type, a bare word or a file suffix; "" where none fits."""
    return _EXTENSIONS.get(media_type.partition(";")[0].strip().lower(), "")


def shown_extension(media_type: str, public_extension: str) -> str:
    """The extension under which a media file is shown: the documented one of its type or of its public URL's suffix,
    else that suffix as it is, in lower case; "" where the URL has none."""
    return extension_of(media_type) or extension_of(public_extension) or public_extension.lower()


def may_be_text(extension: str) -> bool:
    """Whether a media file of that suffix may hold text (a vCard, say). Sounds, films and pictures never do; a file
    without a suffix may."""
    return extension.lower() not in MIME_TYPES and not _NO_TEXT.fullmatch(extension)


def stem_of(name: str, extension: str) -> str:
    """`name` without a suffix of that type: `cf.png` of a PNG becomes `cf`."""
    stem, _dot, suffix = name.rpartition(".")
    is_own = suffix.lower() == extension or (extension in MIME_TYPES and extension_of(suffix) == extension)
    return stem if stem and suffix and is_own else name


def public_parts(url: str) -> tuple[str, str] | tuple[None, None]:
    """The key and the extension in a media file's public URL, as spelt there (the key percent-decoded).

    (None, None) where the URL has no such path or its key could not be a path segment. The host is not looked at:
    only the key is used, and on the configured origin.
    """
    try:
        path = urlsplit(url).path
    except ValueError:  # an unclosed bracket and the like
        return None, None
    match = _PUBLIC_PATH.search(path)
    key = "" if match is None else unquote(match[1])
    if match is None or key in (".", "..") or not _PUBLIC_KEY.fullmatch(key):
        return None, None
    return key, match[2]
