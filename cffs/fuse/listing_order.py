"""Which files lie beside each other, in the order in which their folder lists them; who opens one brings the next.

It must not know what is fetched, or when: that is `reader/folder_read_ahead`.
`fuse/operations` tells it what the kernel was shown and what is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from cffs.catalog.store import Catalog
from cffs.core.errors import CffsError
from cffs.core.ids import Inode
from cffs.core.values import RecordingState
from cffs.reader.folder_read_ahead import FolderReadAhead, Sibling
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Kind, Node, Remote

#: What a folder shows beside these costs no request to read.
BROUGHT = frozenset({Kind.MP3, Kind.WAV, Kind.DYNAMIC_FILE, Kind.MEDIA_FILE, Kind.MEDIA_PUBLIC_FILE})
#: What is still being made, or never will be, is not brought.
_UNSTEADY = frozenset({RecordingState.RECORDING, RecordingState.ERROR})
#: Files remembered in all (about 200 bytes each); past it the folder listed longest ago is forgotten.
_MOST_FILES = 50_000
#: Twice as far as anybody looks ahead, for some folders at once.
_MADE = 256
#: Folders being listed at the same time.
_ALONE = 64


#: Sizes asked for together.
_SIZES_AT_ONCE = 8
#: A file that the kernel was shown, and its number.
Shown = tuple[Inode, Node]


@dataclass(slots=True)
class _Listing:
    """The audio files of a folder, as it listed them."""

    nodes: list[Node] = field(default_factory=list)
    places: dict[Inode, int] = field(default_factory=dict)


class ListingOrder:
    """What the kernel was shown of each folder. No method is a checkpoint."""

    def __init__(self, namespace: Namespace, catalog: Catalog, siblings: FolderReadAhead) -> None:
        self._namespace = namespace
        self._catalog = catalog
        self._siblings = siblings
        self._listings: dict[Node, _Listing] = {}
        #: The first file of folders of which no second one was listed yet: most calls have one recording, which has no
        #: neighbour, and a table for each of 100,000 calls is 40 MB.
        self._alone: LRUCache[Node, Shown] = LRUCache(_ALONE)
        self._files = 0
        self._folders: dict[Inode, Node] = {}
        #: Files that came into the kernel's hands by a lookup, and not by a listing.
        self._named: set[Inode] = set()
        self._made: LRUCache[Node, Remote] = LRUCache(_MADE)
        self._keys: LRUCache[Node, str] = LRUCache(_MADE)

    def named(self, inode: Inode, *, is_new: bool) -> None:
        """The file was looked up by its name; `is_new`: and the kernel had not been shown it before."""
        if is_new:
            self._named.add(inode)

    def is_named(self, inode: Inode) -> bool:
        """True where the kernel knows the file by its name alone: who asks for it opens it, as a rule."""
        return inode in self._named

    def forget(self, inode: Inode) -> None:
        """The kernel does not hold it any more."""
        self._named.discard(inode)

    def listed(self, folder: Node, files: list[Shown], *, is_all: bool) -> None:
        """A listing of `folder` showed these files, of the kinds that are `BROUGHT`; a folder is listed from its start,
        and what is new comes last. `is_all`: it has no others."""
        self._named.difference_update(inode for inode, _node in files)
        listing = self._listings.get(folder)
        if listing is None:
            if is_all and len(files) == 1:
                return
            first = self._alone.pop(folder, files[0])
            if first[0] == files[-1][0]:
                self._alone[folder] = first
                return
            listing = self._listings[folder] = _Listing()
            self._add(folder, listing, *first)
        for inode, node in files:
            self._add(folder, listing, inode, node)

    def _add(self, folder: Node, listing: _Listing, inode: Inode, node: Node) -> None:
        self._folders[inode] = folder
        if inode in listing.places:
            return
        listing.places[inode] = len(listing.nodes)
        listing.nodes.append(node)
        self._files += 1
        while self._files > _MOST_FILES and len(self._listings) > 1:
            self._forget(next(iter(self._listings)))

    def looked_up(self, folder: Node, inode: Inode) -> None:
        """The file was looked up in `folder`: of the folders that show it, that is where somebody reads."""
        listing = self._listings.get(folder)
        if listing is not None and inode in listing.places:
            self._folders[inode] = folder

    def opened(self, inode: Inode, content: Remote, file: OpenFile) -> None:
        """Its file was opened."""
        folder = self._folders.get(inode)
        listing = self._listings.get(folder) if folder is not None else None
        place = listing.places.get(inode) if listing is not None else None
        if listing is None or place is None:
            return
        nodes = listing.nodes
        self._siblings.opened(
            folder,
            place,
            key=content.key,
            file=file,
            following=lambda count: self._siblings_of(nodes[place + 1 : place + 1 + count], place),
        )

    def unsized_behind(self, inode: Inode) -> list[Remote]:
        """The contents of the next files of its folder whose size nobody knows, a folder's worth of eight with this
        one: `ls -l` asks for them one after the other, each a latency (contract section 4)."""
        folder = self._folders.get(inode)
        listing = self._listings.get(folder) if folder is not None else None
        place = listing.places.get(inode) if listing is not None else None
        if listing is None or place is None:
            return []
        contents = [self._namespace.content(node) for node in listing.nodes[place + 1 : place + _SIZES_AT_ONCE]]
        return [
            content
            for content in contents
            if isinstance(content, Remote)
            and content.state not in _UNSTEADY
            and self._namespace.describe_content(content).nbytes is None
        ]

    def _siblings_of(self, nodes: Sequence[Node], place: int) -> list[Sibling]:
        found = (self._sibling(node, place + number) for number, node in enumerate(nodes, start=1))
        return [sibling for sibling in found if sibling is not None]

    def _sibling(self, node: Node, place: int) -> Sibling | None:
        content = self._made.get(node)
        # never kept with it: what is known of the object now is another version's than a moment ago
        known = None if content is None else known_of(self._catalog, content)
        if content is None or known is None:
            content = self._content(node)
            if content is None:
                return None
            known = known_of(self._catalog, content)
            if known is not None:
                self._made[node] = content
        return Sibling(
            index=place, key=content.key, sources=content.sources, known=known, hint_nbytes=content.hint_nbytes
        )

    def _content(self, node: Node) -> Remote | None:
        """What may be brought of the file; None where it was already, or cannot be."""
        key = self._keys.get(node)
        if key is not None and self._siblings.has_brought(key):
            return None  # each open looks at the next sixteen, fifteen of them again
        try:
            content = self._namespace.content(node)
        except CffsError:
            return None  # its row is gone
        if not isinstance(content, Remote) or content.state in _UNSTEADY:
            return None
        self._keys[node] = content.key
        return content

    def _forget(self, folder: Node) -> None:
        listing = self._listings.pop(folder)
        self._files -= len(listing.nodes)
        for inode in listing.places:
            if self._folders.get(inode) == folder:
                del self._folders[inode]


def known_of(catalog: Catalog, content: Remote) -> Known | None:
    """What the catalogue knows of the object, as something to open it with; None where its size is not known."""
    fact = catalog.fact(content.key)
    if fact is None or fact.nbytes is None:
        return None
    source = next((source for source in content.sources if source.key == fact.source), None)
    return Known(total_nbytes=fact.nbytes, validator=fact.validator, source=source, last_modified_ns=fact.modified_ns)
