"""Cache of long rendered files, which are made page by page.

It owns the pages of the last file, and the sizes of some before it. It must not know what a page holds. A caller that
gave up waiting finds the rendering further on at its next try.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import trio
from cachetools import LRUCache

#: Files whose size is remembered for as long as nothing changes.
_SIZES = 1_000

#: (position) -> the next page and the position after it; None after the last. It may be called again for a position.
Step = Callable[[Any], Awaitable[tuple[bytes, Any] | None]]


class RenderCache:
    """The last file rendered, or being rendered, and the sizes of some before it, all for one `state` of the rows; with
    another state nothing is remembered."""

    def __init__(self) -> None:
        self._one_at_a_time = trio.Lock()
        self._state: Hashable = None
        self._sizes: LRUCache[Hashable, int] = LRUCache(_SIZES)
        self._key: Hashable = None
        self._place: Any = None
        self._is_whole = False
        self._pieces: list[bytes] = []

    def nbytes(self, key: Hashable, *, state: Hashable) -> int | None:
        """The size of `key` in that state; None where it was not rendered since."""
        return self._sizes.get(key) if state == self._state else None

    async def render(self, key: Hashable, step: Step, *, state: Hashable) -> bytes:
        """All pages from the position None on, joined. Always a checkpoint. Cancelled, the pages made so far wait for
        the next caller. Raises what a step raises."""
        async with self._one_at_a_time:
            if state != self._state or key != self._key:
                if state != self._state:
                    self._sizes.clear()
                self._state, self._key = state, key
                self._place, self._is_whole, self._pieces = None, False, []
            while not self._is_whole:
                made = await step(self._place)
                if made is None:
                    self._is_whole = True
                    self._pieces = [b"".join(self._pieces)]
                else:
                    piece, self._place = made
                    self._pieces.append(piece)
            (body,) = self._pieces
            self._sizes[key] = len(body)
            return body
