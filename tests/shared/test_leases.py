"""Properties of leases: one machine fetches, and none waits for one that does not.

The scripts run on a real server; the decision is pure.
"""

from dataclasses import replace

import trio
from hypothesis import given
from hypothesis import strategies as st

from cffs.cache.types import ObjectVersion
from cffs.shared.block_store import BlockStore
from cffs.shared.leases import IDLE_SECONDS, LEASE_SECONDS, FetchLease, Holder, Present, taken, worth_waiting
from cffs.shared.sealed_values import sealed
from tests.shared.sharing_machines import Later, leases_on

SECONDS = st.floats(0, 100)
HOLDERS = st.builds(
    lambda first, reached, left, running, idle: Holder(
        first=first, reached=first + reached, stop=first + reached + left, running_seconds=running, idle_seconds=idle
    ),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 1000),
    SECONDS,
    SECONDS,
)


@given(HOLDERS, st.integers(1, 512), SECONDS, SECONDS)
def test_nobody_waits_without_bound(holder, wanted, waited, patience):
    """No one waits beyond its patience, or for a machine that stands still; one that is worth waiting for with little
    time left is so with more."""
    waits = worth_waiting(holder, wanted, waited_seconds=waited, patience_seconds=patience)
    if waited >= patience or holder.idle_seconds >= IDLE_SECONDS:
        assert not waits
    if waits:
        assert worth_waiting(holder, wanted, waited_seconds=waited, patience_seconds=patience + 1)
        assert worth_waiting(holder, wanted + 1, waited_seconds=waited, patience_seconds=patience)
        if holder.reached < holder.stop:
            nearer = replace(holder, stop=holder.stop - 1)
            assert worth_waiting(nearer, wanted, waited_seconds=waited, patience_seconds=patience)


def test_a_reader_of_a_little_does_not_wait_for_a_lot():
    """A machine that brings 128 blocks in ten seconds is not waited for by a reader of one, and is by one of all."""
    holder = Holder(first=0, reached=64, stop=128, running_seconds=5.0, idle_seconds=0.1)
    assert not worth_waiting(holder, 1, waited_seconds=0.0, patience_seconds=6.0)
    assert worth_waiting(holder, 128, waited_seconds=0.0, patience_seconds=6.0)


@given(st.one_of(st.none(), st.binary(), st.integers(), st.lists(st.one_of(st.integers(), st.binary(), st.none()))))
def test_a_reply_that_makes_no_sense_is_none(reply):
    """Whatever a server answers is a lease within what was wanted, a holder, or nothing."""
    found = taken(reply, b"key", "token", 3, 9)
    assert (
        found is None or isinstance(found, Present | Holder) or (isinstance(found, FetchLease) and 3 < found.stop <= 9)
    )


async def test_one_of_two_machines_gets_a_lease(patient, connect):
    """The second machine is shown how far the first has come, until that gives the lease back."""
    async with connect() as server:
        one, two, key = leases_on(server), leases_on(server), server.key("leases", "object")
        lease = await one.take(key, 2, 10)
        assert isinstance(lease, FetchLease)
        assert lease.stop == 10
        holder = await two.take(key, 5, 20)
        assert isinstance(holder, Holder)
        assert (holder.first, holder.reached, holder.stop) == (2, 2, 10)
        assert await one.renew(lease, 7)
        holder = await two.take(key, 5, 20)
        assert isinstance(holder, Holder)
        assert holder.reached == 7
        assert holder.idle_seconds < LEASE_SECONDS
        forced = await two.take(key, 5, 20, is_forced=True)
        assert isinstance(forced, FetchLease)
        await one.give_back(lease)
        await two.give_back(forced)
        assert not await one.renew(lease, 9)
        assert isinstance(await two.take(key, 2, 20), FetchLease)


async def test_a_lease_ends_before_what_another_machine_holds(patient, connect):
    """What is fetched elsewhere is not fetched again: the lease of a longer run ends there."""
    async with connect() as server:
        leases, key = leases_on(server), server.key("leases", "object")
        assert isinstance(await leases.take(key, 10, 20), FetchLease)
        before = await leases.take(key, 0, 40)
        assert isinstance(before, FetchLease)
        assert before.stop == 10
        after = await leases.take(key, 20, 40)
        assert isinstance(after, FetchLease)
        assert after.stop == 40


async def test_a_lease_ends_by_the_clock_of_the_server(patient, connect, server):
    """A machine that died 2 s ago holds nothing, whatever its own clock said."""
    async with connect() as shared:
        leases, key = leases_on(shared), shared.key("leases", "object")
        seconds, microseconds = (int(part) for part in server.ask("TIME"))
        now_ms = seconds * 1000 + microseconds // 1000
        server.ask("HSET", key, "dead", f"0 0 10 {now_ms - 5000} {now_ms - 2100}")
        server.ask("HSET", key, "alive", f"10 12 20 {now_ms - 5000} {now_ms - 500}")
        server.ask("HSET", key, "from an hour ahead", f"0 0 10 {now_ms} {now_ms + 3_600_000}")
        server.ask("HSET", key, "garbage", "not numbers")
        lease = await leases.take(key, 0, 40)
        assert isinstance(lease, FetchLease)
        assert lease.stop == 10
        assert sorted(server.ask("HKEYS", key)) == sorted([b"alive", lease.token.encode()])
        assert 0 < server.ask("PTTL", key) <= LEASE_SECONDS * 1000


async def test_a_lease_ends_before_what_is_there(patient, connect):
    """The run of blocks at its end, or four in its middle, are not fetched again; a single one in its middle is."""
    async with connect() as server:
        store = BlockStore(server)
        leases, keys = leases_on(server), store.keys_of(ObjectVersion("object", '"v"', 40 * 131072))
        present = [keys.block(index) for index in range(40)]

        async def stop(first: int, stop: int) -> object:
            found = await leases.take(server.key("leases", "object"), first, stop, present=present[first:stop])
            if isinstance(found, FetchLease):
                await leases.give_back(found)
                return found.stop
            return found

        async def put(index: int) -> None:
            assert await server.write(keys.block(index), sealed(b"x", seed=0), ttl_seconds=60)

        assert await stop(0, 40) == 40
        await put(5)
        assert await stop(0, 40) == 40
        assert await stop(0, 6) == 5
        found = await stop(5, 40)
        assert isinstance(found, Present)
        assert found.value == sealed(b"x", seed=0)
        assert 59_000 < found.left_ms <= 60_000
        for index in (20, 21, 22, 23):
            await put(index)
        assert await stop(0, 40) == 20
        assert await stop(24, 40) == 40


async def test_keys_of_others_are_nothing(patient, connect, server):
    """A key of another type under our name costs a lease, and raises nothing."""
    async with connect() as shared:
        key = shared.key("leases", "object")
        server.ask("SET", key, "a string")
        leases = leases_on(shared)
        assert await leases.take(key, 0, 1) is None
        assert not await leases.renew(FetchLease(key, "token", 1), 0)
        await leases.give_back(FetchLease(key, "token", 1))
        assert shared.is_up


async def test_a_lease_that_its_taker_did_not_learn_of_is_given_back(patient, connect, server):
    """Where a machine gave up before the reply came, the others do not wait for it."""
    async with connect() as one, connect() as two:
        background, key = Later(), one.key("leases", "object")
        server.freeze()
        try:
            with trio.move_on_after(0.02):  # it is sent, and the reply is read by no caller
                await leases_on(one, background).take(key, 0, 4)
        finally:
            server.thaw()
        await background.run()
        assert isinstance(await leases_on(two).take(key, 0, 4), FetchLease)
        assert server.ask("HLEN", key) == 1
