"""Actions on the account that are one request each: credentials and caller ids.

It must not know more of them than that.
"""

from collections.abc import Callable

from cffs.catalog.account_sync import AccountSync
from cffs.writer.caller_ids import CallerIds
from cffs.writer.credentials import ApiCredentials


class AccountActions:
    """Both kinds of actions, on one account. `wall_ms` returns the time of day in Unix milliseconds."""

    def __init__(self, account: AccountSync, *, wall_ms: Callable[[], int]) -> None:
        self.credentials = ApiCredentials(account, wall_ms=wall_ms)
        self.caller_ids = CallerIds(account, wall_ms=wall_ms)
