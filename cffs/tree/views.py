"""by-number/, by-label/ and by-name/: folders of one number, one label, and campaigns by what they are called.

It must not know how files are called (`tree/view_files`).
The namespace calls it. Folders are rows of the catalogue, listed in the order in which they became known; what
by-name/ shows is what campaigns/ shows, in folders of its own.
"""

from cffs.catalog.questions import LOOKUP_PATIENCE_SECONDS
from cffs.catalog.views import ViewFolder, ViewRow
from cffs.catalog.views_writes import LABELS, NUMBERS
from cffs.tree import call_preparing, calls, recordings
from cffs.tree.behaviour import Parts, Resolve
from cffs.tree.context import Context, past, row_offset, seq_before
from cffs.tree.hints import Form
from cffs.tree.listed import know, of_listing
from cffs.tree.nodes import Entry, Kind, Node
from cffs.tree.question import Question
from cffs.tree.view_files import entries_after, resolver, row_place, seq_done

_VIEWS = {Kind.BY_NUMBER: (NUMBERS, Kind.ONE_NUMBER), Kind.BY_LABEL: (LABELS, Kind.ONE_LABEL)}


# -- by-number/ and by-label/ --


async def prepare(context: Context, _node: Node) -> None:
    """Calls of which only the id is known are in no folder until v2 has told of them: each is asked once."""
    await context.account.completing.complete(patience_seconds=LOOKUP_PATIENCE_SECONDS)


def _folder(kind: Kind, row: ViewFolder) -> Node:
    return Node(kind, (row.seq,))


def resolve_folder(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """The folder of that name; not called missing before the calls were listed once."""
    (name,) = parts.values()
    view, kind = _VIEWS[parent.kind]
    return of_listing(
        context, "recordings", lambda: context.catalog.views.folder(view, name), lambda row: _folder(kind, row)
    )


def folders(context: Context, node: Node, after: int) -> list[Entry]:
    """Every number, or label, that a call with a recording has."""
    view, kind = _VIEWS[node.kind]
    rows = context.catalog.views.folders(view, after_seq=seq_before(after))
    return past([Entry(row_offset(row.seq, 0), row.name, _folder(kind, row)) for row in rows], after)


def files(context: Context, node: Node, after: int) -> list[Entry]:
    """The recordings of a number or label, in the order in which they became known."""
    folder = int(node.args[0])
    return entries_after(
        context, after, lambda at: context.catalog.views.of_folder(folder, after_seq=seq_done(at)), row_place
    )


def _is_in(context: Context, node: Node, row: ViewRow) -> bool:
    return context.catalog.views.is_in(int(node.args[0]), row.recording)


resolve_mp3 = resolver(Form.MP3, _is_in)
resolve_wav = resolver(Form.WAV, _is_in)


# -- by-name/ --


def _named(campaign_id: int) -> Node:
    return Node(Kind.NAMED_CAMPAIGN, (campaign_id,))


def resolve_named(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A campaign that v2 told the name of."""
    (name,) = parts.values()
    return of_listing(context, "campaigns", lambda: context.catalog.campaign_in(name), lambda row: _named(row.id))


async def prepare_names(context: Context, _node: Node) -> None:
    """Campaigns that calls made known get their names page by page, in another order than they are listed in here: all
    must be known first."""
    await know(context, "campaigns")


def named_campaigns(context: Context, _node: Node, after: int) -> list[Entry]:
    """Every campaign whose name is known."""
    rows = context.catalog.campaigns(after_seq=seq_before(after))
    entries = [Entry(row_offset(row.seq, 0), row.folder, _named(row.id)) for row in rows if row.folder]
    return past(entries, after)


def _named_call(call: Node) -> Node:
    return Node(Kind.NAMED_CALL, call.args)


def canonical(node: Node) -> Node:
    """The folder below campaigns/ that shows the same."""
    kind = {Kind.NAMED_CAMPAIGN: Kind.CAMPAIGN, Kind.NAMED_CALL: Kind.CALL}.get(node.kind, node.kind)
    return Node(kind, node.args)


def resolve_call(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """As below campaigns/, in a folder of its own."""
    found = calls.resolve_call(context, canonical(parent), parts)
    if isinstance(found, Node):
        return _named_call(found)

    async def ask() -> Node:
        return _named_call(await found.ask())

    return Question(Node(Kind.NAMED_CALL, (*parent.args, int(parts["call"]))), ask)


def campaign_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """As below campaigns/."""
    return [
        Entry(entry.offset, entry.name, _named_call(entry.node), entry.content)
        if entry.node.kind is Kind.CALL
        else entry
        for entry in calls.campaign_entries(context, canonical(node), after)
    ]


async def prepare_call(context: Context, node: Node) -> None:
    """As below campaigns/."""
    await call_preparing.prepare(context, canonical(node))


def is_call_prepared(context: Context, node: Node) -> bool:
    """As below campaigns/."""
    return call_preparing.is_prepared(context, node)


def call_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """As below campaigns/: the same files."""
    return recordings.call_entries(context, canonical(node), after)


def as_canonical(resolve: Resolve) -> Resolve:
    """A lookup below by-name/ that is answered as below campaigns/."""

    def resolve_there(context: Context, parent: Node, parts: Parts) -> Node | Question:
        return resolve(context, canonical(parent), parts)

    return resolve_there
