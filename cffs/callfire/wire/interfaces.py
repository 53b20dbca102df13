"""The interface of a wire: httpx's transport interface, and two extensions of it.

The extensions are bodies received without a copy, and connecting ahead of need; the stock wire has neither. It owns the
protocols. It must not know how a wire works.
"""

import socket
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import httpx
import trio

from cffs.callfire.url_policy import Origin
from cffs.core.source import Api
from cffs.core.units import KIB

_PIECE_NBYTES = 64 * KIB
#: The unsent bytes that an act may leave in the kernel. They count as sent for all we can see, and megabytes of them
#: may take longer than the 30 s in which an answer must follow the last byte. This limits neither what is in flight nor
#: the speed (measured on loopback, in pieces of 16 KiB: 1.5 GB/s with and without).
ACT_SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 64 * KIB),)
#: The time for connecting ahead of need; no request waits for it.
_WARM_SECONDS = 10.0


class DirectBody(httpx.AsyncByteStream):
    """A body whose bytes need no copy; it is also an ordinary stream of pieces."""

    @abstractmethod
    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer`, which is not empty; returns their number, 0 only at the end.

        A checkpoint where it waits. Raises httpx.TransportError.
        """

    @property
    @abstractmethod
    def has_buffered(self) -> bool:
        """True where a byte of the body can be had without waiting."""

    def __aiter__(self) -> Self:  # no generator: one that is left early warns when it is collected
        return self

    async def __anext__(self) -> bytes:
        piece = bytearray(_PIECE_NBYTES)
        nbytes = await self.receive_into(memoryview(piece))
        if not nbytes:
            raise StopAsyncIteration
        return bytes(memoryview(piece)[:nbytes])


class LateWire(httpx.AsyncBaseTransport):
    """A wire that awaits the request's extension `may_leave()`, where it has one, between its connection and the first
    byte on it: what is counted there leaves at once. What it raises is raised."""


@runtime_checkable
class WarmWire(Protocol):
    """A wire that can connect ahead of need."""

    async def warm(self, url: str, *, connections: int, seconds: float) -> None:
        """Have this many idle connections to the host of `url`, TLS included; those that fail are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """The wires of one API: `origin` and `acts` (never reused) to the API, `bare` to anywhere, without secrets."""

    base_url: str
    base: Origin
    origin: httpx.AsyncBaseTransport = field(repr=False)
    acts: httpx.AsyncBaseTransport = field(repr=False)
    bare: httpx.AsyncBaseTransport = field(repr=False)

    async def warm(self, connections: int) -> None:
        """Connect to the API ahead of need, where the wire can; failures are dropped. Always a checkpoint."""
        if isinstance(self.origin, WarmWire):
            await self.origin.warm(self.base_url, connections=connections, seconds=_WARM_SECONDS)
        await trio.lowlevel.checkpoint()


class WireMaker(Protocol):
    """Makes the wires; tests pass mock transports."""

    def __call__(
        self, bases: Mapping[Api, tuple[str, Origin]], *, ca_bundle: Path | None, connections: int
    ) -> dict[Api, Wires]:
        """The wires of each API, from its base URL and origin. Raises UsageError for a bad CA bundle."""
