"""The one nursery of a mount: tasks that belong to the mount and end with it.

Owns the nursery, which no other module sees: the floors below get a `core.background.Background`. It must not know what
the tasks do.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import trio

from cffs.core import demand, wait_reasons

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")


class NurseryBackground:
    """Starts tasks in the mount's nursery. One that fails is logged with its traceback, and ends no other task."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.bugs = 0

    def start(self, function: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
        """Start `function(*arguments)` soon; never a checkpoint."""
        self._nursery.start_soon(self._run, function, arguments)

    async def _run(self, function: Callable[..., Awaitable[None]], arguments: tuple[object, ...]) -> None:
        wait_reasons.begin(None)  # else what it waits for would show as what the call waits for that started it
        demand.begin(demand.always)  # a task says by itself for whom it works
        try:
            await function(*arguments)
        except Exception:
            self.bugs += 1
            log.exception("bug in background task=%s", getattr(function, "__qualname__", function))


@asynccontextmanager
async def open_background() -> AsyncIterator[NurseryBackground]:
    """A background whose tasks are cancelled at the end of the block."""
    async with trio.open_nursery() as nursery:
        yield NurseryBackground(nursery)
        nursery.cancel_scope.cancel()
