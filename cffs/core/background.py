"""The one way to start a task that outlives its caller: a Protocol, so that no function is ever handed a nursery.

It must not know trio, nor who implements it. `daemon/background` does; reader, writer and catalog call it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVarTuple

Arguments = TypeVarTuple("Arguments")


class Background(Protocol):
    """Starts tasks that belong to the mount and end with it.

    A task cancels itself by a CancelScope of its own; an exception that leaves it is logged with its traceback
    and ends nobody else.
    """

    def start(self, function: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
        """Starts `function(*arguments)` soon. Never a checkpoint."""
        ...
