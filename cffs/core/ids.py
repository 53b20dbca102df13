"""Ids of the service and of the mount, as distinct types, and the one parser for ids that come from outside.

It must not know where an id came from (a path, an answer, a row).
Names, wire formats, routes and clients call it.
"""

import re
from typing import NewType

CampaignId = NewType("CampaignId", int)
CallId = NewType("CallId", int)
RecordingId = NewType("RecordingId", int)
MediaId = NewType("MediaId", int)
Inode = NewType("Inode", int)
HandleId = NewType("HandleId", int)

#: Ids are int64 in both APIs (v2 document: "id int64"); zero means "none" (campaignId 0 = calls without a broadcast).
MAX_ID = 2**63 - 1
#: ASCII on purpose: `\d` takes digits of other scripts. No leading zero, so that an id has one spelling only.
_CANONICAL_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


def parse_id(text: str) -> int | None:
    """The id that `text` spells in its one canonical form, or None (`007`, `-1`, `٣`, 2^63 and above are none)."""
    if _CANONICAL_ID.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= MAX_ID else None
