"""The transport of a running mount: its credentials can be exchanged or known as bad, single raw answers looked at.

It must not know why. `daemon/reload` exchanges, `daemon/mount` knows, `daemon/probe` looks; everything else uses it as
a plain Transport.
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from cffs import __version__
from cffs.callfire.asking import Asker
from cffs.callfire.keyring import Keyring
from cffs.callfire.transport import Transport
from cffs.callfire.wire.exchange import Exchange, Opened, TryFailed, WireRequest
from cffs.core.settings import Credentials
from cffs.core.source import Api, Source

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 10.0


class LiveTransport(Transport):
    """See the module."""

    def use_credentials(self, credentials: Credentials) -> None:
        """From now on; what is on its way ends as it began. Never a checkpoint."""
        self._keyring = Keyring(credentials, {api: wires.base for api, wires in self._wires.items()})
        self._asker = Asker(
            exchange=Exchange(self._wires, self._keyring),
            keyring=self._keyring,
            health=self._health,
            stats=self.stats,
            dice=random.SystemRandom().random,
            now_ns=self._now_ns,
        )
        self.reset_health()

    def refuse(self, api: Api) -> None:
        """The API's credentials were refused at the start: it is asked again at most once a minute."""
        self._health[api].refuse(trio.current_time())

    @asynccontextmanager
    async def raw(
        self, method: str, source: Source, *, headers: Mapping[str, str] | None = None, follow: bool = True
    ) -> AsyncIterator[Opened]:
        """One try, whatever its status; no retry, no check. Raises CffsError where no head came."""
        self._keyring.require(source.api, as_account=False)
        request = WireRequest(
            method=method,
            api=source.api,
            path=source.path,
            query=(),
            headers={
                "user-agent": f"cffs/{__version__}",
                "accept-encoding": "identity",
                "accept": "*/*",
                **(headers or {}),
            },
            follow=follow,
            connect_seconds=_CONNECT_SECONDS,
            idle_seconds=_IDLE_SECONDS,
        )
        self.stats.requests[source.api] += 1
        try:
            opened = await Exchange(self._wires, self._keyring).open(request)
        except TryFailed as failed:
            raise failed.error from None  # the try's own class never leaves callfire
        try:
            yield opened
        finally:
            await opened.aclose()
