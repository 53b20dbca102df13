"""Refused credentials are looked for again, once for all refused requests.

There are at least ten seconds between two looks.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio

from cffs.callfire.transport import Transport
from cffs.core.settings import Credentials, OriginSettings
from cffs.daemon.background import open_background

OLD, NEW = (Credentials(login="somebody", password=f"CANARYPASSWORD{number}") for number in range(2))


@asynccontextmanager
async def looking(
    seconds: float = 0.5, *, found: list[Credentials] | None = None
) -> AsyncIterator[tuple[Transport, list[float]]]:
    """A transport, and the times at which new credentials were looked for."""
    settings: dict[str, Any] = {"v1_url": "https://v1.example.com", "v2_url": "https://v2.example.com"}
    settings |= {"timeout_seconds": 30.0, "connections": 4, "ca_bundle": None, "insecure_http": False}
    transport = Transport(OriginSettings(**settings, credentials=OLD, offline=False))
    times = []

    async def look() -> None:
        times.append(trio.current_time())
        await trio.sleep(seconds)
        if found:
            transport.use_credentials(found.pop(0))

    async with open_background() as background:
        transport.renew_by(look, background)
        yield transport, times


async def test_one_look_serves_all_who_were_refused(autojump_clock):
    """Ten requests that are refused at once wait for the same look, and get the same new credentials."""
    async with looking(found=[NEW]) as (transport, times):
        session = transport._session
        refused, replaced = session.keyring, []

        async def ask() -> None:
            replaced.append(await session.refresh.has_replaced(refused))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        assert len(times) == 1
        assert replaced == [True] * 10
        assert session.keyring is not refused
        # a request that began before the credentials were replaced does not cause another look
        assert await session.refresh.has_replaced(refused)
        assert len(times) == 1


async def test_what_does_not_change_is_not_looked_for_at_every_refusal(autojump_clock):
    """There is at most one look in ten seconds; a refusal between two looks is answered at once."""
    async with looking() as (transport, times):
        for _ in range(100):
            assert not await transport._session.refresh.has_replaced(transport._session.keyring)
            await trio.sleep(0.5)
        assert len(times) <= 7
        assert all(later - earlier >= 10 for earlier, later in pairwise(times))


async def test_a_look_that_hangs_holds_nobody_up(autojump_clock):
    """A request waits for five seconds, or for a third of the time it has. What the look finds counts nevertheless."""
    async with looking(60, found=[NEW]) as (transport, _times):
        refused = transport._session.keyring
        for deadline, expected in ((float("inf"), 5.0), (3.0, 1.0)):
            began_at = trio.current_time()
            with trio.fail_after(deadline) if deadline < 100 else trio.CancelScope():
                assert not await transport._session.refresh.has_replaced(refused)
            assert trio.current_time() - began_at == pytest.approx(expected, abs=0.01)
        await trio.sleep(60)
        assert transport._session.keyring is not refused
        assert await transport._session.refresh.has_replaced(refused)
