"""A test of the suite: clients broken on purpose are caught by the model.

Each lacks one check. A client here is the opener that the reader reads through. Its origin lies in the bytes (`LIES`);
the sound one makes of each lie what `callfire/response_checks` would, a broken one believes it. The steps and the
comparison are those of `tests/reader/test_model`.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import CffsError, MalformedAnswer
from cffs.core.settings import ReaderSettings
from cffs.core.source import Source
from cffs.reader.object_registry import ObjectRegistry
from tests.reader.simulated_link import MIB, Facts, Fault, Lab, NurseryBackground, Origin, Remote, SimulatedAnswer
from tests.reader.test_model import MEMORY_NBYTES, READ_SECONDS, Run

LIES = ("whole", "shifted", "short", "short without length", "drip", None, None)
BROKEN = (
    "accepts 200",
    "ignores offset",
    "pads a short body",
    "believes a short end",
    "ignores validator",
    "key without validator",
    "no total deadline",
)
#: So many schedules each client gets; the sound one passes them all, each broken one fails one of them.
SCHEDULES = 150
SHIFT_NBYTES = 4096


class Relabelled:
    """An answer that describes itself as its client believes; no more than its range comes out of it."""

    def __init__(self, answer: SimulatedAnswer, *, start: int, stop: int | None, pads: bool = False) -> None:
        self._answer, self._position, self._pads = answer, start, pads
        self.start, self.stop, self.total = start, stop, answer.total
        self.validator, self.last_modified_ns = answer.validator, answer.last_modified_ns
        self.answered_ms, self.waited_seconds = answer.answered_ms, answer.waited_seconds

    def publish(self) -> None:
        self._answer.publish()

    async def receive_into(self, buffer: memoryview) -> int:
        if self.stop is not None:
            buffer = buffer[: self.stop - self._position]
        try:
            nbytes = await self._answer.receive_into(buffer) if len(buffer) else 0
        except CffsError:
            if not self._pads:
                return 0
            nbytes = len(buffer)
            buffer[:] = bytes(nbytes)
        self._position += nbytes
        return nbytes


class Client:
    """An opener over a lying origin: sound, or broken in one way."""

    def __init__(self, origin: Origin, dice: random.Random, broken: str | None) -> None:
        self.origin, self.broken = origin, broken
        self._dice = dice
        self.lies_told = 0
        self.is_lying = True

    @asynccontextmanager
    async def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AsyncIterator[SimulatedAnswer | Relabelled]:
        lie = self._dice.choice(LIES) if self.is_lying and byte_range is not None else None
        self.lies_told += lie is not None
        remote = self.origin.objects[source.key]
        honest = dict(vars(remote))
        asked, believed = byte_range, None if self.broken == "ignores validator" else pinned
        if lie == "whole":
            remote.ignores_ranges = True
        elif lie == "shifted":
            asked = ByteRange(byte_range.start + SHIFT_NBYTES, byte_range.stop + SHIFT_NBYTES)
        elif lie == "short":
            self.origin.faults.insert(0, Fault(after_nbytes=self._dice.randrange(200_000)))
        elif lie == "short without length":
            remote.ignores_ranges, remote.tells_length = True, False
            self.origin.faults.insert(0, Fault(after_nbytes=self._dice.randrange(200_000)))
        elif lie == "drip":
            self.origin.connection_bytes_per_second = 10_000
        try:
            async with self.origin.open_range(source, asked, pinned=believed) as answer:
                vars(remote).update(ignores_ranges=honest["ignores_ranges"], tells_length=honest["tells_length"])
                yield self._checked(answer, byte_range, lie, pinned)
        finally:
            self.origin.connection_bytes_per_second = float("inf")
            vars(remote).update(ignores_ranges=honest["ignores_ranges"], tells_length=honest["tells_length"])

    def _checked(
        self, answer: SimulatedAnswer, asked: ByteRange | None, lie: str | None, pinned: Pinned | None
    ) -> SimulatedAnswer | Relabelled:
        broken = self.broken
        if broken == "ignores validator" and pinned is not None:
            answer.validator = pinned.validator or answer.validator
            answer.total = pinned.total or answer.total
        if asked is None:
            return answer
        if lie == "shifted":
            if broken != "ignores offset":
                raise MalformedAnswer("from another place than was asked")
            return Relabelled(answer, start=asked.start, stop=asked.start + (answer.stop or 0) - answer.start)
        if lie == "whole" and broken == "accepts 200" and answer.total is not None:
            return Relabelled(answer, start=asked.start, stop=min(asked.stop, answer.total))
        if lie == "short" and broken == "pads a short body":
            return Relabelled(answer, start=answer.start, stop=answer.stop, pads=True)
        if lie == "short without length" and broken == "believes a short end":
            return Relabelled(answer, start=answer.start, stop=answer.stop)
        return answer


class KeylessCache(MemoryCache):
    """A cache that knows an object by its name alone."""

    def rename(self, old: ObjectVersion, new: ObjectVersion) -> None:
        """One version for every name."""


def _keyless(name: str):
    def method(self: KeylessCache, version: ObjectVersion, *arguments: object, **more: object) -> object:
        return getattr(MemoryCache, name)(self, ObjectVersion(version.key, None, None), *arguments, **more)

    return method


for _name in (
    *("try_read", "first_missing", "free_run", "lease"),
    *("protect", "abandon", "drop_consumed", "forget", "drop"),
):
    setattr(KeylessCache, _name, _keyless(_name))


class Player(Run):
    """The model's player; without a deadline where the client has none."""

    has_deadline = True

    async def read(self, index: int, offset: int, nbytes: int) -> None:
        if self.has_deadline or index not in self.readers:
            await super().read(index, offset, nbytes)
            return
        began_at = trio.current_time()
        try:
            await self.readers[index].handle.read(offset, nbytes)
        except CffsError:
            pass
        assert trio.current_time() - began_at <= READ_SECONDS + 0.001


def steps_of(dice: random.Random) -> list[tuple[str, int, float, int]]:
    """A schedule as the model plays it."""
    steps: list[tuple[str, int, float, int]] = []
    for _ in range(dice.randrange(4, 20)):
        kind = dice.choice(["read", "read", "read", "on", "open", "replace", "sleep"])
        steps.append(
            {
                "read": ("read", dice.randrange(3), dice.randrange(12 * MIB), dice.choice([4096, 65537, 131072])),
                "on": ("on", dice.randrange(3), dice.randrange(1, 12), 131072),
                "open": ("open", dice.randrange(3), dice.randrange(2), 0),
                "replace": ("replace", 0, 0, 0),
                "sleep": ("sleep", 0, dice.choice([0.01, 6.0]), 0),
            }[kind]
        )
    return steps


async def play(seed: int, broken: str | None) -> int:
    """Play one schedule with one client, and return how many lies it met. Raises what the model finds."""
    dice = random.Random(seed)
    origin = Origin(latency_seconds=0.05, bytes_per_second=20e6)
    cache = KeylessCache(MEMORY_NBYTES) if broken == "key without validator" else MemoryCache(MEMORY_NBYTES)
    client, facts = Client(origin, dice, broken), Facts()
    async with trio.open_nursery() as nursery:
        settings = ReaderSettings(memory_nbytes=MEMORY_NBYTES, connections=16, timeout_seconds=30.0)
        objects = ObjectRegistry(
            opener=client, cache=cache, background=NurseryBackground(nursery), settings=settings, listener=facts
        )
        lab = Lab(origin, objects, cache, facts)
        player = Player(lab, lab.add(Remote(total=dice.choice([512 * 1024 + 1, 3 * MIB + 7, 12 * MIB]))))
        player.has_deadline = broken != "no total deadline"
        for index in range(3):
            await player.open(index, knows=bool(dice.randrange(2)))
        for step in steps_of(dice):
            await player.step(*step)
        client.is_lying = False
        await player.at_the_end()
        nursery.cancel_scope.cancel()
    return client.lies_told


def first_caught(broken: str | None) -> int | None:
    """The first schedule that the model objects to."""
    for seed in range(SCHEDULES):
        try:
            trio.run(play, seed, broken, clock=MockClock(autojump_threshold=0))
        except ExceptionGroup as group:
            if group.subgroup((AssertionError, KeyError)) is None:
                raise
            return seed
    return None


def test_the_sound_client_passes():
    """Whatever its origin lies, the sound client gives true bytes or errors: no schedule is objected to."""
    told = [trio.run(play, seed, None, clock=MockClock(autojump_threshold=0)) for seed in range(SCHEDULES)]
    assert sum(told) > SCHEDULES


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_client_is_caught(broken: str):
    """A client that lacks one check is caught by the model within the schedules that the sound one passes."""
    assert first_caught(broken) is not None
