"""What files hold and what folders show, as values: contents and entries.

It must not know how they are found. Values that a listing makes for each entry are named tuples, which are made in C.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from cffs.core.source import Source
from cffs.core.values import RecordingState
from cffs.tree.nodes import Node


class Remote(NamedTuple):
    """The content of a file whose bytes are the service's.

    `key` identifies the object in caches and facts. `sources` are tried in order until one has it. `hint_nbytes` is the
    size that a listing gave, already judged to be of this form, or None. `seen_ms` is when its row was first seen.
    """

    key: str
    sources: tuple[Source, ...]
    hint_nbytes: int | None = None
    created_ms: int | None = None
    state: RecordingState = RecordingState.READY
    seen_ms: int | None = None


class Document(NamedTuple):
    """The content of a file that cffs renders. `body` is None where it must be asked for first, with `load`; `nbytes`
    is its size where that is known all the same."""

    body: bytes | None
    load: Callable[[], Awaitable[bytes]] | None = None
    nbytes: int | None = None
    modified_ms: int | None = None
    volatile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The content of a file that is being written: its bytes lie on this machine, and change."""

    nbytes: int
    modified_ms: int | None = None


Content = Remote | Document | Spooled


class Folder(NamedTuple):
    """What stat shows of a folder: when the newest of what it holds was made; None where that is not known."""

    modified_ms: int | None


class Entry(NamedTuple):
    """A folder's entry. `offset` is its position in the folder: ascending, stable for the life of the folder, > 0.

    `content` is what stat shows of the entry, where the row with its name has that too; a file's sources may be left
    out. None leaves it to be looked up.
    """

    offset: int
    name: str
    node: Node
    content: Content | Folder | None = None
