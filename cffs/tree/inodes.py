"""Inode numbers: one for each version of a node, the same in every mount.

It owns how numbers are made, and how often the kernel holds each. It must not know where versions come from. It has
no I/O, no clock and no await.

A number is made of the node's identity, so nothing need be stored for it: of the service's own id where
there is one (numbers then ascend as ids do, which is how folders list files), else of a digest. Incremental archives
and backups go by numbers: if one changed with each mount, they would report a rename, and lose files at a restore. A
changed object gets another number, made of its version too, since the kernel's pages belong to the number.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any
from zlib import crc32

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.core.media_types import MIME_TYPES
from cffs.notes.keys import EXTENSIONS as NOTE_EXTENSIONS
from cffs.tree.nodes import (
    BY_ID,
    DIRECT,
    LISTED,
    AboutFolderNode,
    CallNode,
    CampaignCallsNode,
    CampaignNode,
    DateNode,
    DynamicFolderNode,
    FixedNode,
    Kind,
    LoneCallNode,
    MediaFileNode,
    Node,
    UnprovenNode,
    Way,
)
from cffs.tree.object_keys import WITH_KEYS, object_key

#: A number by id is group << 50 | id << 4 | slot: 4095 groups, ids of up to 13 digits (those seen have 10 to 13), 16
#: slots. Numbers by digest lie above all of them, and none is above 2^63: some programs take it for signed.
_GROUP_SHIFT = 50
_SLOT_BITS = 4
_LARGEST_ID = 2 ** (_GROUP_SHIFT - _SLOT_BITS) - 1
_DIGESTED = 1 << 62

_CAMPAIGNS, _CALLS, _RECORDINGS, _FILES, _MEDIA, _VIEW_FOLDERS, _MONTHS = (
    group << _GROUP_SHIFT for group in range(1, 8)
)
#: What a number is made of: group and slot in their places, and the id that goes between them. Nodes of another kind
#: with that id have another group or slot.
InodeHint = tuple[int, int]

#: Of the most frequent kinds: group and slot, and the field that holds the id.
_BY_KIND: dict[Kind, tuple[int, Callable[[Any], int]]] = {
    Kind.CAMPAIGN_JSON: (_CAMPAIGNS | 2, attrgetter("campaign_id")),
    Kind.CALL_JSON: (_CALLS | 5, attrgetter("call_id")),
    Kind.MP3: (_RECORDINGS | 0, attrgetter("recording_id")),
    Kind.RECORDING_JSON: (_RECORDINGS | 1, attrgetter("recording_id")),
    Kind.WAV: (_FILES | 0, attrgetter("file_id")),
    Kind.MEDIA_RAW: (_MEDIA | 14, attrgetter("media_id")),
    Kind.MEDIA_JSON: (_MEDIA | 15, attrgetter("media_id")),
    Kind.ONE_NUMBER: (_VIEW_FOLDERS | 0, attrgetter("seq")),
    Kind.ONE_LABEL: (_VIEW_FOLDERS | 0, attrgetter("seq")),
    Kind.CALL_MONTH: (_MONTHS | 0, attrgetter("month")),
}
#: Of a call in its campaign, by the ways in which a path spells campaign and call. Two campaigns hardly ever list the
#: same call, so the number is made of the call's id alone.
_OF_CALL: dict[tuple[Way, Way], int] = {
    (LISTED, LISTED): _CALLS | 0,
    (BY_ID, DIRECT): _CALLS | 1,
    (LISTED, BY_ID): _CALLS | 6,
    (BY_ID, LISTED): _CALLS | 7,
    (BY_ID, BY_ID): _CALLS | 8,
}
_OF_LONE_CALL: dict[Way, int] = {LISTED: _CALLS | 2, BY_ID: _CALLS | 3, DIRECT: _CALLS | 4}
_OF_CAMPAIGN: dict[tuple[Kind, Way], int] = {
    (Kind.CAMPAIGN, LISTED): _CAMPAIGNS | 0,
    (Kind.CAMPAIGN, BY_ID): _CAMPAIGNS | 1,
    (Kind.CAMPAIGN_CALLS, LISTED): _CAMPAIGNS | 4,
    (Kind.CAMPAIGN_CALLS, BY_ID): _CAMPAIGNS | 5,
}
_PLAYLIST_OF_CAMPAIGN = _CAMPAIGNS | 3
#: The slots of a recording after those of its MP3 and its metadata.
_NOTE_SLOTS = {extension: 2 + slot for slot, extension in enumerate(NOTE_EXTENSIONS)}
_EXTENSION_SLOTS = {extension: slot for slot, extension in enumerate(MIME_TYPES)}
#: Files of other types share the slots between those and the slot of the raw form: one media file is hardly ever listed
#: as two types.
_OTHER_SLOTS = range(8, 14)


def _slot_of(extension: str) -> int:
    known = _EXTENSION_SLOTS.get(extension)
    return _OTHER_SLOTS[crc32(extension.encode()) % len(_OTHER_SLOTS)] if known is None else known


def inode_hint(node: Node) -> InodeHint | None:
    """What the node's number is made of; None for a node without an id, and for a spelling that no listing uses."""
    found: int | None
    if (by_kind := _BY_KIND.get(node.kind)) is not None:
        found, id_of = by_kind
        return found, id_of(node)
    if isinstance(node, CallNode):
        found, ident = _OF_CALL.get((node.campaign_way, node.way)), node.call_id
    elif isinstance(node, LoneCallNode):
        found, ident = _OF_LONE_CALL.get(node.way), node.call_id
    elif isinstance(node, CampaignNode | CampaignCallsNode):
        found, ident = _OF_CAMPAIGN.get((node.kind, node.way)), node.campaign_id
    elif isinstance(node, MediaFileNode):
        found, ident = _MEDIA | _slot_of(node.extension), node.media_id
    elif node.kind is Kind.NOTE:
        found, ident = _RECORDINGS | _NOTE_SLOTS[node.name], node.owner
    elif node.kind is Kind.PLAYLIST and isinstance(node.folder, CampaignNode):
        found, ident = _PLAYLIST_OF_CAMPAIGN, node.folder.campaign_id
    else:
        return None
    return None if found is None else (found, ident)


#: The kernel's root inode (FUSE_ROOT_ID in linux/fuse.h).
ROOT_INODE = Inode(1)
ROOT: Node = FixedNode(Kind.ROOT)


def identity(node: Node) -> tuple[int | str, ...]:
    """What identifies the node within its kind, as flat values; it never changes, since inode numbers are digests
    of it, and archives remember those."""
    if isinstance(node, AboutFolderNode):
        ways = 2 if isinstance(node.folder, CallNode) else int(isinstance(node.folder, CampaignNode | LoneCallNode))
        parts = identity(node.folder)
        return (node.folder.kind.name, *parts[: len(parts) - ways])
    if isinstance(node, UnprovenNode):
        return (node.folder.kind.name, *identity(node.folder), node.name)
    if isinstance(node, DynamicFolderNode | DateNode):
        return node.names
    return node[:-1]


def number_of(node: Node, version: int = 0) -> Inode:
    """The number of a version of a node, unless another node holds that number."""
    hint = None if version else inode_hint(node)
    if hint is not None:
        group_and_slot, ident = hint
        if 0 < ident <= _LARGEST_ID:
            return Inode(group_and_slot | ident << _SLOT_BITS)
    return _digested(node, version, 0)


#: The fixed folders are asked for all the time.
@lru_cache(4096)
def _digested(node: Node, version: int, attempt: int) -> Inode:
    if node == ROOT:
        return ROOT_INODE
    told = ascii((node.kind.name, identity(node), version, attempt)).encode("ascii")
    digest = int.from_bytes(blake2b(told, digest_size=8).digest())
    return Inode(_DIGESTED | digest & (_DIGESTED - 1))


class InodeTable:
    """Numbers and lookup counts. No await anywhere in it: callers may mutate it between two checkpoints."""

    def __init__(self, versions: Mapping[str, int] | None = None) -> None:
        """`versions` maps the key of each object that was ever found changed to its version. It may change at any time,
        and the numbers of nodes with it."""
        self._versions: Mapping[str, int] = {} if versions is None else versions
        #: How often a node's number was retired although no version says that the object is another one.
        self._retired: dict[Node, int] = {}
        #: Numbers of nodes that found theirs held by another node; kept for the mount's life.
        self._given: dict[tuple[Node, int], Inode] = {}
        #: The kinds of those nodes: a node of another kind need not be looked for, which would cost a hash of all its
        #: fields.
        self._given_kinds: set[Kind] = set()
        #: What the kernel holds: the node of each number; and the number of further lookups it must forget, where there
        #: are any (`find` makes the kernel hold every name once).
        self._held: dict[Inode, Node] = {ROOT_INODE: ROOT}
        self._more: dict[Inode, int] = {}
        self._stale: set[Inode] = set()

    def __len__(self) -> int:
        """How many inodes the kernel holds, including the root."""
        return len(self._held)

    @property
    def lookups(self) -> int:
        """How many lookups the kernel must forget, over all inodes."""
        return len(self._held) + sum(self._more.values())

    def number(self, node: Node) -> Inode:
        """The node's number: the same at every call and in every mount, until its object is another version, or the
        node is retired."""
        version = self._version(node) if self._versions or self._retired else 0
        if self._given and node.kind in self._given_kinds and (given := self._given.get((node, version))) is not None:
            return given
        number = number_of(node, version)
        holder = self._held.get(number)
        if holder is None or holder == node:
            return number
        return self._give(node, version)

    def _version(self, node: Node) -> int:
        version = self._retired.get(node, 0)
        if node.kind in WITH_KEYS and (key := object_key(node)) is not None:
            version += self._versions.get(key, 0)
        return version

    def _give(self, node: Node, version: int) -> Inode:
        attempt = 1
        while (number := _digested(node, version, attempt)) in self._held:
            attempt += 1
        self._given[node, version] = number
        self._given_kinds.add(node.kind)
        return number

    def hold(self, node: Node) -> Inode:
        """Count one more lookup of the node by the kernel; returns its number."""
        number = self.number(node)
        self.hold_as(number, node)
        return number

    def hold_as(self, number: Inode, node: Node) -> None:
        """Count a lookup of a node whose number is known."""
        if number in self._held:
            self._more[number] = self._more.get(number, 0) + 1
        self._held[number] = node

    def forget(self, number: Inode, lookups: int) -> Node | None:
        """Subtract `lookups` of the kernel's references. The root is never forgotten; too many count as all.

        Returns the node where the kernel does not hold it any more, else None.
        """
        if number not in self._held or number == ROOT_INODE:
            return None
        left = 1 + self._more.pop(number, 0) - lookups
        if left > 1:
            self._more[number] = left - 1
        if left >= 1:
            return None
        self._stale.discard(number)
        return self._held.pop(number)

    def is_held(self, number: Inode) -> bool:
        """True where the kernel holds the number."""
        return number in self._held

    def node(self, number: Inode) -> Node:
        """The node of a number that the kernel holds. Raises StaleHandle."""
        held = self._held.get(number)
        if held is None:
            raise StaleHandle(f"inode {number}")
        return held

    def is_stale(self, number: Inode) -> bool:
        """True where the number was retired: the kernel may have bytes of an earlier version under it."""
        return number in self._stale

    def retire(self, number: Inode) -> None:
        """Give the node of a number another number, since the kernel has bytes under the old one that are not the
        node's any more; also where no version says that the object is another one. Does nothing where the kernel does
        not hold the number."""
        node = self._held.get(number)
        if node is None:
            return
        self._stale.add(number)
        if self.number(node) == number:
            self._retired[node] = self._retired.get(node, 0) + 1
