"""Inode numbers: one per node for as long as the mount lives, and how often the kernel holds each. Pure.

It must not know what a node is beyond being hashable and wishing for a place.
`fuse/operations` counts lookups and forgets with it; the namespace retires the number of a changed object.

A row's place becomes the number itself, so that numbers ascend in listing order and cost no memory while the kernel
does not hold them; nodes without a row are numbered as they come, in a range of their own.
"""

from dataclasses import replace

from cffs.core.errors import StaleHandle
from cffs.core.ids import Inode
from cffs.tree.nodes import Kind, Node

#: The kernel's root inode (FUSE_ROOT_ID in linux/fuse.h).
ROOT_INODE = Inode(1)
ROOT = Node(Kind.ROOT)

#: Numbers below this are given as they come; a row's place lies above.
FIRST_PLACE = 1 << 52
#: A place is group << 52 | sequence << 3 | slot: 2^49 rows a table, 8 nodes a row, groups 1 to 2047.
_GROUP_SHIFT = 52
_SLOT_BITS = 3


def place(group: int, seq: int, slot: int) -> int:
    """The inode number that the `slot`-th node of row `seq` in table `group` wishes for."""
    return group << _GROUP_SHIFT | seq << _SLOT_BITS | slot


class InodeTable:
    """Numbers and lookup counts. No await anywhere in it: callers may mutate it between two checkpoints."""

    def __init__(self) -> None:
        self._next = ROOT_INODE + 1
        #: Numbers of nodes without a place, and of nodes whose place was retired; kept for the mount's life.
        self._given: dict[Node, Inode] = {ROOT: ROOT_INODE}
        #: Their kinds: a node of another kind is not looked for among them, for that costs a hash of all its parts, for
        #: each entry of a listing.
        self._given_kinds: set[Kind] = {ROOT.kind}
        #: What the kernel holds: the node of a number, and where it must forget more than one lookup of it, how many
        #: more (`find` makes the kernel hold every name there is, once).
        self._held: dict[Inode, Node] = {ROOT_INODE: ROOT}
        self._more: dict[Inode, int] = {}
        #: Numbers of promises, which are given away again once the kernel does not hold them.
        self._promised: set[Inode] = set()
        self._stale: set[Inode] = set()

    def __len__(self) -> int:
        """How many inodes the kernel holds, the root among them."""
        return len(self._held)

    @property
    def lookups(self) -> int:
        """What the kernel owes in forgets, of all inodes."""
        return len(self._held) + sum(self._more.values())

    def number(self, node: Node) -> Inode:
        """The node's number; the same at every call until the node is retired."""
        if node.kind in self._given_kinds and (given := self._given.get(node)) is not None:
            return given
        holder = self._held.get(Inode(node.place))
        if node.place and (holder is None or holder == node):
            return Inode(node.place)  # unless another node of the row (a call that changed its campaign) has it still
        return self._give(node)

    def _give(self, node: Node) -> Inode:
        number = Inode(self._next)
        self._next += 1
        self._given[replace(node, place=0)] = number
        self._given_kinds.add(node.kind)
        return number

    def hold(self, node: Node) -> Inode:
        """Count one more lookup of the node by the kernel; returns its number."""
        number = self.number(node)
        self.hold_as(number, node)
        return number

    def hold_as(self, number: Inode, node: Node) -> None:
        """The same where the number was asked for just now."""
        if number in self._held:
            self._more[number] = self._more.get(number, 0) + 1
        self._held[number] = node

    def promise(self, node: Node) -> Inode:
        """As `hold` for a node that may turn out not to be: its number lives only for as long as the kernel holds it,
        unless it is kept."""
        is_new = node not in self._given
        number = self.hold(node)
        if is_new and self._given.get(node) == number:
            self._promised.add(number)
        return number

    def keep(self, number: Inode, node: Node) -> None:
        """What was promised under the number is there, and is this node."""
        self._promised.discard(number)
        self._held[number] = node

    def forget(self, number: Inode, lookups: int) -> Node | None:
        """The kernel drops `lookups` of its references; the root is never forgotten, too many are taken as all.

        Returns the node where the kernel does not hold it any more.
        """
        if number not in self._held or number == ROOT_INODE:
            return None
        left = 1 + self._more.pop(number, 0) - lookups
        if left > 1:
            self._more[number] = left - 1
        if left >= 1:
            return None
        node = self._held.pop(number)
        self._stale.discard(number)
        if number in self._promised:
            self._promised.discard(number)
            del self._given[node]
        return node

    def node(self, number: Inode) -> Node:
        """The node of a number that the kernel holds. Raises StaleHandle."""
        held = self._held.get(number)
        if held is None:
            raise StaleHandle(f"inode {number}")
        return held

    def is_stale(self, number: Inode) -> bool:
        """True where the number belongs to an earlier version of its node."""
        return number in self._stale

    def retire(self, node: Node) -> Inode:
        """Give the node a new number from now on (its object changed); returns the old one, which is stale if held."""
        old = self.number(node)
        if old in self._held:
            self._stale.add(old)
        self._give(node)
        return old
