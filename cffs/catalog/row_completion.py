"""Requests for objects of which only an id is known: imported, or named by others.

It owns which ids are due, and how many are asked for at once. It must not know folders. A listing brings most of these
rows; what it does not bring is asked for once, when a folder is opened where it would be missing.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import trio

from cffs.catalog import upserts
from cffs.catalog.account_sync import AccountSync, RowKind
from cffs.core.errors import CffsError, RemoteObjectMissing, ServerFailure
from cffs.core.source import Api

#: Ids in one request: each takes at most 20 bytes of its URL.
_IDS_A_REQUEST = 100
#: How many are asked for one by one, where a request for many is not answered with them.
_SINGLY = 8
#: How many ids are searched for those that were not asked for yet.
_LOOKED_AT = 1000
_SERVER_ERROR = 500


class RowCompletion:
    """Asks for the missing parts of rows. One for each account."""

    def __init__(self, account: AccountSync) -> None:
        self._account = account
        #: Whether the service accepts ids of calls in its listing, as far as is known.
        self._takes_ids = True

    def is_due(self) -> bool:
        """True where `complete` has something to ask."""
        return self._account.can_describe and bool(self._undescribed_calls() or self._undescribed_recordings())

    async def complete(self, *, patience_seconds: float | None) -> None:
        """Ask v2 for what only the id is known of, newest first: one request for calls at most, and a few for single
        objects.

        What is not answered stays as it is, and nothing is raised for it. A checkpoint where it asks; cancelled, or out
        of patience, the requests go on.
        """
        if not self._account.can_describe:
            return
        calls, recordings = self._undescribed_calls(), self._undescribed_recordings()
        try:
            if calls:
                await self._account.ask_anything(
                    ("undescribed", calls[0]), Api.V2, lambda: self._ask_calls(calls), patience_seconds=patience_seconds
                )
            await self._each(recordings, "recording", self._account.find_recording, patience_seconds)
        except CffsError:
            return  # what is known is shown, and the rest is asked for the next time

    def _undescribed_calls(self) -> list[int]:
        found = self._account.catalog.undescribed_calls(limit=_LOOKED_AT)
        return [ident for ident in found if self._account.may_describe("call", ident)][:_IDS_A_REQUEST]

    def _undescribed_recordings(self) -> list[int]:
        found = self._account.catalog.undescribed_recordings(limit=_LOOKED_AT)
        return [ident for ident in found if self._account.may_describe("recording", ident)][:_SINGLY]

    async def _ask_calls(self, ids: Sequence[int]) -> None:
        singly = set(ids)
        if len(ids) > _SINGLY and self._takes_ids:
            told = await self._ask_together(ids)
            singly -= told
            if told:  # it lists those that it has: the newest of the others are asked for once more, one by one
                for ident in sorted(singly)[:-_SINGLY]:
                    self._account.note_asked("call", ident)
        await self._each(sorted(singly)[-_SINGLY:], "call", self._account.find_call, None)

    async def _ask_together(self, ids: Sequence[int]) -> set[int]:
        """Ask for calls in one request, and write their rows; returns the ids of the calls that it brought."""
        v2 = self._account.v2
        if v2 is None:
            return set()
        try:
            page = await v2.find_calls(ids=ids, limit=len(ids), offset=0)
        except ServerFailure as refusal:
            self._takes_ids = refusal.status >= _SERVER_ERROR
            return set()
        told = {call.id: call for call in page.items if call.id in set(ids)}

        def put(db: sqlite3.Connection) -> None:
            for call in told.values():
                upserts.put_call(db, call)

        await self._account.catalog.write(put)
        for ident in told:
            self._account.note_asked("call", ident)
        return set(told)

    async def _each(
        self,
        ids: Sequence[int],
        kind: RowKind,
        find: Callable[..., Awaitable[None]],
        patience_seconds: float | None,
    ) -> None:
        async def ask(ident: int) -> None:
            try:
                await find(ident, patience_seconds=patience_seconds)
            except RemoteObjectMissing:
                self._account.note_asked(kind, ident)
            except CffsError:
                return  # no answer: the next time

        async with trio.open_nursery() as nursery:
            for ident in ids:
                nursery.start_soon(ask, ident)
