"""A server that sends without being asked is cut off."""

import pytest
import trio
from anyio import BrokenResourceError
from anyio.abc import ByteStream

from cffs.core.units import MIB
from cffs.shared.bounded_stream import MOST_UNASKED_NBYTES, BoundedStream
from tests.shared.chaos_proxy import Fault, chaos_proxy
from tests.shared.conftest import Connect
from tests.shared.redis_server import RedisServer


class Endless(ByteStream):
    """A stream that always has a MiB more."""

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return bytes(MIB)

    async def send(self, item: bytes) -> None:
        pass

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_only_so_much_between_two_commands() -> None:
    """Up to the limit all is passed on, and each command that is sent begins the count afresh."""
    stream = BoundedStream(Endless())
    for _ in range(2):
        await stream.send(b"x")
        for _ in range(MOST_UNASKED_NBYTES // MIB):
            assert len(await stream.receive()) == MIB
    with pytest.raises(BrokenResourceError):
        await stream.receive()


async def test_a_flood_that_no_call_waits_for(connect: Connect, server: RedisServer) -> None:
    """Bytes without end on an idle connection end it before a call or a ping notices, and the next call works."""
    with chaos_proxy(server.port) as proxy:
        async with connect(proxy.url) as shared:
            assert await shared.write(shared.key("a"), b"x", ttl_seconds=60)
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
