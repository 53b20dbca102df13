"""The session with the service: connections, credentials, and the request loop.

It owns what is replaced together when the credentials change, and asks again with new ones after a refusal. It must not
know what is asked or what a good answer is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from cffs import __version__
from cffs.callfire.credential_refresh import CredentialRefresh
from cffs.callfire.health import Health
from cffs.callfire.keyring import Keyring
from cffs.callfire.request import Request
from cffs.callfire.request_limiter import RequestLimiter, Slot
from cffs.callfire.request_loop import Lease, RequestLoop, T
from cffs.callfire.stats import Stats
from cffs.callfire.url_policy import configured_origin
from cffs.callfire.wire.exchange import AttemptFailed, Exchange, OpenResponse
from cffs.callfire.wire.factory import WIRES
from cffs.callfire.wire.interfaces import WireMaker
from cffs.core import demand
from cffs.core.errors import AccessRefused, CffsError
from cffs.core.settings import Credentials, OriginSettings
from cffs.core.settings_options import RequestRate
from cffs.core.source import Api, Source

if TYPE_CHECKING:  # imported where there is a rate
    from cffs.callfire.rate import RateQueue, RequestCounter

#: Headers of every request.
COMMON_HEADERS = {"user-agent": f"cffs/{__version__}", "accept-encoding": "identity"}
_CLOSE_SECONDS = 2.0
_RAW_CONNECT_SECONDS = 5.0
_RAW_IDLE_SECONDS = 10.0


class Session:
    """A session. `keyring` is another object after `use_credentials`: never keep it across an await."""

    def __init__(
        self,
        settings: OriginSettings,
        *,
        connections: int,
        make_wires: WireMaker | None,
        dice: Callable[[], float],
        now_ns: Callable[[], int],
        counter: "RequestCounter | None",
        on_hold: Callable[[Api, float], None],
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
        self.refresh = CredentialRefresh(lambda: self.keyring)
        self.queue = _queue(settings.rate, counter)
        self._dice = dice
        self._now_ns = now_ns
        self._on_hold = on_hold
        self.use_credentials(settings.credentials)

    def use_credentials(self, credentials: Credentials) -> None:
        """Send further requests with these, and forget the health of both APIs. Requests under way end as they
        began."""
        self.keyring = Keyring(credentials, {api: wires.base for api, wires in self.wires.items()})
        self._exchange = Exchange(self.wires, self.keyring)
        self._loop = RequestLoop(
            exchange=self._exchange,
            keyring=self.keyring,
            health=self.health,
            stats=self.stats,
            dice=self._dice,
            now_ns=self._now_ns,
            queue=self.queue,
            on_hold=self._on_hold,
        )
        for health in self.health.values():
            health.reset()

    async def run(
        self, request: Request, *, limiter: RequestLimiter, read: Callable[[OpenResponse, Slot], Awaitable[T]]
    ) -> tuple[T, Lease]:
        """Run the request to its end, as `RequestLoop.run` does, and once more where newer credentials than those
        refused are found. That run has `total_seconds` of its own. A refused act did nothing, so it is sent again too;
        a streamed content cannot be sent twice."""
        keyring = self.keyring
        try:
            return await self._loop.run(request, limiter=limiter, read=read)
        except AccessRefused:
            if request.is_streamed or not await self.refresh.has_replaced(keyring):
                raise
        return await self._loop.run(request, limiter=limiter, read=read)

    def count_failure(self, error: CffsError, request: Request) -> None:
        """Count an error that came in the middle of a body, after `run` had returned."""
        self._loop.count_failure(error, request)

    @asynccontextmanager
    async def raw(
        self, method: str, source: Source, *, headers: Mapping[str, str], follow: bool
    ) -> AsyncIterator[OpenResponse]:
        """See Transport.raw."""
        self.keyring.require(source.api, as_account=False)
        request = Request(
            method=method,
            api=source.api,
            path=source.path,
            headers={**COMMON_HEADERS, "accept": "*/*", **headers},
            follow=follow,
            connect_seconds=_RAW_CONNECT_SECONDS,
            head_seconds=_RAW_IDLE_SECONDS,
            idle_seconds=_RAW_IDLE_SECONDS,
        )
        may_leave = None if self.queue is None else partial(self.queue.admit, is_awaited=demand.current())
        self.stats.requests[source.api] += 1
        try:
            opened = await self._exchange.open(request, may_leave=may_leave)
        except AttemptFailed as failed:
            raise failed.error from None  # AttemptFailed never leaves callfire/
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


def _queue(rate: RequestRate | None, counter: "RequestCounter | None") -> "RateQueue | None":
    if rate is None:
        return None
    from cffs.callfire.rate import LocalCounter, RateQueue  # only where it is asked for

    return RateQueue(counter or LocalCounter(rate), rate)
