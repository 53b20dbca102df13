"""Properties of sharing bytes: no wrong byte, no error, one machine fetches.

The server is a real Redis, the origin is simulated, so that the truth about every byte is known.
"""

import random
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
import trio

from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer, RemoteObjectChanged, RemoteObjectMissing, TruncatedAnswer
from cffs.core.source import Source
from cffs.core.units import BLOCK_NBYTES, KIB, MIB
from cffs.shared.leases import IDLE_SECONDS, FetchLease
from tests.reader.simulated_link import Fault, Origin, Remote
from tests.shared.sharing_machines import Machine, machine, recording, written


def add(origin: Origin, number: int, total: int, **fields: object) -> tuple[Source, Remote]:
    """An object of the origin."""
    source = recording(number)
    remote = origin.objects[source.key] = Remote(total=total, seed=number, **fields)
    return source, remote


async def read_range(opener, source: Source, wanted: ByteRange, pinned: Pinned | None = None) -> bytes:
    """What one answer brings, to its end, published as a reader does."""
    found, buffer = bytearray(), memoryview(bytearray(100_000))
    async with opener.open_range(source, wanted, pinned=pinned) as answer:
        assert answer.start == wanted.start
        answer.publish()
        while nbytes := await answer.receive_into(buffer):
            found += buffer[:nbytes]
    return bytes(found)


# -- one fetches, the others have it --


@pytest.mark.parametrize("total", [1, 100_000, 128 * KIB, 512 * KIB, 3 * MIB + 5])
async def test_a_second_machine_has_it_from_the_first(connect, patient, total):
    """What one machine has read whole, another one reads without a request."""
    origin = Origin()
    source, remote = add(origin, 1, total)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        assert await one.read_all(source) == remote.content(0, total)
        await written(one)
        requests, sent = origin.requests, origin.sent_nbytes
        assert await two.read_all(source) == remote.content(0, total)
        assert (origin.requests, origin.sent_nbytes) == (requests, sent)
        assert two.sharing.counts.hit == -(-total // BLOCK_NBYTES)


async def test_machines_at_once_share_each_fetch(connect, patient):
    """Three machines that read ten recordings at the same time cost the origin one copy."""
    origin = Origin(latency_seconds=0.01, bytes_per_second=100e6)
    objects = [add(origin, number, 400_000 + number * 70_001) for number in range(10)]
    async with (
        connect() as server,
        machine(server, origin) as one,
        machine(server, origin) as two,
        machine(server, origin) as three,
    ):

        async def read(each: Machine) -> None:
            for source, remote in objects:
                assert await each.read_all(source) == remote.content(0, remote.total)

        async with trio.open_nursery() as nursery:
            for each in (one, two, three):
                nursery.start_soon(read, each)
        assert origin.sent_nbytes == sum(remote.total for _, remote in objects)
        assert sum(each.sharing.counts.followed for each in (one, two, three)) > 0


async def test_a_recording_is_put_in_one_call(connect, patient):
    """What came before it was put goes to the server in one call, with its facts and its lease."""
    origin = Origin()
    source, remote = add(origin, 1, 5 * BLOCK_NBYTES + 9)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        writes = trio.Event()
        one.sharing.queue.add(source.key, writes.wait)
        await read_range(one.opener, source, ByteRange(0, remote.total))
        before = server.counts.answered
        writes.set()
        await written(one)
        assert server.counts.answered <= before + 2, "on a busy machine its lease may be renewed meanwhile"
        assert one.sharing.counts.put == 6
        assert await two.read_all(source) == remote.content(0, remote.total)
        assert origin.sent_nbytes == remote.total


async def test_what_has_come_and_is_not_written_yet_is_waited_for(connect, patient):
    """A busy machine writes late: the others wait, for longer than they do for one that brings nothing."""
    origin = Origin()
    source, remote = add(origin, 1, 300_000)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        one.sharing.queue.add(source.key, partial(trio.sleep, 1.5 * IDLE_SECONDS))
        assert await one.read_all(source) == remote.content(0, remote.total)
        assert await two.read_all(source) == remote.content(0, remote.total)
        assert origin.sent_nbytes == remote.total
        assert (two.sharing.counts.alone, two.sharing.counts.taken_over) == (0, 0)


async def test_a_size_is_asked_once(connect, patient):
    """What one machine learned of an object's size, another one has without a request; a byte of it is the
    origin's."""
    origin = Origin()
    source, remote = add(origin, 1, 2 * MIB)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        assert (await one.objects.probe(source.key, (source,))).total_nbytes == remote.total
        await written(one)
        assert origin.requests == 1
        learned = await two.objects.probe(source.key, (source,))
        assert (learned.total_nbytes, learned.validator) == (remote.total, remote.validator)
        assert origin.requests == 1
        assert await read_range(two.opener, source, ByteRange(0, 1)) == remote.content(0, 1)
        assert origin.requests == 2


async def test_a_gap_is_asked_for_up_to_what_is_there(connect, patient):
    """Where the end of an object is shared, only what lies before it is asked of the origin."""
    origin = Origin()
    source, remote = add(origin, 1, 20 * BLOCK_NBYTES)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        await read_range(one.opener, source, ByteRange(12 * BLOCK_NBYTES, remote.total))
        await written(one)
        sent = origin.sent_nbytes
        pinned = Pinned(validator=remote.validator, total=remote.total)
        middle = ByteRange(3 * BLOCK_NBYTES + 7, remote.total)
        assert await read_range(two.opener, source, middle, pinned) == remote.content(
            middle.start, 12 * BLOCK_NBYTES - middle.start
        )
        assert origin.sent_nbytes - sent == 12 * BLOCK_NBYTES - middle.start
        rest = ByteRange(13 * BLOCK_NBYTES + 9, remote.total)
        assert await read_range(two.opener, source, rest, pinned) == remote.content(rest.start, rest.nbytes)


@pytest.mark.parametrize("wanted", [(0, 300_000), (5, 140_000), (200_000, 900_001), (10, 20), (131_072, 262_145)])
async def test_what_no_machine_has_is_asked_for_as_it_is(connect, patient, server, wanted):
    """A range that ends within a block is one request, with and without a known size."""
    origin, asked = Origin(), ByteRange(*wanted)
    source, remote = add(origin, 1, 2 * MIB)
    async with connect() as shared, machine(shared, origin) as one:
        for pinned in (None, Pinned(validator=remote.validator, total=remote.total)):
            assert await read_range(one.opener, source, asked, pinned) == remote.content(asked.start, asked.nbytes)
            await written(one)
            server.ask("FLUSHALL")
        assert origin.asked == [(source.key, asked)] * 2


async def test_a_read_in_the_middle_of_a_block_is_served(connect, patient):
    """Any range is answered from its first byte to at most a MiB on, whatever blocks it touches."""
    origin = Origin()
    source, remote = add(origin, 1, 30 * BLOCK_NBYTES + 77)
    dice = random.Random(4)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        assert await one.read_all(source) == remote.content(0, remote.total)
        await written(one)
        origin.objects.clear()  # nothing is asked any more
        for _ in range(50):
            start = dice.randrange(remote.total)
            wanted = ByteRange(start, start + dice.randrange(1, 3 * MIB))
            if wanted == ByteRange(0, 1):
                continue
            found = await read_range(two.opener, source, wanted)
            assert 0 < len(found) <= 8 * BLOCK_NBYTES
            assert found == remote.content(start, len(found))


# -- what is never shared --


@pytest.mark.parametrize(
    "fields",
    [
        {"validator": None},
        {"validator": 'W/"weak"'},
        {"tells_total": False, "tells_length": False},
        {"changes_validator": True},
        {"last_modified_ns": 1_795_000_000_000 * 10**6 - 5 * 10**9},
        {"validator": "Wed, 18 Nov 2026 08:00:00 GMT", "last_modified_ns": 1_795_000_000_000 * 10**6},
    ],
)
async def test_doubtful_versions_are_not_shared(connect, patient, fields):
    """Without a validator that distinguishes versions, with a weak one, without a total, or dated at the moment of its
    answer: each machine asks for itself, and has the right bytes."""
    origin = Origin()
    source, remote = add(origin, 1, 700_000, **fields)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        assert await one.read_all(source) == remote.content(0, remote.total)
        await written(one)
        assert await two.read_all(source) == remote.content(0, remote.total)
        assert two.sharing.counts.hit == 0


async def test_what_a_reader_may_not_keep_is_not_shared(connect, patient):
    """Bytes of an object that may still be made are given to no machine, until it is known to be whole."""
    origin = Origin()
    source, remote = add(origin, 1, 300_000)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        for is_settled in (False, True):
            await one.objects.first_pieces.look(source.key, (source,), is_settled=False)
            handle = await one.opened(source)
            if is_settled:
                one.objects.first_pieces.settle(source.key)
            assert await handle.read(0, 128 * KIB) == remote.content(0, 128 * KIB)
            handle.close()
            one.objects.first_pieces.give_up(source.key)
            await written(one)
            sent = origin.sent_nbytes
            assert await two.read_all(source) == remote.content(0, remote.total)
            two.objects.forget(source.key)
            assert (origin.sent_nbytes == sent) == is_settled


async def test_a_growing_object_is_asked_of_the_origin(connect, patient):
    """What is still being made is asked for each time, though another machine shared what there was of it; and then
    what was shared is not believed any more."""
    origin = Origin()
    source, part = add(origin, 1, 300_000, validator='"part"')
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        await one.read_all(source)
        await written(one)
        _source, whole = add(origin, 1, 500_000, validator='"whole"')
        await two.objects.growing.look(source.key, (source,))
        assert two.objects.growing.last_nbytes(source.key) == whole.total
        assert await two.read_all(source) == whole.content(0, whole.total)
        assert part.total != whole.total


async def test_an_answer_that_proves_wrong_is_given_to_nobody(connect, patient):
    """Wrong bytes, and then the verdict that they were wrong: no other machine finds one of them."""
    origin = Origin()
    source, remote = add(origin, 1, 6 * BLOCK_NBYTES)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        origin.faults.append(Fault(after_nbytes=4 * BLOCK_NBYTES, body=MalformedAnswer("simulated"), corrupts=True))
        with pytest.raises(MalformedAnswer):
            await read_range(one.opener, source, ByteRange(0, remote.total))
        await written(one)
        assert await two.read_all(source) == remote.content(0, remote.total)
        assert two.sharing.counts.hit == 0


async def test_an_answer_that_broke_off_leaves_its_whole_blocks(connect, patient):
    """A connection that breaks says nothing about the blocks that had come."""
    origin = Origin()
    source, remote = add(origin, 1, 6 * BLOCK_NBYTES)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        origin.faults.append(Fault(after_nbytes=3 * BLOCK_NBYTES + 5))
        with pytest.raises(TruncatedAnswer):
            await read_range(one.opener, source, ByteRange(0, remote.total))
        await written(one)
        found = await read_range(two.opener, source, ByteRange(0, remote.total))
        assert found == remote.content(0, 3 * BLOCK_NBYTES)


# -- versions --


async def test_a_reader_is_given_its_own_version_alone(connect, patient):
    """A handle whose object was replaced fails, and so may one that begins with shared bytes of the old version, as it
    may with those on a disk; an open after it has the new version whole."""
    origin = Origin()
    source, old = add(origin, 1, 3 * MIB)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        handle = await two.opened(source)
        assert await handle.read(0, 128 * KIB) == old.content(0, 128 * KIB)
        new = origin.objects[source.key] = Remote(total=old.total, seed=99, validator='"new"')
        with pytest.raises(RemoteObjectChanged):
            await one.read_all(source)
        assert await one.read_all(source) == new.content(0, new.total)
        await written(one)
        with pytest.raises(RemoteObjectChanged):
            for offset in range(0, old.total, 128 * KIB):
                assert await handle.read(offset, 128 * KIB) == old.content(offset, 128 * KIB)
        handle.close()
        assert await two.read_all(source) == new.content(0, new.total)


async def test_a_version_that_was_seen_is_not_taken_back(connect, patient):
    """Where this machine saw a newer version, the facts of an earlier one are not believed, though another machine
    puts them again."""
    origin = Origin()
    source, old = add(origin, 1, 400_000)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        await one.read_all(source)
        await written(one)
        facts = await one.sharing.store.facts(source.key)
        new = origin.objects[source.key] = Remote(total=old.total, seed=7, validator='"new"')
        await read_range(two.opener.origin, source, ByteRange(0, 1))
        await one.sharing.store.put_facts(source.key, facts[0])
        assert await two.read_all(source) == new.content(0, new.total)


async def test_an_object_that_is_gone_is_gone_for_all(connect, patient):
    """A machine that finds an object missing takes its facts from the others."""
    origin = Origin()
    source, _remote = add(origin, 1, 400_000)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        await one.read_all(source)
        await written(one)
        del origin.objects[source.key]
        with pytest.raises(RemoteObjectMissing):
            await read_range(one.opener.origin, source, ByteRange(0, 1))
        await written(one)
        with pytest.raises(RemoteObjectMissing):
            await two.read_all(source)


async def test_facts_that_are_too_old_are_not_believed(connect, patient, server):
    """With `--revalidate` an open is served by facts that the origin confirmed within that time, by the server's
    clock."""
    origin = Origin()
    source, old = add(origin, 1, 400_000)
    async with connect() as shared, machine(shared, origin) as one:
        await one.read_all(source)
        await written(one)
        new = origin.objects[source.key] = Remote(total=old.total, seed=7, validator='"new"')
        key = one.sharing.store.facts_key(source.key)
        server.ask("PEXPIRE", key, 86_400_000 - 50_000)
        async with machine(shared, origin, revalidate_seconds=60) as two:
            assert await two.read_all(source) == old.content(0, old.total)
        server.ask("PEXPIRE", key, 86_400_000 - 70_000)
        async with machine(shared, origin, revalidate_seconds=60) as two:
            assert await two.read_all(source) == new.content(0, new.total)


# -- machines that wait for others --


async def test_a_machine_that_died_costs_little(connect, patient):
    """A lease whose holder never brings anything delays a reader by a second at most, and no second one."""
    origin = Origin()
    source, remote = add(origin, 1, 400_000)
    async with connect() as server, machine(server, origin) as one:
        store = one.sharing.store
        assert isinstance(await one.sharing.leases.take(store.leases_key(source.key), 0, 8), FetchLease)
        began_at = trio.current_time()
        assert await one.read_all(source) == remote.content(0, remote.total)
        assert trio.current_time() - began_at < 5
        assert one.sharing.counts.followed == 1
        assert one.sharing.counts.taken_over or one.sharing.counts.alone


async def test_a_full_server_keeps_no_lease(connect, patient, server):
    """Where the server is full at the end of an answer, no other machine waits for what will not come."""
    origin = Origin()
    source, remote = add(origin, 1, 400_000)
    async with connect() as shared, machine(shared, origin) as one:
        leases = one.sharing.store.leases_key(source.key)
        try:
            async with one.opener.open_range(source, ByteRange(0, remote.total)) as answer:
                answer.publish()
                while await answer.receive_into(memoryview(bytearray(100_000))):
                    pass
                await written(one)
                assert server.ask("EXISTS", leases) == 1
                server.ask("CONFIG", "SET", "maxmemory", "1")
            await written(one)
        finally:
            server.ask("CONFIG", "SET", "maxmemory", "0")
        assert server.ask("EXISTS", leases) == 0


async def test_a_slow_machine_is_not_waited_for(connect, patient):
    """A machine that fetches slowly a lot does not hold up a reader of a little."""
    origin = Origin(connection_bytes_per_second=1e6)
    source, remote = add(origin, 1, 12 * MIB)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_range, one.opener, source, ByteRange(0, remote.total))
            await trio.sleep(0.6)
            began_at = trio.current_time()
            pinned = Pinned(validator=remote.validator, total=remote.total)
            wanted = ByteRange(8 * MIB, 8 * MIB + BLOCK_NBYTES)
            assert await read_range(two.opener, source, wanted, pinned) == remote.content(8 * MIB, BLOCK_NBYTES)
            assert trio.current_time() - began_at < 2
            nursery.cancel_scope.cancel()


async def test_latency_is_that_of_the_origin(connect, patient):
    """What the reader learns of its link is what the origin does, neither the server nor the wait for others."""
    origin = Origin(latency_seconds=0.2)
    source, remote = add(origin, 1, 900_000)
    async with connect() as server, machine(server, origin) as one, machine(server, origin) as two:

        async def read(each: Machine) -> None:
            assert await each.read_all(source) == remote.content(0, remote.total)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, one)
            nursery.start_soon(read, two)
        links = [each.objects._dependencies.link for each in (one, two)]
        assert all(link.latency_seconds == 0 or 0.2 <= link.latency_seconds < 0.35 for link in links)
        assert any(link.latency_seconds for link in links)


# -- whatever happens: a schedule at random --


class Chaos:
    """Machines that come and go, an origin whose objects are replaced, and a server that damages what it holds."""

    def __init__(self, seed: int, server, shared) -> None:
        self.dice = random.Random(seed)
        self.server = server
        self.shared = shared
        self.origin = Origin(latency_seconds=0.001)
        self.sources = [recording(number) for number in range(3)]
        #: By source, when each version began to be served.
        self.history: dict[str, list[Remote]] = {}
        for source in self.sources:
            self.replace(source)

    def replace(self, source: Source) -> None:
        """Let the origin have another version, which may have the size of the one before. It is never less than half as
        long: that is not believed at once."""
        before = self.history.setdefault(source.key, [])
        total = (
            self.dice.choice([before[-1].total, self.dice.randrange(3 * BLOCK_NBYTES, 6 * BLOCK_NBYTES)])
            if before
            else 500_000
        )
        remote = Remote(total=total, seed=self.dice.randrange(10**6), validator=f'"{len(before)}"')
        self.origin.objects[source.key] = remote
        before.append(remote)

    def damage(self) -> None:
        """Do to the server's values what a server may do; what it refuses is not done."""
        with suppress(RuntimeError):
            self._damage()

    def _damage(self) -> None:
        keys = self.server.ask("KEYS", "*")
        if not keys:
            return
        key, other = self.dice.choice(keys), self.dice.choice(keys)
        match self.dice.randrange(6):
            case 0:
                if self.server.ask("TYPE", key) == b"string" and (nbytes := self.server.ask("STRLEN", key)):
                    self.server.ask("SETRANGE", key, self.dice.randrange(nbytes), bytes([self.dice.randrange(256)]))
            case 1:
                self.server.ask("DEL", key)
            case 2:
                self.server.ask("COPY", key, other, "REPLACE")
            case 3:
                self.server.ask("SET", key, self.dice.randbytes(self.dice.randrange(40)), "EX", 60)
            case 4:
                self.server.ask("FLUSHALL")
            case _:
                self.server.ask("RENAME", key, other)

    async def read(self, one: Machine) -> None:
        """Read some of an object through one handle: all of it is of one version, of the time since the open."""
        source = self.dice.choice(self.sources)
        versions = self.history[source.key]
        began = len(versions)
        pieces = list[tuple[int, bytes]]()
        try:
            handle = await one.opened(source)
            try:
                total = handle.total_nbytes
                for _ in range(self.dice.randrange(1, 4)):
                    offset, nbytes = self.dice.randrange(total), self.dice.randrange(1, 300_000)
                    pieces.append((offset, bytes(await handle.read(offset, nbytes))))
                    assert len(pieces[-1][1]) == min(nbytes, total - offset)
            finally:
                handle.close()
        except RemoteObjectChanged:
            # the machine, or one that it has its facts from, knew an earlier version, or it was replaced meanwhile
            assert len(versions) > 1 or began < len(versions)
            return
        assert any(
            remote.total == total and all(remote.content(offset, len(data)) == data for offset, data in pieces)
            for remote in versions
        )

    async def run(self, machines: list[Machine], actions: int) -> None:
        """Do that many things, some at the same time."""
        async with trio.open_nursery() as nursery:
            for _ in range(actions):
                match self.dice.randrange(10):
                    case 0:
                        self.replace(self.dice.choice(self.sources))
                    case 1 | 2:
                        await trio.to_thread.run_sync(self.damage)
                    case _:
                        nursery.start_soon(self.read, self.dice.choice(machines))
                if self.dice.random() < 0.5:
                    await trio.sleep(self.dice.random() * 0.01)


@pytest.mark.parametrize("seed", range(4))
async def test_no_schedule_gives_a_wrong_byte(connect, server, patient, seed):
    """Versions are replaced, values damaged, exchanged and lost, machines begin afresh: every handle has the bytes of
    one version, and no error but that of an object that changed."""
    await schedule(connect, server, seed, rounds=3, actions=25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
async def test_no_long_schedule_gives_a_wrong_byte(connect, server, patient, seed):
    """Schedules of another length, with other dice."""
    await schedule(connect, server, seed, rounds=8, actions=60)


async def schedule(connect, server, seed: int, *, rounds: int, actions: int) -> None:
    """One schedule of a seed: machines with small and large memories, new ones each round."""
    async with connect() as shared:
        chaos = Chaos(seed, server, shared)
        for _ in range(rounds):
            async with AsyncExitStack() as stack:
                machines = [
                    await stack.enter_async_context(
                        machine(shared, chaos.origin, memory_nbytes=chaos.dice.choice([2, 64]) * MIB)
                    )
                    for _ in range(3)
                ]
                await chaos.run(machines, actions)
