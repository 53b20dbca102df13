"""Before a call's folder is listed: what must be asked of v2 and v1 first, and what need not be, for it is known.

It must not know what the folder shows.
The namespace calls it, by the rows of `tree/handler_table`.
"""

from cffs.catalog.file_ids import Verdict
from cffs.catalog.single_flight import LOOKUP_PATIENCE_SECONDS
from cffs.core.errors import AccessRefused, CffsError, OperationNotOffered, RemoteObjectMissing
from cffs.tree.context import Context
from cffs.tree.nodes import Node
from cffs.tree.recordings import beside, call_of, shown_forms
from cffs.tree.size_hints import Form


def is_prepared(context: Context, node: Node) -> bool:
    """True where the call's recordings are known, the listing of calls keeps them so, and no list of v1's is wanted:
    the usual folder, of which `find` opens ten thousand. A refresh that is due is started."""
    call_id = call_of(context, node)[1]
    account, row = context.account, context.catalog.call_folder(call_id, beside=beside(node))[0]
    if row is None or not row.recordings_known or account.v2 is None:
        return False
    if Form.WAV in shown_forms(context) or not account.keeps_fresh("calls", row.campaign_id):
        return False
    account.listing("calls", row.campaign_id)
    return True


async def prepare(context: Context, node: Node) -> None:
    """Ask v2 for the call's recordings, and v1 for its files where listings show WAVs; nothing that is known."""
    campaign_id, call_id = call_of(context, node)
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
    """v1's list of a call that v2 listed tells nothing: the call has no recordings, or it is settled what v1 has."""
    if not context.v2_lists_calls:
        return False
    settled = context.account.file_ids.verdict is not Verdict.OPEN
    return settled or not context.catalog.recordings_of_call(call_id)


async def _refresh_recordings(context: Context, campaign_id: int, call_id: int) -> None:
    """Take what is new in a call whose recordings are known: behind the caller where the listing of calls tells it,
    else by asking for the call's own list, no oftener than the time to live and without waiting for a slow answer."""
    if context.account.keeps_fresh("calls", campaign_id):
        context.account.listing("calls", campaign_id)
        return
    try:
        await context.account.find_recordings(call_id, patience_seconds=LOOKUP_PATIENCE_SECONDS)
    except CffsError:
        pass  # what is known is shown
