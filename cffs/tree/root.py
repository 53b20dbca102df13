"""/ and .cffs/: the folders that always exist, and the mount's own files.

It must not know what the own files hold: functions that render them are given to it.
"""

from cffs.core.errors import NotInTree
from cffs.tree import readme
from cffs.tree.contents import Content, Document, Entry
from cffs.tree.context import Context, fixed, past
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import FixedKind, FixedNode, Kind, Node, OwnFileNode

#: v1 knows neither times nor numbers or labels.
_VIEWS: dict[str, FixedKind] = {
    "by-date": Kind.BY_DATE,
    "by-number": Kind.BY_NUMBER,
    "by-label": Kind.BY_LABEL,
}


def root_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """What this mount's credentials can show; .cffs is found by lookup only."""
    account = context.account
    named: list[tuple[str, FixedKind]] = [(readme.NAME, Kind.README), ("campaigns", Kind.CAMPAIGNS)]
    named += [("calls", Kind.CALLS)] if account.v2 is not None else []
    named += [("recordings", Kind.RECORDINGS)]
    named += [("dynamic", Kind.DYNAMIC)] if account.v1 is not None else []
    named += [("media", Kind.MEDIA), ("me", Kind.ME)] if account.v2 is not None else []
    named += list(_VIEWS.items()) if account.v2 is not None else []
    return past(fixed(*((name, FixedNode(kind)) for name, kind in named)), after)


def resolve_own_file(context: Context, _parent: Node, parts: Parts) -> Node:
    """One of the mount's own files."""
    if parts["own"] not in context.own_files:
        raise NotInTree(parts["own"])
    return OwnFileNode(parts["own"])


def own_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The mount's own files."""
    return past(fixed(*((name, OwnFileNode(name)) for name in context.own_files)), after)


def own_content(context: Context, node: OwnFileNode) -> Content:
    """Rendered now, with its size of now."""
    return Document(body=context.own_files[node.name](), volatile=True)
