"""Lookup of names that only a listing knows.

It owns when such a name is missing: not before its listing was taken whole once. It must not know which listing, nor
what its rows are.
"""

from collections.abc import Callable
from typing import TypeVar

from cffs.core.source import Api
from cffs.tree.context import Context
from cffs.tree.nodes import Node
from cffs.tree.unproven import Question, denied_for_now

Row = TypeVar("Row")


def of_listing(
    context: Context,
    listing: str,
    known: Callable[[], Row | None],
    node_of: Callable[[Row], Node],
    node: Node | None = None,
) -> Node | Question:
    """The node that `node_of` makes of the row that `known` finds; `node` is what the name stands for if it exists.
    Raises RemoteObjectMissing where the listing was taken and has no such row; that is not remembered, since the next
    row may bring the name."""

    def found() -> Node:
        row = known()
        if row is None:
            raise denied_for_now(f"no such name is known from the listing of {listing}")
        return node_of(row)

    completion = context.completion
    may_be_told = listing == "recordings"  # from a call of which only the id is known so far
    if known() is not None or not (is_to_come(context, listing) or (may_be_told and completion.is_due())):
        return found()

    async def ask() -> Node:
        await know(context, listing)
        if may_be_told and known() is None:
            await completion.complete(patience_seconds=None)
        return found()

    return Question(node, ask)


def is_to_come(context: Context, name: str) -> bool:
    """True where the listing was never taken whole, and can be. It is then being taken, unless it failed just now."""
    return context.listings.refreshed(name) is not None and not context.listings.was_listed(name)


async def know(context: Context, name: str) -> None:
    """Return once the listing was taken whole: at once where it ever was, or where the origin has none.

    Raises what stopped it. A checkpoint where it waits; cancelled, the listing goes on.
    """
    listing = context.listings.refreshed(name)
    if listing is None or context.listings.was_listed(name):
        return

    async def question() -> None:
        await listing.wait_whole()
        if listing.failure is not None:
            raise listing.failure

    await context.account.ask_anything(("listing", name), Api.V2, question, patience_seconds=None)
