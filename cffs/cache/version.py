"""Which bytes are meant: one object in one version.

It must not know how a version is told from another (that is `callfire/response_checks`).
Caches key by it, `reader/` makes it.
"""

from typing import NamedTuple


class ObjectVersion(NamedTuple):
    """The version of object `key` that the origin names by `validator` and that has `total_nbytes` bytes.

    `total_nbytes` is None only while an answer that does not tell its length is still arriving; what arrives then
    belongs to whoever receives it (`instance`), since nothing tells it from another version. The same holds where it is
    not known yet whether the object is still being made.
    """

    key: str
    validator: str | None
    total_nbytes: int | None
    instance: int = 0

    @property
    def is_private(self) -> bool:
        """True for bytes that nobody else is ever to find."""
        return self.instance != 0
