"""What a wire is: httpx's transport interface, and the two words that it lacks, of which the stock wire has neither.

It must not know how. `wire/pool` and `wire/httpx_transport` make wires, `wire/exchange` and `callfire/transport` use
them.
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
#: What an act may have waiting in the kernel: bytes there are sent as far as we can tell, and megabytes of them may
#: need longer than the 30 s for which an answer is awaited behind the last one. It does not limit what is on its way,
#: and slows nothing (measured on loopback, in pieces of 16 KiB: 1.5 GB/s with and without).
ACT_SOCKET_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 64 * KIB),)
#: What connecting ahead of need may take: nobody waits for it.
_WARM_SECONDS = 10.0


class DirectBody(httpx.AsyncByteStream):
    """A body whose bytes need no copy; also an ordinary stream of pieces, for whoever does not care."""

    @abstractmethod
    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer` (not empty): how many, 0 at the end only. Raises httpx.TransportError."""

    @property
    @abstractmethod
    def has_buffered(self) -> bool:
        """True where a byte of the body is here already."""

    def __aiter__(self) -> Self:  # no generator: one that is left early warns when it is collected
        return self

    async def __anext__(self) -> bytes:
        piece = bytearray(_PIECE_NBYTES)
        nbytes = await self.receive_into(memoryview(piece))
        if not nbytes:
            raise StopAsyncIteration
        return bytes(memoryview(piece)[:nbytes])


@runtime_checkable
class WarmWire(Protocol):
    """A wire that can connect ahead of need."""

    async def warm(self, url: str, *, connections: int, seconds: float) -> None:
        """Have so many idle connections to where `url` lies, TLS done; those that fail are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """The connections of one API: `origin` and `acts` (never reused) for where secrets may go, `bare` for elsewhere."""

    base_url: str
    base: Origin
    origin: httpx.AsyncBaseTransport = field(repr=False)
    acts: httpx.AsyncBaseTransport = field(repr=False)
    bare: httpx.AsyncBaseTransport = field(repr=False)

    async def warm(self, connections: int) -> None:
        """Connect to the API ahead of need, where the wire can; failures are not told. Always a checkpoint."""
        if isinstance(self.origin, WarmWire):
            await self.origin.warm(self.base_url, connections=connections, seconds=_WARM_SECONDS)
        await trio.lowlevel.checkpoint()


class WireMaker(Protocol):
    """Whatever makes the wires; tests give mock transports, `wire/` may hold faster ones than the stock."""

    def __call__(
        self, bases: Mapping[Api, tuple[str, Origin]], *, ca_bundle: Path | None, connections: int
    ) -> dict[Api, Wires]:
        """The wires of each API, from its base URL and origin. UsageError for a bad CA bundle."""
