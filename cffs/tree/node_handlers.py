"""What the nodes of a kind do: how a name becomes a node, what a folder shows, what a file holds.

It must not know any particular kind.
One `NodeHandlers` a kind, written in the module of that part of the tree, collected by the namespace.
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
#: The type of the nodes that a row is about.
N = TypeVar("N", bound=Node)
#: (context, parent, parts of the name) -> the node where it is known, else the question that tells. Never a request.
#: Raises NotInTree or RemoteObjectMissing where it is known that there is none. The parent is of one of the kinds that
#: `routes` names for the pattern.
Resolve = Callable[[Context, Any, Parts], Node | Question]
#: (context, folder, offset) -> the next entries past that offset, ascending; [] at the end of what is known.
Entries = Callable[[Context, N, int], list[Entry]]
#: The same in a thread, where finding them may mean looking at every row.
EntriesInThread = Callable[[Context, N, int], Awaitable[list[Entry]]]
#: (context, folder) -> ask what must be asked before its first entry can be shown.
Prepare = Callable[[Context, N], Awaitable[None]]
#: (context, folder) -> whether that would neither ask nor wait; a refresh in the background is then started.
IsPrepared = Callable[[Context, N], bool]
#: (context, file) -> its content, from what is known, without a question.
Fill = Callable[[Context, N], Content]


def no_entries(_context: Context, node: Node, _after: int) -> list[Entry]:
    """A file has none."""
    raise NotAFolder(node.kind.name)


def no_content(_context: Context, node: Node) -> Content:
    """A folder has none."""
    raise IsAFolder(node.kind.name)


async def nothing_to_prepare(_context: Context, _node: Node) -> None:
    """Everything the folder shows is known."""


def all_campaigns(_node: Node) -> int | None:
    """The folder shows more than one campaign's calls."""
    return None


@dataclass(frozen=True, kw_only=True)  # no slots: Python 3.11 cannot make a generic one by its type (bpo-46414)
class NodeHandlers(Generic[N]):
    """`resolve` holds for every folder that can show the kind, but for those in `resolve_in`; `listing` names the
    catalogue's listing whose rows the folder shows, "" for none; `is_whole` says that one call of `entries` gives all
    that the folder has; `is_prepared` spares `prepare` a deadline where folders are opened by the ten thousand;
    `campaign_of` names the one campaign whose calls it shows (0: those of none), None for all;
    `writing` says what a writable mount lets be done to it."""

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
