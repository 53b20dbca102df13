"""The order in which folders list their files, for reading ahead.

The files after one that is opened are likely to be opened next, and can be fetched before that.

Owns what the kernel was shown of each folder. It must not know what is fetched, or when (`reader/folder_read_ahead`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from cffs.core.errors import CffsError
from cffs.core.ids import Inode
from cffs.core.values import RecordingState
from cffs.reader.folder_read_ahead import FolderReadAhead, NextFile
from cffs.reader.remote_file import OpenFile
from cffs.tree.contents import Remote
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import Kind, Node

#: Files that can be read ahead. Reading any other file costs no request.
READ_AHEAD = frozenset({Kind.MP3, Kind.WAV, Kind.DYNAMIC_FILE, Kind.MEDIA_FILE, Kind.MEDIA_PUBLIC_FILE})
#: A recording in progress, or one that failed, is not read ahead.
_UNSTEADY = frozenset({RecordingState.RECORDING, RecordingState.ERROR})
#: Files remembered in all (about 200 bytes each). Past it the folder that was listed longest ago is forgotten, but not
#: the last one that is left.
_MOST_FILES = 50_000
#: A folder of more files than this is searched for a file; the others have an entry a file that leads to them. At most
#: ten are so large, and an entry for each of 100,000 files takes 5 MB.
_LARGE_FOLDER = 5_000
#: Contents remembered: twice as far as the read-ahead looks, for some folders at once.
_MOST_CONTENTS = 256
#: Folders that are being listed at the same time.
_MOST_SINGLES = 64
#: Sizes asked for together.
_SIZES_AT_ONCE = 8
#: A file that the kernel was shown: its inode and its node.
Shown = tuple[Inode, Node]


@dataclass(slots=True)
class _Listing:
    """The files of a folder that can be read ahead, in the order of its listing."""

    nodes: list[Node] = field(default_factory=list)
    positions: dict[Inode, int] = field(default_factory=dict)


class ListingOrder:
    """What the kernel was shown of each folder. No method is a checkpoint."""

    def __init__(self, namespace: Namespace, read_ahead: FolderReadAhead) -> None:
        self._namespace = namespace
        self._read_ahead = read_ahead
        self._listings: dict[Node, _Listing] = {}
        #: The first file of folders of which no second one was listed yet. Most calls have one recording, which has no
        #: next file, and a table for each of 100,000 calls would take 40 MB.
        self._singles: LRUCache[Node, Shown] = LRUCache(_MOST_SINGLES)
        #: Large folders, the one that was listed last behind the others.
        self._large: list[Node] = []
        self._files = 0
        #: Where a file is read: the folder that showed it last, or that it was looked up in. Files that only a large
        #: folder shows are left out.
        self._folders: dict[Inode, Node] = {}
        #: Files that the kernel knows from a lookup, and not from a listing.
        self._only_looked_up: set[Inode] = set()
        self._contents: LRUCache[Node, Remote] = LRUCache(_MOST_CONTENTS)
        self._keys: LRUCache[Node, str] = LRUCache(_MOST_CONTENTS)

    def note_lookup(self, inode: Inode, *, is_new: bool) -> None:
        """The file was looked up by its name. `is_new`: the kernel had not been shown it before."""
        if is_new:
            self._only_looked_up.add(inode)

    def is_only_looked_up(self, inode: Inode) -> bool:
        """True where the kernel knows the file by its name alone. A program that asks for such a file's attributes
        opens it, as a rule."""
        return inode in self._only_looked_up

    def forget(self, inode: Inode) -> None:
        """The kernel no longer holds the file."""
        self._only_looked_up.discard(inode)

    def listed(self, folder: Node, files: list[Shown], *, is_all: bool) -> None:
        """A listing of `folder` showed these files, of the kinds `READ_AHEAD`. A folder is listed from its start, and
        new files come last. `is_all`: the folder has no others."""
        self._only_looked_up.difference_update(inode for inode, _node in files)
        listing = self._listings.get(folder)
        if listing is None:
            if is_all and len(files) == 1:
                return
            first = self._singles.pop(folder, files[0])
            if first[0] == files[-1][0]:
                self._singles[folder] = first
                return
            listing = self._listings[folder] = _Listing()
            self._add(folder, listing, *first)
        if folder in self._large:
            self._large.remove(folder)
            self._large.append(folder)
        for inode, node in files:
            self._add(folder, listing, inode, node)

    def _add(self, folder: Node, listing: _Listing, inode: Inode, node: Node) -> None:
        if len(listing.nodes) < _LARGE_FOLDER or inode in self._folders:
            self._folders[inode] = folder
        if inode in listing.positions:
            return
        listing.positions[inode] = len(listing.nodes)
        listing.nodes.append(node)
        if len(listing.nodes) == _LARGE_FOLDER:
            self._large.append(folder)
        self._files += 1
        while self._files > _MOST_FILES and len(self._listings) > 1:
            self._forget(next(iter(self._listings)))

    def looked_up(self, folder: Node, inode: Inode) -> None:
        """The file was looked up in `folder`: of the folders that show it, this is the one that is being read."""
        listing = self._listings.get(folder)
        if listing is not None and inode in listing.positions:
            self._folders[inode] = folder

    def opened(self, inode: Inode, content: Remote, file: OpenFile) -> None:
        """The file was opened: those that follow it in its folder may be read ahead."""
        found = self._position(inode)
        if found is None:
            return
        folder, nodes, position = found
        self._read_ahead.opened(
            folder,
            position,
            key=content.key,
            file=file,
            following=lambda count: self._siblings_of(nodes[position + 1 : position + 1 + count], position),
        )

    def unsized_after(self, inode: Inode) -> list[Remote]:
        """The contents, of the seven files that follow in the folder, whose size is not known. `ls -l` asks for sizes
        one after the other, and each would cost a round trip (`cffs/docs/semantics.md#sizes`)."""
        found = self._position(inode)
        if found is None:
            return []
        _folder, nodes, position = found
        contents = [self._namespace.content(node) for node in nodes[position + 1 : position + _SIZES_AT_ONCE]]
        return [
            content
            for content in contents
            if isinstance(content, Remote)
            and content.state not in _UNSTEADY
            and self._namespace.describe_content(content).nbytes is None
        ]

    def _position(self, inode: Inode) -> tuple[Node, list[Node], int] | None:
        """The folder that lists the file, the folder's files, and the file's position among them; None where no listing
        showed it."""
        folder = self._folders.get(inode)
        if folder is None:
            folder = next((large for large in reversed(self._large) if inode in self._listings[large].positions), None)
        listing = self._listings.get(folder) if folder is not None else None
        position = listing.positions.get(inode) if listing is not None else None
        if folder is None or listing is None or position is None:
            return None
        return folder, listing.nodes, position

    def _siblings_of(self, nodes: Sequence[Node], position: int) -> list[NextFile]:
        found = (self._sibling(node, position + number) for number, node in enumerate(nodes, start=1))
        return [sibling for sibling in found if sibling is not None]

    def _sibling(self, node: Node, position: int) -> NextFile | None:
        content = self._contents.get(node)
        # not remembered with the content: what is known of the object may be of another version a moment later
        known = None if content is None else self._namespace.known(content)
        if content is None or known is None:
            content = self._content(node)
            if content is None:
                return None
            known = self._namespace.known(content)
            if known is not None:
                self._contents[node] = content
        return NextFile(
            index=position, key=content.key, sources=content.sources, known=known, hint_nbytes=content.hint_nbytes
        )

    def _content(self, node: Node) -> Remote | None:
        """The content of a file that can be read ahead; None where it was already, or cannot be."""
        key = self._keys.get(node)
        if key is not None and self._read_ahead.has_prefetched(key):
            return None  # each open looks at the next sixteen files, of which it saw fifteen before
        try:
            content = self._namespace.content(node)
        except CffsError:
            return None  # the file's row is gone
        if not isinstance(content, Remote) or content.state in _UNSTEADY:
            return None
        self._keys[node] = content.key
        return content

    def _forget(self, folder: Node) -> None:
        listing = self._listings.pop(folder)
        self._files -= len(listing.nodes)
        if folder in self._large:
            self._large.remove(folder)
        for inode in listing.positions:
            if self._folders.get(inode) == folder:
                del self._folders[inode]
