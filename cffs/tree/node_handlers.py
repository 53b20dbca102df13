"""Handlers of a kind of node: how its names resolve, what it shows, what it holds.

It owns the signatures of these functions. It must not know any particular kind.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cffs.core.errors import IsAFolder, NotAFolder
from cffs.tree.contents import Content, Entry
from cffs.tree.context import Context
from cffs.tree.nodes import Kind, Node
from cffs.tree.unproven import Question
from cffs.tree.write_handlers import NO_WRITING, WriteHandlers

Parts = dict[str, str]
#: The type of a row's nodes.
N = TypeVar("N", bound=Node)
#: (context, parent, parts of the name) -> the node where it is known, else the question whose answer says whether it
#: exists. Never a request. Raises NotInTree or RemoteObjectMissing where the name is known not to exist. The parent is
#: of one of the kinds that `routes` names for the pattern.
Resolve = Callable[[Context, Any, Parts], Node | Question]
#: (context, folder, offset) -> the next entries past that offset, ascending; [] at the end of what is known.
Entries = Callable[[Context, N, int], list[Entry]]
#: (context, folder, offset) -> what `Entries` returns, from a thread: for folders where finding entries may take a look
#: at every row.
EntriesInThread = Callable[[Context, N, int], Awaitable[list[Entry]]]
#: (context, folder) -> ask for what must be known before the first entry can be shown.
Prepare = Callable[[Context, N], Awaitable[None]]
#: (context, folder) -> whether `Prepare` would neither ask nor wait; a refresh that is due is started in the
#: background.
IsPrepared = Callable[[Context, N], bool]
#: (context, file) -> its content as far as it is known, without a request.
Fill = Callable[[Context, N], Content]


def no_entries(_context: Context, node: Node, _after: int) -> list[Entry]:
    """A file has no entries."""
    raise NotAFolder(node.kind.name)


def no_content(_context: Context, node: Node) -> Content:
    """A folder has no content."""
    raise IsAFolder(node.kind.name)


async def nothing_to_prepare(_context: Context, _node: Node) -> None:
    """All that the folder shows is known."""


def all_campaigns(_node: Node) -> int | None:
    """The folder shows the calls of more than one campaign."""
    return None


@dataclass(frozen=True, kw_only=True)  # no slots: Python 3.11 cannot make a generic one by its type (bpo-46414)
class NodeHandlers(Generic[N]):
    """What the nodes of one kind do.

    * `resolve` finds a name in every folder that can show the kind, except for those in `resolve_in`.
    * `listing` is the catalogue's listing whose rows the folder shows, "" for none; `campaign_of` returns the one
      campaign whose calls it shows (0: those of none), None for all.
    * `is_whole` means that one call of `entries` returns all that the folder has.
    * `is_prepared` spares `prepare` a deadline where folders are opened by the ten thousand.
    * `writing` is what a writable mount allows.
    """

    resolve: Resolve
    resolve_in: Mapping[Kind, Resolve] = field(default_factory=dict)
    listing: str = ""
    is_whole: bool = False
    campaign_of: Callable[[N], int | None] = all_campaigns
    prepare: Prepare[N] = nothing_to_prepare
    is_prepared: IsPrepared[N] | None = None
    entries: Entries[N] = no_entries
    entries_in_thread: EntriesInThread[N] | None = None
    content: Fill[N] = no_content
    writing: WriteHandlers = NO_WRITING
