"""A simulated origin behind a link with latency, bandwidth and faults.

Its time is virtual, and its faults reach the bytes.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.response_checks import Pinned
from cffs.core import demand
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    CffsError,
    MalformedAnswer,
    MuchShorter,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    TruncatedAnswer,
    VersionUnclear,
)
from cffs.core.settings import ReaderSettings
from cffs.core.source import Api, Source, v2_recording
from cffs.core.values import Emptiness
from cffs.reader.object_info import Known, Learned
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile

KIB, MIB = 1024, 1024 * 1024
_CHUNK_NBYTES = 256 * 1024
#: A prime length, so that no two blocks of an object are equal.
_NOISE = random.Random(7).randbytes(1_048_583) * 2
_PERIOD = 1_048_583


#: When every answer is given, 2026-11-18.
ANSWERED_MS = 1_795_000_000_000


@dataclass(kw_only=True)
class Remote:
    """One object at the origin; `seed` makes its bytes."""

    total: int
    seed: int = 0
    validator: str | None = '"v1"'
    #: Every answer names another one.
    changes_validator: bool = False
    ignores_ranges: bool = False
    tells_length: bool = True
    tells_total: bool = True
    last_modified_ns: int | None = None

    def content(self, start: int, nbytes: int) -> bytes:
        """Its true bytes."""
        parts = []
        while nbytes > 0:
            begin = (start + self.seed * 7919) % _PERIOD
            part = _NOISE[begin : begin + min(nbytes, _PERIOD)]
            parts.append(part)
            start += len(part)
            nbytes -= len(part)
        return b"".join(parts)


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next request: before its head (`head`), or after `after_nbytes` of its body."""

    head: CffsError | None = None
    after_nbytes: int | None = None
    body: CffsError | None = None
    stalls: bool = False
    corrupts: bool = False
    answers_nbytes: int | None = None


@dataclass
class Origin:
    """The opener of the tests. It counts what was requested of it and what it sent."""

    latency_seconds: float = 0.0
    bytes_per_second: float = float("inf")
    connection_bytes_per_second: float = float("inf")
    objects: dict[str, Remote] = field(default_factory=dict)
    #: Objects that several machines answer for, in turn, each with what it has.
    machines: dict[str, list[Remote]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: The fault of every request for an object.
    faults_of: dict[str, Fault] = field(default_factory=dict)
    asked: list[tuple[str, ByteRange | None]] = field(default_factory=list)
    #: For each request, whether somebody waits for it now.
    are_demand: list[demand.IsAwaited] = field(default_factory=list)
    sent_nbytes: int = 0
    connections: int = 0
    most_connections: int = 0
    #: Objects that never answer.
    hanging: set[str] = field(default_factory=set)
    warmed: list[tuple[Api, int]] = field(default_factory=list)
    _free_at: float = 0.0

    @property
    def requests(self) -> int:
        return len(self.asked)

    @asynccontextmanager
    async def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AsyncIterator["SimulatedAnswer"]:
        self.asked.append((source.key, byte_range))
        self.are_demand.append(demand.current())
        fault = self.faults_of.get(source.key) or (self.faults.pop(0) if self.faults else Fault())
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            await trio.sleep(float("inf") if source.key in self.hanging else self.latency_seconds)
            if fault.head is not None:
                raise fault.head
            remote = self._served(source.key)
            if remote is None:
                raise RemoteObjectMissing(source.key)
            yield self._answer(remote, byte_range, pinned, fault)
        finally:
            self.connections -= 1

    def _served(self, key: str) -> Remote | None:
        machines = self.machines.get(key)
        if not machines:
            remote = self.objects.get(key)
            if remote is not None and remote.changes_validator:
                remote = replace(remote, validator=f'"answer {self.requests}"')
            return remote
        machines.append(machines.pop(0))
        return machines[-1]

    async def warm(self, api: Api, *, connections: int) -> None:
        """Note the call."""
        await trio.lowlevel.checkpoint()
        self.warmed.append((api, connections))

    def _answer(
        self, remote: Remote, byte_range: ByteRange | None, pinned: Pinned | None, fault: Fault
    ) -> "SimulatedAnswer":
        is_whole = byte_range is None or remote.ignores_ranges
        if not is_whole and byte_range is not None and byte_range.start >= remote.total:
            if pinned is not None and pinned.total not in (None, remote.total):
                raise RemoteObjectChanged("total")
            raise RangeNotSatisfiable(remote.total)
        told = remote.tells_length if is_whole else remote.tells_total
        total = remote.total if told else None
        if pinned is not None:
            if is_whole and total is not None and pinned.total is not None and 2 * total < pinned.total:
                raise MuchShorter(total, pinned.total)
            if None not in (pinned.total, total) and pinned.total != total:
                raise RemoteObjectChanged("total")
            if None not in (pinned.validator, remote.validator) and pinned.validator != remote.validator:
                raise VersionUnclear("validator")
        if is_whole or byte_range is None:
            start, stop = 0, remote.total
        else:
            start, stop = byte_range.start, min(byte_range.stop, remote.total)
            if fault.answers_nbytes is not None:
                stop = min(stop, start + fault.answers_nbytes)
        return SimulatedAnswer(self, remote, start, stop, total, fault, tells_stop=not is_whole or told)

    async def transmit(self, nbytes: int, connection_seconds: float) -> None:
        """Take the time that the link, shared by all, needs for `nbytes`."""
        self.sent_nbytes += nbytes
        self._free_at = max(self._free_at, trio.current_time()) + nbytes / self.bytes_per_second
        await trio.sleep_until(max(self._free_at, trio.current_time() + connection_seconds))


class SimulatedAnswer:
    def __init__(
        self,
        origin: Origin,
        remote: Remote,
        start: int,
        stop: int,
        total: int | None,
        fault: Fault,
        *,
        tells_stop: bool,
    ) -> None:
        self._origin, self._remote, self._fault = origin, remote, fault
        self._stop = stop
        self._position = start
        self.start = start
        self.stop: int | None = stop if tells_stop else None
        self.total = total
        self.validator = remote.validator
        self.last_modified_ns = remote.last_modified_ns
        self.answered_ms: int | None = ANSWERED_MS
        self.waited_seconds: float | None = 0.0

    def publish(self) -> None:
        """Nothing is shared."""

    async def receive_into(self, buffer: memoryview) -> int:
        fault, start = self._fault, self._position
        nbytes = min(len(buffer), self._stop - start, _CHUNK_NBYTES)
        if fault.after_nbytes is not None:
            left = self.start + fault.after_nbytes - start
            if left <= 0:
                if fault.stalls:
                    await trio.sleep_forever()
                raise fault.body or TruncatedAnswer("simulated")
            nbytes = min(nbytes, left)
        if not nbytes:
            return 0
        await self._origin.transmit(nbytes, nbytes / self._origin.connection_bytes_per_second)
        data = self._remote.content(start, nbytes)
        if fault.corrupts:
            data = bytes(byte ^ 0xFF for byte in data)
        buffer[:nbytes] = data
        self._position += nbytes
        return nbytes


class NurseryBackground:
    """The Background of the tests: a bug in a task fails the test."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, function: Callable[..., object], *arguments: object) -> None:
        self._nursery.start_soon(function, *arguments)


@dataclass
class Facts:
    """The listener of the tests; `kept` is what a catalogue would know now of objects that have a size."""

    learned_facts: list[Learned] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    kept: dict[str, Known] = field(default_factory=dict)
    says_of_emptiness: Emptiness = Emptiness.UNSTATED

    def known(self, key: str) -> Known | None:
        return self.kept.get(key)

    def emptiness(self, _key: str) -> Emptiness:
        return self.says_of_emptiness

    def learned(self, learned: Learned) -> None:
        self.learned_facts.append(learned)
        if learned.known is not None:
            self.kept[learned.key] = learned.known

    def changed(self, key: str) -> None:
        self.changed_keys.append(key)
        self.kept.pop(key, None)


@dataclass
class Lab:
    """An origin, the objects that read it, and one source."""

    origin: Origin
    objects: ObjectRegistry
    cache: MemoryCache
    facts: Facts
    source: Source = field(default_factory=lambda: v2_recording(1))

    @property
    def key(self) -> str:
        return self.source.key

    def add(self, remote: Remote) -> Remote:
        self.origin.objects[self.key] = remote
        return remote

    def known(self) -> Known:
        remote = self.origin.objects[self.key]
        return Known(total_nbytes=remote.total, validator=remote.validator, source=self.source)


@asynccontextmanager
async def laboratory(
    *,
    latency_seconds: float = 0.0,
    bytes_per_second: float = float("inf"),
    memory_nbytes: int = 64 * MIB,
    connections: int = 16,
    timeout_seconds: float = 30.0,
    read_ahead_nbytes: int = 128 * 1024,
    revalidate_seconds: float = 0.0,
    disk: DiskCache | None = None,
) -> AsyncIterator[Lab]:
    """The whole reader over a simulated link; what is still running at the end is cancelled."""
    origin = Origin(latency_seconds=latency_seconds, bytes_per_second=bytes_per_second)
    cache, facts = MemoryCache(memory_nbytes), Facts()
    async with trio.open_nursery() as nursery:
        objects = ObjectRegistry(
            opener=origin,
            cache=cache,
            background=NurseryBackground(nursery),
            settings=ReaderSettings(
                memory_nbytes=memory_nbytes,
                connections=connections,
                timeout_seconds=timeout_seconds,
                revalidate_seconds=revalidate_seconds,
            ),
            listener=facts,
            disk=disk,
        )
        objects.note_read_ahead(read_ahead_nbytes)
        yield Lab(origin, objects, cache, facts)
        nursery.cancel_scope.cancel()


def disk_in(folder: Path, *, limit_nbytes: int = 2**30) -> DiskCache:
    """A disk cache in `folder` with what is there, in the time of the test's clock."""
    folder.mkdir(exist_ok=True)
    cache = DiskCache(folder, limit_nbytes=limit_nbytes, timer=trio.current_time, wall_seconds=trio.current_time)
    cache.scan()
    return cache


def corrupting_fault(after_nbytes: int) -> Fault:
    """Wrong bytes, and then the verdict that they were wrong: none of them may ever be served later."""
    return Fault(after_nbytes=after_nbytes, body=MalformedAnswer("simulated"), corrupts=True)


async def opened(lab: Lab, *, knows: bool = True) -> OpenFile:
    """A handle on the object of `lab`; with `knows`, its size is known before."""
    return await lab.objects.open(lab.key, (lab.source,), known=lab.known() if knows else None)


async def check(handle: OpenFile, remote: Remote, offset: int, nbytes: int) -> None:
    """The bytes of a READ are the true ones, as far as the object goes."""
    data = await handle.read(offset, nbytes)
    assert data == remote.content(offset, max(0, min(nbytes, remote.total - offset)))


async def check_all(handle: OpenFile, remote: Remote, *, read_nbytes: int = 128 * KIB) -> None:
    """All bytes are the true ones, READ by READ."""
    for offset in range(0, remote.total, read_nbytes):
        await check(handle, remote, offset, read_nbytes)
