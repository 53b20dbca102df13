"""campaigns/ and calls/: which campaigns and calls exist, and what their folders show.

It must not know how audio is found in a call's folder beyond naming it (that is `tree/recordings`).
The namespace calls it. v1 cannot deny a campaign, v2 can where it lists any (contract section 3, "Lookup first").
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from cffs.catalog.offered import Family
from cffs.core.errors import AccessRefused, CffsError, NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.wire_json import encode
from cffs.tree.behaviour import Parts
from cffs.tree.context import Context, fixed, past, row_offset, seq_before
from cffs.tree.nodes import Content, Document, Entry, Kind, Node
from cffs.tree.question import Question


def campaign_node(campaign_id: int) -> Node:
    """A campaign's folder."""
    return Node(Kind.CAMPAIGN, (campaign_id,))


def call_node(campaign_id: int, call_id: int) -> Node:
    """A call's folder below its campaign."""
    return Node(Kind.CALL, (campaign_id, call_id))


def lone_call_node(call_id: int) -> Node:
    """A call's folder below calls/."""
    return Node(Kind.LONE_CALL, (call_id,))


def resolve_campaign(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """Any campaign opens with a v1 key, or where nothing lists campaigns; else v2 decides."""
    campaign_id = int(parts["campaign"])
    row = context.catalog.campaign(campaign_id)
    nothing_denies = context.account.v1 is not None or context.account.offered.get(Family.BROADCASTS) is False
    if row is not None or nothing_denies:
        return campaign_node(campaign_id)

    async def ask() -> Node:
        try:
            await context.account.find_campaign(campaign_id, patience_seconds=None)
        except OperationNotOffered:
            pass  # nothing can deny it: the file decides
        return campaign_node(campaign_id)

    return Question(campaign_node(campaign_id), ask)


def resolve_call(context: Context, parent: Node, parts: Parts) -> Node | Question:
    """A call below a campaign: both APIs are asked together, once."""
    campaign_id, call_id = int(parent.args[0]), int(parts["call"])
    row = context.catalog.call(call_id)
    if row is not None and row.campaign_id == campaign_id:
        return call_node(row.campaign_id, row.id)
    node = Node(Kind.CALL, (campaign_id, call_id))
    account = context.account
    has_v1_told = account.v1 is None or account.files_asked_at(campaign_id, call_id) is not None
    if has_v1_told and not context.can_deny_calls:
        return node
    return Question(node, partial(_ask_call, context, campaign_id, call_id))


async def _ask_call(context: Context, campaign_id: int, call_id: int) -> Node:
    def is_there() -> bool:
        row = context.catalog.call(call_id)
        return row is not None and row.campaign_id == campaign_id

    v2_says, v1_says = await _both(
        context.account.find_call(call_id, patience_seconds=None),
        context.account.find_files(campaign_id, call_id, patience_seconds=None),
        until=is_there,
    )
    if is_there():
        return call_node(campaign_id, call_id)
    if v2_says is None:
        raise RemoteObjectMissing(f"call {call_id} is not of campaign {campaign_id}")
    if isinstance(v2_says, NotInTree | OperationNotOffered) or context.only_v1_answers:
        # Nothing but v1 can deny it, and an empty list of v1 denies nothing
        if v1_says is None or isinstance(v1_says, NotInTree):
            return Node(Kind.CALL, (campaign_id, call_id))
        raise v1_says
    if isinstance(v2_says, RemoteObjectMissing) and not isinstance(v1_says, _PROVE_NOTHING):
        raise v1_says
    raise v2_says


#: What v1 may answer for a call that v2 does not know without saying more than v2 did.
_PROVE_NOTHING = (type(None), RemoteObjectMissing, NotInTree, AccessRefused, OperationNotOffered)


def resolve_lone_call(context: Context, _parent: Node, parts: Parts) -> Node | Question:
    """A call by its id alone: v2's to say; where it cannot, any number opens and the file decides."""
    call_id = int(parts["call"])
    row = context.catalog.call(call_id)
    if row is not None:
        return lone_call_node(row.id)
    node = Node(Kind.LONE_CALL, (call_id,))
    if context.account.offered.get(Family.CALLS) is False:
        return node

    async def ask() -> Node:
        try:
            await context.account.find_call(call_id, patience_seconds=None)
        except OperationNotOffered:
            return node
        row = context.catalog.call(call_id)
        return lone_call_node(row.id) if row is not None else node

    return Question(node, ask)


async def _both(*questions: Awaitable[object], until: Callable[[], bool]) -> list[CffsError | None]:
    """Ask all at once; for each, None or what it raised. One answer is enough where `until` says so: the others come
    behind the caller."""
    outcomes: list[CffsError | None] = [None] * len(questions)

    async def ask(index: int, question: Awaitable[object]) -> None:
        try:
            await question
        except CffsError as failure:
            outcomes[index] = failure
        if until():
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index, question in enumerate(questions):
            nursery.start_soon(ask, index, question)
    return outcomes


def resolve_campaign_json(_context: Context, parent: Node, _parts: Parts) -> Node:
    """Every campaign has one."""
    return Node(Kind.CAMPAIGN_JSON, parent.args)


def campaigns_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """Every campaign known."""
    rows = context.catalog.campaigns(after_seq=seq_before(after))
    return past([Entry(row_offset(r.seq, 0), str(r.id), campaign_node(r.id)) for r in rows], after)


def campaign_entries(context: Context, node: Node, after: int) -> list[Entry]:
    """campaign.json, then its calls in the order in which they became known."""
    campaign_id = int(node.args[0])
    playlist = Node(Kind.PLAYLIST, (Kind.CAMPAIGN.name, campaign_id))
    first = fixed(("campaign.json", Node(Kind.CAMPAIGN_JSON, (campaign_id,))), ("playlist.m3u8", playlist))
    rows = context.catalog.calls(campaign_id=campaign_id, after_seq=seq_before(after))
    folders = [Entry(row_offset(row.seq, 0), str(row.id), call_node(campaign_id, row.id)) for row in rows]
    return past(first + folders, after)


def calls_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The calls that belong to no campaign."""
    rows = context.catalog.calls(campaign_id=0, after_seq=seq_before(after))
    entries = [Entry(row_offset(row.seq, 0), str(row.id), lone_call_node(row.id)) for row in rows]
    return past(entries, after)


def campaign_json(context: Context, node: Node) -> Content:
    """What v2 told of the campaign; asked once where only its id is known and v2 can tell."""
    campaign_id = int(node.args[0])
    row = context.catalog.campaign(campaign_id)
    seen_ms = row.seen_ms if row is not None else None
    if row is not None and row.document is not None:
        return Document(body=row.document, modified_ms=seen_ms if row.modified_ms is None else row.modified_ms)

    async def load() -> bytes:
        try:
            await context.account.find_campaign(campaign_id, patience_seconds=None)
        except (NotInTree, OperationNotOffered, RemoteObjectMissing, AccessRefused):
            pass  # v2 has nothing to add; the id is what is known
        found = context.catalog.campaign(campaign_id)
        return found.document if found and found.document else encode({"id": campaign_id})

    if context.account.v2 is None:
        return Document(body=encode({"id": campaign_id}), modified_ms=seen_ms)
    return Document(body=None, load=load, modified_ms=seen_ms)
