"""The factory of wires: `--wire` own or stock.

It owns how many sockets each has. It must not know how either works.
"""

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
    """A module that makes wires."""

    def origin_wire(self, context: ssl.SSLContext, *, connections: int, reuse: bool = True) -> httpx.AsyncBaseTransport:
        """A wire to a configured origin."""

    def bare_wire(self, context: ssl.SSLContext, *, connections: int, base: Origin) -> httpx.AsyncBaseTransport:
        """A wire to anywhere public."""


def _maker(kind: _Kind) -> WireMaker:
    def make(bases: Mapping[Api, tuple[str, Origin]], *, ca_bundle: Path | None, connections: int) -> dict[Api, Wires]:
        context = tls_context(ca_bundle)
        # The request limiters count; every request that they admit, stalled ones included, must find a socket.
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
