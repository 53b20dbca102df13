"""What stat and listings show of a node: its description, what is held of it here, how long the kernel may believe it.

It must not know who asks, nor ask anything itself: `fuse/operations` has asked what must be asked first.
"""

from collections.abc import Callable

import pyfuse3

from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.values import RecordingState
from cffs.fuse.attribute_cache import AttributeCache
from cffs.fuse.attributes import BLOCK_NBYTES, AttributeMaker, statfs_of
from cffs.fuse.growing_files import Living
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import KernelView
from cffs.fuse.snapshots import Snapshots
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import Content, Folder, Node, Remote
from cffs.tree.routes import FOLDERS


class Showing:
    """Makes attributes of nodes, and notes which sizes may have to be taken back. No method is a checkpoint."""

    def __init__(
        self,
        *,
        namespace: Namespace,
        objects: ObjectRegistry,
        catalog: Catalog,
        attributes: AttributeMaker,
        kernel: KernelView,
        handles: HandleTable,
        living: Living,
        versions: InodeVersions,
        snapshots: Snapshots,
        now_ns: Callable[[], int],
    ) -> None:
        self._namespace = namespace
        self._objects = objects
        self._catalog = catalog
        self._attributes = attributes
        self._kernel = kernel
        self._handles = handles
        self._living = living
        self._versions = versions
        self._snapshots = snapshots
        self._now_ns = now_ns
        self._kept = AttributeCache()

    def known(self, inode: Inode, node: Node) -> pyfuse3.EntryAttributes:
        """What is known now. Raises what the namespace's `content` raises."""
        if node.kind in FOLDERS:
            permissions, description = self._namespace.writing.permissions(node), self._namespace.describe(node)
            return self._attributes.make(
                inode, description, held_nbytes=0, now_ns=self._now_ns(), permissions=permissions
            )
        content = self._namespace.content(node)
        return self.file(inode, node, content, self._namespace.describe_content(content))

    def begin_listing(self) -> None:
        """A listing shows what follows in one step."""
        turns = self._catalog.facts_turn, self._objects.held_turn, self._handles.turn, self._versions.turn
        self._kept.stamped(turns)

    def listed(self, inode: Inode, node: Node, content: Content | Folder | None) -> pyfuse3.EntryAttributes:
        """The same for a listing that was begun, in an object that the next call may change; `content` where it is at
        hand."""
        if isinstance(content, Remote) and (kept := self._kept.get(inode, content)) is not None:
            if not kept.is_exact:
                self._kernel.note(kept.key, inode)
            return kept.attributes
        permissions = self._namespace.writing.permissions(node)
        if isinstance(content, Folder):
            modified_ms = content.modified_ms
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if isinstance(content, Remote) and permissions is None and self._is_only_listed(inode, content):
            self._kernel.note(content.key, inode)
            nbytes, modified_ms = self._namespace.told_by_listing(content)
            return self._attributes.only_listed(inode, nbytes, modified_ms, now_ns=self._now_ns())
        if content is None and node.kind in FOLDERS:
            modified_ms = self._namespace.folder_modified_ms(node)
            return self._attributes.listed_folder(inode, modified_ms, now_ns=self._now_ns(), permissions=permissions)
        if content is None:
            content = self._namespace.content(node)
        description, held_nbytes = self._held(inode, content, self._namespace.describe_content(content))
        now_ns = self._now_ns()
        attributes = self._attributes.listed_file(
            inode, description, held_nbytes=held_nbytes, now_ns=now_ns, permissions=permissions
        )
        if isinstance(content, Remote):
            self._kept.keep(inode, content, attributes, is_exact=description.is_exact, now_ns=now_ns)
        return attributes

    def _is_only_listed(self, inode: Inode, content: Remote) -> bool:
        """True for what most files of a large listing are: nothing but the listing has told of it, and nothing of it is
        here or on its way. The order is that of what is cheap to ask."""
        return (
            content.state is not RecordingState.RECORDING
            and self._catalog.fact(content.key) is None
            and self._versions.of(inode) is None
            and not self._handles.has_object(content.key)
            and self._objects.is_untouched(content.key)
        )

    def file_system(self) -> pyfuse3.StatvfsData:
        """The whole of it, as statfs shows it."""
        return statfs_of(
            known_nbytes=self._catalog.known_nbytes(),
            known_files=self._catalog.known_files(),
            is_read_only=self._attributes.is_read_only,
        )

    def file(self, inode: Inode, node: Node, content: Content, description: Description) -> pyfuse3.EntryAttributes:
        """The same of a file whose content and description are at hand."""
        description, held_nbytes = self._held(inode, content, description)
        permissions = self._namespace.writing.permissions(node)
        return self._attributes.make(
            inode, description, held_nbytes=held_nbytes, now_ns=self._now_ns(), permissions=permissions
        )

    def _held(self, inode: Inode, content: Content, description: Description) -> tuple[Description, int]:
        """The description as it is shown, and how much of the file is held here."""
        if not isinstance(content, Remote):
            shown_nbytes = self._snapshots.nbytes(inode)
            if shown_nbytes is not None:  # pages of it are read or mapped: no other size may be said
                description = description._replace(nbytes=shown_nbytes)
            return description, description.nbytes or 0
        if (tied := self._versions.of(inode)) is not None:
            description = description._replace(nbytes=tied.nbytes, is_exact=True, is_volatile=False)
        elif is_being_made(content):
            description = description._replace(nbytes=self._living.nbytes(content))
        elif not description.is_exact:
            description = self._never_too_small(content, description)
        if not description.is_exact:
            self._kernel.note(content.key, inode)
        return description, self._objects.held_nbytes(content.key)

    def _never_too_small(self, content: Remote, description: Description) -> Description:
        """While an origin tells no total, stat is beyond what has arrived, so that rsync and tar fail aloud."""
        arrived = [handle.file.arrived_nbytes for handle in self._handles.of_object(content.key)]
        if not arrived and self._catalog.fact(content.key) is None:
            return description
        least = max(arrived, default=0) + BLOCK_NBYTES
        return description._replace(nbytes=max(description.nbytes or 0, least), is_volatile=True)
