"""The attributes of the tree's nodes: what stat shows of each.

Owns the choice among several known sizes, how much of a file is held here, and the note of each shown size that may
have to be taken back. It must not know how attributes are spelt for the kernel (`fuse/attributes`), nor ask the service
anything. No method is a checkpoint.
"""

import pyfuse3

from cffs.core.ids import Inode
from cffs.core.units import BLOCK_NBYTES
from cffs.core.values import RecordingState
from cffs.fuse.attribute_cache import AttributeCache
from cffs.fuse.attributes import statfs_of
from cffs.fuse.growing_files import GrowingFiles
from cffs.fuse.presentation import Presentation
from cffs.fuse.snapshots import Snapshots
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Content, Folder, Remote
from cffs.tree.namespace import Description
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS


class NodeAttributes:
    """Makes the attributes of nodes, for LOOKUP, GETATTR and listings."""

    def __init__(self, presentation: Presentation, *, growing: GrowingFiles, snapshots: Snapshots) -> None:
        self._namespace = presentation.namespace
        self._objects = presentation.objects
        self._catalog = presentation.catalog
        self._attributes = presentation.attributes
        self._view = presentation.kernel.view
        self._handles = presentation.kernel.handles
        self._versions = presentation.kernel.versions
        self._now_ns = presentation.now_ns
        self._growing = growing
        self._snapshots = snapshots
        self._cache = AttributeCache()

    def known(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        """What is known now. Raises what the namespace's `content` raises."""
        if node.kind in FOLDERS:
            permissions, description = self._namespace.writing.permissions(node), self._namespace.describe(node)
            return self._attributes.make(
                inode, description, held_nbytes=0, now_ns=self._now_ns(), permissions=permissions
            )
        content = self._namespace.content(node)
        return self.file(inode, node, content, self._namespace.describe_content(content))

    def file(self, inode: Inode, node: Node, content: Content, description: Description) -> pyfuse3.EntryAttributes:
        """The attributes of a file whose content and description are at hand."""
        description, held_nbytes = self._held(inode, content, description)
        permissions = self._namespace.writing.permissions(node)
        return self._attributes.make(
            inode, description, held_nbytes=held_nbytes, now_ns=self._now_ns(), permissions=permissions
        )

    def begin_listing(self) -> None:
        """A listing is about to be replied with, in one step: what the cache holds is checked once for all of it."""
        turns = self._catalog.facts_turn, self._objects.held_turn, self._handles.turn, self._versions.turn
        self._cache.stamped(turns)

    def listed(self, inode: Inode, node: Node, content: Content | Folder | None) -> pyfuse3.EntryAttributes:
        """The attributes of an entry of the listing that was begun, in an object that the next call may change.
        `content` is given where it is at hand."""
        if isinstance(content, Remote) and (cached := self._cache.get(inode, content)) is not None:
            if not cached.is_exact:
                self._view.note(cached.key, inode)
            return cached.attributes
        permissions = self._namespace.writing.permissions(node)
        if isinstance(content, Folder):
            modified_ms = content.modified_ms
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if isinstance(content, Remote) and permissions is None and self._is_only_listed(inode, content):
            self._view.note(content.key, inode)
            nbytes, modified_ms = self._namespace.listed_size_and_time(content)
            now_ns = self._now_ns()
            attributes = self._attributes.only_listed(inode, nbytes, modified_ms, now_ns=now_ns)
            self._cache.keep(inode, content, attributes, is_exact=False, now_ns=now_ns)
            return attributes
        if content is None and node.kind in FOLDERS:
            modified_ms = self._namespace.folder_modified_ms(node)
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if content is None:
            content = self._namespace.content(node)
        description, held_nbytes = self._held(inode, content, self._namespace.describe_content(content))
        now_ns = self._now_ns()
        attributes = self._attributes.make(
            inode, description, held_nbytes=held_nbytes, now_ns=now_ns, permissions=permissions, is_listed=True
        )
        if isinstance(content, Remote):
            self._cache.keep(inode, content, attributes, is_exact=description.is_exact, now_ns=now_ns)
        return attributes

    def _is_only_listed(self, inode: Inode, content: Remote) -> bool:
        """True for most files of a large listing: nothing but the listing says anything of it, and no byte of it is
        here or on its way. The cheapest questions come first."""
        return (
            content.state is not RecordingState.RECORDING
            and self._catalog.fact(content.key) is None
            and self._versions.of(inode) is None
            and not self._handles.has_object(content.key)
            and self._objects.is_untouched(content.key)
        )

    def file_system(self) -> pyfuse3.StatvfsData:
        """The whole of the file system, as statfs shows it."""
        return statfs_of(
            known_nbytes=self._catalog.known_nbytes(),
            known_files=self._catalog.known_files(),
            is_read_only=self._attributes.is_read_only,
        )

    def _held(self, inode: Inode, content: Content, description: Description) -> tuple[Description, int]:
        """The description as it is shown, and how much of the file is held here."""
        if not isinstance(content, Remote):
            shown_nbytes = self._snapshots.nbytes(inode)
            if shown_nbytes is not None:  # pages of it are read or mapped: no other size may be shown
                description = description._replace(nbytes=shown_nbytes)
            return description, description.nbytes or 0
        if (tied := self._versions.of(inode)) is not None:
            description = description._replace(nbytes=tied.nbytes, is_exact=True, is_volatile=False)
        elif is_being_made(content):
            description = description._replace(nbytes=self._growing.nbytes(content))
        elif not description.is_exact:
            description = self._never_too_small(content, description)
        if not description.is_exact:
            self._view.note(content.key, inode)
        return description, self._objects.held_nbytes(content.key)

    def _never_too_small(self, content: Remote, description: Description) -> Description:
        """While an origin gives no total, show a size beyond what has arrived, so that rsync and tar fail aloud."""
        arrived = [handle.file.arrived_nbytes for handle in self._handles.of_object(content.key)]
        if not arrived and self._catalog.fact(content.key) is None:
            return description
        least = max(arrived, default=0) + BLOCK_NBYTES
        return description._replace(nbytes=max(description.nbytes or 0, least), is_volatile=True)
