"""The protocol for starting a task that outlives its caller.

It exists so that no function takes a nursery as an argument. It must not know trio, nor who implements it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVarTuple

Arguments = TypeVarTuple("Arguments")


class Background(Protocol):
    """Starts tasks that belong to the mount and end with it.

    A task is cancelled by a CancelScope of its own. An exception that leaves it is logged with its traceback and ends
    no other task.
    """

    def start(self, function: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
        """Start `function(*arguments)` soon. Never a checkpoint."""
        ...
