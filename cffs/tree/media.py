"""media/: the account's media by id, by name, and by the key of a public URL.

It owns which types a media file opens as, and which sources each has. It must not know recordings.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from cffs.catalog.rows import MediaRow
from cffs.core.errors import CffsError, NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.media_types import MIME_TYPES, may_be_text
from cffs.core.probe_names import is_probe_name
from cffs.core.source import Source, v2_media, v2_media_public, v2_media_raw
from cffs.tree.contents import Content, Document, Entry, Remote
from cffs.tree.context import Context, fixed, past, row_offset, seq_before
from cffs.tree.listing_lookup import of_listing
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedNode, Kind, MediaFileNode, MediaJsonNode, MediaPublicFileNode, MediaRawNode, Node
from cffs.tree.routes import routes_of
from cffs.tree.unlisted_recordings import LATE_SECONDS
from cffs.tree.unproven import Question


def listed(extension: str) -> str:
    """The extension as it is listed: lower case, and `jpg` for `jpeg`."""
    extension = extension.lower()
    return "jpg" if extension == "jpeg" else extension


def file_name(stem: str, row: MediaRow) -> str:
    """`stem` with the extension of the file's type, where one is known."""
    extension = listed(row.extension)
    return f"{stem}.{extension}" if extension else stem


def file_node(row: MediaRow) -> Node:
    """The file of a row; the raw file where its type is not known."""
    if not row.extension:
        return MediaRawNode(row.id)
    return MediaFileNode(row.id, listed(row.extension))


def _known(context: Context, media_id: int) -> MediaRow | None:
    if context.account.v2 is None:
        raise NotInTree("media are v2's")
    return context.catalog.media_file(media_id)


def _ask_row_behind(context: Context, media_id: int) -> None:
    """Ask v2 in the background for a file whose bytes are there: for its name, its type, and when it was made."""
    if context.catalog.media_file(media_id) is None:
        context.account.begin(("media-row", media_id), None, partial(_asked, context, media_id))


async def _asked(context: Context, media_id: int) -> MediaRow:
    row = context.catalog.media_file(media_id)
    if row is None:
        await context.account.find_media(media_id, patience_seconds=None)
        row = context.catalog.media_file(media_id)
    if row is None:
        raise RemoteObjectMissing(f"media {media_id}")
    return row


def resolve_file(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """`{id}.{ext}`: in its own type; in another documented type where the service gives it."""
    media_id, extension = int(parts["id"]), listed(parts["ext"])
    row, node = _known(context, media_id), MediaFileNode(media_id, extension)
    if row is not None and extension == listed(row.extension):
        return file_node(row)
    _require_type(row, extension)
    if row is not None and context.is_known(file_content(context, node)):
        return node

    async def ask() -> Node:
        if extension in MIME_TYPES:
            with suppress(RemoteObjectMissing, OperationNotOffered):
                await context.require_remote(file_content(context, node))
                _ask_row_behind(context, media_id)
                return node
        # in its own type the service may give it in another way, which is in its row
        row = await _asked(context, media_id)
        if extension == listed(row.extension):
            return file_node(row)
        _require_type(row, extension)
        await context.require_remote(file_content(context, node))
        return node

    return Question(node, ask)


def _require_type(row: MediaRow | None, extension: str) -> None:
    """Raise RemoteObjectMissing for a form that the service gives of no media but those of that type."""
    if row is not None and extension not in MIME_TYPES:
        raise RemoteObjectMissing(f"media {row.id} is of another type")


def resolve_json(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """`{id}.json`."""
    return _of_row(context, int(parts["id"]), MediaJsonNode)


def resolve_raw(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """`{id}`: the file as it is, whatever its type.

    Its row says whether it may hold text, or text is an error page in its place. The row is asked for beside the bytes,
    and decides only where the bytes do not: they are text, late, none, or an error.
    """
    media_id = int(parts["id"])
    node = MediaRawNode(media_id)
    if _known(context, media_id) is not None:
        return node

    async def ask() -> Node:
        _ask_row_behind(context, media_id)
        remote = raw_content(context, node)
        with suppress(CffsError), trio.move_on_after(LATE_SECONDS):
            await context.require_remote(remote)
        if not context.is_known(remote):  # nor of what is empty: its row says whether it can be
            await _asked(context, media_id)
        return node

    return Question(node, ask)


def _of_row(context: Context, media_id: int, node_of: Callable[[int], Node]) -> Node | Question:
    node = node_of(media_id)
    if _known(context, media_id) is not None:
        return node

    async def ask() -> Node:
        await _asked(context, media_id)
        return node

    return Question(node, ask)


def resolve_by_name(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """`{name}.{ext}` as listed, or `{bare name}` where the type is not known."""

    def known() -> MediaRow | None:
        name, extension = parts.get("name") or parts["bare_name"], parts.get("ext", "")
        row = context.catalog.media_by_stem(name, listed(extension))
        # a name with a dot may be all stem
        return row or (context.catalog.media_by_stem(f"{name}.{extension}", "") if extension else None)

    return of_listing(context, "media", known, file_node)


def resolve_public(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """`{key}.{ext}`: known where it is the account's own, else the service is asked for the file."""
    if context.account.v2 is None:
        raise NotInTree("media are v2's")
    row = context.catalog.media_by_public_key(parts["key"])
    extension = listed(parts["ext"])
    if row is not None and listed(row.public_extension or "") == extension:
        return _public_node(row)
    _require_type(row, extension)
    node = MediaPublicFileNode(parts["key"], extension)
    if context.is_known(public_content(context, node)):
        return node

    async def ask() -> Node:
        await context.require_remote(public_content(context, node))
        return node

    return Question(node, ask)


def _public_node(row: MediaRow) -> Node:
    return MediaPublicFileNode(row.public_key or "", listed(row.public_extension or ""))


def media_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """by-name/, public/, then each file with its metadata."""
    entries = fixed(("by-name", FixedNode(Kind.MEDIA_BY_NAME)), ("public", FixedNode(Kind.MEDIA_PUBLIC)))
    for row in context.catalog.media(after_seq=seq_before(after)):
        entries.append(Entry(row_offset(row.seq, 0), file_name(str(row.id), row), file_node(row)))
        entries.append(Entry(row_offset(row.seq, 1), f"{row.id}.json", MediaJsonNode(row.id)))
    return past(entries, after)


def by_name_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """Each file by its name."""
    return _entries_of(context, after, lambda row: (file_name(row.stem, row), file_node(row)))


def public_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The account's own media that have a public URL."""
    return _entries_of(context, after, _public_entry)


def _public_entry(row: MediaRow) -> tuple[str, Node] | None:
    """A key that is no file name is not listed: it would not open."""
    name = f"{row.public_key}.{listed(row.public_extension or '')}"
    opens = not is_probe_name(name) and any(route.match(name) for route in routes_of(Kind.MEDIA_PUBLIC))
    return (name, _public_node(row)) if opens and row.public_key else None


def _entries_of(context: Context, after: int, show: Callable[[MediaRow], tuple[str, Node] | None]) -> list[Entry]:
    """The next entries of those rows for which `show` returns one; [] only after the last of all."""
    seq = seq_before(after)
    while rows := context.catalog.media(after_seq=seq):
        shown = [(row, entry) for row in rows if (entry := show(row)) is not None]
        if entries := past([Entry(row_offset(row.seq, 0), *entry) for row, entry in shown], after):
            return entries
        seq = rows[-1].seq
    return []


def file_content(context: Context, node: MediaFileNode) -> Remote:
    """The public URL's own suffix first, then the documented one, then the raw file (`cffs/docs/service.md#media`)."""
    media_id, extension = node.media_id, node.extension
    row = context.catalog.media_file(media_id)
    spellings: list[str] = []
    sources: list[Source] = []
    if row is not None and row.public_extension and listed(row.public_extension) == extension:
        spellings.append(row.public_extension)
    spellings += [extension] if extension not in spellings else []
    spellings += ["jpeg"] if extension == "jpg" and "jpeg" not in spellings else []
    is_text = may_be_text(extension)
    sources += [v2_media(media_id, spelling, may_be_text=is_text) for spelling in spellings]
    own = row is not None and listed(row.extension) == extension
    if own:
        sources.append(v2_media_raw(media_id, may_be_text=is_text))
    return Remote(
        key=f"media/{media_id}.{extension}",
        sources=tuple(sources),
        hint_nbytes=_hint_nbytes(context, row) if row is not None and own else None,
        created_ms=row.created_ms if row is not None else None,
        seen_ms=row.seen_ms if row is not None else None,
    )


def _hint_nbytes(context: Context, row: MediaRow) -> int | None:
    """The size that the service gave, or that of the upload that is read until the service gives the file out."""
    upload = context.uploads.uploaded.stand_in(row.id) if context.uploads is not None else None
    return row.hint_nbytes if upload is None else upload.nbytes


def raw_content(context: Context, node: MediaRawNode) -> Remote:
    """The raw file."""
    media_id = node.media_id
    row = context.catalog.media_file(media_id)
    return Remote(
        key=f"media/{media_id}/file",
        sources=(v2_media_raw(media_id, may_be_text=row is not None and may_be_text(row.extension)),),
        hint_nbytes=row.hint_nbytes if row else None,
        created_ms=row.created_ms if row else None,
        seen_ms=row.seen_ms if row else None,
    )


def public_content(context: Context, node: MediaPublicFileNode) -> Remote:
    """By the key; in the spelling of the account's own URL, where it has one."""
    key, extension = node.key, node.extension
    row = context.catalog.media_by_public_key(key)
    spellings = [extension, "jpeg"] if extension == "jpg" else [extension]
    if row is not None and row.public_extension and listed(row.public_extension) == extension:
        spellings = list(dict.fromkeys((row.public_extension, *spellings)))
    return Remote(
        key=f"media/public/{key}.{extension}",
        sources=tuple(v2_media_public(key, spelling, may_be_text=may_be_text(extension)) for spelling in spellings),
        hint_nbytes=row.hint_nbytes if row is not None else None,
        created_ms=row.created_ms if row is not None else None,
        seen_ms=row.seen_ms if row is not None else None,
    )


def json_content(context: Context, node: MediaJsonNode) -> Content:
    """Every field that v2 sent for the media file."""
    row = context.catalog.media_file(node.media_id)
    if row is None:
        raise RemoteObjectMissing(f"media {node.media_id}")
    return Document(body=row.document, modified_ms=row.dated_ms)
