"""The recordings of calls whose page told none: asked call by call, newest first, behind the listing of calls.

It must not know folders. On an origin that embeds recordings in `/calls` there is nothing to do here; elsewhere
`recordings/` and the views would be empty until each call's own folder was opened.
`catalog/account_sync` makes the listing `recordings` of it.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from cffs.core.errors import CffsError, OperationNotOffered, RemoteObjectMissing

if TYPE_CHECKING:
    from cffs.catalog.account_sync import Account
    from cffs.catalog.listings import Listing

log = logging.getLogger(__name__)

#: As a folder's sizes are asked (contract section 4).
AT_ONCE = 8
#: Of a campaign in a large account: that of all calls stops at its first page, and its own takes over.
_LISTINGS = 2
#: What `ls recordings/` may cost at most where nothing is embedded: the price of a million calls' pages.
MOST_CALLS = 1000


async def list_recordings(account: "Account", listing: "Listing", *, campaign_id: int | None = None) -> None:
    """Take the listing of calls, of a campaign or of all, then the recordings that it left out, of the newest
    `MOST_CALLS` calls at most.

    Raises what stops an answer; what came stays. Further calls are asked by the next listing, or when their folder is
    opened.
    """
    for _ in range(_LISTINGS):
        calls = account.listing("calls", campaign_id)
        if calls is None:
            return
        while calls.running:
            await calls.wait_for_progress()
            if calls.is_partial:
                listing.progressed()
        if calls.failure is not None:
            raise calls.failure
        if account.was_listed("calls", campaign_id):
            break
    unasked = account.catalog.calls_without_recordings(limit=MOST_CALLS + 1, campaign_id=campaign_id)
    if len(unasked) > MOST_CALLS:
        log.warning("this service tells recordings call by call: asking of the newest %d calls only", MOST_CALLS)
    await _ask_each(account, listing, iter(unasked[:MOST_CALLS]))
    await account.mark_listed(listing.name)


async def _ask_each(account: "Account", listing: "Listing", call_ids: Iterator[int]) -> None:
    failures: list[CffsError] = []

    async def ask() -> None:
        for call_id in call_ids:
            try:
                await account.find_recordings(call_id, patience_seconds=None)
            except RemoteObjectMissing:
                continue  # the call is gone, or has no list of its own
            except CffsError as failure:
                failures.append(failure)
            if failures:
                return  # the others would meet the same
            listing.progressed()

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(ask)
    if failures and not isinstance(failures[0], OperationNotOffered):
        raise failures[0]
