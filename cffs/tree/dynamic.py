"""dynamic/: recordings made during calls, by lookup.

It owns which remote names a local name stands for (`cffs/docs/semantics.md#dynamic-recordings`). It must not know v2. A
well-formed folder always opens: nothing can list dynamic recordings, so nothing can deny one. The folders list what was
looked up or imported.
"""

from typing import Literal

from cffs.catalog import upserts
from cffs.catalog.rows import DynamicRow
from cffs.core.errors import NotInTree
from cffs.core.names import decode_name, encode_name, is_text
from cffs.core.source import Source, v1_dynamic
from cffs.tree.contents import Entry, Remote
from cffs.tree.context import Context, fixed, past, row_offset
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import DynamicFileNode, DynamicFolderNode, FixedNode, Kind, Node
from cffs.tree.unproven import Question

#: The kind of folder by how many names lead to it.
_KINDS: dict[int, Literal[Kind.DYNAMIC_HASH, Kind.DYNAMIC_YEAR, Kind.DYNAMIC_MONTH, Kind.DYNAMIC_CAMPAIGN]] = {
    1: Kind.DYNAMIC_HASH,
    2: Kind.DYNAMIC_YEAR,
    3: Kind.DYNAMIC_MONTH,
    4: Kind.DYNAMIC_CAMPAIGN,
}
Location = tuple[str, str, str, str]


def resolve_folder(context: Context, parent: FixedNode | DynamicFolderNode, parts: Parts) -> Node:
    """Any well-formed name, kept as spelt: `8` and `08` are two folders."""
    if context.account.v1 is None:
        raise NotInTree("dynamic recordings are v1's")
    (name,) = parts.values()
    return _folder(*names_to(parent), name)


def _folder(*names: str) -> DynamicFolderNode:
    return DynamicFolderNode(names, _KINDS[len(names)])


def names_to(folder: FixedNode | DynamicFolderNode) -> tuple[str, ...]:
    """The names on the way to a folder; none for dynamic/ itself."""
    return folder.names if isinstance(folder, DynamicFolderNode) else ()


def resolve_root(context: Context, _parent: Node, _parts: Parts) -> Node:
    """dynamic/ exists with a v1 key."""
    if context.account.v1 is None:
        raise NotInTree("dynamic recordings are v1's")
    return FixedNode(Kind.DYNAMIC)


def resolve_file(context: Context, parent: DynamicFolderNode, parts: Parts) -> Node | Question:
    """A known name wins. Else the first remote name that it may stand for and that answers, which is then
    remembered."""
    location, filename = _location(parent), decode_name(parts["filename"])
    if not is_text(filename):
        raise NotInTree("a dynamic recording is named by its URL, which is UTF-8")
    row = context.catalog.dynamic_file(location, filename)
    if row is not None:
        return _file_node(row)
    node = DynamicFileNode(*location, filename)

    async def ask() -> Node:
        await context.require_remote(content(context, node))
        if context.catalog.dynamic_file(location, filename) is None:
            found = DynamicRow(0, *location, filename)
            await context.catalog.write(lambda db: upserts.put_dynamic(db, found))
        row = context.catalog.dynamic_file(location, filename)
        return _file_node(row) if row else node

    return Question(node, ask)


def _file_node(row: DynamicRow) -> DynamicFileNode:
    return DynamicFileNode(row.hash, row.year, row.month, row.campaign, row.filename)


def _location(folder: DynamicFolderNode) -> Location:
    spelt_hash, year, month, campaign = folder.names
    return spelt_hash, year, month, campaign


def content(context: Context, node: DynamicFileNode) -> Remote:
    """`N` is remote N; `S.wav` is S.wav, then S; `S.mp3` is the MP3 form of S.wav, then that of S, then S.mp3 as it
    is."""
    location, name = (node.hash, node.year, node.month, node.campaign), node.filename
    row = context.catalog.dynamic_file(location, name)
    return Remote(
        key=f"dynamic/{'/'.join(location)}/{encode_name(name)}",
        sources=_sources(location, name),
        seen_ms=row.seen_ms if row is not None else None,
    )


def _sources(location: Location, name: str) -> tuple[Source, ...]:
    stem, dot, extension = name.rpartition(".")
    if dot and stem and extension == "wav":
        return v1_dynamic(location, name), v1_dynamic(location, stem)
    if dot and stem and extension == "mp3":
        return (
            v1_dynamic(location, f"{stem}.wav", mp3=True),
            v1_dynamic(location, stem, mp3=True),
            v1_dynamic(location, name),
        )
    return (v1_dynamic(location, name),)


def folder_entries(context: Context, node: FixedNode | DynamicFolderNode, after: int) -> list[Entry]:
    """The known folders one level down."""
    parents = names_to(node)
    folders = context.catalog.dynamic_folders(parents)
    return past([Entry(row_offset(seq, 0), name, _folder(*parents, name)) for seq, name in folders], after)


def file_entries(context: Context, node: DynamicFolderNode, after: int) -> list[Entry]:
    """The known files of one folder."""
    rows = context.catalog.dynamic_files(_location(node))
    return past([Entry(row_offset(row.seq, 0), encode_name(row.filename), _file_node(row)) for row in rows], after)


def root_entries(context: Context, node: FixedNode, after: int) -> list[Entry]:
    """The known hashes."""
    return folder_entries(context, node, after) if context.account.v1 is not None else past(fixed(), after)
