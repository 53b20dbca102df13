"""A name of which nothing is known: what it is if it is there, and the question that tells whether it is. Values.

It must not know who asks, nor when: the kernel is answered before anybody has asked (`tree/promised_names`).
Every module of `tree/` makes them; a resolve function returns a node where the rows tell it, else one of these.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from cffs.core.errors import RemoteObjectMissing
from cffs.tree.nodes import Kind, Node


@dataclass(frozen=True, slots=True)
class Question:
    """`node` is what the name stands for if it is there, None where only the answer tells which of its kind.

    `ask` returns the node, or raises NotInTree, RemoteObjectMissing or OperationNotOffered where there is none, else
    what stopped an answer. It may be asked more than once. Always a checkpoint unless it is answered from memory.
    """

    node: Node | None
    ask: Callable[[], Awaitable[Node]]


def denied(reason: str, *, answered_at: float) -> RemoteObjectMissing:
    """To raise where an answer of then says that there is none."""
    missing = RemoteObjectMissing(reason)
    missing.answered_at = answered_at
    return missing


def denied_for_now(reason: str) -> RemoteObjectMissing:
    """The same where what is not there now may be there the next moment, and nothing is to be remembered."""
    return denied(reason, answered_at=-inf)


@dataclass(frozen=True, slots=True, eq=False)
class Unproven:
    """The same with where it was looked up: what the namespace finds for a name that may be there.

    `kind` is what it is if it is there; `stand_in` takes the place of the node until that is proven, and is the node
    itself where that is known. `ask` raises RemoteObjectMissing for every way in which there is none.
    """

    folder: Node
    name: str
    kind: Kind
    stand_in: Node
    ask: Callable[[], Awaitable[Node]]

    @property
    def key(self) -> tuple[str, Node, str]:
        """Under which its answer is remembered."""
        return ("name", self.folder, self.name)
