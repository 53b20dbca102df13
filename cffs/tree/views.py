"""by-number/ and by-label/: a folder for each number, and for each label.

It must not know how files are named (`tree/view_entries`). The folders are rows of the catalogue, listed in the order
in which they became known.
"""

from typing import Literal

from cffs.catalog.rows import ListedRecording
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.catalog.view_index import LABELS, NUMBERS
from cffs.catalog.views import ViewFolder, ViewRow
from cffs.tree.contents import Entry, Folder
from cffs.tree.context import Context, past, row_offset, seq_before
from cffs.tree.listing_lookup import of_listing
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import Kind, Node, ViewFolderNode
from cffs.tree.size_hints import Form
from cffs.tree.unproven import Question
from cffs.tree.view_entries import entries_after, first_offset, resolver, seq_done, with_files

FolderKind = Literal[Kind.ONE_NUMBER, Kind.ONE_LABEL]
_VIEWS: dict[Kind, tuple[str, FolderKind]] = {
    Kind.BY_NUMBER: (NUMBERS, Kind.ONE_NUMBER),
    Kind.BY_LABEL: (LABELS, Kind.ONE_LABEL),
}


async def prepare(context: Context, _node: Node) -> None:
    """Ask once for each call of which only the id is known: until v2 has described it, it is in no folder."""
    await context.completion.complete(patience_seconds=LOOKUP_PATIENCE_SECONDS)


def resolve_folder(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """The folder of that name. It is not called missing before the calls were listed once."""
    (name,) = parts.values()
    view, kind = _VIEWS[parent.kind]
    return of_listing(
        context,
        "recordings",
        lambda: context.catalog.views.folder(view, name),
        lambda row: ViewFolderNode(row.seq, kind),
    )


def folders(context: Context, node: Node, after: int) -> list[Entry]:
    """Every number, or label, of a call with a recording."""
    view, kind = _VIEWS[node.kind]
    rows = context.catalog.views.folders(view, after_seq=seq_before(after))
    return past([_entry(kind, row) for row in rows], after)


def _entry(kind: FolderKind, row: ViewFolder) -> Entry:
    told = None if row.newest_ms is None else Folder(row.newest_ms)
    return Entry(row_offset(row.seq, 0), row.name, ViewFolderNode(row.seq, kind), told)


def files(context: Context, node: ViewFolderNode, after: int) -> list[Entry]:
    """The recordings of a number or label, in the order in which they became known."""
    folder, listed = node.seq, with_files(context)

    def rows(at: int) -> list[ListedRecording]:
        return context.catalog.views.in_folder(folder, after_seq=seq_done(at), with_files=listed)

    return entries_after(context, after, rows, first_offset)


def _is_in(context: Context, node: ViewFolderNode, row: ViewRow) -> bool:
    return context.catalog.views.is_in(node.seq, row.recording)


resolve_mp3 = resolver(Form.MP3, _is_in)
resolve_wav = resolver(Form.WAV, _is_in)
