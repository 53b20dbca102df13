"""Connections that end where a server sends more than it was asked for.

The Redis library keeps what arrives until it makes sense: a value of gigabytes, or replies that no call waits for.
Nothing that is asked for here is larger than a few MiB, so a connection on which much more came since the last command
was sent is ended.

Owns that limit. It must not know commands or replies.
"""

from coredis.connection import BaseConnection, ClusterConnection, TCPConnection, UnixDomainSocketConnection

from cffs.core.units import MIB

#: Two batches of eight values are 4 MiB at most, and other replies are small.
MOST_UNASKED_NBYTES = 32 * MIB


class _Bounded(BaseConnection):
    """Counts what came since something was sent."""

    _sent_nbytes = 0
    _unasked_nbytes = 0

    def _data_received(self, data: bytes) -> None:
        """See coredis; what is raised here ends the connection."""
        if self.statistics.bytes_written != self._sent_nbytes:
            self._sent_nbytes, self._unasked_nbytes = self.statistics.bytes_written, 0
        self._unasked_nbytes += len(data)
        if self._unasked_nbytes > MOST_UNASKED_NBYTES:
            raise ConnectionResetError
        super()._data_received(data)


class BoundedTcp(_Bounded, TCPConnection):
    """A connection by TCP."""


class BoundedSocket(_Bounded, UnixDomainSocketConnection):
    """A connection by a Unix socket."""


class BoundedNode(_Bounded, ClusterConnection):
    """A connection to a node of a cluster."""
