"""Media and dynamic recordings: the objects that belong to no call.

It owns their rows, names and bytes: generated, uploaded, or added by a test. It must not know HTTP: an upload arrives
as bytes, and a refusal is an exception.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cffs.standin.audio import Content, StoredContent, mp3_nbytes, wav_nbytes
from cffs.standin.generated_rows import MEDIA_BASE, Row, mixed
from cffs.standin.media_files import CONTENT_TYPES, EXTENSIONS, OTHER_EXTENSIONS, media_content
from cffs.standin.objects import StandinObject, Versions

MEDIA_NAMES: Final = (
    "Holiday logo",
    "on hold: tune?",
    "prix d'été 2024",
    "メニュー",
    "../etc/passwd",
    "Holiday logo",
    "x" * 300,
    "",
)
"""Names as users type them: a duplicate, a path, one too long for a file name, an empty one."""

MEDIA_TYPE_SPELLINGS: Final = {"jpg": "image/jpeg", "mp3": "MP3", "bmp": "image/x-bmp", "wav": "audio/wav"}
"""CallFire spells types in several ways; every second media file of a type uses this one."""

MEDIA_STEP_MS: Final = 3_600_000
MIN_FILLER_NBYTES: Final = 3_000
FILLER_SPAN_NBYTES: Final = 90_000


class MediaRefused(Exception):
    """The upload is not accepted, with the `message` and HTTP `status` of the answer."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicName:
    """The five parts of a dynamic recording's URL, as spelt in it."""

    hash_code: str
    year: str
    month: str
    campaign: str
    filename: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """The parts in the order of the path."""
        return self.hash_code, self.year, self.month, self.campaign, self.filename


class MediaStore:
    """Media and dynamic recordings, used under the account's lock."""

    def __init__(
        self,
        *,
        seed: int,
        media: int,
        other_media: int,
        dynamic: int,
        campaign_ids: list[int],
        versions: Versions,
        newest_ms: int,
        media_names: Sequence[str] = (),
    ) -> None:
        """`media_names` are used in their order, over and over; without them, names are hostile."""
        self._seed = seed
        self._newest_ms = newest_ms
        self._media_names = media_names
        self._versions = versions
        self._media: dict[int, Row] = {}
        self._extensions: dict[int, str] = {}
        self._keys: dict[str, int] = {}
        self._digests: dict[str, int] = {}
        self._digested = False
        self.unavailable_until: dict[int, float] = {}
        """The time (of time.monotonic) from which the bytes of a media file are available."""
        self.dynamic: dict[DynamicName, float] = {}
        for n in range(media):
            self._generate_media(n, EXTENSIONS[n % len(EXTENSIONS)], other_spelling=n // len(EXTENSIONS) % 2 == 1)
        for n in range(media, media + other_media):
            self._generate_media(n, OTHER_EXTENSIONS[n % len(OTHER_EXTENSIONS)])
        for n in range(dynamic):
            campaign = campaign_ids[n % len(campaign_ids)] if campaign_ids else 7654321
            self.add_dynamic(
                DynamicName(
                    hash_code=f"{mixed(seed, n, 20):016x}{mixed(seed, n, 21):016x}",
                    year=str(2012 + n % 3),
                    month=str(1 + n % 12) if n % 4 else f"{1 + n % 12:02d}",
                    campaign=str(campaign),
                    filename=f"cid_{1_000_000_000 + mixed(seed, n, 22) % 9_000_000_000}_{n % 3 + 1}.wav",
                ),
                seconds=3 + n % 9,
            )

    def media_ids(self) -> list[int]:
        """All media, newest first."""
        return list(self._media)

    def media_row(self, media_id: int, *, root_url: str) -> Row | None:
        """The media file as the API sends it; None for an unknown id."""
        row = self._media.get(media_id)
        if row is None:
            return None
        key = row.get("_key")
        row = {name: value for name, value in row.items() if name != "_key"}
        if key is not None:
            if self._extensions[media_id]:
                row.setdefault("publicUrl", f"{root_url}/v2/media/public/{key}.{self._public_suffix(media_id)}")
            media_object = self.media_object(media_id)
            row.setdefault("lengthInBytes", media_object.total_nbytes if media_object else 0)
        return row

    def media_key(self, media_id: int) -> str:
        """The key in the public URL."""
        return str(self._media[media_id]["_key"])

    def extension(self, media_id: int) -> str | None:
        """The extension of the type; "" where it has none, None for an unknown id."""
        return self._extensions.get(media_id)

    def media_by_key(self, key: str) -> int | None:
        """The media file of a public key."""
        return self._keys.get(key)

    def media_object(self, media_id: int) -> StandinObject | None:
        """The bytes of a media file; None for an unknown id."""
        extension = self._extensions.get(media_id)
        if extension is None:
            return None
        key = f"media/{media_id}"
        content = self._versions.given_content(key)
        if content is None:
            filler = MIN_FILLER_NBYTES + mixed(self._seed, media_id, 23) % FILLER_SPAN_NBYTES
            filler = self._versions.size(key, "filler", filler)
            content = media_content(extension, seed=self._versions.content_seed(key, extension), filler_nbytes=filler)
        return self._versions.finished(
            key,
            form=extension,
            content=content,
            content_type=CONTENT_TYPES[extension],
            modified_ms=int(self._media[media_id].get("created", self._newest_ms)),
        )

    def upload(self, data: bytes, *, name: str, extension: str, account_id: int, transcode: bool = False) -> int:
        """Add an uploaded file and return its id; with `transcode` its bytes are others of the same type.

        Raises MediaRefused for an unknown type, an empty file, or content that exists already.
        """
        extension = "jpg" if extension == "jpeg" else extension
        if extension not in EXTENSIONS:
            raise MediaRefused("media file type is not supported, acceptable formats: " + ", ".join(EXTENSIONS))
        if not data:
            raise MediaRefused("media file is empty")
        if not self._digested:
            for media_id in self._media:
                existing = self.media_object(media_id)
                if existing is not None:
                    self._digests[hashlib.sha256(existing.read()).hexdigest()] = media_id
            self._digested = True
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._digests:
            raise MediaRefused(f"duplicate media file, mediaId: {self._digests[digest]}")
        media_id = max(self._media, default=MEDIA_BASE) + 1000
        self._insert(media_id, extension=extension, name=name, account_id=account_id, created_ms=self._newest_ms)
        content: Content = StoredContent(data)
        if transcode:
            content = media_content(extension, seed=digest, filler_nbytes=len(data) // 2)
        self._versions.replace(f"media/{media_id}", content)
        self._digests[digest] = media_id
        return media_id

    def add_media(self, *, name: str, extension: str, filler_nbytes: int = MIN_FILLER_NBYTES) -> int:
        """Add a generated media file, the newest; returns its id."""
        media_id = max(self._media, default=MEDIA_BASE) + 1000
        self._insert(media_id, extension=extension, name=name, account_id=self._seed, created_ms=self._newest_ms)
        self._versions.resize(f"media/{media_id}", "filler", filler_nbytes)
        return media_id

    def add_raw_media(self, row: Row) -> None:
        """Add a row, listed as given, without bytes."""
        self._media = {row.get("id", -1): dict(row), **self._media}

    def change_media(self, media_id: int, **fields: object) -> None:
        """Set fields of the row, such as a wrong `lengthInBytes`."""
        self._media[media_id].update(fields)

    def delete_media(self, media_id: int) -> None:
        """Delete it: 404 from now on."""
        row = self._media.pop(media_id)
        self._keys.pop(str(row.get("_key")), None)
        self._extensions.pop(media_id, None)
        self._digests = {digest: owner for digest, owner in self._digests.items() if owner != media_id}

    def add_dynamic(self, name: DynamicName, *, seconds: float = 5) -> None:
        """Add a dynamic recording."""
        self.dynamic[name] = seconds

    def delete_dynamic(self, name: DynamicName) -> None:
        """Delete it: 404 from now on."""
        del self.dynamic[name]

    def dynamic_object(self, name: DynamicName, *, form: str) -> StandinObject | None:
        """The WAV or MP3 form of a dynamic recording; None where none has exactly that spelling."""
        seconds = self.dynamic.get(name)
        if seconds is None:
            return None
        return self._versions.audio(
            "dynamic/" + "/".join(name.parts),
            form=form,
            total_nbytes=wav_nbytes(seconds) if form == "wav" else mp3_nbytes(seconds),
            content_type="audio/x-wav" if form == "wav" else "audio/mp3",
            modified_ms=self._newest_ms,
        )

    def _generate_media(self, n: int, extension: str, *, other_spelling: bool = False) -> None:
        names = self._media_names
        self._insert(
            MEDIA_BASE + (self._seed % 1000) * 10_000_000 - n * 1000 + 9_000_003,
            extension=extension,
            name=names[n % len(names)] if names else MEDIA_NAMES[mixed(self._seed, n, 24) % len(MEDIA_NAMES)],
            account_id=self._seed,
            created_ms=self._newest_ms - n * MEDIA_STEP_MS,
            other_spelling=other_spelling,
        )

    def _insert(
        self,
        media_id: int,
        *,
        extension: str,
        name: str,
        account_id: int,
        created_ms: int,
        other_spelling: bool = False,
    ) -> None:
        media_type = CONTENT_TYPES[extension]
        key = f"{mixed(self._seed, media_id, 25):016x}"
        row: Row = {
            "id": media_id,
            "accountId": account_id,
            "name": name,
            "created": created_ms,
            "mediaType": MEDIA_TYPE_SPELLINGS.get(extension, media_type) if other_spelling else media_type,
            "_key": key,
        }
        if self._media and media_id > next(iter(self._media)):
            self._media = {media_id: row, **self._media}
        else:
            self._media[media_id] = row
        self._keys[key] = media_id
        self._extensions[media_id] = extension

    def _public_suffix(self, media_id: int) -> str:
        """The suffix in the public URL: CallFire's own sample has `.jpeg` where the document has `.jpg`."""
        extension = self._extensions[media_id]
        return "jpeg" if extension == "jpg" else extension
