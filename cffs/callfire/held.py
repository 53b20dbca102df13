"""What an answer that is being read holds on the wire: a slot and a connection, given back together.

It must not know what was asked. `callfire/request_loop` fills it, whoever asked closes it.
"""

from cffs.callfire.request_limiter import RequestLimiter, Slot
from cffs.callfire.wire.exchange import Opened


class Held:
    """See the module. `opened` is None until the answer has a head."""

    def __init__(self, gate: RequestLimiter) -> None:
        self.opened: Opened | None = None
        self._gate = gate
        self._slot: Slot | None = None

    def enter_now(self) -> Slot | None:
        """As of Gate."""
        self._slot = self._gate.enter_now()
        return self._slot

    async def enter(self) -> Slot:
        """As of Gate."""
        self._slot = await self._gate.enter()
        return self._slot

    async def aclose(self) -> None:
        """Give both back; nothing where that was done. Shielded, bounded as of Opened."""
        opened, self.opened = self.opened, None
        try:
            if opened is not None:
                await opened.aclose()
        finally:
            if self._slot is not None:
                self._gate.leave(self._slot)
