"""The source of an object's bytes: an API and a path below its base URL.

It owns the paths of everything that can be downloaded, and how a segment is encoded. It must not know base URLs,
credentials or how bytes are fetched: a source holds neither a URL nor a secret.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote


class Api(StrEnum):
    """The two APIs of the service."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Source:
    """One GET-able object of one API: `segments` are the decoded path segments below the API's base URL.

    `key` is stable across runs, holds no secret, and is equal only for equal sources. `may_be_text` is for media of
    types other than sounds, pictures and films: for these, an answer in plain text is not an error page.
    """

    api: Api
    segments: tuple[str, ...]
    may_be_text: bool = field(default=False, compare=False)

    @property
    def path(self) -> str:
        """The path below the base, each segment percent-encoded on its own (`/` in a name cannot add a segment)."""
        return "/".join(quote_segment(segment) for segment in self.segments)

    @property
    def key(self) -> str:
        """The identity of the object in caches and logs."""
        return f"{self.api}:{self.path}"


#: Most requests are for an object that was just asked for.
_REMEMBERED_SEGMENTS = 1024


@lru_cache(_REMEMBERED_SEGMENTS)
def quote_segment(segment: str) -> str:
    """One path segment percent-encoded, dots of `.` and `..` included (HTTP clients collapse those: see
    cffs/docs/service.md#clients)."""
    if segment in (".", ".."):
        return "%2E" * len(segment)
    # surrogatepass: a lone surrogate in a JSON name must not raise; the origin decides what it means
    return quote(segment.encode("utf-8", "surrogatepass"), safe="-._~")


def v1_recording(file_id: int) -> Source:
    """A recording's WAV by its file id (v1 document: "Get a single recording")."""
    return Source(Api.V1, ("files", "recording", str(file_id)))


def wav_key(file_id: int) -> str:
    """The key of a recording's WAV in caches and in the catalogue."""
    return f"recording/{file_id}.wav"


def v1_dynamic(location: tuple[str, str, str, str], filename: str, *, mp3: bool = False) -> Source:
    """A dynamic recording: `location` is (hash, year, month, campaign) as spelt; `mp3` asks for the MP3 form."""
    return Source(Api.V1, ("files", "recording", "dynamic", *location, filename, *(("mp3",) if mp3 else ())))


def v2_recording(recording_id: int) -> Source:
    """A recording's MP3 by its id (public OpenAPI document; not in the seed documents)."""
    return Source(Api.V2, ("calls", "recordings", f"{recording_id}.mp3"))


def v2_recording_by_name(call_id: int, name: str) -> Source:
    """A recording's MP3 by its name within its call (second document: getCallRecordingMp3ByName)."""
    return Source(Api.V2, ("calls", str(call_id), "recordings", f"{name}.mp3"))


def v2_media(media_id: int, extension: str, *, may_be_text: bool = False) -> Source:
    """A media file in the type of `extension` (second document: getMediaData)."""
    return Source(Api.V2, ("media", f"{media_id}.{extension}"), may_be_text)


def v2_media_raw(media_id: int, *, may_be_text: bool = False) -> Source:
    """A media file as it is (second document: getMediaDataBinary)."""
    return Source(Api.V2, ("media", str(media_id), "file"), may_be_text)


def v2_media_public(key: str, extension: str, *, may_be_text: bool = False) -> Source:
    """A media file by the key of its public URL (second document: getMediaDataByKey)."""
    return Source(Api.V2, ("media", "public", f"{key}.{extension}"), may_be_text)
