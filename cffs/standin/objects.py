"""Downloadable objects of the stand-in, and their versions and sizes.

It owns what makes two versions of an object differ: the seed of the bytes, the validator and the date. It must not know
which operation serves an object.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cffs.standin.audio import Content, Mp3Content, WavContent

ETAG_DIGITS: Final = 20
"""Hexadecimal digits of a SHA-256: enough that no two objects of a test share a validator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinObject:
    """The true bytes of one version of one object: `read` returns what a correct client must have read."""

    key: str
    content: Content
    content_type: str
    etag: str
    """A strong validator, with its quotes."""
    modified_ms: int

    @property
    def total_nbytes(self) -> int:
        """The exact size."""
        return self.content.total_nbytes

    def read(self, offset: int = 0, nbytes: int | None = None) -> bytes:
        """The bytes in [offset, offset + nbytes), or all from `offset` on."""
        return self.content.read(offset, self.total_nbytes if nbytes is None else nbytes)


class Versions:
    """The versions of each object, and the sizes that were set by hand."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._contents: dict[str, Content] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def number(self, key: str) -> int:
        """The number of the object's version; 0 for the first."""
        return self._numbers.get(key, 0)

    def replace(self, key: str, content: Content | None = None, **forms: Content) -> None:
        """Give the object other bytes and another validator; `content` is then that of every form but those named."""
        self._numbers[key] = self.number(key) + 1
        for old in [old for old in self._contents if old == key or old.rpartition(".")[0] == key]:
            del self._contents[old]
        if content is not None:
            self._contents[key] = content
        self._contents |= {f"{key}.{form}": one for form, one in forms.items()}

    def resize(self, key: str, form: str, total_nbytes: int) -> None:
        """Set the size of one form of the object."""
        self._sizes[key, form] = total_nbytes

    def size(self, key: str, form: str, otherwise_nbytes: int) -> int:
        """The size of that form, or `otherwise_nbytes`."""
        return self._sizes.get((key, form), otherwise_nbytes)

    def given_content(self, key: str, form: str = "") -> Content | None:
        """The content set by `replace`, or None."""
        return self._contents.get(f"{key}.{form}", self._contents.get(key))

    def content_seed(self, key: str, form: str) -> str:
        """The seed that the bytes are computed from."""
        return f"{self._seed}/{key}/{form}/{self.number(key)}"

    def audio(
        self, key: str, *, form: str, total_nbytes: int, content_type: str, modified_ms: int, mulaw: bool = False
    ) -> StandinObject:
        """One form (mp3 or wav) of a recording, of its generated size or the one set by hand."""
        total_nbytes = self.size(key, form, total_nbytes)
        seed = self.content_seed(key, form)
        content: Content | None = self.given_content(key, form)
        if content is None and form == "wav":
            content = WavContent(seed=seed, total_nbytes=total_nbytes, mulaw=mulaw)
        elif content is None:
            content = Mp3Content(seed=seed, total_nbytes=total_nbytes)
        return self.finished(key, form=form, content=content, content_type=content_type, modified_ms=modified_ms)

    def finished(self, key: str, *, form: str, content: Content, content_type: str, modified_ms: int) -> StandinObject:
        """The object with its validator, which changes with the version and the size."""
        identity = f"{self.content_seed(key, form)}/{content.total_nbytes}"
        return StandinObject(
            key=f"{key}.{form}",
            content=content,
            content_type=content_type,
            etag=f'"{hashlib.sha256(identity.encode()).hexdigest()[:ETAG_DIGITS]}"',
            modified_ms=modified_ms + 1000 * self.number(key),
        )
