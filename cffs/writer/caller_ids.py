"""Caller ids: a number is rung once, and the code it hears verifies it.

Owns which numbers wait for their code. They are kept in the catalogue, and noted there before the telephone rings: a
mount that dies in between leaves a number that waits, and does not ring again by itself. It must not know paths or the
kernel.
"""

import logging
import re
from collections.abc import Callable, Sequence

from cffs.callfire.v2 import V2Client
from cffs.catalog.account_lists import CALLER_IDS, WAITING, keep_list, kept_list
from cffs.catalog.account_sync import AccountSync
from cffs.core.errors import (
    ActRefused,
    ActUncertain,
    AlreadyExists,
    CffsError,
    ContentRefused,
    RemoteObjectMissing,
)
from cffs.core.json_values import as_object
from cffs.writer.cooldown import PAUSE_SECONDS, is_within_pause

log = logging.getLogger(__name__)

#: E.164 without the plus, as the service's document asks for. Nothing else is ever put into the path of a request.
_NUMBER = re.compile(r"[1-9][0-9]{10}", re.ASCII)
#: The service's 400 for a number that no longer needs a code.
_IS_VERIFIED = re.compile(r"\balready (?:been )?verified\b", re.IGNORECASE)
#: The voice speaks digits; how many is not documented.
_CODE = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)


class CallerIds:
    """The numbers that wait for their code. All state is in the catalogue."""

    def __init__(self, account: AccountSync, *, wall_ms: Callable[[], int]) -> None:
        self._account = account
        self._wall_ms = wall_ms

    def waiting(self) -> list[str]:
        """The numbers that were rung, and have not been verified since."""
        verified = kept_list(self._account.catalog, CALLER_IDS)
        return [number for number, (_asked_ms, waits) in self._rows().items() if waits and number not in verified]

    async def ask_for_call(self, number: str) -> None:
        """Have the service ring `number` and speak a code, for which the number then waits.

        This is one act, sent as `Transport.send` says. Raises ContentRefused for what is no number, before anything is
        sent; AlreadyExists where the number waits already or was rung within the last minute, or where the service says
        that it is verified (it is then listed so). After ActUncertain (the service's state was asked, and is in the
        log) the number waits as well, since the telephone may ring. Always a checkpoint; cancelled, it may have been
        rung.
        """
        if _NUMBER.fullmatch(number) is None:
            raise ContentRefused("a caller id is 11 digits: country code and number, without a plus")
        v2, now_ms = self._v2(), self._wall_ms()
        asked_ms, waits = self._rows().get(number, (0, False))
        if waits or is_within_pause(asked_ms, now_ms=now_ms):
            raise AlreadyExists(f"{number} waits for its code, or was rung less than {PAUSE_SECONDS:.0f} s ago")
        await self._keep(number, (now_ms, True))
        try:
            await v2.send_verification_code(number)
        except ActUncertain:
            await self._log_state(v2, f"whether {number} was rung", number)
            raise
        except CffsError as problem:
            await self._keep(number, None)
            if isinstance(problem, ActRefused) and _IS_VERIFIED.search(str(problem)):
                await self._note_verified(number)
                raise AlreadyExists(f"{number} is verified already") from problem
            raise

    async def verify(self, number: str, code: str) -> None:
        """Have the service compare `code` with the one that it spoke.

        This is one request. Raises ContentRefused for what cannot be a code, ActRefused for the wrong one, ActUncertain
        as `ask_for_call` does. Always a checkpoint; cancelled, the number may be verified.
        """
        if _CODE.fullmatch(code) is None:
            raise ContentRefused("a verification code is a few digits")
        v2 = self._v2()
        try:
            is_right = await v2.verify_caller_id(number, code)
        except ActUncertain:
            await self._log_state(v2, f"whether {number} was verified", number)
            raise
        if not is_right:
            raise ActRefused(f"the service says that this is not the code it spoke to {number}")
        await self._note_verified(number)
        await self._keep(number, None)

    async def _note_verified(self, number: str) -> None:
        verified = kept_list(self._account.catalog, CALLER_IDS)
        if number not in verified:
            await self._keep_list(CALLER_IDS, [*verified, number])

    async def forget(self, number: str) -> None:
        """Let the number wait no longer; nothing is sent. Raises RemoteObjectMissing where it does not wait."""
        asked_ms, waits = self._rows().get(number, (0, False))
        if not waits:
            raise RemoteObjectMissing(f"{number} does not wait for a code")
        await self._keep(number, (asked_ms, False))

    async def _log_state(self, v2: V2Client, question: str, number: str) -> None:
        try:
            verified = await v2.get_caller_ids()
        except CffsError as error:
            log.warning("uncertain %s: the service could not be asked reason=%s", question, error)
            return
        await self._keep_list(CALLER_IDS, verified)
        state = "verified" if number in verified else "not verified; if the telephone rings, the code can be given"
        log.warning("uncertain %s: the service lists it as %s", question, state)

    def _rows(self) -> dict[str, tuple[int, bool]]:
        """When each number was rung, in Unix milliseconds, and whether it waits."""
        rows = [as_object(row) or {} for row in kept_list(self._account.catalog, WAITING)]
        return {
            str(row.get("number")): (int(str(row.get("asked_ms"))), row.get("waits") is True) for row in rows if row
        }

    async def _keep(self, number: str, row: tuple[int, bool] | None) -> None:
        oldest_ms = self._wall_ms() - PAUSE_SECONDS * 1000
        rows = {known: old for known, old in self._rows().items() if old[1] or old[0] > oldest_ms}
        rows.pop(number, None)
        if row is not None:
            rows[number] = row
        kept = [{"number": known, "asked_ms": asked_ms, "waits": waits} for known, (asked_ms, waits) in rows.items()]
        await self._keep_list(WAITING, kept)

    async def _keep_list(self, key: str, rows: Sequence[object]) -> None:
        await keep_list(self._account.catalog, key, rows, now_ms=self._wall_ms())

    def _v2(self) -> V2Client:
        if self._account.v2 is None:
            raise RemoteObjectMissing("caller ids are v2's")
        return self._account.v2
