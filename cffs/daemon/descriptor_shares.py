"""How many descriptors this process may have, and who gets which share of them.

It must not know what anybody does with its share. `daemon/assembly` hands the shares out.

A limit as small as 64 (`ulimit -n 64`) is met by mistake or on purpose. Where the disk cache took what it liked, a
socket could not be had, and the network seemed to be gone.
"""

import resource
from dataclasses import dataclass

from cffs.cache.disk import MAX_OPEN_FILES

#: What a mount has open at rest (21: the kernel, the loop, the catalogue, the log), four searches of the catalogue at
#: three files each, and a few blocks and clients of the control socket on their way.
_OWN = 42
#: All that anybody needs: more is not asked for where the soft limit is lower than the hard one.
_ENOUGH = 1024
_FEWEST_FILES = _FEWEST_CONNECTIONS = 2
#: Of what is left, the disk cache has a quarter at most: opening a file anew costs 20 us, a connection two latencies.
_FILES_SHARE = 4
#: Either API keeps its connections for a while after they were used.
_POOLS = 2


@dataclass(frozen=True, slots=True)
class Shares:
    """Cache files kept open, and connections at once to one API."""

    files: int
    connections: int


def shares(limit: int, *, connections: int) -> Shares:
    """What a process of so many descriptors can give; never more than the `connections` that are asked for."""
    left = max(0, limit - _OWN)
    files = max(_FEWEST_FILES, min(MAX_OPEN_FILES, left // _FILES_SHARE))
    fitting = max(_FEWEST_CONNECTIONS, (left - files) // _POOLS)
    return Shares(files=files, connections=min(connections, fitting))


def descriptor_limit() -> int:
    """Raises the soft limit as far as it is of use and the hard one allows; the limit that holds then."""
    soft, hard = (
        _ENOUGH if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = min(_ENOUGH, hard)
    if soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return wanted
