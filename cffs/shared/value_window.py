"""The window of values: how many travel to or from a server at once.

They share one connection. A small call that is sent behind large values waits until they have passed, so there are
never many of them under way. They are counted, and not the calls that carry them: a busy loop has many calls of one
value under way, and a quick one few of many. First come, first served, so that small calls do not hold up a large one.

Owns the count. It must not know what the values are.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class ValueWindow:
    """Room for so many values. One server owns it."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[tuple[int, trio.Event]] = deque()

    @asynccontextmanager
    async def room(self, values: int) -> AsyncIterator[None]:
        """Room for that many values, no more than there is in all, for the length of the block. None need none.

        A checkpoint where it has to wait. After a cancellation it holds nothing; it raises nothing.
        """
        if values and (self._waiting or values > self._free):
            turn = (values, trio.Event())
            self._waiting.append(turn)
            try:
                await turn[1].wait()
            except trio.Cancelled:
                if turn[1].is_set():
                    self._leave(values)
                else:
                    self._waiting.remove(turn)
                    self._leave(0)
                raise
        else:
            self._free -= values
        try:
            yield
        finally:
            self._leave(values)

    def _leave(self, values: int) -> None:
        self._free += values
        while self._waiting and self._waiting[0][0] <= self._free:
            admitted, event = self._waiting.popleft()
            self._free -= admitted
            event.set()
