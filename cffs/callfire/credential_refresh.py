"""Refused credentials are looked for anew, and where they have changed the question is asked once more.

It must not know where credentials are found. `callfire/session` owns one and makes its askers with it.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from cffs.callfire.request_limiter import RequestLimiter, Slot
from cffs.callfire.request_loop import Ask, Asker, Held
from cffs.callfire.wire.exchange import Opened
from cffs.core.background import Background
from cffs.core.errors import AccessRefused

#: Looking for new credentials starts a process: not more often, however many requests are refused.
_INTERVAL_SECONDS = 10.0
#: A refused request waits so long for the look, and no more than its share of what time it has left; the look goes on.
_WAIT_SECONDS = 5.0
_WAIT_SHARE = 1 / 3

T = TypeVar("T")


class CredentialRefresh:
    """Looks for the credentials of now, once for all who were refused. `asker` gives the asker of now."""

    def __init__(self, asker: Callable[[], Asker]) -> None:
        self._asker = asker
        self._look: Callable[[], Awaitable[object]] | None = None
        self._background: Background | None = None
        self._looking: trio.Event | None = None
        self._looked_at = float("-inf")

    def by(self, look: Callable[[], Awaitable[object]], background: Background) -> None:
        """`look` finds the credentials of now and has them used where they are others; it never raises. It is awaited
        in `background` when credentials were refused."""
        self._look, self._background = look, background

    async def newer(self, refused: Asker) -> Asker | None:
        """The asker of newer credentials than those refused; None where there are none, or not in time."""
        now = trio.current_time()
        if self._asker() is refused and self._looking is None and now >= self._looked_at + _INTERVAL_SECONDS:
            if self._look is None or self._background is None:
                return None
            self._looked_at, self._looking = now, trio.Event()
            self._background.start(self._run, self._look, self._looking)
        if self._asker() is refused and self._looking is not None:
            left = trio.current_effective_deadline() - now
            with trio.move_on_after(min(_WAIT_SECONDS, left * _WAIT_SHARE)):
                await self._looking.wait()
        return None if self._asker() is refused else self._asker()

    async def _run(self, look: Callable[[], Awaitable[object]], done: trio.Event) -> None:
        try:
            await look()
        finally:
            self._looking = None
            done.set()


class RenewingAsker(Asker):
    """Asks once more, with the asker of the new credentials, where they changed after a refusal."""

    renewal: CredentialRefresh

    async def run(
        self, ask: Ask, *, gate: RequestLimiter, take: Callable[[Opened, Slot], Awaitable[T]]
    ) -> tuple[T, Held]:
        """As of Asker; a body that was streamed cannot be sent twice."""
        try:
            return await super().run(ask, gate=gate, take=take)
        except AccessRefused:
            newer = await self.renewal.newer(self) if ask.content is None or isinstance(ask.content, bytes) else None
            if newer is None:
                raise
        return await Asker.run(newer, ask, gate=gate, take=take)
