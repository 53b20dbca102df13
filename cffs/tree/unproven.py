"""Unproven names: what a name stands for if it exists, and what decides that.

It owns these values. It must not know who asks, nor when: the kernel is answered before anything was asked
(`tree/promised_names`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from cffs.core.errors import RemoteObjectMissing
from cffs.tree.nodes import Kind, Node


@dataclass(frozen=True, slots=True)
class Question:
    """What a resolve function returns where no row decides. `node` is what the name stands for if it exists; None where
    only the answer shows which of its kind it is.

    `ask` returns the node. It raises NotInTree, RemoteObjectMissing or OperationNotOffered where the name does not
    exist, else what stopped the answer. It may be called more than once. Always a checkpoint unless it is answered from
    memory.
    """

    node: Node | None
    ask: Callable[[], Awaitable[Node]]


def denied(reason: str, *, answered_at: float) -> RemoteObjectMissing:
    """What to raise where an answer of that time denied the name."""
    missing = RemoteObjectMissing(reason)
    missing.answered_at = answered_at
    return missing


def denied_for_now(reason: str) -> RemoteObjectMissing:
    """What to raise where the name may exist the next moment, so that nothing is to be remembered."""
    return denied(reason, answered_at=-inf)


@dataclass(frozen=True, slots=True, eq=False)
class Unproven:
    """A question with the place where its name was looked up: what the namespace finds for a name that may exist.

    `kind` is what the name is if it exists. `stand_in` takes the place of the node until that is proven, and is the
    node itself where that is known. `ask` raises RemoteObjectMissing for every way in which the name does not exist.
    """

    folder: Node
    name: str
    kind: Kind
    stand_in: Node
    ask: Callable[[], Awaitable[Node]]

    @property
    def key(self) -> tuple[str, Node, str]:
        """The key under which the answer is remembered."""
        return ("name", self.folder, self.name)
