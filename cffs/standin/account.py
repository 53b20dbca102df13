"""The account that the stand-in serves, with the true bytes of every object.

It owns how a path names an object, and what v1's file ids are. Every method may be called from any thread. It must not
know HTTP beyond the paths.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from cffs.standin.audio import Content, StoredContent
from cffs.standin.call_store import CallStore
from cffs.standin.generated_rows import Shape
from cffs.standin.me import Me
from cffs.standin.media_store import DynamicName, MediaStore
from cffs.standin.objects import StandinObject

V1_ID_SHIFT: Final = 5_000_000_000_000
"""With `v1_ids_differ`, v1's file ids are v2's recording ids plus this."""

_V1_FILES: Final = "/cloud/1/files/recording"
_RECORDING: Final = re.compile(r"/v2/calls/recordings/(\d+)\.mp3")
_NAMED: Final = re.compile(r"/v2/calls/(\d+)/recordings/([^/]+)\.mp3")
_MEDIA: Final = re.compile(r"/v2/media/(\d+)(?:\.[a-z0-9]+|/file)")
_PUBLIC: Final = re.compile(r"/v2/media/public/([^/]+)\.[a-z0-9]+")
_V1_RECORDING: Final = re.compile(_V1_FILES + r"/(\d+)")
_DYNAMIC: Final = re.compile(_V1_FILES + r"/dynamic/([^/]+)/([^/]+)/([^/]+)/([^/]+)/([^/]+?)(/mp3)?")


class Account(CallStore):
    """A deterministic account of any size: a function of its arguments until it is changed."""

    def __init__(
        self,
        *,
        seed: int = 1,
        calls: int = 24,
        recordings_per_call: int = 1,
        campaigns: int = 8,
        uncampaigned_every: int = 10,
        attempts_every: int = 5,
        media: int = 16,
        other_media: int = 4,
        dynamic: int = 12,
        v1_ids_differ: bool = False,
        length_measures: str | None = "mp3",
        shape: Shape | None = None,
        media_names: Sequence[str] = (),
    ) -> None:
        """`shape` replaces the arguments up to `attempts_every`; `media_names` go to the MediaStore."""
        shape = shape or Shape(
            seed=seed,
            calls=calls,
            recordings_per_call=recordings_per_call,
            campaigns=campaigns,
            uncampaigned_every=uncampaigned_every,
            attempts_every=attempts_every,
        )
        super().__init__(shape, length_measures=length_measures)
        self.v1_ids_differ = v1_ids_differ
        self.me = Me(seed=shape.seed, newest_ms=shape.newest_ms)
        self.media = MediaStore(
            seed=shape.seed,
            media=media,
            other_media=other_media,
            dynamic=dynamic,
            campaign_ids=shape.campaign_ids(),
            versions=self.versions,
            newest_ms=shape.newest_ms,
            media_names=media_names,
        )

    def object_for(self, path_or_url: str) -> StandinObject | None:
        """The object that a GET of the path returns, in either API; None without one. A URL of any host works too."""
        path = urlsplit(path_or_url).path if "://" in path_or_url else path_or_url.partition("?")[0]
        with self.lock:
            if match := _RECORDING.fullmatch(path):
                return self.recording_object(int(match[1]), form="mp3")
            if match := _NAMED.fullmatch(path):
                return self.named_recording(int(match[1]), unquote(match[2]))
            if match := _MEDIA.fullmatch(path):
                return self.media.media_object(int(match[1]))
            if match := _PUBLIC.fullmatch(path):
                media_id = self.media.media_by_key(unquote(match[1]))
                return None if media_id is None else self.media.media_object(media_id)
            if match := _V1_RECORDING.fullmatch(path):
                return self.recording_object(self.recording_of_v1(int(match[1])), form="wav")
            if match := _DYNAMIC.fullmatch(path):
                name = dynamic_name([unquote(part) for part in match.groups()[:5]])
                return self.media.dynamic_object(name, form="mp3" if match[6] else "wav")
            return None

    def paths(self) -> list[str]:
        """A path of every object: recordings and dynamic files in both forms, and media."""
        with self.lock:
            found: list[str] = []
            for call_id in self.call_ids():
                for recording_id in self.recording_ids(call_id) if isinstance(call_id, int) else ():
                    found.append(f"/v2/calls/recordings/{recording_id}.mp3")
                    found.append(f"{_V1_FILES}/{self.v1_file_id(recording_id)}")
            for name in self.media.dynamic:
                found += [self.dynamic_path(name, form="wav"), self.dynamic_path(name, form="mp3")]
            found += [f"/v2/media/{media_id}/file" for media_id in self.media.media_ids()]
            return found

    def dynamic_path(self, name: DynamicName, *, form: str) -> str:
        """The path of a dynamic recording, without the API key."""
        return f"{_V1_FILES}/dynamic/{'/'.join(name.parts)}" + ("/mp3" if form == "mp3" else "")

    def replace_object(self, path_or_url: str, *, data: bytes | None = None) -> None:
        """Replace the object of that path in every form, by other bytes of the same size or by `data`.

        Raises KeyError where there is no object.
        """
        with self.lock:
            found = self.object_for(path_or_url)
            if found is None:
                raise KeyError(path_or_url)
            key = found.key.rpartition(".")[0]
            content: Content | None = None if data is None else StoredContent(data)
            if content is None and self.versions.given_content(key) is not None:
                # Given content has no seed to change, so its bytes are reversed.
                content = StoredContent(found.read()[::-1])
            self.versions.replace(key, content)

    def set_audio(self, recording_id: int, *, mp3: bytes, wav: bytes) -> None:
        """Give a recording the bytes of true files."""
        with self.lock:
            self.versions.replace(f"recording/{recording_id}", mp3=StoredContent(mp3), wav=StoredContent(wav))

    def v1_file_id(self, recording_id: int) -> int:
        """The file id of a recording in v1."""
        return recording_id + V1_ID_SHIFT if self.v1_ids_differ else recording_id

    def recording_of_v1(self, file_id: int) -> int:
        """The recording of a v1 file id."""
        return file_id - V1_ID_SHIFT if self.v1_ids_differ else file_id


def dynamic_name(parts: Sequence[str]) -> DynamicName:
    """The name of a dynamic recording from the five parts of its path, in order."""
    hash_code, year, month, campaign, filename = parts
    return DynamicName(hash_code=hash_code, year=year, month=month, campaign=campaign, filename=filename)
