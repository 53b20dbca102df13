"""Which nodes are numbered by an id of the service: the group and slot of each kind, and where its id stands. Pure.

It must not know how a number is put together (`tree/inodes` does). Within a folder the groups and slots ascend as the
folder lists its files.
"""

from zlib import crc32

from cffs.core.media_types import MIME_TYPES
from cffs.tree.nodes import Kind, Node

#: (group, id, slot): nodes of other kinds with that id have another group or slot.
Place = tuple[int, int, int]

_CAMPAIGNS, _CALLS, _RECORDINGS, _FILES, _MEDIA, _VIEW_FOLDERS = range(1, 7)
#: Kind -> (group, slot). The id is the first of the node's arguments.
_BY_ID: dict[Kind, tuple[int, int]] = {
    Kind.CAMPAIGN: (_CAMPAIGNS, 0),
    Kind.NAMED_CAMPAIGN: (_CAMPAIGNS, 1),
    Kind.CAMPAIGN_JSON: (_CAMPAIGNS, 2),
    Kind.LONE_CALL: (_CALLS, 0),
    Kind.CALL_JSON: (_CALLS, 3),
    Kind.MP3: (_RECORDINGS, 0),
    Kind.RECORDING_JSON: (_RECORDINGS, 1),
    Kind.WAV: (_FILES, 0),
    Kind.MEDIA_RAW: (_MEDIA, 14),
    Kind.MEDIA_JSON: (_MEDIA, 15),
    Kind.ONE_NUMBER: (_VIEW_FOLDERS, 0),
    Kind.ONE_LABEL: (_VIEW_FOLDERS, 0),
}
_PLAYLIST_OF_CAMPAIGN = (_CAMPAIGNS, 3)
#: The id is the second: a call in its campaign.
_BY_CALL: dict[Kind, tuple[int, int]] = {Kind.CALL: (_CALLS, 1), Kind.NAMED_CALL: (_CALLS, 2)}
_EXTENSION_SLOTS: dict[object, int] = {extension: slot for slot, extension in enumerate(MIME_TYPES)}
#: Files of other types share the slots between those and the raw form's: one media file is hardly listed as two.
_OTHER_SLOTS = range(8, 14)


def _slot_of(extension: object) -> int:
    known = _EXTENSION_SLOTS.get(extension)
    return _OTHER_SLOTS[crc32(str(extension).encode()) % len(_OTHER_SLOTS)] if known is None else known


def place_of(node: Node) -> Place | None:
    """Where the node stands among numbers; None for what has no id, or is a form of a file that nothing lists."""
    kind, args = node.kind, node.args
    at, found = 0, _BY_ID.get(kind)
    if found is None:
        at, found = 1, _BY_CALL.get(kind)
    if found is None and kind is Kind.MEDIA_FILE:
        at, found = 0, (_MEDIA, _slot_of(args[1]))
    if found is None and kind is Kind.PLAYLIST and args[0] == Kind.CAMPAIGN.name:
        at, found = 1, _PLAYLIST_OF_CAMPAIGN
    if found is None:
        return None
    ident = args[at]
    return (found[0], ident, found[1]) if isinstance(ident, int) else None
