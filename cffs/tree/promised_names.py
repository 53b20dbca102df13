"""Promises: names that the kernel was answered exist before the service was asked.

It owns what each was promised to be, until that is proven. It must not know the kernel, nor any one kind.

The kernel sends the lookups of one folder one after the other, and lets nothing else of that folder pass meanwhile: a
lookup that waited for the service would hold up every other name of its folder. So a lookup promises, and what is asked
of the node next (its attributes, its bytes, its entries) waits for the proof.
"""

from cffs.core.errors import RemoteObjectMissing
from cffs.tree.context import Context
from cffs.tree.nodes import Node
from cffs.tree.unproven import Unproven


class PromisedNames:
    """The promises that are neither proven nor forgotten. No method but `prove` and `ask` is a checkpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unproven: dict[Node, Unproven] = {}

    def find(self, node: Node) -> Unproven | None:
        """What was promised of the node; None where it is proven, or was never promised."""
        return self._unproven.get(node)

    def make(self, unproven: Unproven) -> None:
        """Promise that the name exists, and start to ask whether it does."""
        self._unproven[unproven.stand_in] = unproven
        self._context.account.begin(unproven.key, None, unproven.ask)

    def end(self, node: Node) -> None:
        """Drop the promise: it is proven, or the kernel does not hold the node any more. A request under way goes
        on."""
        self._unproven.pop(node, None)

    async def prove(self, node: Node) -> Node:
        """The node that a promise turned out to be; the node itself where it is no promise. The promise stays until it
        is ended, since what the answer said may be true for a moment only.

        Raises RemoteObjectMissing where the name does not exist (from memory for 30 s), else what stopped the answer,
        which is then asked for again the next time. A checkpoint where the node is a promise; cancelled, the request
        goes on.
        """
        unproven = self._unproven.get(node)
        if unproven is None:
            return node
        try:
            return await self.ask(unproven)
        except RemoteObjectMissing:
            # else a program that asks at random would make the kernel keep every name it thought of, and us count them
            self._context.name_changed(unproven.folder, unproven.name)
            raise

    async def ask(self, unproven: Unproven) -> Node:
        """Ask whether a name exists, promised or not; there is one question per name. Raises what `prove` raises. A
        checkpoint unless it is answered from memory; cancelled, the question goes on."""
        return await self._context.account.ask_anything(unproven.key, None, unproven.ask, patience_seconds=None)

    def require_not_denied(self, unproven: Unproven) -> None:
        """Raise RemoteObjectMissing where the service denied the name within the last 30 s."""
        self._context.account.require_not_denied(unproven.key)
