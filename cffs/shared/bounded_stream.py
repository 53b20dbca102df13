"""Connections that end where a server sends more than it was asked for.

The Redis library keeps what arrives until it makes sense: a value of gigabytes, or replies that no call waits for.
Nothing that is asked for here is larger than a few MiB, so a stream that brings much more since the last command was
sent is cut.

Owns that limit. It must not know commands or replies.
"""

from collections.abc import Callable, Mapping
from typing import Any

from anyio import BrokenResourceError
from anyio.abc import ByteStream
from coredis.connection import ClusterConnection, TCPConnection, UnixDomainSocketConnection

from cffs.core.units import MIB

#: Two batches of eight values are 4 MiB at most, and other replies are small.
MOST_UNASKED_NBYTES = 32 * MIB


class BoundedStream(ByteStream):
    """A stream that counts what it received since it last sent."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._received_nbytes = 0

    async def send(self, item: bytes) -> None:
        """See anyio."""
        self._received_nbytes = 0
        await self._stream.send(item)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """See anyio; raises BrokenResourceError beyond the limit."""
        data = await self._stream.receive(max_bytes)
        self._received_nbytes += len(data)
        if self._received_nbytes > MOST_UNASKED_NBYTES:
            raise BrokenResourceError
        return data

    async def send_eof(self) -> None:
        """See anyio."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See anyio."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """See anyio."""
        return self._stream.extra_attributes


class BoundedTcp(TCPConnection):
    """A connection by TCP."""

    async def _connect(self) -> ByteStream:
        return BoundedStream(await super()._connect())


class BoundedSocket(UnixDomainSocketConnection):
    """A connection by a Unix socket."""

    async def _connect(self) -> ByteStream:
        return BoundedStream(await super()._connect())


class BoundedNode(ClusterConnection):
    """A connection to a node of a cluster."""

    async def _connect(self) -> ByteStream:
        return BoundedStream(await super()._connect())
