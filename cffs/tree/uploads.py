"""media/ where it is written: uploads, and the names written for the mount's life.

It must not know how a file is spooled or sent (`writer/uploads`). The number of an upload identifies its node, so that
a rename keeps the inode, and every descriptor that is open.
"""

from collections.abc import Callable

from cffs.catalog.store import Catalog
from cffs.core.errors import (
    AlreadyExists,
    CffsError,
    NotInTree,
    NotPermitted,
    OriginBusy,
    ReadOnlyMount,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.tree.contents import Spooled
from cffs.tree.context import Context
from cffs.tree.media import file_name, file_node, listed
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedNode, Kind, MediaFileNode, Node, UploadNode
from cffs.tree.routes import routes_of
from cffs.tree.write_handlers import (
    Change,
    WritableFile,
    WriteHandlers,
    WriteOpen,
    change_ignored,
    not_permitted,
)
from cffs.writer.uploads import Uploads

_WRITABLE_FOLDER, _WRITABLE_FILE = 0o755, 0o644
#: What a service answers that does not yet give out what was just sent to it (in its words, "currently unavailable").
_NOT_YET = (RemoteObjectMissing, ServerFailure, OriginBusy)


def _uploads(context: Context) -> Uploads:
    if context.uploads is None:
        raise ReadOnlyMount("media")
    return context.uploads


def resolve(context: Context, _parent: Node, parts: Parts) -> Node:
    """A file that is being written, or that this mount has sent under that name. Never a question."""
    if context.uploads is None:
        raise NotInTree("nothing is written here")
    name = parts["new_name"]
    upload = context.uploads.find(name)
    if upload is not None:
        return UploadNode(upload.number)
    media_id = context.uploads.uploaded.media_id(name)
    row = context.catalog.media_file(media_id) if media_id is not None else None
    if row is None:
        raise NotInTree(name)
    return file_node(row)


def content(context: Context, node: UploadNode) -> Spooled:
    """What has been written so far."""
    upload = _uploads(context).get(node.number)
    return Spooled(nbytes=upload.nbytes, modified_ms=upload.modified_ms)


async def _create(context: Context, _folder: Node, name: str, opening: WriteOpen) -> tuple[Node, WritableFile]:
    if _is_there(context, name):
        raise NotPermitted("media cannot be changed")
    upload, handle = await _uploads(context).create(name, opening.pid)
    return UploadNode(upload.number), handle


async def _open(context: Context, node: UploadNode, opening: WriteOpen) -> WritableFile:
    uploads = _uploads(context)
    handle = uploads.open(uploads.get(node.number), writes=opening.writes, pid=opening.pid)
    if opening.truncates:
        try:
            await handle.truncate(0)
        except CffsError:
            await handle.release()
            raise
    return handle


async def _remove(context: Context, _folder: Node, name: str) -> None:
    uploads = _uploads(context)
    upload = uploads.find(name)
    if upload is None:
        raise NotPermitted("media cannot be deleted")
    uploads.remove(upload)


async def _rename(context: Context, folder: Node, old: str, new: str, replaces: bool) -> None:
    uploads = _uploads(context)
    upload = uploads.find(old)
    if upload is None:
        raise NotPermitted("media cannot be renamed")
    if _is_there(context, new):
        raise NotPermitted("media cannot be replaced") if replaces else AlreadyExists(new)
    await uploads.rename(upload, new, replaces=replaces)


def forget_names(catalog: Catalog, name_changed: Callable[[Node, str], None], media_id: int) -> None:
    """Have the kernel look again for every name under which a media file appeared."""
    row = catalog.media_file(media_id)
    if row is None:
        return
    media, by_name, public = FixedNode(Kind.MEDIA), FixedNode(Kind.MEDIA_BY_NAME), FixedNode(Kind.MEDIA_PUBLIC)
    for name in (file_name(str(row.id), row), f"{row.id}.json", str(row.id)):
        name_changed(media, name)
    name_changed(by_name, file_name(row.stem, row))
    if row.public_key:
        name_changed(public, f"{row.public_key}.{row.public_extension}")


def _is_there(context: Context, name: str) -> bool:
    """True where a media file has the name, by its id or because it was written here."""
    if _uploads(context).uploaded.media_id(name) is not None:
        return True
    for route in routes_of(Kind.MEDIA):
        parts = route.match(name)
        if parts is not None and parts.get("id"):
            row = context.catalog.media_file(int(parts["id"]))
            return row is not None and listed(row.extension) == listed(parts.get("ext", row.extension))
    return False


async def _change(context: Context, node: UploadNode, change: Change) -> None:
    """A length goes to the upload; times, owner and mode are accepted and not kept."""
    if change.nbytes is None:
        return
    if change.file is not None:
        await change.file.truncate(change.nbytes)
    else:
        await _uploads(context).get(node.number).truncate(change.nbytes)


async def _change_media(context: Context, node: MediaFileNode, change: Change) -> None:
    """Times, owner and mode of a file that was just written are accepted and ignored; nothing else can be changed."""
    if change.nbytes is not None or not _uploads(context).uploaded.is_made_here(node.media_id):
        raise NotPermitted("media cannot be changed")


async def _stand_in(context: Context, node: MediaFileNode, problem: CffsError) -> WritableFile | None:
    if context.uploads is None or not isinstance(problem, _NOT_YET):
        return None
    return context.uploads.stand_in(node.media_id)


def _served(context: Context, node: MediaFileNode) -> None:
    if context.uploads is not None:
        context.uploads.served(node.media_id)


MEDIA_WRITING = WriteHandlers(
    permissions=_WRITABLE_FOLDER,
    create_file=_create,
    make_folder=not_permitted("media/ has no folders of one's own"),
    remove_file=_remove,
    remove_folder=not_permitted("the folders of media/ stay"),
    rename=_rename,
    change=change_ignored,
)
MEDIA_FILE_WRITING = WriteHandlers(
    permissions=_WRITABLE_FILE,
    open_file=not_permitted("media cannot be changed"),
    change=_change_media,
    stand_in=_stand_in,
    served=_served,
)
UPLOAD_WRITING = WriteHandlers(permissions=_WRITABLE_FILE, open_file=_open, change=_change)
