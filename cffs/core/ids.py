"""Ids of the service and of the mount as distinct types, and the parser of an id.

It owns the range and the one canonical spelling of an id. It must not know where an id came from: a path, an answer or
a row.
"""

import re
from typing import NewType

CampaignId = NewType("CampaignId", int)
CallId = NewType("CallId", int)
RecordingId = NewType("RecordingId", int)
MediaId = NewType("MediaId", int)
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
