"""Shares of the descriptors that this process may have: cache files, connections.

A limit as small as 64 (`ulimit -n 64`) is met by mistake or on purpose. When the disk cache took what it liked, no
socket could be opened, and the network seemed to be gone.

Owns the shares. It must not know how a share is used.
"""

import resource
from dataclasses import dataclass

from cffs.cache.disk import MAX_OPEN_FILES

#: What a mount has open at rest (21: the kernel, the loop, the catalogue, the log), four searches of the catalogue at
#: three files each, and a few for blocks under way and for clients of the control socket.
_OWN = 42
#: As many as any mount needs: the soft limit is not raised further.
_ENOUGH = 1024
_FEWEST_FILES = _FEWEST_CONNECTIONS = 2
#: The disk cache gets a quarter of the rest at most: opening a file again costs 20 us, a connection two round trips.
_FILES_SHARE = 4
#: Each of the two APIs keeps connections for a while after they were used.
_POOLS = 2


@dataclass(frozen=True, slots=True)
class Shares:
    """How many cache files are kept open, and how many connections to one API exist at once."""

    files: int
    connections: int


def shares(limit: int, *, connections: int) -> Shares:
    """The shares of a process that may have `limit` descriptors; never more than the `connections` asked for."""
    left = max(0, limit - _OWN)
    files = max(_FEWEST_FILES, min(MAX_OPEN_FILES, left // _FILES_SHARE))
    fitting = max(_FEWEST_CONNECTIONS, (left - files) // _POOLS)
    return Shares(files=files, connections=min(connections, fitting))


def descriptor_limit() -> int:
    """Raise the soft limit as far as it is of use and the hard limit allows; returns the limit that holds then."""
    soft, hard = (
        _ENOUGH if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = min(_ENOUGH, hard)
    if soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return wanted
