"""Opening, sharing, forgetting: what a handle may rely on, over a faulty link."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.errors import (
    EmptyBody,
    MuchShorter,
    RemoteObjectChanged,
)
from cffs.core.source import v2_recording
from cffs.core.values import Emptiness
from cffs.reader.object_info import Known
from tests.reader.simulated_link import (
    KIB,
    MIB,
    Fault,
    Remote,
    check,
    check_all,
    laboratory,
    opened,
)


async def test_open_of_known_size_asks_nothing(autojump_clock: MockClock) -> None:
    """With a known size open makes no request; the first READ does."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=MIB))
        handle = await opened(lab)
        assert handle.total_nbytes == MIB
        assert lab.origin.requests == 0
        await check(handle, remote, 0, 100)
        assert lab.origin.requests == 1


async def test_open_learns_the_exact_size(autojump_clock: MockClock) -> None:
    """Without a known size open returns the exact one, and reports it with source and validator."""
    async with laboratory() as lab:
        lab.add(Remote(total=10 * MIB))
        handle = await lab.objects.open(lab.key, (lab.source,), hint_nbytes=123)
        assert handle.total_nbytes == 10 * MIB
        (learned,) = lab.facts.learned_facts
        assert (learned.total_nbytes, learned.validator, learned.source) == (10 * MIB, '"v1"', lab.source)
        assert learned.known == lab.known()


@pytest.mark.parametrize("told", list(Emptiness))
@pytest.mark.parametrize("how", ["a range beyond it", "a body", "a body without a length"])
async def test_empty_object(autojump_clock: MockClock, told: Emptiness, how: str) -> None:
    """An object of no bytes is an empty file where its metadata say so, or where the origin says so and they say
    nothing. A body without bytes alone is a mishap. Nothing of it is kept: as soon as the object has bytes, they are
    read."""
    async with laboratory() as lab:
        lab.facts.says_of_emptiness = told
        has_body, tells_length = how != "a range beyond it", how != "a body without a length"
        lab.add(Remote(total=0, ignores_ranges=has_body, tells_length=tells_length))
        if told is Emptiness.STATED or (told is Emptiness.UNSTATED and how == "a range beyond it"):
            handle = await opened(lab, knows=False)
            assert handle.total_nbytes == 0
            assert await handle.read(0, 4096) == b""
            handle.close()
            if tells_length:
                assert (await lab.objects.probe(lab.key, (lab.source,))).total_nbytes == 0
        else:
            with pytest.raises(EmptyBody):
                await opened(lab, knows=False)
            assert lab.origin.requests == 2, "asked once more, for it was a mishap"
            if tells_length:
                with pytest.raises(EmptyBody):
                    await lab.objects.probe(lab.key, (lab.source,))
        assert lab.facts.kept == {}
        await trio.sleep(5.001)
        remote = lab.add(Remote(total=1000))
        await check(await opened(lab, knows=False), remote, 0, 1000)


async def test_an_empty_object_that_somebody_has_open(autojump_clock: MockClock) -> None:
    """An open of an object that was empty a while ago gets what it is now, however many handles are open on it."""
    async with laboratory() as lab:
        lab.facts.says_of_emptiness = Emptiness.STATED
        lab.add(Remote(total=0))
        kept_open = await opened(lab, knows=False)
        for _ in range(4):
            await trio.sleep(1.2)
            handle = await opened(lab, knows=False)
            assert handle.total_nbytes == 0
            handle.close()
        remote = lab.add(Remote(total=1000))
        await trio.sleep(0.3)
        await check(await opened(lab, knows=False), remote, 0, 1000)
        assert kept_open.is_changed


async def test_an_empty_answer_once(autojump_clock: MockClock) -> None:
    """Where the next answer has the bytes, no reader notices that one answer had none."""
    async with laboratory() as lab:
        remote = Remote(total=100_000)
        lab.origin.machines[lab.key] = [Remote(total=0, ignores_ranges=True), remote]
        handle = await lab.objects.open(lab.key, (lab.source,))
        await check(handle, remote, 0, 100_000)
        assert lab.facts.changed_keys == []


@pytest.mark.parametrize("nbytes", [0, 499])
async def test_a_whole_answer_of_much_less(autojump_clock: MockClock, nbytes: int) -> None:
    """Hardly anything in the place of an object whose size is proven is no version of it. It is an error, and all that
    is known and here stays."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=1_000_000))
        handle = await opened(lab, knows=False)
        await check(handle, remote, 0, 1000)
        held = lab.objects.held_nbytes(lab.key)
        lab.add(Remote(total=nbytes, ignores_ranges=True, validator='"mishap"'))
        with pytest.raises(MuchShorter):
            await handle.read(600_000, 1000)
        lab.add(remote)
        await check(handle, remote, 0, 1_000_000)
        assert (lab.facts.changed_keys, lab.facts.kept[lab.key].total_nbytes) == ([], 1_000_000)
        assert lab.objects.held_nbytes(lab.key) > held


async def test_an_object_that_stays_much_shorter(autojump_clock: MockClock) -> None:
    """A size that is stated for longer than a passing fault is remembered is that of another version after all."""
    async with laboratory() as lab:
        lab.add(Remote(total=1_000_000))
        handle = await opened(lab, knows=False)
        await handle.read(0, 1000)
        new = lab.add(Remote(total=1000, seed=1, ignores_ranges=True, validator='"v2"'))
        for seconds in (0, 4.9):
            await trio.sleep(seconds)
            with pytest.raises(MuchShorter):
                await handle.read(600_000, 1000)
        await trio.sleep(0.2)
        with pytest.raises((MuchShorter, RemoteObjectChanged)):
            await handle.read(600_000, 1000)
        assert lab.facts.changed_keys == [lab.key]
        await check(await opened(lab, knows=False), new, 0, 1000)


async def test_changed_object(autojump_clock: MockClock) -> None:
    """A changed object is ESTALE for the handle of the old version, and whole and new for the next open."""
    async with laboratory() as lab:
        old = lab.add(Remote(total=10 * MIB))
        handle = await opened(lab)
        await check(handle, old, 0, 128 * KIB)
        new = lab.add(Remote(total=10 * MIB, seed=3, validator='"v2"'))
        for _ in range(2):
            with pytest.raises(RemoteObjectChanged):
                await handle.read(5 * MIB, 4096)
        assert lab.facts.changed_keys == [lab.key]
        assert lab.objects.held_nbytes(lab.key) == 0
        fresh = await opened(lab, knows=False)
        await check_all(fresh, new)
        with pytest.raises(RemoteObjectChanged):
            await handle.read(0, 4096)
        handle.close()
        await check_all(fresh, new)


async def test_changed_total_against_a_known_fact(autojump_clock: MockClock) -> None:
    """A known size that the origin no longer confirms is ESTALE, never a short or padded READ."""
    async with laboratory() as lab:
        lab.add(Remote(total=1000, validator=None))
        handle = await lab.objects.open(lab.key, (lab.source,), known=Known(total_nbytes=2000))
        with pytest.raises(RemoteObjectChanged):
            await handle.read(0, 4096)
        assert lab.facts.changed_keys == [lab.key]


async def test_forget_makes_handles_stale(autojump_clock: MockClock) -> None:
    """An object that this mount replaced is stale for its handles and new for the next open."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=1000))
        handle = await opened(lab)
        await check(handle, remote, 0, 1000)
        lab.objects.forget(lab.key)
        with pytest.raises(RemoteObjectChanged):
            await handle.read(0, 1000)
        await check(await opened(lab), remote, 0, 1000)
        assert lab.origin.requests == 2


async def test_close_drops_the_stream(autojump_clock: MockClock) -> None:
    """Closing the only handle ends its stream; bytes that were not read may be evicted."""
    async with laboratory(latency_seconds=0.01, bytes_per_second=1e6) as lab:
        remote = lab.add(Remote(total=100 * MIB))
        handle = await opened(lab)
        await check(handle, remote, 0, MIB)
        assert lab.origin.connections == 1
        handle.close()
        handle.close()
        await wait_all_tasks_blocked()
        assert lab.origin.connections == 0
        assert lab.objects.counters.open_files == 0


async def test_stalled_connections_stop_nobody(autojump_clock: MockClock) -> None:
    """With every connection stalled, another file's READ waits about a second, not for the deadline."""
    async with laboratory(connections=2) as lab:
        remote = lab.add(Remote(total=1000))
        bad = [v2_recording(10 + index) for index in range(4)]
        for source in bad:
            lab.origin.objects[source.key] = Remote(total=1000)
        lab.origin.faults += [Fault(after_nbytes=0, stalls=True) for _ in bad]

        async def hang(index: int) -> None:
            handle = await lab.objects.open(bad[index].key, (bad[index],), known=Known(total_nbytes=1000))
            with trio.move_on_after(15):
                await handle.read(0, 1000)

        async with trio.open_nursery() as nursery:
            for index in range(4):
                nursery.start_soon(partial(hang, index))
            await trio.sleep(3)
            began_at = trio.current_time()
            await check(await opened(lab), remote, 0, 1000)
            assert trio.current_time() - began_at < 1.5
