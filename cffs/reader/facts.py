"""What the reader is told about an object, and what it tells: sizes, validators, sources.

It must not know who keeps them. `catalog/` does; `fuse/` and `tree/` pass them on.
"""

from dataclasses import dataclass
from typing import Protocol

from cffs.core.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was learned from the origin earlier, so that opening costs no request."""

    total_nbytes: int
    validator: str | None = None
    source: Source | None = None
    last_modified_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What an answer said about object `key`; `source` is the first of its candidates that has it."""

    key: str
    source: Source
    total_nbytes: int | None
    validator: str | None
    last_modified_ns: int | None

    @property
    def known(self) -> Known | None:
        """The same as something to open with; None when the size is not known."""
        if self.total_nbytes is None:
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

    def learned(self, learned: Learned) -> None:
        """An answer told (or confirmed differently) what `learned` says."""
        ...

    def changed(self, key: str) -> None:
        """What was known of `key` is not true any more; nothing is known until it is learned again."""
        ...
