"""Objects of several sources: the first that has the object answers."""

import pytest
import trio
from trio.testing import MockClock

from cffs.core.errors import (
    AccessRefused,
    CffsError,
    OperationNotOffered,
    OriginUnreachable,
    RemoteObjectMissing,
    ServerFailure,
)
from cffs.core.source import v2_recording
from tests.reader.simulated_link import (
    MIB,
    Fault,
    Remote,
    check,
    check_all,
    laboratory,
    opened,
)


async def test_first_source_that_answers_is_remembered(autojump_clock: MockClock) -> None:
    """Sources are tried in order, past "missing" and "not offered"; READs go to the one that answered."""
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
