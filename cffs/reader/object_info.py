"""What the reader learns about an object: sizes, validators, sources.

It owns the values that pass between the reader and its listener. It must not know who keeps them.
"""

from dataclasses import dataclass
from typing import Protocol

from cffs.core.errors import EmptyBody
from cffs.core.source import Source
from cffs.core.values import Emptiness


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was learned from the origin earlier, so that an open costs no request."""

    total_nbytes: int
    validator: str | None = None
    source: Source | None = None
    last_modified_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What an answer said about object `key`; `source` is the first of its candidates that has it.

    `is_known_version` says that this is the version that was known before, though its validator may be another one:
    what readers were given of that is of this version.
    """

    key: str
    source: Source
    total_nbytes: int | None
    validator: str | None
    last_modified_ns: int | None
    is_known_version: bool = False

    @property
    def known(self) -> Known | None:
        """What an open is given of this; None when the size is not known, or 0: that is asked each time."""
        if not self.total_nbytes:
            return None
        return Known(
            total_nbytes=self.total_nbytes,
            validator=self.validator,
            source=self.source,
            last_modified_ns=self.last_modified_ns,
        )


class FactsListener(Protocol):
    """What remembers facts. Never a checkpoint, never raises."""

    def known(self, key: str) -> Known | None:
        """What was learned of `key`, without its source; None where its size is not known."""
        ...

    def emptiness(self, key: str) -> Emptiness:
        """What the metadata say about the object having no bytes at all."""
        ...

    def learned(self, learned: Learned) -> None:
        """Remember what an answer said, or confirmed under another name."""
        ...

    def changed(self, key: str) -> None:
        """Forget what was known of `key`: it is no longer true, and nothing is known until it is learned again."""
        ...


def require_empty(key: str, expected: Emptiness, *, is_stated: bool) -> None:
    """Check that an object of which the origin gave no byte may be empty; `is_stated` where the origin said so (416),
    else its body had none.

    Raises EmptyBody for a body that the metadata do not expect to be empty, and for a statement that they contradict.
    """
    if expected is Emptiness.STATED or (is_stated and expected is Emptiness.UNSTATED):
        return
    raise EmptyBody(f"the service gave no byte of {key}, which is no empty file")
