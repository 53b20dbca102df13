"""What only its id is known of is asked once: calls that a recording or v1's list told of, what was imported.

It must not know folders. A listing of the service brings most of it; what it does not bring is asked when somebody
looks where it would be missing.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import trio

from cffs.catalog import upserts
from cffs.catalog.account_sync import AccountSync, Kind
from cffs.core.errors import CffsError, RemoteObjectMissing, ServerFailure
from cffs.core.source import Api

#: Ids that one request names: each is 20 bytes of its URL at most.
_IDS_A_REQUEST = 100
#: Asked one by one at a look, where the request for many is not answered with them.
_SINGLY = 8
#: How many are looked at for one that was not asked yet.
_LOOKED_AT = 1000
_SERVER_ERROR = 500


class RowCompletion:
    """Asks for what is missing. One for each account."""

    def __init__(self, account: AccountSync) -> None:
        self._account = account
        #: Whether the service lets calls be asked for by their ids, as far as is known.
        self._takes_ids = True

    def is_due(self) -> bool:
        """True where `complete` has something to ask."""
        return self._account.can_describe and bool(self._untold_calls() or self._untold_recordings())

    async def complete(self, *, patience_seconds: float | None) -> None:
        """Ask v2 for what only the id is known of, the newest first, in at most one request for calls and a few more.

        What it does not answer is left as it is; nothing is raised for it. A checkpoint where it asks; cancelled, or
        out of patience, the questions go on.
        """
        if not self._account.can_describe:
            return
        calls, recordings = self._untold_calls(), self._untold_recordings()
        try:
            if calls:
                await self._account.ask_anything(
                    ("untold", calls[0]), Api.V2, lambda: self._ask_calls(calls), patience_seconds=patience_seconds
                )
            await self._each(recordings, "recording", self._account.find_recording, patience_seconds)
        except CffsError:
            return  # what is known is shown, and it is asked at the next look

    def _untold_calls(self) -> list[int]:
        found = self._account.catalog.untold_calls(limit=_LOOKED_AT)
        return [ident for ident in found if self._account.may_describe("call", ident)][:_IDS_A_REQUEST]

    def _untold_recordings(self) -> list[int]:
        found = self._account.catalog.untold_recordings(limit=_LOOKED_AT)
        return [ident for ident in found if self._account.may_describe("recording", ident)][:_SINGLY]

    async def _ask_calls(self, ids: Sequence[int]) -> None:
        singly = set(ids)
        if len(ids) > _SINGLY and self._takes_ids:
            told = await self._ask_together(ids)
            singly -= told
            if told:  # it names those that it has: of the others the newest are asked once more, by themselves
                for ident in sorted(singly)[:-_SINGLY]:
                    self._account.note_asked("call", ident)
        await self._each(sorted(singly)[-_SINGLY:], "call", self._account.find_call, None)

    async def _ask_together(self, ids: Sequence[int]) -> set[int]:
        """The ids of the calls that one request told of; their rows are written."""
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
        kind: Kind,
        find: Callable[..., Awaitable[None]],
        patience_seconds: float | None,
    ) -> None:
        async def ask(ident: int) -> None:
            try:
                await find(ident, patience_seconds=patience_seconds)
            except RemoteObjectMissing:
                self._account.note_asked(kind, ident)
            except CffsError:
                return  # not an answer: at the next look

        async with trio.open_nursery() as nursery:
            for ident in ids:
                nursery.start_soon(ask, ident)
