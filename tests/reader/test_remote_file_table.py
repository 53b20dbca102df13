"""One version, always, whatever answers and whatever runs beside it."""

import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.cache.types import ObjectVersion
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, PossiblyPartial, RemoteObjectChanged, RemoteObjectMissing
from cffs.core.source import v2_recording
from cffs.reader.folder_read_ahead import HOLD_SECONDS, FolderReadAhead, NextFile
from cffs.reader.object_info import Known
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import ANSWERED_MS, MIB, Fault, Lab, Remote, disk_in, laboratory

KIB = 1024
TOTAL = 700_001
#: When the answers are sent.
NOW, NOW_NS = "now, as HTTP spells it", ANSWERED_MS * 10**6
#: Of one size: two of other bytes, the first once more from a machine that names it otherwise, and one that nothing
#: names; one of another size; and two that are always dated at the moment they are sent.
VERSIONS = (
    Remote(total=TOTAL, validator='"v1"'),
    Remote(total=TOTAL, seed=1, validator='"v2"'),
    Remote(total=TOTAL + 977, seed=2, validator='"v3"'),
    Remote(total=TOTAL, validator='"v1 elsewhere"'),
    Remote(total=TOTAL, seed=4, validator=None),
    Remote(total=TOTAL, seed=5, validator=NOW, last_modified_ns=NOW_NS),
    Remote(total=TOTAL, seed=6, validator=NOW, last_modified_ns=NOW_NS),
)


async def opened(lab: Lab) -> OpenFile:
    """Open as a mount does: with what the catalogue knows now."""
    return await lab.objects.open(lab.key, (lab.source,), known=lab.facts.kept.get(lab.key))


async def whole(handle: OpenFile) -> bytes:
    assert handle.total_nbytes is not None
    parts = [await handle.read(offset, 128 * KIB) for offset in range(0, handle.total_nbytes, 128 * KIB)]
    return b"".join(parts)


# -- the model --

STEPS = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("open"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("read"), st.integers(0, 2), st.integers(0, TOTAL)),
    st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from([0, 128 * KIB, 512 * KIB, TOTAL - 5])),
    st.tuples(st.just("close"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("serve"), st.integers(0, 10), st.just(0)),
    st.tuples(st.just("bring"), st.just(0), st.just(0)),
    st.tuples(st.just("let go"), st.just(0), st.just(0)),
    st.tuples(st.just("probe"), st.just(0), st.just(0)),
    st.tuples(st.just("forgotten"), st.just(0), st.just(0)),
    st.tuples(st.just("evict"), st.just(0), st.just(0)),
    st.tuples(st.just("later"), st.just(0), st.sampled_from([0, 1, 60])),
)
#: Which versions the machines behind the service have, by the turn in which they answer.
SERVED = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2, 0), (0, 3), (0, 4), (5,), (5, 6), (5, 0))


class Run:
    """Plays steps on one object of several versions; every check is in here."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.held: dict[int, tuple[OpenFile, set[int]]] = {}
        self.brought: list[OpenFile] = []
        self.serve(0)

    def serve(self, which: int) -> None:
        self.lab.origin.machines[self.lab.key] = [VERSIONS[number] for number in SERVED[which]]

    async def step(self, name: str, first: int, second: int) -> None:
        match name:
            case "open":
                self.close(first)
                await self.open(first)
            case "read":
                await self.read(first, second)
            case "close":
                self.close(first)
            case "serve":
                self.serve(first)
            case "bring":
                known = self.lab.facts.kept.get(self.lab.key)
                pieces = [ByteRange(0, 512 * KIB)]
                brought = self.lab.objects.prefetch(self.lab.key, (self.lab.source,), known=known, ranges=pieces)
                self.brought.append(brought)
            case "let go":
                while self.brought:
                    self.brought.pop().close()
            case "probe":
                await self.lab.objects.probe(self.lab.key, (self.lab.source,))
            case "forgotten":
                self.lab.facts.kept.pop(self.lab.key, None)
            case "evict":
                self.lab.cache.drop_object(self.lab.key)
            case "later":
                await trio.sleep(second / 10)

    async def open(self, slot: int) -> None:
        try:
            handle = await opened(self.lab)
        except RemoteObjectChanged:
            return
        known = self.lab.facts.kept[self.lab.key]
        assert known.total_nbytes == handle.total_nbytes, "the size that is told is another than that of what is open"
        self.close(slot)  # another step may have opened one meanwhile
        self.held[slot] = handle, {n for n, version in enumerate(VERSIONS) if version.total == handle.total_nbytes}
        assert self.held[slot][1]

    async def read(self, slot: int, offset: int) -> None:
        if slot not in self.held:
            return
        handle, versions = self.held[slot]
        try:
            data = await handle.read(offset, 128 * KIB)
        except RemoteObjectChanged:
            return
        total = handle.total_nbytes or 0
        assert len(data) == max(0, min(128 * KIB, total - offset)), "short, or beyond the end"
        versions &= {n for n in versions if data == VERSIONS[n].content(offset, len(data))}
        assert versions, "bytes of no version, or of two"

    def close(self, slot: int) -> None:
        held = self.held.pop(slot, None)
        if held is not None:
            held[0].close()

    async def in_peace(self, number: int) -> None:
        """With one machine left, its version is read whole by the second open at the latest, and again without a
        request and without another change."""
        await self.step("let go", 0, 0)
        for slot in list(self.held):
            self.close(slot)
        self.lab.origin.machines[self.lab.key] = [VERSIONS[number]]
        await trio.sleep(6)
        for _ in range(2):
            handle = await opened(self.lab)
            try:
                body = await whole(handle)
            except RemoteObjectChanged:
                continue
            finally:
                handle.close()
            break
        else:
            raise AssertionError("it cannot be read in peace")
        # one that is completely here is not asked about again
        assert body in [version.content(0, version.total) for version in VERSIONS]
        changes, requests = len(self.lab.facts.changed_keys), self.lab.origin.requests
        again = await opened(self.lab)
        assert await whole(again) == body
        again.close()
        assert (len(self.lab.facts.changed_keys), self.lab.origin.requests) == (changes, requests)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    has_disk=st.booleans(),
    last=st.integers(0, 6),
    steps=st.lists(st.one_of(STEPS.map(lambda step: [step]), st.lists(STEPS, max_size=4)), max_size=14),
)
def test_versions_of_several_machines(has_disk: bool, last: int, steps: list[list[tuple[str, int, int]]]) -> None:
    """Whichever machine answers and whatever runs beside it, a handle reads one version as long as it is open, and the
    size at open is that version's. Once one machine is left, its version is read and no change reported."""

    async def main(folder: Path) -> None:
        disk = disk_in(folder) if has_disk else None
        async with laboratory(latency_seconds=0.05, bytes_per_second=20e6, memory_nbytes=4 * MIB, disk=disk) as lab:
            play = Run(lab)
            for together in steps:
                async with trio.open_nursery() as nursery:
                    for step in together:
                        nursery.start_soon(play.step, *step)
            await play.in_peace(last)
            if disk is not None:
                assert disk.corrupt_blocks == 0
                disk.close()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=MockClock(autojump_threshold=0))


# -- answers that do not agree --


@pytest.mark.parametrize("total", [1, 90_044, 512 * KIB, 1_500_044, 12 * MIB])
@pytest.mark.parametrize("how", ["named anew", "dated now", "two machines", "one names nothing"])
@pytest.mark.parametrize("has_disk", [False, True])
async def test_validators_that_differ_with_each_answer(
    autojump_clock: MockClock, tmp_path: Path, *, total: int, how: str, has_disk: bool
) -> None:
    """An object whose bytes stay while each answer names it otherwise is read by the first open, whatever was known of
    it before, and no change is reported. What does not come in one answer costs two requests more, and nothing is
    fetched more than twice."""
    disk = disk_in(tmp_path / "disk") if has_disk else None
    remote = Remote(total=total, changes_validator=how == "named anew")
    if how == "dated now":
        remote = Remote(total=total, validator=NOW, last_modified_ns=NOW_NS)
    machines = {
        "two machines": [remote, Remote(total=total, validator='"v1 elsewhere"')],
        "one names nothing": [remote, Remote(total=total, validator=None)],
    }
    async with laboratory(disk=disk) as lab:
        lab.add(remote)
        lab.origin.machines[lab.key] = machines.get(how, [])
        await lab.objects.probe(lab.key, (lab.source,))
        for _ in range(2):
            before = lab.origin.requests
            handle = await opened(lab)
            assert await whole(handle) == remote.content(0, total)
            handle.close()
            assert lab.origin.requests - before <= 1 + 2 * (total > 512 * KIB)
            lab.cache.drop_object(lab.key)
            lab.objects.let_go(lab.key)
            await trio.sleep(6)
        assert lab.origin.sent_nbytes <= 4 * total + 2
        assert lab.facts.changed_keys == []


async def test_a_read_in_parts_across_another_beginning(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A READ of which one part is on disk, and was given to no reader, while its other part comes from another version:
    all of it is of the latter."""
    old, new = Remote(total=20 * MIB), Remote(total=20 * MIB, seed=1, validator='"v2"')
    known = Known(total_nbytes=20 * MIB)
    for remote, offset, nbytes in ((old, 0, 4 * KIB), (new, 128 * KIB, 768 * KIB)):
        disk = disk_in(tmp_path / "disk")
        async with laboratory(disk=disk) as lab:
            lab.add(remote)
            handle = await lab.objects.open(lab.key, (lab.source,), known=known)
            assert await handle.read(offset, nbytes) == remote.content(offset, nbytes)
            known = lab.facts.kept[lab.key]
            assert lab.facts.changed_keys == []
        disk.close()


async def test_two_answers_of_one_moment(autojump_clock: MockClock) -> None:
    """Two answers side by side, dated at the moment when both were sent, may be of two versions: no reader is given
    bytes of both."""
    versions = [Remote(total=20 * MIB, seed=n, validator=NOW, last_modified_ns=NOW_NS) for n in range(4)]
    async with laboratory(latency_seconds=0.1) as lab:
        lab.origin.machines[lab.key] = list(versions)
        handle = await lab.objects.open(lab.key, (lab.source,), known=Known(total_nbytes=20 * MIB))
        given = dict[int, bytes]()

        async def reading(offset: int) -> None:
            try:
                given[offset] = bytes(await handle.read(offset, 4096))
            except RemoteObjectChanged:
                return

        async with trio.open_nursery() as nursery:
            for offset in (0, 18 * MIB):
                nursery.start_soon(reading, offset)
        assert any(all(version.content(offset, 4096) == data for offset, data in given.items()) for version in versions)


# -- one by one --


async def test_an_outdated_copy_of_what_is_known(autojump_clock: MockClock) -> None:
    """While a file is open, an outdated fact changes nothing, and the listener is informed again where the caller does
    not know what is true."""
    async with laboratory() as lab:
        lab.add(VERSIONS[2])
        handle = await opened(lab)
        outdated = Known(total_nbytes=TOTAL, validator='"v1"', source=lab.source)
        other = await lab.objects.open(lab.key, (lab.source,), known=outdated)
        assert (other.total_nbytes, lab.facts.kept[lab.key].total_nbytes) == (TOTAL + 977, TOTAL + 977)
        lab.facts.kept.clear()
        await opened(lab)
        assert lab.facts.kept[lab.key].total_nbytes == TOTAL + 977
        assert (len(lab.facts.changed_keys), handle.is_changed) == (0, False)


async def test_a_late_answer_of_an_earlier_version(autojump_clock: MockClock) -> None:
    """An answer that comes after its version ended takes nothing from the next one, and reports nothing."""
    async with laboratory(latency_seconds=1) as lab:
        lab.add(VERSIONS[0])
        old = await opened(lab)
        await old.read(0, KIB)
        early = lab.objects.prefetch(
            lab.key, (lab.source,), known=lab.facts.kept[lab.key], ranges=[ByteRange(0, TOTAL)]
        )
        await trio.sleep(0.5)
        lab.add(VERSIONS[2])
        lab.objects.forget(lab.key)
        assert len(lab.facts.changed_keys) == 1
        new = await opened(lab)
        assert await whole(new) == VERSIONS[2].content(0, VERSIONS[2].total)
        requests = lab.origin.requests
        early.close()
        await trio.sleep(10)
        assert await whole(new) == VERSIONS[2].content(0, VERSIONS[2].total)
        assert (len(lab.facts.changed_keys), lab.origin.requests) == (1, requests)


@pytest.mark.parametrize("has_disk", [False, True])
async def test_versions_of_one_name(autojump_clock: MockClock, tmp_path: Path, *, has_disk: bool) -> None:
    """Two versions without a validator and of one size have one name: bytes of the next one are never given to a handle
    on the one before."""
    disk = disk_in(tmp_path / "disk") if has_disk else None
    async with laboratory(disk=disk) as lab:
        lab.add(Remote(total=TOTAL, validator=None))
        old = await opened(lab)
        await old.read(0, KIB)
        new = lab.add(Remote(total=TOTAL, validator=None, seed=1))
        lab.objects.forget(lab.key)
        fresh = await opened(lab)
        assert await whole(fresh) == new.content(0, TOTAL)
        for _ in range(2):
            for offset in (0, 600_000):
                with pytest.raises(RemoteObjectChanged):
                    await old.read(offset, KIB)
            lab.cache.drop_object(lab.key)
        assert await whole(fresh) == new.content(0, TOTAL)


async def test_a_read_in_parts_across_a_change(autojump_clock: MockClock) -> None:
    """A READ of which one part is here and another on its way when the version ends returns neither."""
    async with laboratory(latency_seconds=1, memory_nbytes=64 * MIB) as lab:
        lab.add(Remote(total=3 * MIB, validator=None))
        old = await opened(lab)
        await old.read(0, 128 * KIB)
        failures: list[CffsError] = []

        async def across() -> None:
            try:
                await old.read(64 * KIB, MIB)
            except CffsError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(across)
            await trio.sleep(0.5)
            lab.add(Remote(total=3 * MIB, validator=None, seed=1))
            lab.objects.forget(lab.key)
            await whole(await opened(lab))
        assert [type(error) for error in failures] == [PossiblyPartial]


async def test_an_object_that_changes_while_it_is_opened(autojump_clock: MockClock) -> None:
    """An open that waits for the size of a version that ends meanwhile gets the next version's."""
    async with laboratory(latency_seconds=1) as lab:
        lab.add(VERSIONS[0])
        sizes: list[int | None] = []

        async def opening() -> None:
            sizes.append((await opened(lab)).total_nbytes)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(opening)
            await trio.sleep(0.5)
            lab.add(VERSIONS[2])
            lab.objects.forget(lab.key)
        assert sizes == [VERSIONS[2].total] == [lab.facts.kept[lab.key].total_nbytes]


async def test_a_question_for_the_size_beside_an_open_file(autojump_clock: MockClock) -> None:
    """The answer to a probe that was begun before the object was opened does not replace what is known of the open
    file; where it states another size, that is a change."""
    for answer, changes in ((VERSIONS[1], 0), (VERSIONS[2], 1)):
        async with laboratory(latency_seconds=1) as lab:
            lab.origin.machines[lab.key] = [answer, VERSIONS[0]]
            lab.objects.probe_soon(lab.key, (lab.source,))
            await wait_all_tasks_blocked()
            lab.origin.latency_seconds = 0.1
            lab.origin.machines[lab.key] = [VERSIONS[0], answer]
            handle = await opened(lab)
            assert (handle.total_nbytes, lab.facts.kept[lab.key].validator) == (TOTAL, '"v1"')
            await trio.sleep(2)
            assert (len(lab.facts.changed_keys), handle.is_changed) == (changes, bool(changes))
            assert lab.facts.kept[lab.key].validator == ('"v1"' if not changes else '"v3"')


async def test_revalidation_of_what_was_noticed_before(autojump_clock: MockClock) -> None:
    """A late answer about whether an object is still what it was does not end the version that was found meanwhile."""
    async with laboratory(revalidate_seconds=1) as lab:
        lab.add(VERSIONS[0])
        handle = await opened(lab)
        before = lab.facts.kept[lab.key]
        handle.close()
        lab.add(VERSIONS[2])
        lab.objects.forget(lab.key)
        fresh = await opened(lab)
        assert await lab.objects.revalidation.is_another(lab.key, (lab.source,), before)
        assert (len(lab.facts.changed_keys), fresh.is_changed) == (1, False)


async def test_two_sources_of_one_object(autojump_clock: MockClock) -> None:
    """Where two fetches of one object are answered by different sources, one of them is the object."""
    async with laboratory(latency_seconds=1) as lab:
        first, second = v2_recording(7), v2_recording(8)
        contents = {
            source.key: Remote(total=3 * MIB, seed=seed, validator=None) for seed, source in enumerate((first, second))
        }
        lab.origin.objects.update(contents)
        known = Known(total_nbytes=3 * MIB)
        handle = await lab.objects.open("k", (first, second), known=known)
        lab.origin.faults.append(Fault(head=RemoteObjectMissing("not yet on this machine")))
        parts: dict[int, bytes] = {}

        async def reading(offset: int) -> None:
            parts[offset] = bytes(await handle.read(offset, 4 * KIB))

        async with trio.open_nursery() as nursery:
            for offset in (0, 2 * MIB):
                nursery.start_soon(reading, offset)

        def holds(remote: Remote) -> bool:
            return all(data == remote.content(offset, 4 * KIB) for offset, data in parts.items())

        assert [key for key, remote in contents.items() if holds(remote)] == [first.key], "bytes of two objects"


# -- what is prefetched --


async def test_what_is_brought_early_is_let_go(autojump_clock: MockClock) -> None:
    """What was prefetched and never opened is held for a while and no longer, also where no file is opened any more.
    Then nothing is open, and its bytes may be evicted."""
    async with laboratory() as lab:
        files = []
        for index in range(6):
            source = v2_recording(10 + index)
            lab.origin.objects[source.key] = Remote(total=100_000, seed=index)
            files.append(NextFile(index=index, key=source.key, sources=(source,), known=None, hint_nbytes=100_000))
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)
        for index in range(2):
            handle = await lab.objects.open(files[index].key, files[index].sources)
            behind = files[index + 1 :]
            siblings.opened(
                "f", index, key=files[index].key, file=handle, following=lambda n, behind=behind: behind[:n]
            )
            await handle.read(0, 100_000)
            handle.close()
        await wait_all_tasks_blocked()
        assert lab.objects.counters.open_files == 2
        assert siblings.has_prefetched(files[2].key)
        await trio.sleep(HOLD_SECONDS + 0.001)
        assert lab.objects.counters.open_files == 0
        assert not siblings.has_prefetched(files[2].key)
        assert lab.cache.held_nbytes(files[2].key) == 100_000
        everything = ByteRange(0, lab.cache.limit_nbytes)
        lease = lab.cache.lease(
            ObjectVersion("k", None, everything.stop), everything, is_urgent=False, is_passing=False
        )
        assert lease is not None, "what nobody waits for any more must give way"


async def test_what_was_brought_of_an_earlier_version(autojump_clock: MockClock) -> None:
    """What was prefetched for a version that ended is not taken for the next one, and not in its way."""
    async with laboratory() as lab:
        lab.add(VERSIONS[0])
        await opened(lab)
        sibling = NextFile(index=1, key=lab.key, sources=(lab.source,), known=lab.facts.kept[lab.key], hint_nbytes=None)
        first = v2_recording(99)
        lab.origin.objects[first.key] = Remote(total=100)
        siblings = FolderReadAhead(lab.objects, memory_nbytes=64 * MIB)

        async def pass_by(index: int, following: list[NextFile]) -> None:
            handle = await lab.objects.open(first.key, (first,))
            siblings.opened("f", index, key=f"{first.key}{index}", file=handle, following=lambda _count: following)
            await handle.read(0, 100)
            handle.close()

        await pass_by(0, [])
        await pass_by(1, [sibling])
        assert siblings.has_prefetched(lab.key)
        lab.add(VERSIONS[2])
        lab.objects.forget(lab.key)
        assert not siblings.has_prefetched(lab.key)
        fresh = NextFile(index=2, key=lab.key, sources=(lab.source,), known=None, hint_nbytes=TOTAL)
        await pass_by(2, [fresh])
        assert siblings.has_prefetched(lab.key)
        assert lab.objects.counters.open_files == 2
        handle = await opened(lab)
        siblings.opened("f", 3, key=lab.key, file=handle, following=lambda _count: [])
        assert await whole(handle) == VERSIONS[2].content(0, VERSIONS[2].total)


async def test_faults_do_not_look_like_changes(autojump_clock: MockClock) -> None:
    """An answer that breaks off, or is an error, is no other version."""
    async with laboratory() as lab:
        remote = lab.add(VERSIONS[0])
        lab.origin.faults += [Fault(after_nbytes=1000), Fault(answers_nbytes=5)]
        assert await whole(await opened(lab)) == remote.content(0, TOTAL)
        assert len(lab.facts.changed_keys) == 0
