"""Which wire: the one place that knows both. `callfire/session` asks it with the setting `wire`."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import httpx

from cffs.callfire.request_limiter import MAX_BODIES, MAX_METADATA
from cffs.callfire.url_policy import Origin
from cffs.callfire.wire import httpx_transport, pool
from cffs.callfire.wire.dialing import tls_context
from cffs.callfire.wire.interfaces import WireMaker, Wires
from cffs.core.source import Api


class _Kind(Protocol):
    """What a module gives whose wires can be chosen."""

    def origin_wire(self, context: ssl.SSLContext, *, connections: int, reuse: bool = True) -> httpx.AsyncBaseTransport:
        """A wire to a configured origin."""

    def bare_wire(self, context: ssl.SSLContext, *, connections: int, base: Origin) -> httpx.AsyncBaseTransport:
        """A wire to anywhere public."""


def _maker(kind: _Kind) -> WireMaker:
    def make(bases: Mapping[Api, tuple[str, Origin]], *, ca_bundle: Path | None, connections: int) -> dict[Api, Wires]:
        context = tls_context(ca_bundle)
        # The gates outside count; what they let through, stalled requests of both included, must find a socket.
        sockets = connections + MAX_BODIES + MAX_METADATA
        return {
            api: Wires(
                base_url=base_url,
                base=base,
                origin=kind.origin_wire(context, connections=sockets),
                acts=kind.origin_wire(context, connections=sockets, reuse=False),
                bare=kind.bare_wire(context, connections=sockets, base=base),
            )
            for api, (base_url, base) in bases.items()
        }

    return make


WIRES: dict[str, WireMaker] = {"own": _maker(pool), "stock": _maker(httpx_transport)}
