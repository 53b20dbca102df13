"""One request for the look at an unlisted object and the open that may follow."""

import pytest
import trio
from trio.testing import MockClock

from cffs.core.errors import RemoteObjectMissing
from cffs.core.source import v2_recording
from cffs.reader.first_piece import GRACE_SECONDS
from tests.reader.simulated_link import MIB, Lab, Remote, laboratory

KIB = 1024


async def look(lab: Lab, *, is_settled: bool = True, key: str | None = None):
    """Look at the lab's object, or at another key."""
    source = lab.source if key is None else v2_recording(int(key))
    return await lab.objects.first_pieces.look(source.key, (source,), is_settled=is_settled)


@pytest.mark.parametrize("total", [1, 60 * KIB, 300 * KIB, 512 * KIB, 40 * MIB])
async def test_one_request_for_head_and_body(total, autojump_clock: MockClock) -> None:
    """A look learns the size after one latency; an open soon after reads the bytes that were requested then."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=total))
        began = trio.current_time()
        assert (await look(lab)).nbytes == total
        assert trio.current_time() - began < 0.06
        handle = await lab.objects.open(lab.key, (lab.source,))
        assert handle.total_nbytes == total
        data = await handle.read(0, 64 * KIB)
        assert trio.current_time() - began < 0.065
        assert bytes(data) == remote.content(0, min(total, 64 * KIB))
        handle.close()
        assert lab.origin.requests == 1


@pytest.mark.parametrize("total", [60 * KIB, 300 * KIB, 40 * MIB])
async def test_a_look_that_no_open_follows(total, autojump_clock: MockClock) -> None:
    """It costs at most 64 KiB of the body, and no connection once it is clear that none follows."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        lab.add(Remote(total=total))
        await look(lab)
        await trio.sleep(GRACE_SECONDS + 0.1)
        assert lab.origin.sent_nbytes <= 64 * KIB
        assert lab.origin.connections == 0
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert len(await handle.read(0, total)) == min(total, handle.total_nbytes or 0)
        handle.close()


async def test_a_look_gives_its_connection_to_who_needs_it(autojump_clock: MockClock) -> None:
    """Looks at two hundred objects, sixteen at a time, wait for nothing but their latencies."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        for number in range(200):
            lab.origin.objects[v2_recording(number).key] = Remote(total=300 * KIB, seed=number)
        sixteen = trio.CapacityLimiter(16)

        async def ask(number: int) -> None:
            async with sixteen:
                await look(lab, key=str(number))

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(ask, number)
        assert trio.current_time() - began < 200 / 16 * 0.05 * 1.5
        assert lab.origin.requests == 200
        assert lab.origin.most_connections <= 17


async def test_what_gave_its_connection_away_is_still_read(autojump_clock: MockClock) -> None:
    """An object whose first piece had to give way is opened and read all the same."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=300 * KIB))
        await look(lab)
        for number in range(100, 120):
            lab.origin.objects[v2_recording(number).key] = Remote(total=300 * KIB, seed=number)
            await look(lab, key=str(number))
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.known())
        assert bytes(await handle.read(0, 300 * KIB)) == remote.content(0, 300 * KIB)
        handle.close()


async def test_looks_and_opens_at_once_share_it(autojump_clock: MockClock) -> None:
    """However many look and open at the same time, there is one request."""
    async with laboratory(latency_seconds=0.05) as lab:
        lab.add(Remote(total=300 * KIB))

        async def read() -> None:
            handle = await lab.objects.open(lab.key, (lab.source,))
            await handle.read(0, 300 * KIB)
            handle.close()

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(look, lab)
                nursery.start_soon(read)
        assert lab.origin.requests == 1


async def test_missing(autojump_clock: MockClock) -> None:
    """What no source has is missing for all callers that look, and nothing is left of it."""
    async with laboratory(latency_seconds=0.05) as lab:
        for _ in range(2):
            with pytest.raises(RemoteObjectMissing):
                await look(lab, key="404")
        await trio.sleep(GRACE_SECONDS + 0.1)
        assert not lab.objects.first_pieces._held
        assert lab.origin.connections == 0


async def test_unsettled_bytes_are_kept_only_once_they_are_settled(autojump_clock: MockClock) -> None:
    """As long as an object may be growing, its bytes serve open handles, and neither they nor its size are reported.
    Once it is settled they are kept, however late that is, and also where the handles are closed already."""
    async with laboratory(latency_seconds=0.05) as lab:
        remote = lab.add(Remote(total=300 * KIB))
        await look(lab, is_settled=False)
        unsettled = lab.objects.first_pieces.unsettled(lab.key)
        assert unsettled is not None
        assert unsettled.nbytes == 300 * KIB
        handle = await lab.objects.open(lab.key, (lab.source,))
        assert bytes(await handle.read(0, 300 * KIB)) == remote.content(0, 300 * KIB)
        handle.close()
        await trio.sleep(10)
        assert not lab.facts.kept
        lab.objects.first_pieces.settle(lab.key)
        assert lab.facts.kept[lab.key].total_nbytes == 300 * KIB
        handle = await lab.objects.open(lab.key, (lab.source,), known=lab.facts.kept[lab.key])
        assert bytes(await handle.read(0, 300 * KIB)) == remote.content(0, 300 * KIB)
        handle.close()
        assert lab.origin.requests == 1


@pytest.mark.parametrize("how", ["given up", "grew"])
async def test_unsettled_bytes_that_nothing_settles(how, autojump_clock: MockClock) -> None:
    """Where its state stays unknown, or it proves to be growing, the next open asks again, and sees that."""
    async with laboratory(latency_seconds=0.05) as lab:
        lab.add(Remote(total=300 * KIB))
        await look(lab, is_settled=False)
        handle = await lab.objects.open(lab.key, (lab.source,))
        await handle.read(0, 300 * KIB)
        if how == "grew":
            lab.objects.forget(lab.key)
            assert handle.is_changed
        handle.close()
        lab.objects.first_pieces.give_up(lab.key)
        remote = lab.add(Remote(total=400 * KIB))
        assert lab.cache.held_nbytes(lab.key) == 0
        handle = await lab.objects.open(lab.key, (lab.source,))
        assert bytes(await handle.read(0, 400 * KIB)) == remote.content(0, 400 * KIB)
        handle.close()
        assert lab.origin.requests == 2


async def test_an_unsettled_object_is_settled_while_it_is_received(autojump_clock: MockClock) -> None:
    """Settled in the middle of its body, an object goes on arriving and is kept whole."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=1e6) as lab:
        remote = lab.add(Remote(total=3 * MIB))
        await look(lab, is_settled=False)
        handle = await lab.objects.open(lab.key, (lab.source,))
        data = bytearray()
        for offset in range(0, 3 * MIB, 128 * KIB):
            data += await handle.read(offset, 128 * KIB)
            if offset == MIB:
                lab.objects.first_pieces.settle(lab.key)
        handle.close()
        assert bytes(data) == remote.content(0, 3 * MIB)
        assert lab.origin.sent_nbytes == 3 * MIB
        assert lab.cache.held_nbytes(lab.key) == 3 * MIB


@pytest.mark.parametrize("shape", [{"ignores_ranges": True}, {"tells_total": False}, {"tells_length": False}])
async def test_odd_origins(shape, autojump_clock: MockClock) -> None:
    """Where ranges are ignored, or no total is stated, a look learns what the head states, and an open reads it all."""
    async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
        remote = lab.add(Remote(total=3 * MIB, **shape))
        await look(lab)
        sent_nbytes = lab.origin.sent_nbytes
        assert sent_nbytes <= 64 * KIB
        handle = await lab.objects.open(lab.key, (lab.source,))
        data = bytearray()
        while piece := await handle.read(len(data), 128 * KIB):
            data += piece
        handle.close()
        assert bytes(data) == remote.content(0, 3 * MIB)
