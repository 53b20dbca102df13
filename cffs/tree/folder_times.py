"""Modification times of folders: those of what they stand for, never the mount's.

It owns how the age of each kind of folder is found. It must not know files, nor how folders are listed. The playlist in
a folder is as old as the folder.
"""

from collections.abc import Callable
from typing import Any

from cffs.core.listed_names import FIRST_DATED_MS, LAST_DATED_MS
from cffs.core.times import day_interval_ms, month_interval_ms
from cffs.tree.calls import month_of
from cffs.tree.context import Context
from cffs.tree.dates import first_day_of
from cffs.tree.dynamic import names_to
from cffs.tree.nodes import (
    CallFolderNode,
    CallMonthNode,
    CampaignCallsNode,
    CampaignNode,
    DateNode,
    DynamicFolderNode,
    FixedNode,
    Kind,
    Node,
    ViewFolderNode,
)
from cffs.tree.recordings import beside

#: (context, folder) -> when the newest of what it holds was made (unix ms); None where that is not known.
Newest = Callable[[Context, Any], int | None]


def modified_ms(context: Context, folder: Node) -> int | None:
    """When the newest of what the folder stands for was made. None where that is not known: the folder is then as old
    as the account is here."""
    return _NEWEST.get(folder.kind, _nothing_tells)(context, folder)


def _nothing_tells(_context: Context, _folder: Node) -> int | None:
    return None


def _newest(context: Context, _folder: Node) -> int | None:
    return context.catalog.views.newest_ms(FIRST_DATED_MS, LAST_DATED_MS)


def _of_campaign(context: Context, folder: CampaignNode | CampaignCallsNode) -> int | None:
    """The time of its newest recording, else of its newest call, else its own."""
    campaign_id, catalog = folder.campaign_id, context.catalog
    told = [catalog.views.newest_ms_of_campaign(campaign_id), catalog.newest_call_ms(campaign_id=campaign_id)]
    row = catalog.campaign(campaign_id)
    told += [row.modified_ms, row.seen_ms] if row is not None else []
    return next((ms for ms in told if ms is not None), None)


def _of_call(context: Context, folder: CallFolderNode) -> int | None:
    """When the call was made; else the time of its newest recording; else when it was first seen."""
    row, recordings = context.catalog.call_folder(folder.call_id, beside=beside(folder))
    if row is None or row.created_ms is not None:
        return row.created_ms if row is not None else None
    made = [recording.created_ms for recording in recordings]
    return max((ms for ms in made if ms is not None), default=row.seen_ms)


def _of_calls(context: Context, _folder: Node) -> int | None:
    """The time of the newest call in the last month that has any."""
    months = [month for month in context.catalog.months() if month is not None]
    return context.catalog.newest_call_ms_of_month(max(months, default=None))


def _of_month(context: Context, folder: CallMonthNode) -> int | None:
    return context.catalog.newest_call_ms_of_month(month_of(folder))


def _of_view_folder(context: Context, folder: ViewFolderNode) -> int | None:
    return context.catalog.views.newest_ms_of_folder(folder.seq)


def _of_date(context: Context, folder: DateNode) -> int | None:
    """The newest time in a year, a month or a day."""
    first, zone = first_day_of(*folder.names), context.catalog.zone
    start_ms, stop_ms = month_interval_ms(first, zone=zone)
    if folder.kind is Kind.DAY:
        start_ms, stop_ms = day_interval_ms(first, zone=zone)
    elif folder.kind is Kind.YEAR:
        stop_ms = month_interval_ms(first.replace(month=12), zone=zone)[1]
    return context.catalog.views.newest_ms(max(start_ms, FIRST_DATED_MS), min(stop_ms, LAST_DATED_MS))


def _of_media(context: Context, _folder: Node) -> int | None:
    return context.catalog.newest_media_ms()


def _of_dynamic(context: Context, folder: FixedNode | DynamicFolderNode) -> int | None:
    return context.catalog.newest_dynamic_ms(names_to(folder))


_NEWEST: dict[Kind, Newest] = {
    Kind.ROOT: _newest,
    Kind.CAMPAIGNS: _newest,
    Kind.CAMPAIGN: _of_campaign,
    Kind.CAMPAIGN_CALLS: _of_campaign,
    Kind.CALL: _of_call,
    Kind.CALLS: _of_calls,
    Kind.CALL_MONTH: _of_month,
    Kind.LONE_CALL: _of_call,
    Kind.RECORDINGS: _newest,
    Kind.BY_DATE: _newest,
    Kind.YEAR: _of_date,
    Kind.MONTH: _of_date,
    Kind.DAY: _of_date,
    Kind.BY_NUMBER: _newest,
    Kind.ONE_NUMBER: _of_view_folder,
    Kind.BY_LABEL: _newest,
    Kind.ONE_LABEL: _of_view_folder,
    Kind.SEARCHES: _newest,
    Kind.SEARCH: _newest,
    Kind.MEDIA: _of_media,
    Kind.MEDIA_BY_NAME: _of_media,
    Kind.MEDIA_PUBLIC: _of_media,
    Kind.DYNAMIC: _of_dynamic,
    Kind.DYNAMIC_HASH: _of_dynamic,
    Kind.DYNAMIC_YEAR: _of_dynamic,
    Kind.DYNAMIC_MONTH: _of_dynamic,
    Kind.DYNAMIC_CAMPAIGN: _of_dynamic,
}
