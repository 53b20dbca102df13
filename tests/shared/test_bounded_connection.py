"""A server that sends without being asked is cut off."""

import trio

from cffs.core.units import MIB
from cffs.shared.bounded_connection import MOST_UNASKED_NBYTES
from tests.shared.chaos_proxy import Fault, chaos_proxy
from tests.shared.conftest import Connect
from tests.shared.redis_server import RedisServer


async def test_a_flood_that_no_call_waits_for(connect: Connect, server: RedisServer) -> None:
    """Bytes without end on an idle connection end it before a call or a ping notices, and the next call works."""
    with chaos_proxy(server.port) as proxy:
        async with connect(proxy.url) as shared:
            with trio.fail_after(10):
                while not await shared.write(shared.key("a"), b"x", ttl_seconds=60):
                    await trio.sleep(0.05)
            before = proxy.sent_nbytes
            proxy.flood(8 * MOST_UNASKED_NBYTES)
            with trio.fail_after(10):
                while proxy.is_flooding:
                    await trio.sleep(0.01)
            # what lies in the sockets between them was sent and not received
            assert proxy.sent_nbytes - before < MOST_UNASKED_NBYTES + 16 * MIB
            assert proxy.fault is Fault.NONE
            with trio.fail_after(10):
                while await shared.read_many([shared.key("a")]) != [b"x"]:
                    await trio.sleep(0.05)


async def test_much_that_was_asked_for(connect: Connect) -> None:
    """Far more than that in all is read where it is asked for."""
    async with connect() as shared:
        keys = [shared.key("block", str(index)) for index in range(32)]
        for key in keys:
            await shared.write(key, bytes(256 * 1024), ttl_seconds=60)
        nbytes, failed = 0, shared.counts.failed
        with trio.fail_after(20):
            while nbytes <= 2 * MOST_UNASKED_NBYTES:
                values = await shared.read_many(keys[:8]) or []
                nbytes += sum(map(len, filter(None, values)))
        assert shared.trouble != "the connection was lost"
        assert shared.counts.failed - failed < 3
