"""Refresh of refused credentials: one search for all requests that were refused.

It owns when credentials are looked for, and how long a refused request waits for it. It must not know where credentials
are found, nor what a request is.
"""

from collections.abc import Awaitable, Callable

import trio

from cffs.callfire.keyring import Keyring
from cffs.core.background import Background

#: A search starts a process: at most one in this time, however many requests are refused.
_INTERVAL_SECONDS = 10.0
#: A refused request waits this long for the search, and at most this share of the time that it has left. The search
#: itself goes on.
_WAIT_SECONDS = 5.0
_WAIT_SHARE = 1 / 3


class CredentialRefresh:
    """Single flight for the search. `current` gives the keyring that requests are sent with now."""

    def __init__(self, current: Callable[[], Keyring]) -> None:
        self._current = current
        self._search: Callable[[], Awaitable[object]] | None = None
        self._background: Background | None = None
        self._running: trio.Event | None = None
        self._began_at = float("-inf")

    def search_with(self, search: Callable[[], Awaitable[object]], background: Background) -> None:
        """Await `search` in `background` when credentials are refused. It finds the current credentials and puts them
        into use where they differ; it never raises."""
        self._search, self._background = search, background

    async def has_replaced(self, refused: Keyring) -> bool:
        """Whether other credentials than those refused are in use now, after a search for them where one is due.

        False where the search finds none, or not in time. A checkpoint where it waits for a search; a cancel stops the
        wait, not the search.
        """
        now = trio.current_time()
        if self._current() is refused and self._running is None and now >= self._began_at + _INTERVAL_SECONDS:
            if self._search is None or self._background is None:
                return False
            self._began_at, self._running = now, trio.Event()
            self._background.start(self._run, self._search, self._running)
        if self._current() is refused and self._running is not None:
            left = trio.current_effective_deadline() - now
            with trio.move_on_after(min(_WAIT_SECONDS, left * _WAIT_SHARE)):
                await self._running.wait()
        return self._current() is not refused

    async def _run(self, search: Callable[[], Awaitable[object]], done: trio.Event) -> None:
        try:
            await search()
        finally:
            self._running = None
            done.set()
