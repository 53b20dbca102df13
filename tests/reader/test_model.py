"""Any readers, any faults: true bytes or an error, within time and budget."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.cache.disk import DiskCache
from cffs.core.errors import (
    CffsError,
    DeadlineExceeded,
    MalformedAnswer,
    OriginUnreachable,
    RemoteObjectChanged,
    ServerFailure,
    TruncatedAnswer,
)
from cffs.reader.remote_file import OpenFile
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, disk_in, laboratory

KIB = 1024
READ_SECONDS = 15.0
MEMORY_NBYTES = 4 * MIB

FAULTS = st.one_of(
    st.just(Fault()),
    st.builds(Fault, head=st.sampled_from([OriginUnreachable("x"), ServerFailure(503, "x"), DeadlineExceeded("x")])),
    st.builds(
        Fault,
        after_nbytes=st.integers(0, 600 * KIB),
        body=st.sampled_from([TruncatedAnswer("x"), OriginUnreachable("x"), MalformedAnswer("x")]),
    ),
    st.builds(Fault, after_nbytes=st.integers(0, 600 * KIB), stalls=st.just(True)),
    st.builds(Fault, answers_nbytes=st.integers(1, 300 * KIB)),
)
READS = st.tuples(
    st.just("read"),
    st.integers(0, 3),
    st.one_of(st.integers(0, 12 * MIB), st.sampled_from([0, 128 * KIB, 256 * KIB, 384 * KIB, 512 * KIB])),
    st.sampled_from([1, 4096, 64 * KIB + 1, 128 * KIB, MIB]),
)
STEPS = st.one_of(
    *[READS] * 6,
    st.tuples(st.just("on"), st.integers(0, 3), st.integers(1, 20), st.just(128 * KIB)),
    st.tuples(st.just("open"), st.integers(0, 3), st.booleans(), st.just(0)),
    st.tuples(st.just("close"), st.integers(0, 3), st.just(0), st.just(0)),
    st.tuples(st.just("replace"), st.just(0), st.booleans(), st.just(0)),
    st.tuples(st.just("evict"), st.just(0), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("sleep"), st.just(0), st.sampled_from([0.01, 1.0, 6.0, 60.0]), st.just(0)),
)


@dataclass
class Reader:
    """A handle, and how far it has read on."""

    handle: OpenFile
    next_offset: int = 0
    #: The bytes that it was given, by offset and the number that it asked for.
    given: dict[tuple[int, int], memoryview] = field(default_factory=dict)


class Run:
    """Plays steps on one object; every check is in here."""

    def __init__(self, lab: Lab, remote: Remote, disk: DiskCache | None = None) -> None:
        self.lab = lab
        self.disk = disk
        self.remote = remote
        self.versions = [remote]
        self.readers: dict[int, Reader] = {}

    async def open(self, index: int, *, knows: bool) -> None:
        self.close(index)
        # what the catalogue knows may be of an earlier version
        known = self.lab.facts.kept.get(self.lab.key, self.lab.known()) if knows and self.remote.validator else None
        with trio.move_on_after(READ_SECONDS):
            try:
                handle = await self.lab.objects.open(self.lab.key, (self.lab.source,), known=known)
            except CffsError:
                return
            self.close(index)  # another step may have opened one meanwhile
            self.readers[index] = Reader(handle)

    def close(self, index: int) -> None:
        reader = self.readers.pop(index, None)
        if reader is not None:
            reader.handle.close()

    def replace(self, *, keeps_size: bool) -> None:
        """Another version; of one size with the last only where a validator says that it is another."""
        self.remote = self.lab.add(
            Remote(
                total=self.remote.total + int(not keeps_size or not self.remote.validator),
                seed=self.remote.seed + 1,
                validator=f'"v{self.remote.seed + 2}"',
                ignores_ranges=self.remote.ignores_ranges,
            )
        )
        self.versions.append(self.remote)

    def evict(self, tiers: int) -> None:
        """What other objects do to this one: its bytes leave memory (0), disk (1) or both (2)."""
        if tiers != 1:
            self.lab.cache.drop_object(self.lab.key)
        if tiers != 0 and self.disk is not None:
            self.disk.drop_object(self.lab.key)

    async def read(self, index: int, offset: int, nbytes: int) -> None:
        reader = self.readers.get(index)
        if reader is None:
            return
        began_at = trio.current_time()
        with trio.move_on_after(READ_SECONDS):
            try:
                data = await reader.handle.read(offset, nbytes)
            except CffsError:
                data = None
            if data is not None:
                reader.given[offset, nbytes] = data
                # the version that the registry opened may be older than the origin's
                assert any(self.has_all(one, reader) for one in self.versions), "bytes of no version, or of several"
                reader.next_offset = offset + nbytes
        assert trio.current_time() - began_at <= READ_SECONDS + 0.001
        assert self.lab.cache.used_nbytes <= MEMORY_NBYTES

    def has_all(self, version: Remote, reader: Reader) -> bool:
        """True where the handle may be of that version."""
        return version.total == reader.handle.total_nbytes and all(
            data == version.content(offset, max(0, min(nbytes, version.total - offset)))
            for (offset, nbytes), data in reader.given.items()
        )

    async def step(self, name: str, index: int, number: float, nbytes: int) -> None:
        if name in ("read", "on") and self.readers:  # most handles are not open: one of those that are
            index = sorted(self.readers)[index % len(self.readers)]
        match name:
            case "read":
                await self.read(index, int(number) % (self.remote.total + 128 * KIB), nbytes)
            case "on":
                for _ in range(int(number)):
                    if index in self.readers:
                        await self.read(index, self.readers[index].next_offset, nbytes)
            case "open":
                await self.open(index, knows=bool(number))
            case "close":
                self.close(index)
            case "replace":
                self.replace(keeps_size=bool(number))
            case "evict":
                self.evict(int(number))
            case "sleep":
                await trio.sleep(number)

    async def at_the_end(self) -> None:
        """When the faults are over, the next open reads the object whole."""
        self.lab.origin.faults.clear()
        for index in list(self.readers):
            self.close(index)
        await trio.sleep(6)
        try:
            handle = await self.lab.objects.open(self.lab.key, (self.lab.source,))
            assert handle.total_nbytes == self.remote.total
        except RemoteObjectChanged:
            raise AssertionError("a new open must see the new version") from None
        for offset in range(0, self.remote.total, 128 * KIB):
            with trio.fail_after(READ_SECONDS):
                data = await handle.read(offset, 128 * KIB)
            assert data == self.remote.content(offset, min(128 * KIB, self.remote.total - offset))
        handle.close()
        await trio.sleep(30)
        assert self.lab.origin.connections == 0
        assert self.lab.objects.counters.open_files == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    total=st.sampled_from([1, 100_000, 512 * KIB, 512 * KIB + 1, 3 * MIB + 7, 12 * MIB]),
    ignores_ranges=st.booleans(),
    has_validator=st.booleans(),
    connections=st.sampled_from([1, 2, 16]),
    faults=st.lists(FAULTS, max_size=8),
    disk_nbytes=st.sampled_from([None, 2 * MIB, 64 * MIB]),
    was_read=st.booleans(),
    is_crowded=st.booleans(),
    steps=st.lists(st.one_of(STEPS.map(lambda step: [step]), st.lists(STEPS, max_size=4)), min_size=6, max_size=16),
)
def test_model(
    total: int,
    ignores_ranges: bool,
    has_validator: bool,
    connections: int,
    disk_nbytes: int | None,
    was_read: bool,
    is_crowded: bool,
    faults: list[Fault],
    steps: list[list[tuple[str, int, float, int]]],
) -> None:
    """True bytes of the version opened, or an error; no READ beyond its deadline; no byte over the budget; and when
    the faults are over, the next open reads the whole."""

    async def main(folder: Path) -> None:
        disk = None if disk_nbytes is None else disk_in(folder, limit_nbytes=disk_nbytes)
        async with laboratory(
            latency_seconds=0.05,
            bytes_per_second=20e6,
            memory_nbytes=MEMORY_NBYTES,
            connections=connections,
            disk=disk,
        ) as lab:
            remote = lab.add(
                Remote(total=total, ignores_ranges=ignores_ranges, validator='"v1"' if has_validator else None)
            )
            play = Run(lab, remote, disk)
            await play.open(0, knows=True)
            if was_read:  # before this mount: the caches have it, and no handle has a byte
                await play.step("on", 0, -(-total // MIB), MIB)
                play.close(0)
                await trio.sleep(60)
                await play.open(0, knows=True)
            lab.origin.faults = [Fault(**vars(fault)) for fault in faults]
            for together in steps:
                async with trio.open_nursery() as nursery:
                    for step in together:
                        nursery.start_soon(play.step, *step)
                if is_crowded:  # other objects need all the room there is
                    play.evict(2)
            await play.at_the_end()
            if disk is not None:
                assert disk.used_nbytes <= disk.limit_nbytes
                assert disk.corrupt_blocks == 0
                disk.close()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=MockClock(autojump_threshold=0))
