"""What the nodes of a kind do: how a name becomes a node, what a folder shows, what a file holds.

It must not know any particular kind.
One `NodeHandlers` a kind, written in the module of that part of the tree, collected by the namespace.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cffs.core.errors import IsAFolder, NotAFolder
from cffs.tree.context import Context
from cffs.tree.nodes import Content, Entry, Kind, Node
from cffs.tree.unproven import Question
from cffs.tree.write_handlers import NO_WRITING, WriteHandlers

Parts = dict[str, str]
#: (context, parent, parts of the name) -> the node where it is known, else the question that tells. Never a request.
#: Raises NotInTree or RemoteObjectMissing where it is known that there is none.
Resolve = Callable[[Context, Node, Parts], Node | Question]
#: (context, folder, offset) -> the next entries past that place, ascending; [] at the end of what is known.
Entries = Callable[[Context, Node, int], list[Entry]]
#: The same where finding them may mean looking at every row: not on the loop.
EntriesApart = Callable[[Context, Node, int], Awaitable[list[Entry]]]
#: (context, folder) -> ask what must be asked before its first entry can be shown.
Prepare = Callable[[Context, Node], Awaitable[None]]
#: (context, folder) -> whether that would ask nothing, nor wait, and what it starts behind the caller is started.
IsPrepared = Callable[[Context, Node], bool]
#: (context, file) -> its content, from what is known, without a question.
Fill = Callable[[Context, Node], Content]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHandlers:
    """`resolve` holds for every folder that can show the kind, but for those in `resolve_in`; `listing` names the
    catalogue's listing whose rows the folder shows, "" for none; `is_whole` says that one call of `entries` gives all
    that the folder has; `is_prepared` spares `prepare` a deadline where folders are opened by the ten thousand;
    `campaign_of` names the one campaign whose calls it shows (0: those of none), None for all;
    `writing` says what a writable mount lets be done to it."""

    resolve: Resolve
    resolve_in: Mapping[Kind, Resolve] = field(default_factory=dict)
    listing: str = ""
    is_whole: bool = False
    campaign_of: Callable[[Node], int | None] = all_campaigns
    prepare: Prepare = nothing_to_prepare
    is_prepared: IsPrepared | None = None
    entries: Entries = no_entries
    entries_apart: EntriesApart | None = None
    content: Fill = no_content
    writing: WriteHandlers = NO_WRITING
