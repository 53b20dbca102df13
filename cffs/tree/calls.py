"""Folders of calls, below campaigns/ and calls/: which exist, under which names.

It owns how a call is found by its id or its name, and how months are listed. It must not know how the audio in a call's
folder is found (`tree/recordings`). A call has one folder for each way in which a path can spell it.
"""

from functools import partial

from cffs.catalog.capabilities import Family, Verdict
from cffs.catalog.rows import CallRow, ListedCall
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS, ask_together
from cffs.core.errors import AccessRefused, CffsError, NotInTree, OperationNotOffered, RemoteObjectMissing
from cffs.core.listed_names import id_in
from cffs.tree.contents import Entry, Folder
from cffs.tree.context import FIRST_ROW_OFFSET, Context, past, row_offset, seq_before
from cffs.tree.listing_lookup import know
from cffs.tree.node_handlers import Parts
from cffs.tree.nodes import (
    BY_ID,
    DIRECT,
    LISTED,
    CallFolderNode,
    CallMonthNode,
    CallNode,
    CampaignCallsNode,
    CampaignNode,
    FixedNode,
    LoneCallNode,
    Node,
    Way,
)
from cffs.tree.recordings import beside, campaign_of, shown_forms
from cffs.tree.size_hints import Form
from cffs.tree.unproven import Question


def is_prepared(context: Context, node: CallFolderNode) -> bool:
    """True where the call's recordings are known, the listing of calls keeps them so, and no list of v1 is needed: the
    usual folder, of which `find` opens ten thousand. A refresh that is due is started."""
    listings, row = context.listings, context.catalog.call_folder(node.call_id, beside=beside(node))[0]
    if row is None or not row.recordings_known or context.account.v2 is None:
        return False
    if Form.WAV in shown_forms(context) or not listings.keeps_fresh("calls", row.campaign_id):
        return False
    listings.refreshed("calls", row.campaign_id)
    return True


async def prepare(context: Context, node: CallFolderNode) -> None:
    """Ask v2 for the call's recordings, and v1 for its files where listings show WAVs, as far as they are not known."""
    campaign_id, call_id = campaign_of(context, node), node.call_id
    account, row = context.account, context.catalog.call_folder(call_id, beside=beside(node))[0]
    if account.v2 is not None and row is not None and row.recordings_known:
        await _refresh_recordings(context, row.campaign_id, call_id)
    elif account.v2 is not None:
        try:
            await account.find_recordings(call_id, patience_seconds=None)
        except (OperationNotOffered, RemoteObjectMissing, AccessRefused) as failure:
            if isinstance(failure, AccessRefused) and not context.only_v1_answers:
                raise
            # v1 may know it, and what was looked up is shown
    if Form.WAV not in shown_forms(context) or account.v1 is None or not campaign_id:
        return
    if row is not None and row.recordings_known and _needs_no_list(context, call_id):
        return
    files_known = row is not None and row.files_known
    if files_known and context.v2_lists_calls:
        return
    try:
        await account.find_files(
            campaign_id, call_id, patience_seconds=LOOKUP_PATIENCE_SECONDS if files_known else None
        )
    except (AccessRefused, RemoteObjectMissing):
        if account.v2 is None:
            raise


def _needs_no_list(context: Context, call_id: int) -> bool:
    """True where v1's list of a call that v2 has listed adds nothing: the call has no recordings, or the verdict on
    v1's file ids is settled."""
    if not context.v2_lists_calls:
        return False
    settled = context.account.file_ids.verdict is not Verdict.OPEN
    return settled or not context.catalog.recordings_of_call(call_id)


async def _refresh_recordings(context: Context, campaign_id: int, call_id: int) -> None:
    """Take what is new in a call whose recordings are known. Where the listing of calls brings it, that is refreshed in
    the background; else the call's own list is asked for, at most once in the time to live, and a slow answer is not
    waited for."""
    if context.listings.keeps_fresh("calls", campaign_id):
        context.listings.refreshed("calls", campaign_id)
        return
    try:
        await context.account.find_recordings(call_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
    except CffsError:
        pass  # what is known is shown


#: The month of calls of which nothing says when they were made.
UNDATED_MONTH = -1
_UNDATED = "undated"
_MONTHS = 12
#: After every month of the year 9999.
_LAST_MONTH_OFFSET = FIRST_ROW_OFFSET + 10_000 * _MONTHS


def shown_name(row: ListedCall) -> str:
    """The name of a call in its folder; its id where nothing else is known."""
    return str(row.id) if row.listed is None else row.listed


# -- below a campaign --


def resolve_call(context: Context, parent: CampaignNode | CampaignCallsNode, parts: Parts) -> Node | Question:
    """A call below a campaign; both APIs are asked at the same time, once."""
    campaign_id, campaign_way = parent.campaign_id, parent.way
    call_id, name = _asked_for(parts)
    row = context.catalog.call(call_id)
    if name is not None:
        is_of_campaign = row is None or row.campaign_id == campaign_id
        return _named(context, CallNode(campaign_id, call_id, campaign_way, LISTED), name, is_there=is_of_campaign)
    way: Way = DIRECT if isinstance(parent, CampaignNode) else BY_ID
    node = CallNode(campaign_id, call_id, campaign_way, way)
    if row is not None and row.campaign_id == campaign_id:
        return node
    account = context.account
    has_v1_told = account.v1 is None or account.files_asked_at(campaign_id, call_id) is not None
    if has_v1_told and not context.can_deny_calls:
        return node
    return Question(node, partial(_ask_call, context, node))


def _asked_for(parts: Parts) -> tuple[int, str | None]:
    """The id of the call, and its name where the path does not spell it by its id."""
    name = parts.get("call_name")
    call_id = id_in(name) if name is not None else int(parts["call"])
    if call_id is None:
        raise NotInTree("no call is called so")
    return call_id, name


def _named(context: Context, node: CallFolderNode, name: str, *, is_there: bool) -> Node | Question:
    """The folder of a call that is spelt by its name. Where the call is not known, v2 is asked for it once."""
    call_id = node.call_id

    def found() -> Node | None:
        row = context.catalog.call(call_id)
        if row is None or row.listed is None:
            return None
        if row.listed != name or not _belongs(row, node):
            raise RemoteObjectMissing(f"call {call_id} is not called so here")
        return node

    if not is_there or context.account.v2 is None:
        raise RemoteObjectMissing(f"call {call_id} is not called so here")
    if (known := found()) is not None:
        return known

    async def ask() -> Node:
        await context.account.find_call(call_id, patience_seconds=None)
        if (known := found()) is None:
            raise RemoteObjectMissing(f"call {call_id}")
        return known

    return Question(node, ask)


def _belongs(row: CallRow, node: CallFolderNode) -> bool:
    return isinstance(node, LoneCallNode) or row.campaign_id == node.campaign_id


async def _ask_call(context: Context, node: CallNode) -> Node:
    campaign_id, call_id = node.campaign_id, node.call_id

    def is_there() -> bool:
        row = context.catalog.call(call_id)
        return row is not None and row.campaign_id == campaign_id

    v2_says, v1_says = await ask_together(
        context.account.find_call(call_id, patience_seconds=None),
        context.account.find_files(campaign_id, call_id, patience_seconds=None),
        until=is_there,
    )
    if is_there():
        return node
    if v2_says is None:
        raise RemoteObjectMissing(f"call {call_id} is not of campaign {campaign_id}")
    if isinstance(v2_says, NotInTree | OperationNotOffered) or context.only_v1_answers:
        # Only v1 can deny the call here, and an empty list of v1 denies nothing
        if v1_says is None or isinstance(v1_says, NotInTree):
            return node
        raise v1_says
    if isinstance(v2_says, RemoteObjectMissing) and not isinstance(v1_says, _PROVE_NOTHING):
        raise v1_says
    raise v2_says


#: Answers of v1, for a call that v2 does not know, that say no more than v2's.
_PROVE_NOTHING = (type(None), RemoteObjectMissing, NotInTree, AccessRefused, OperationNotOffered)


def calls_of_campaign(context: Context, node: CampaignCallsNode, after: int) -> list[Entry]:
    """A campaign's calls, in the order in which they became known."""
    campaign_id, campaign_way = node.campaign_id, node.way
    rows = context.catalog.calls(campaign_id=campaign_id, after_seq=seq_before(after))
    return past(
        [
            _entry(row, CallNode(campaign_id, row.id, campaign_way, BY_ID if row.listed is None else LISTED))
            for row in rows
        ],
        after,
    )


def _entry(row: ListedCall, node: Node) -> Entry:
    told = None if row.created_ms is None else Folder(row.created_ms)
    return Entry(row_offset(row.seq, 0), shown_name(row), node, told)


# -- calls/ --


def resolve_month(context: Context, _parent: Node, parts: Parts) -> Node:
    """Every month exists, and so does `undated`."""
    if context.account.v2 is None:
        raise NotInTree("calls are v2's")
    if "YYYY_MM" not in parts:
        return _month_node(None)
    year, month = map(int, parts["YYYY_MM"].split("-"))
    return _month_node(year * _MONTHS + month - 1)


def _month_node(month: int | None) -> CallMonthNode:
    return CallMonthNode(UNDATED_MONTH if month is None else month)


def month_of(folder: CallMonthNode) -> int | None:
    """The month of the folder as rows keep it."""
    return None if folder.month == UNDATED_MONTH else folder.month


def resolve_lone_call(context: Context, parent: FixedNode | CallMonthNode, parts: Parts) -> Node | Question:
    """A call by its id alone: v2 decides; where it cannot, any number opens and the file decides. In a month, only
    calls of that month exist."""
    call_id, name = _asked_for(parts)
    row = context.catalog.call(call_id)
    is_in_month = row is None or _is_of_month(row, parent)
    if name is not None:
        found = _named(context, LoneCallNode(call_id, LISTED), name, is_there=is_in_month)
        return _of_month(context, parent, call_id, found) if isinstance(found, Question) else found
    node = LoneCallNode(call_id, BY_ID if isinstance(parent, CallMonthNode) else DIRECT)
    if not is_in_month:
        raise RemoteObjectMissing(f"call {call_id} is not of that month")
    if row is not None or context.account.capabilities.offers(Family.CALLS) is False:
        return node

    async def ask() -> Node:
        try:
            await context.account.find_call(call_id, patience_seconds=None)
        except OperationNotOffered:
            pass  # nothing can deny it: the file decides
        return node

    return _of_month(context, parent, call_id, Question(node, ask))


def _is_of_month(row: CallRow, parent: FixedNode | CallMonthNode) -> bool:
    return not isinstance(parent, CallMonthNode) or row.month == month_of(parent)


def _of_month(context: Context, parent: FixedNode | CallMonthNode, call_id: int, question: Question) -> Question:
    """`question`, denied where the call turns out to be of another month than the folder."""
    if not isinstance(parent, CallMonthNode):
        return question

    async def ask() -> Node:
        node = await question.ask()
        row = context.catalog.call(call_id)
        if row is None or not _is_of_month(row, parent):
            raise RemoteObjectMissing("a call of another month")
        return node

    return Question(question.node, ask)


async def prepare_months(context: Context, _node: Node) -> None:
    """Have all calls listed, since months are listed in order: without v2's first listing that takes one."""
    if not context.settings.lists_ids:
        await know(context, "calls")


def calls_entries(context: Context, _node: Node, after: int) -> list[Entry]:
    """The months that have calls, in order; with `--names ids`, every call."""
    if context.settings.lists_ids:
        rows = context.catalog.all_calls(after_seq=seq_before(after))
        return past([_by_id(row) for row in rows], after)
    return past([_month_entry(context, month) for month in context.catalog.months()], after)


def _month_entry(context: Context, month: int | None) -> Entry:
    newest_ms = context.catalog.newest_call_ms_of_month(month)
    told = None if newest_ms is None else Folder(newest_ms)
    if month is None:
        return Entry(_LAST_MONTH_OFFSET, _UNDATED, _month_node(None), told)
    name = f"{month // _MONTHS:04}-{month % _MONTHS + 1:02}"
    return Entry(FIRST_ROW_OFFSET + month, name, _month_node(month), told)


def _by_id(row: ListedCall) -> Entry:
    told = None if row.created_ms is None else Folder(row.created_ms)
    return Entry(row_offset(row.seq, 0), str(row.id), LoneCallNode(row.id, DIRECT), told)


def calls_of_month(context: Context, node: CallMonthNode, after: int) -> list[Entry]:
    """The calls of a month, in the order in which they became known."""
    rows = context.catalog.calls_of_month(month_of(node), after_seq=seq_before(after))
    return past([_entry(row, LoneCallNode(row.id, BY_ID if row.listed is None else LISTED)) for row in rows], after)
