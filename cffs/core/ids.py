"""The parser of a service's id, and the types of the mount's own numbers.

It owns the range and the one canonical spelling of an id. Ids of the service are plain ints: they come out of rows,
answers and paths alike, and a record names the kind of each (`call_id`). Inode and handle numbers look alike and meet
in the same calls, so these have types. It must not know where an id came from.
"""

import re
from typing import NewType

Inode = NewType("Inode", int)
HandleId = NewType("HandleId", int)

#: Ids are positive int64 in both APIs, and 0 means "none": see cffs/docs/service.md#identifiers.
MAX_ID = 2**63 - 1
#: ASCII on purpose: `\d` accepts digits of other scripts. No leading zero, so that an id has one spelling only.
_CANONICAL_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


def parse_id(text: str) -> int | None:
    """The id that `text` spells in its one canonical form, or None (for `007`, `-1`, `٣`, 2^63 and above)."""
    if _CANONICAL_ID.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= MAX_ID else None
