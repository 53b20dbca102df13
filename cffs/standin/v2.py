"""API v2: its table of operations, under `/v2`.

It owns the base path and the order of the table. It must not know v1, ranges or sockets.
"""

from typing import Final

from cffs.standin import v2_calls, v2_me, v2_media
from cffs.standin.answers import Operation

BASE: Final = "/v2"
OPERATIONS: Final[tuple[Operation, ...]] = (*v2_calls.OPERATIONS, *v2_me.OPERATIONS, *v2_media.OPERATIONS)
"""The second document's operations, and the listings of the full API (`in_seed` False)."""
