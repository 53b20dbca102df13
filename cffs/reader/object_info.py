"""What the reader is told about an object, and what it tells: sizes, validators, sources.

It must not know who keeps them. `catalog/` does; `fuse/` and `tree/` pass them on.
"""

from dataclasses import dataclass
from typing import Protocol

from cffs.core.errors import EmptyBody
from cffs.core.source import Source
from cffs.core.values import Emptiness


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was learned from the origin earlier, so that opening costs no request."""

    total_nbytes: int
    validator: str | None = None
    source: Source | None = None
    last_modified_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What an answer said about object `key`; `source` is the first of its candidates that has it. `is_known_version`:
    whoever has a byte of what was known before has one of this, whatever validator that had."""

    key: str
    source: Source
    total_nbytes: int | None
    validator: str | None
    last_modified_ns: int | None
    is_known_version: bool = False

    @property
    def known(self) -> Known | None:
        """The same as something to open with; None when the size is not known, or nothing: that is asked each time."""
        if not self.total_nbytes:
            return None
        return Known(
            total_nbytes=self.total_nbytes,
            validator=self.validator,
            source=self.source,
            last_modified_ns=self.last_modified_ns,
        )


class FactsListener(Protocol):
    """Who is told, and remembers. Never a checkpoint, never raises."""

    def known(self, key: str) -> Known | None:
        """What was learned of `key`, its source left out; None where its size is not known."""
        ...

    def emptiness(self, key: str) -> Emptiness:
        """What the metadata say of its having no bytes at all."""
        ...

    def learned(self, learned: Learned) -> None:
        """An answer told (or confirmed differently) what `learned` says."""
        ...

    def changed(self, key: str) -> None:
        """What was known of `key` is not true any more; nothing is known until it is learned again."""
        ...


def require_empty(key: str, told: Emptiness, *, is_stated: bool) -> None:
    """The origin gave an object of no bytes: `is_stated` where it said so (416), else its body had none. Raises
    EmptyBody for a body that the metadata do not expect to be empty, and for a statement that they contradict."""
    if told is Emptiness.STATED or (is_stated and told is Emptiness.UNSTATED):
        return
    raise EmptyBody(f"the service gave no byte of {key}, which is no empty file")
