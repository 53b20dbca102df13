"""Which nodes are numbered by an id of the service: the group and slot of each kind, and where its id stands. Pure.

It must not know how a number is put together (`tree/inodes` does). Within a folder the groups and slots ascend as the
folder lists its files.
"""

from zlib import crc32

from cffs.core.media_types import MIME_TYPES
from cffs.tree.nodes import BY_ID, DIRECT, LISTED, Kind, Node

#: (group, id, slot): nodes of other kinds with that id have another group or slot.
Place = tuple[int, int, int]

_CAMPAIGNS, _CALLS, _RECORDINGS, _FILES, _MEDIA, _VIEW_FOLDERS, _MONTHS = range(1, 8)
#: Kind -> (group, slot). The id is the first of the node's arguments.
BY_FIRST_ID: dict[Kind, tuple[int, int]] = {
    Kind.CAMPAIGN_JSON: (_CAMPAIGNS, 2),
    Kind.CALL_JSON: (_CALLS, 5),
    Kind.MP3: (_RECORDINGS, 0),
    Kind.RECORDING_JSON: (_RECORDINGS, 1),
    Kind.WAV: (_FILES, 0),
    Kind.MEDIA_RAW: (_MEDIA, 14),
    Kind.MEDIA_JSON: (_MEDIA, 15),
    Kind.ONE_NUMBER: (_VIEW_FOLDERS, 0),
    Kind.ONE_LABEL: (_VIEW_FOLDERS, 0),
    Kind.CALL_MONTH: (_MONTHS, 0),
}
#: The same of kinds whose last argument says how the path spells it.
_BY_WAY: dict[tuple[Kind, object], tuple[int, int]] = {
    (Kind.CAMPAIGN, LISTED): (_CAMPAIGNS, 0),
    (Kind.CAMPAIGN, BY_ID): (_CAMPAIGNS, 1),
    (Kind.CAMPAIGN_CALLS, LISTED): (_CAMPAIGNS, 4),
    (Kind.CAMPAIGN_CALLS, BY_ID): (_CAMPAIGNS, 5),
    (Kind.LONE_CALL, LISTED): (_CALLS, 2),
    (Kind.LONE_CALL, BY_ID): (_CALLS, 3),
    (Kind.LONE_CALL, DIRECT): (_CALLS, 4),
}
_PLAYLIST_OF_CAMPAIGN = (_CAMPAIGNS, 3)
#: Of a call in its campaign, whose id is the second argument: the ways in which listings spell campaign and call. Two
#: campaigns hardly ever list one call.
OF_CALL: dict[tuple[object, ...], tuple[int, int]] = {
    (LISTED, LISTED): (_CALLS, 0),
    (BY_ID, DIRECT): (_CALLS, 1),
    (LISTED, BY_ID): (_CALLS, 6),
    (BY_ID, LISTED): (_CALLS, 7),
    (BY_ID, BY_ID): (_CALLS, 8),
}
_EXTENSION_SLOTS: dict[object, int] = {extension: slot for slot, extension in enumerate(MIME_TYPES)}
#: Files of other types share the slots between those and the raw form's: one media file is hardly listed as two.
_OTHER_SLOTS = range(8, 14)


def _slot_of(extension: object) -> int:
    known = _EXTENSION_SLOTS.get(extension)
    return _OTHER_SLOTS[crc32(str(extension).encode()) % len(_OTHER_SLOTS)] if known is None else known


def place_of(node: Node) -> Place | None:
    """Where the node stands among numbers; None for what has no id, or is found in a way that no listing goes."""
    kind, args = node.kind, node.args
    at, found = 0, BY_FIRST_ID.get(kind)
    if found is None and args:
        found = _BY_WAY.get((kind, args[-1]))
    if found is None and kind is Kind.CALL:
        at, found = 1, OF_CALL.get(args[2:])
    if found is None and kind is Kind.MEDIA_FILE:
        at, found = 0, (_MEDIA, _slot_of(args[1]))
    if found is None and kind is Kind.PLAYLIST and args[0] == Kind.CAMPAIGN.name:
        at, found = 1, _PLAYLIST_OF_CAMPAIGN
    if found is None:
        return None
    ident = args[at]
    return (found[0], ident, found[1]) if isinstance(ident, int) else None
