"""dynamic/: recordings made during calls, by lookup; lists what was looked up or imported.

It must not know v2. Well-formed folders always open: nothing can list them, so nothing can deny them.
The namespace calls it. Which remote name a local one stands for is contract section 3, "dynamic/".
"""

from cffs.catalog import upserts
from cffs.catalog.rows import DynamicRow
from cffs.core.errors import NotInTree
from cffs.core.names import decode_name, encode_name, is_text
from cffs.core.source import Source, v1_dynamic
from cffs.tree.context import Context, fixed, past, row_offset
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import Entry, Kind, Node, Remote
from cffs.tree.unproven import Question

#: Each is the parent of the next; a folder has one argument more than its parent.
_FOLDER_KINDS = (Kind.DYNAMIC, Kind.DYNAMIC_HASH, Kind.DYNAMIC_YEAR, Kind.DYNAMIC_MONTH, Kind.DYNAMIC_CAMPAIGN)
Location = tuple[str, str, str, str]


def resolve_folder(context: Context, parent: Node, parts: Parts) -> Node:
    """Any well-formed name; kept as spelt, so `8` and `08` are two folders."""
    if context.account.v1 is None:
        raise NotInTree("dynamic recordings are v1's")
    (name,) = parts.values()
    depth = _FOLDER_KINDS.index(parent.kind) + 1
    return Node(_FOLDER_KINDS[depth], (*parent.args, name))


def resolve_root(context: Context, _parent: Node, _parts: Parts) -> Node:
    """There with a v1 key."""
    if context.account.v1 is None:
        raise NotInTree("dynamic recordings are v1's")
    return Node(Kind.DYNAMIC)


def resolve_file(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """A known name wins; else the first of the remote names it may stand for that answers, which is remembered."""
    location, filename = _location(parent), decode_name(parts["filename"])
    if not is_text(filename):
        raise NotInTree("a dynamic recording is named by its URL, which is UTF-8")
    row = context.catalog.dynamic_file(location, filename)
    if row is not None:
        return _file_node(row)
    node = Node(Kind.DYNAMIC_FILE, (*location, filename))

    async def ask() -> Node:
        await context.require_remote(content(context, node))
        if context.catalog.dynamic_file(location, filename) is None:
            found = DynamicRow(0, *location, filename)
            await context.catalog.write(lambda db: upserts.put_dynamic(db, found))
        row = context.catalog.dynamic_file(location, filename)
        return _file_node(row) if row else node

    return Question(node, ask)


def _file_node(row: DynamicRow) -> Node:
    args = (row.hash, row.year, row.month, row.campaign, row.filename)
    return Node(Kind.DYNAMIC_FILE, args)


def _location(node: Node) -> Location:
    spelt_hash, year, month, campaign = (str(argument) for argument in node.args[:4])
    return spelt_hash, year, month, campaign


def content(context: Context, node: Node) -> Remote:
    """`N` is remote N; `S.wav` is S.wav, then S; `S.mp3` is the MP3 form of S.wav, then of S, then S.mp3 as it is."""
    location, name = _location(node), str(node.args[4])
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


def folder_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """The known folders one level down."""
    kind = _FOLDER_KINDS[len(node.args) + 1]
    parents = tuple(str(argument) for argument in node.args)
    folders = context.catalog.dynamic_folders(parents)
    return past([Entry(row_offset(seq, 0), name, Node(kind, (*parents, name))) for seq, name in folders], after)


def file_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """The known files of one folder."""
    rows = context.catalog.dynamic_files(_location(node))
    return past([Entry(row_offset(row.seq, 0), encode_name(row.filename), _file_node(row)) for row in rows], after)


def root_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """The known hashes."""
    return folder_entries(context, node, after) if context.account.v1 is not None else past(fixed(), after)
