"""The writing half of the namespace: a request goes to the handlers of its kind.

It must not know the kernel, nor any one kind.
"""

import stat

from cffs.core.errors import CffsError, NameTooLong, NotAFolder, NotPermitted, ReadOnlyMount
from cffs.core.names import MAX_NAME_NBYTES, name_nbytes
from cffs.tree.context import Context
from cffs.tree.handler_table import HANDLERS
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS
from cffs.tree.write_handlers import NO_WRITING, Change, WritableFile, WriteHandlers, WriteOpen


class NamespaceWriting:
    """Makes, renames, changes and removes names.

    What creates, opens, renames, changes or removes raises ReadOnlyMount where the mount or the place is read-only,
    else what the kind raises. Cancelled, an action that was sent may have happened; the kinds see to it that it is not
    repeated.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def permissions(self, node: Node) -> int | None:
        """The mode bits of a node that is writable in its own way, else None."""
        writing = HANDLERS[node.kind].writing
        return writing.permissions if self._is_enabled(writing) else None

    def may_create(self, folder: Node) -> bool:
        """True where a lookup of a name in the folder may mean that it is about to be created."""
        writing = HANDLERS[folder.kind].writing if folder.kind in HANDLERS else NO_WRITING
        if writing.is_of_notes:  # a note's name is never promised
            return False
        return writing.has_mkdir or (self._context.is_writable and bool((writing.permissions or 0) & stat.S_IWUSR))

    async def create_file(self, folder: Node, name: str, opening: WriteOpen) -> tuple[Node, WritableFile]:
        """Create a file, opened for writing."""
        return await self._of_folder(folder, name).create_file(self._context, folder, name, opening)

    async def make_folder(self, folder: Node, name: str) -> Node:
        """Create a folder."""
        return await self._of_folder(folder, name).make_folder(self._context, folder, name)

    async def remove_file(self, folder: Node, name: str) -> None:
        """Remove a file; what that means is up to the kind."""
        await self._of_folder(folder, name).remove_file(self._context, folder, name)

    async def remove_folder(self, folder: Node, name: str) -> None:
        """Remove a folder."""
        await self._of_folder(folder, name).remove_folder(self._context, folder, name)

    async def rename(self, old_folder: Node, old: str, new_folder: Node, new: str, *, replaces: bool) -> None:
        """Rename the file `old` to `new`; without `replaces`, raises AlreadyExists where there is a `new`."""
        writing, target = self._of_folder(old_folder, old), self._of_folder(new_folder, new)
        for folder, its in ((old_folder, writing), (new_folder, target)):
            if not its.permissions:
                raise ReadOnlyMount(folder.kind.name)
        if old_folder != new_folder:
            raise NotPermitted("none of our folders takes in what another holds")
        await writing.rename(self._context, old_folder, old, new, replaces)

    async def open_file(self, file: Node, opening: WriteOpen) -> WritableFile:
        """Open the file for writing, or for reading what is being written."""
        return await self._of(file).open_file(self._context, file, opening)

    async def change(self, node: Node, change: Change) -> None:
        """Change the length, or times, owner or mode."""
        await self._of(node).change(self._context, node, change)

    async def stand_in(self, file: Node, problem: CffsError) -> WritableFile | None:
        """What is read in place of a file that the service refuses; None where there is nothing."""
        if not self._context.is_writable:
            return None
        return await HANDLERS[file.kind].writing.stand_in(self._context, file, problem)

    def served(self, file: Node) -> None:
        """Note that the service gave the file out. Never a checkpoint."""
        if self._context.is_writable:
            HANDLERS[file.kind].writing.served(self._context, file)

    def _of_folder(self, folder: Node, name: str) -> WriteHandlers:
        if folder.kind not in FOLDERS:
            raise NotAFolder(folder.kind.name)
        writing = self._of(folder)
        if name_nbytes(name) > MAX_NAME_NBYTES:
            raise NameTooLong(name[:MAX_NAME_NBYTES])
        return writing

    def _of(self, node: Node) -> WriteHandlers:
        writing = HANDLERS[node.kind].writing
        if not self._is_enabled(writing):
            raise ReadOnlyMount(node.kind.name)
        return writing

    def _is_enabled(self, writing: WriteHandlers) -> bool:
        return self._context.notes is not None if writing.is_of_notes else self._context.is_writable
