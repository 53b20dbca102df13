"""The line to the service: wires, keyring and the loop around tries, made together and exchanged together.

It must not know what is asked or what a good answer is. `callfire/transport` owns one.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from cffs import __version__
from cffs.callfire.credential_refresh import CredentialRefresh, RenewingAsker
from cffs.callfire.health import Health
from cffs.callfire.keyring import Keyring
from cffs.callfire.stats import Stats
from cffs.callfire.url_policy import configured_origin
from cffs.callfire.wire.exchange import Exchange, Opened, TryFailed, WireRequest
from cffs.callfire.wire.factory import WIRES
from cffs.callfire.wire.interfaces import WireMaker
from cffs.core.settings import Credentials, OriginSettings
from cffs.core.source import Api, Source

#: What every request says.
USUAL_HEADERS = {"user-agent": f"cffs/{__version__}", "accept-encoding": "identity"}
_CLOSE_SECONDS = 2.0
_RAW_CONNECT_SECONDS = 5.0
_RAW_IDLE_SECONDS = 10.0


class Line:
    """See the module. `asker` and `keyring` may be others after `use_credentials`: never keep them across an await."""

    def __init__(
        self,
        settings: OriginSettings,
        *,
        connections: int,
        make_wires: WireMaker | None,
        dice: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        """No I/O but reading the trust store. Raises UsageError as Transport does."""
        urls = {Api.V1: settings.v1_url, Api.V2: settings.v2_url}
        bases = {
            api: (url.rstrip("/"), configured_origin(url, insecure_http=settings.insecure_http, option=f"--{api}-url"))
            for api, url in urls.items()
        }
        self.stats = Stats()
        self.health = {api: Health() for api in Api}
        self.wires = (make_wires or WIRES[settings.wire])(bases, ca_bundle=settings.ca_bundle, connections=connections)
        self._dice = dice
        self._now_ns = now_ns
        self.renewal = CredentialRefresh(lambda: self.asker)
        self.use_credentials(settings.credentials)

    def use_credentials(self, credentials: Credentials) -> None:
        """From now on; what is on its way ends as it began."""
        self.keyring = Keyring(credentials, {api: wires.base for api, wires in self.wires.items()})
        self.exchange = Exchange(self.wires, self.keyring)
        self.asker = RenewingAsker(
            exchange=self.exchange,
            keyring=self.keyring,
            health=self.health,
            stats=self.stats,
            dice=self._dice,
            now_ns=self._now_ns,
        )
        self.asker.renewal = self.renewal
        for health in self.health.values():
            health.reset()

    @asynccontextmanager
    async def raw(
        self, method: str, source: Source, *, headers: Mapping[str, str], follow: bool
    ) -> AsyncIterator[Opened]:
        """See Transport.raw."""
        self.keyring.require(source.api, as_account=False)
        request = WireRequest(
            method=method,
            api=source.api,
            path=source.path,
            query=(),
            headers={**USUAL_HEADERS, "accept": "*/*", **headers},
            follow=follow,
            connect_seconds=_RAW_CONNECT_SECONDS,
            head_seconds=_RAW_IDLE_SECONDS,
            idle_seconds=_RAW_IDLE_SECONDS,
        )
        self.stats.requests[source.api] += 1
        try:
            opened = await self.exchange.open(request)
        except TryFailed as failed:
            raise failed.error from None  # the try's own class never leaves callfire
        try:
            yield opened
        finally:
            await opened.aclose()

    async def aclose(self) -> None:
        """Close every connection; shielded, at most two seconds."""
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            for wires in self.wires.values():
                for wire in (wires.origin, wires.acts, wires.bare):
                    await wire.aclose()
