"""Names that the kernel was told are there before anybody knew: what each was promised to be, and what proves it.

It must not know the kernel, nor any one kind.
The namespace owns the one instance. The kernel asks the names of one folder one after the other, and waits for nothing
else so long: a lookup that waited for the service would hold up every other name of its folder. So a lookup promises,
and what is asked of the node next (its attributes, its bytes, its entries) waits for the proof.
"""

from cffs.core.errors import RemoteObjectMissing
from cffs.tree.context import Context
from cffs.tree.nodes import Node
from cffs.tree.unproven import Unproven


class PromisedNames:
    """The promises that are neither proven nor forgotten. No method but `prove` is a checkpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unproven: dict[Node, Unproven] = {}

    def find(self, node: Node) -> Unproven | None:
        """What was promised of the node; None where it is proven, or was never a promise."""
        return self._unproven.get(node)

    def make(self, unproven: Unproven) -> None:
        """The kernel is told that it is there; its question is begun."""
        self._unproven[unproven.stand_in] = unproven
        self._context.account.begin(unproven.key, None, unproven.ask)

    def end(self, node: Node) -> None:
        """It is proven, or the kernel does not hold it any more. A question on its way goes on."""
        self._unproven.pop(node, None)

    async def prove(self, node: Node) -> Node:
        """What the node is, once its question is answered; the node itself where it is no promise. It stays one until
        it is ended: what the answer told may be of passing worth.

        Raises RemoteObjectMissing where there is none (from memory for 30 s), else what stopped an answer, which is
        asked for again the next time. Cancelled, the question goes on. A checkpoint where it is a promise.
        """
        unproven = self._unproven.get(node)
        if unproven is None:
            return node
        try:
            return await self.ask(unproven)
        except RemoteObjectMissing:
            # else a program that asks at random would have the kernel keep, and us count, every name it thought of
            self._context.name_changed(unproven.folder, unproven.name)
            raise

    async def ask(self, unproven: Unproven) -> Node:
        """The same of a name that nobody was promised."""
        return await self._context.account.ask_anything(unproven.key, None, unproven.ask, patience_seconds=None)

    def require_not_denied(self, unproven: Unproven) -> None:
        """Raise RemoteObjectMissing where the answer was, within the last 30 s, that it is not there."""
        self._context.account.require_not_denied(unproven.key)
