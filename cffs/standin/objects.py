"""One downloadable object as the stand-in serves it, and the register of its versions and sizes.

This module owns what makes two versions of an object differ: the seed of the bytes, the validator, the date.
It must not know which operation serves the object.
`account` and `library` keep one register and hand out objects; tests compare what they read with them.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cffs.standin.audio import Content, Mp3Content, WavContent

ETAG_DIGITS: Final = 20
"""Enough hexadecimal digits of a SHA-256 that no two objects of a test share a validator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandinObject:
    """The true bytes of one version of one object: `read` answers what a correct client must have read."""

    key: str
    content: Content
    content_type: str
    etag: str
    """With its quotes, strong."""
    modified_ms: int

    @property
    def total_nbytes(self) -> int:
        """The exact size."""
        return self.content.total_nbytes

    def read(self, offset: int = 0, nbytes: int | None = None) -> bytes:
        """The slice [offset, offset + nbytes), or all of it from `offset`."""
        return self.content.read(offset, self.total_nbytes if nbytes is None else nbytes)


class Versions:
    """How often each object was replaced and which sizes were set by hand. Owner: one account."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._contents: dict[str, Content] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def number(self, key: str) -> int:
        """0 for the first version."""
        return self._numbers.get(key, 0)

    def replace(self, key: str, content: Content | None = None) -> None:
        """From now on the object has other bytes and another validator; given content holds for every form."""
        self._numbers[key] = self.number(key) + 1
        if content is None:
            self._contents.pop(key, None)
        else:
            self._contents[key] = content

    def resize(self, key: str, form: str, total_nbytes: int) -> None:
        """From now on that form of the object has that size."""
        self._sizes[key, form] = total_nbytes

    def size(self, key: str, form: str, otherwise_nbytes: int) -> int:
        """The size of that form."""
        return self._sizes.get((key, form), otherwise_nbytes)

    def given_content(self, key: str) -> Content | None:
        """Content set by `replace`, if any."""
        return self._contents.get(key)

    def content_seed(self, key: str, form: str) -> str:
        """What the bytes are computed from."""
        return f"{self._seed}/{key}/{form}/{self.number(key)}"

    def audio(
        self, key: str, *, form: str, total_nbytes: int, content_type: str, modified_ms: int, mulaw: bool = False
    ) -> StandinObject:
        """One form (mp3, wav) of a recording, of its generated size or the one set by hand."""
        total_nbytes = self.size(key, form, total_nbytes)
        seed = self.content_seed(key, form)
        content: Content | None = self.given_content(key)
        if content is None and form == "wav":
            content = WavContent(seed=seed, total_nbytes=total_nbytes, mulaw=mulaw)
        elif content is None:
            content = Mp3Content(seed=seed, total_nbytes=total_nbytes)
        return self.finished(key, form=form, content=content, content_type=content_type, modified_ms=modified_ms)

    def finished(self, key: str, *, form: str, content: Content, content_type: str, modified_ms: int) -> StandinObject:
        """The object with its validator; both change with the version and the size."""
        told = f"{self.content_seed(key, form)}/{content.total_nbytes}"
        return StandinObject(
            key=f"{key}.{form}",
            content=content,
            content_type=content_type,
            etag=f'"{hashlib.sha256(told.encode()).hexdigest()[:ETAG_DIGITS]}"',
            modified_ms=modified_ms + 1000 * self.number(key),
        )
