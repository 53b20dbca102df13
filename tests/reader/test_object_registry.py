"""Opening, sharing, giving up and failing: what a handle may rely on, over a simulated link with faults."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    AccessRefused,
    CffsError,
    DeadlineExceeded,
    EmptyBody,
    MalformedAnswer,
    MuchShorter,
    OperationNotOffered,
    OriginUnreachable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    ServerFailure,
    TruncatedAnswer,
)
from cffs.core.source import v2_recording
from cffs.core.values import Emptiness
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, corrupting_fault, laboratory

KIB = 1024


async def opened(lab: Lab, *, knows: bool = True) -> OpenFile:
    return await lab.objects.open(lab.key, (lab.source,), known=lab.known() if knows else None)


async def check(handle: OpenFile, remote: Remote, offset: int, nbytes: int) -> None:
    data = await handle.read(offset, nbytes)
    assert data == remote.content(offset, max(0, min(nbytes, remote.total - offset)))


async def check_all(handle: OpenFile, remote: Remote, *, read_nbytes: int = 128 * KIB) -> None:
    for offset in range(0, remote.total, read_nbytes):
        await check(handle, remote, offset, read_nbytes)


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
    """Without a known size open returns the exact one, and tells it with source and validator."""
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
    """An object of no bytes is an empty file where its metadata say so, and where the origin says so and they say
    nothing; a body of no bytes alone is a mishap. Nothing of it is kept: as soon as it has bytes, it is read."""
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
    """Who opens an object that was empty a while ago has what it is now, however often and by whom it was opened."""
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
    """Where the next answer has the bytes, nobody notices that one had none."""
    async with laboratory() as lab:
        remote = Remote(total=100_000)
        lab.origin.machines[lab.key] = [Remote(total=0, ignores_ranges=True), remote]
        handle = await lab.objects.open(lab.key, (lab.source,))
        await check(handle, remote, 0, 100_000)
        assert lab.facts.changed_keys == []


@pytest.mark.parametrize("nbytes", [0, 499])
async def test_a_whole_answer_of_much_less(autojump_clock: MockClock, nbytes: int) -> None:
    """Hardly anything in the place of an object whose size is proven is no version of it: an error, and all that is
    known and here stays."""
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
    """What says the same for longer than a passing fault is remembered is another version after all."""
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


async def test_read_beyond_the_end(autojump_clock: MockClock) -> None:
    """A READ across the end is short, one beyond it is empty and asks nothing."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=MIB + 100))
        handle = await opened(lab)
        await check(handle, remote, MIB, 4096)
        requests = lab.origin.requests
        assert await handle.read(2 * MIB, 4096) == b""
        assert lab.origin.requests == requests


async def test_first_source_that_answers_is_remembered(autojump_clock: MockClock) -> None:
    """Sources are tried in order past "missing" and "not offered"; READs go to the one that answered."""
    async with laboratory() as lab:
        first, second = v2_recording(7), v2_recording(8)
        remote = lab.origin.objects[second.key] = Remote(total=MIB)
        lab.origin.faults.append(Fault(head=OperationNotOffered("no such form")))
        handle = await lab.objects.open("k", (first, second))
        assert [key for key, _ in lab.origin.asked] == [first.key, second.key]
        await check_all(handle, remote)
        assert {key for key, _ in lab.origin.asked[1:]} == {second.key}
        assert lab.facts.learned_facts[0].source == second


async def test_all_sources_missing(autojump_clock: MockClock) -> None:
    """Where no source has the object, open says so, nothing stays open, and the next open asks again."""
    async with laboratory() as lab:
        for requests in (2, 4):
            with pytest.raises(RemoteObjectMissing):
                await lab.objects.open("k", (v2_recording(7), v2_recording(8)))
            assert lab.origin.requests == requests
            assert lab.objects.counters.open_files == 0


@pytest.mark.parametrize("error", [AccessRefused("no"), ServerFailure(500, "x"), OriginUnreachable("no route")])
async def test_other_errors_try_no_other_source(error: CffsError, autojump_clock: MockClock) -> None:
    """An error that does not say "missing" is the answer: it reaches every opener, and is not remembered."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=100))
        lab.origin.faults.append(Fault(head=error))
        failures = []

        async def one() -> None:
            try:
                await lab.objects.open(lab.key, (lab.source, v2_recording(2)))
            except CffsError as exc:
                failures.append(type(exc))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
        assert failures == [type(error)] * 3
        assert lab.origin.requests == 1
        await check(await opened(lab, knows=False), remote, 0, 100)


async def test_probe_is_one_request_however_many_ask(autojump_clock: MockClock) -> None:
    """A size is asked by one request for one byte, shared by all who ask at once; an open file's costs none."""
    async with laboratory(latency_seconds=0.05) as lab:
        lab.add(Remote(total=10 * MIB))
        sizes = []

        async def one() -> None:
            sizes.append((await lab.objects.probe(lab.key, (lab.source,))).total_nbytes)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        assert sizes == [10 * MIB] * 5
        assert lab.origin.asked == [(lab.key, ByteRange(0, 1))]
        await opened(lab)
        await one()
        assert lab.origin.requests == 1


async def test_probe_given_up_is_not_remembered(autojump_clock: MockClock) -> None:
    """When the last who asked for a size leaves, the question ends, and the next asks anew."""
    async with laboratory(latency_seconds=10) as lab:
        lab.add(Remote(total=5))
        with trio.move_on_after(1):
            await lab.objects.probe(lab.key, (lab.source,))
        await wait_all_tasks_blocked()
        assert lab.origin.connections == 0
        lab.origin.latency_seconds = 0.1
        assert (await lab.objects.probe(lab.key, (lab.source,))).total_nbytes == 5


async def test_origin_that_ignores_ranges(autojump_clock: MockClock) -> None:
    """A 200 to a range is streamed once: head, middle and tail, by several readers, cost one request."""
    for knows in (True, False):
        async with laboratory(latency_seconds=0.05, bytes_per_second=100e6) as lab:
            remote = lab.add(Remote(total=20 * MIB, ignores_ranges=True))
            handle = await opened(lab, knows=knows)
            async with trio.open_nursery() as nursery:
                for offset in (10 * MIB, 0, 19 * MIB):
                    nursery.start_soon(check, handle, remote, offset, 128 * KIB)
            await check_all(handle, remote)
            assert lab.origin.sent_nbytes <= remote.total
            # concurrent first READs may each have asked before the first answer told
            assert lab.origin.requests <= 3


async def test_origin_that_ignores_ranges_with_small_memory(autojump_clock: MockClock) -> None:
    """A file larger than the memory on such an origin is read in order within the budget, by one request; going back
    starts again."""
    async with laboratory(memory_nbytes=8 * MIB) as lab:
        remote = lab.add(Remote(total=40 * MIB, ignores_ranges=True))
        handle = await opened(lab)
        await check_all(handle, remote)
        assert lab.origin.requests == 1
        await check(handle, remote, 100, 4096)
        await check(handle, remote, 30 * MIB, 4096)
        assert lab.cache.used_nbytes <= 8 * MIB


async def test_going_back_before_an_answer_of_the_whole(autojump_clock: MockClock) -> None:
    """A reader that jumps back to what was evicted, while the one answer of the whole is past it, is given it in time:
    another one starts from the first byte."""
    async with laboratory(memory_nbytes=4 * MIB, latency_seconds=0.05, bytes_per_second=20e6) as lab:
        remote = lab.add(Remote(total=12 * MIB))
        handle = await opened(lab)
        remote.ignores_ranges = True
        for offset in (0, 6 * MIB + 1, 89_139, 11 * MIB, 5):
            with trio.fail_after(15):
                await check(handle, remote, offset, 4096)
        assert lab.origin.requests <= 3


async def test_origin_without_length(autojump_clock: MockClock) -> None:
    """Where no length is told open waits for the end, and the size is exact."""
    async with laboratory(bytes_per_second=10e6) as lab:
        remote = lab.add(Remote(total=5 * MIB, ignores_ranges=True, tells_length=False, validator=None))
        handle = await opened(lab, knows=False)
        assert handle.total_nbytes == 5 * MIB
        await check_all(handle, remote)
        assert lab.origin.requests == 1
        assert lab.facts.learned_facts[-1].total_nbytes == 5 * MIB


async def test_origin_without_length_that_takes_too_long(autojump_clock: MockClock) -> None:
    """Where the end has not come after a third of the timeout the size stays unknown; READs end at the true end."""
    async with laboratory(bytes_per_second=1e6, memory_nbytes=16 * MIB) as lab:
        remote = lab.add(Remote(total=30 * MIB + 17, ignores_ranges=True, tells_length=False))
        began_at = trio.current_time()
        handle = await opened(lab, knows=False)
        assert trio.current_time() - began_at == pytest.approx(10)
        assert handle.total_nbytes is None
        assert handle.arrived_nbytes >= 7 * MIB
        await check_all(handle, remote)
        assert await handle.read(remote.total, 4096) == b""
        assert handle.total_nbytes == remote.total
        assert lab.origin.requests == 1
        assert lab.cache.used_nbytes <= 16 * MIB


async def test_origin_without_length_that_begins_late(autojump_clock: MockClock) -> None:
    """Where the first byte needs more than the third of the timeout that open waits for an end, an end that follows at
    once is still waited for."""
    async with laboratory(latency_seconds=12, bytes_per_second=10e6) as lab:
        remote = lab.add(Remote(total=5 * MIB, ignores_ranges=True, tells_length=False))
        with trio.fail_after(15):
            handle = await opened(lab, knows=False)
        assert handle.total_nbytes == remote.total
        await check_all(handle, remote)
        assert lab.origin.requests == 1


async def test_late_answer_serves_who_came_later(autojump_clock: MockClock) -> None:
    """An answer that the first opener did not live to see serves the one that came meanwhile, and its READs too."""
    async with laboratory(latency_seconds=16) as lab:
        remote = lab.add(Remote(total=10 * MIB))

        async def wait_in_vain() -> None:
            with trio.move_on_after(15):
                await opened(lab, knows=False)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_in_vain)
            await trio.sleep(14)
            with trio.fail_after(15):
                handle = await opened(lab, knows=False)
        assert lab.origin.requests == 1
        lab.origin.latency_seconds = 0.05
        await check(handle, remote, 0, 4096)
        await check(handle, remote, 5 * MIB, 4096)
        assert lab.origin.requests == 2


async def test_range_without_total(autojump_clock: MockClock) -> None:
    """A 206 that does not tell the total is not trusted with the rest: the whole is asked for."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=2 * MIB, tells_total=False))
        handle = await opened(lab, knows=False)
        assert handle.total_nbytes == 2 * MIB
        await check_all(handle, remote)
        assert lab.origin.asked[1:] == [(lab.key, None)]


@pytest.mark.parametrize("error", [TruncatedAnswer("cut"), OriginUnreachable("reset"), DeadlineExceeded("stalled")])
async def test_broken_body_is_resumed(error: CffsError, autojump_clock: MockClock) -> None:
    """A body that breaks off is resumed where it ended; no byte is fetched twice."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300 * KIB))
        lab.origin.faults += [Fault(after_nbytes=nbytes, body=error) for nbytes in (100_000, 0, 1)]
        handle = await opened(lab)
        await check_all(handle, remote)
        assert [asked.start for _, asked in lab.origin.asked if asked] == [0, 100_000, 100_000, 100_001]
        assert lab.origin.sent_nbytes == remote.total


async def test_broken_whole_body_is_resumed(autojump_clock: MockClock) -> None:
    """Where ranges are ignored a resumed body is received again up to where it broke off, and compared."""
    for validator in ('"v1"', None):
        async with laboratory() as lab:
            remote = lab.add(Remote(total=2 * MIB, ignores_ranges=True, validator=validator))
            lab.origin.faults.append(Fault(after_nbytes=MIB))
            await check_all(await opened(lab), remote)
            assert lab.origin.requests == 2


async def test_resumed_body_of_another_version(autojump_clock: MockClock) -> None:
    """Without validator and length, a resumed body whose beginning differs is another version: ESTALE, not a mix."""
    async with laboratory(memory_nbytes=8 * MIB) as lab:
        old = lab.add(Remote(total=20 * MIB, ignores_ranges=True, tells_length=False, validator=None))
        lab.origin.faults.append(Fault(after_nbytes=6 * MIB))
        handle = await opened(lab, knows=False)
        lab.origin.objects[lab.key] = Remote(
            total=20 * MIB, seed=1, ignores_ranges=True, tells_length=False, validator=None
        )
        with pytest.raises(RemoteObjectChanged):
            await check_all(handle, old)


async def test_four_tries_without_progress(autojump_clock: MockClock) -> None:
    """After four tries in a row that brought nothing the error reaches the reader; the next READ asks again."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=100_000))
        handle = await opened(lab)
        lab.origin.faults += [Fault(after_nbytes=0) for _ in range(4)]
        with pytest.raises(TruncatedAnswer):
            await handle.read(0, 4096)
        assert lab.origin.requests == 4
        await check(handle, remote, 0, 4096)


async def test_short_partial_answers(autojump_clock: MockClock) -> None:
    """A 206 that holds less than was asked is followed by another request for the rest."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300_000))
        lab.origin.faults += [Fault(answers_nbytes=100_000), Fault(answers_nbytes=150_000)]
        await check_all(await opened(lab), remote)
        assert lab.origin.requests == 3


async def test_malformed_body_leaves_nothing(autojump_clock: MockClock) -> None:
    """Bytes of an answer that proved malformed are not served later."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=300_000))
        handle = await opened(lab)
        lab.origin.faults.append(corrupting_fault(100_000))
        with pytest.raises(MalformedAnswer):
            await handle.read(200_000, 4096)
        assert lab.objects.held_nbytes(lab.key) == 0
        await check_all(handle, remote)


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
    """An object that we replaced ourselves is stale for its handles and new for the next open."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=1000))
        handle = await opened(lab)
        await check(handle, remote, 0, 1000)
        lab.objects.forget(lab.key)
        with pytest.raises(RemoteObjectChanged):
            await handle.read(0, 1000)
        await check(await opened(lab), remote, 0, 1000)
        assert lab.origin.requests == 2


async def test_reader_that_gives_up_leaves_the_others(autojump_clock: MockClock) -> None:
    """A reader that is cancelled takes no byte from others who wait for the same."""
    async with laboratory(latency_seconds=5) as lab:
        remote = lab.add(Remote(total=100_000))
        handle, other = await opened(lab), await opened(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check, other, remote, 0, 4096)
            with trio.move_on_after(1) as scope:
                await handle.read(0, 4096)
            assert scope.cancelled_caught
        assert lab.origin.requests == 1


async def test_last_reader_out_drops_the_fetch(autojump_clock: MockClock) -> None:
    """A fetch whose last waiter timed out is dropped at once: handles from before fail at once for 5 s, a new open
    starts afresh."""
    async with laboratory() as lab:
        remote = lab.add(Remote(total=100_000))
        lab.origin.faults.append(Fault(after_nbytes=0, stalls=True))
        handle = await opened(lab)
        with trio.move_on_after(15) as scope:
            await handle.read(0, 4096)
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert lab.origin.connections == 0
        with pytest.raises(DeadlineExceeded):
            await handle.read(0, 4096)
        assert lab.origin.requests == 1
        await trio.sleep(0.1)
        await check(await opened(lab), remote, 0, 4096)
        await check(handle, remote, 0, 4096)


async def test_a_drip_is_dropped_with_its_last_reader(autojump_clock: MockClock) -> None:
    """An answer that moves, too slowly for its reader, is dropped when that runs out of time, and not left to whoever
    opens the file next; one whose reader closed is left to come."""
    for closes in (False, True):
        async with laboratory(bytes_per_second=64e3, memory_nbytes=MIB) as lab:
            remote = lab.add(Remote(total=500_000))
            handle = await opened(lab)
            with trio.move_on_after(2):
                await handle.read(0 if closes else 400_000, 4096)
            if closes:
                handle.close()
            await wait_all_tasks_blocked()
            assert lab.origin.connections == closes
            lab.origin.bytes_per_second = 1e9
            await trio.sleep(1)
            await check(await opened(lab), remote, 400_000, 4096)
            assert lab.origin.requests == (1 if closes else 2)


async def test_close_drops_the_stream(autojump_clock: MockClock) -> None:
    """Closing the only handle ends its stream; bytes that nobody read may go."""
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
    """With every connection stalled another file's READ waits about a second, not for the deadline."""
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


async def test_large_reads_with_little_memory(autojump_clock: MockClock) -> None:
    """READs that together are larger than the memory all end, in time and right."""
    async with laboratory(latency_seconds=0.01, bytes_per_second=20e6, memory_nbytes=2 * MIB) as lab:
        remote = lab.add(Remote(total=40 * MIB))
        handle = await opened(lab)
        with trio.fail_after(15):
            async with trio.open_nursery() as nursery:
                for index in range(16):
                    nursery.start_soon(check, handle, remote, index * 2 * MIB, MIB)
        assert lab.cache.used_nbytes <= 2 * MIB


async def test_many_sequential_readers_within_a_small_budget(autojump_clock: MockClock) -> None:
    """Forty readers of forty files in 8 MiB of memory over 4 connections: all bytes right, never over the budget."""
    async with laboratory(latency_seconds=0.01, bytes_per_second=100e6, memory_nbytes=8 * MIB, connections=4) as lab:

        async def one(index: int) -> None:
            source = v2_recording(100 + index)
            remote = lab.origin.objects[source.key] = Remote(total=3 * MIB, seed=index)
            handle = await lab.objects.open(source.key, (source,))
            for offset in range(0, remote.total, 128 * KIB):
                with trio.fail_after(15):
                    await check(handle, remote, offset, 128 * KIB)
                assert lab.cache.used_nbytes <= 8 * MIB
            handle.close()

        async with trio.open_nursery() as nursery:
            for index in range(40):
                nursery.start_soon(one, index)
        assert lab.origin.most_connections <= 4
