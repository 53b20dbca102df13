"""Reference model: what a correct mount may show after given steps.

It must not know sockets, mounts or clocks, nor how a mount does it: a `Side` does, one for each of three levels
(virtual time, real sockets, the real mount). Steps are data, so that one failure is one short list, and that list plays
at every level.
"""

import errno
import random
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from hypothesis import strategies as st

KIB: Final = 1024
MOST_NBYTES: Final = 1_400_000
#: No byte of an object is text, which would be taken for a page.
_NOISE: Final = bytes(byte | 0x80 for byte in random.Random(5).randbytes(MOST_NBYTES + 97 * KIB))
#: Sizes of one request, and of more: a file that is here in part can meet a change.
SIZES: Final = (1, 300_001, 700_000, 1_300_000)
THINGS: Final = len(SIZES)
#: Past everything that a passing fault may leave (cffs/docs/semantics.md#errors: 5 s).
QUIET_SECONDS: Final = 6
#: What each is on the wire is `cffs/standin`'s; none of them is an answer that says "absent" or "refused".
FAULTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    *((name, {}) for name in ("reset", "trunc", "trunc_nolen", "trunc_chunk", "reset_before", "html200", "gzip")),
    *((name, {}) for name in ("cr_wrong", "long206", "short_by_one", "416", "full200", "nolen", "close", "hang")),
    *((name, {"at": 1000}) for name in ("reset", "trunc", "stall")),
    ("status", {"code": 500}),
    ("status", {"code": 503}),
    ("status", {"code": 429, "retry_after": 1}),
)
#: These end with the client's patience alone: its clock is put forward, so that no test waits for it.
SILENT: Final = ("hang", "stall")
SILENT_SECONDS: Final = 0.3
#: These say something about the whole API.
OF_ALL: Final = ("status",)
TROUBLE: Final = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH}

_thing, _slot = st.integers(0, THINGS - 1), st.integers(0, 3)
_read = st.tuples(
    st.just("read"),
    _slot,
    st.one_of(st.integers(0, 1_300_000), st.sampled_from([0, 128 * KIB, 512 * KIB, 1_200_000])),
    st.sampled_from([1, 4096, 128 * KIB]),
)
_open = st.tuples(st.just("open"), _thing, _slot, st.just(0))
STEPS = st.one_of(
    _read,
    _read,
    _open,
    _open,
    st.tuples(st.just("whole"), _slot, st.just(0), st.just(0)),
    st.tuples(st.just("close"), _slot, st.just(0), st.just(0)),
    st.tuples(st.just("list"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("stat"), _thing, st.just(0), st.just(0)),
    st.tuples(st.sampled_from(["replace", "grow", "shrink", "delete"]), _thing, st.just(0), st.just(0)),
    st.tuples(st.just("disagree"), _thing, st.integers(0, 1), st.just(0)),
    st.tuples(st.sampled_from(["replace_under", "corrupt_under"]), _thing, st.integers(0, 1_300_000), st.just(0)),
    st.tuples(st.just("fault"), _thing, st.integers(0, len(FAULTS) - 1), st.integers(1, 6)),
    st.tuples(st.just("calm"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("later"), st.sampled_from([1, 6, 61]), st.just(0), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("corrupt"), st.integers(0, 9), st.just(0), st.just(0)),
    st.tuples(st.just("evict"), st.just(0), st.just(0), st.just(0)),
)
SCHEDULES = st.lists(STEPS, min_size=4, max_size=24)
Step = tuple[str, int, int, int]


class Side(Protocol):
    """One level. Whatever fails raises OSError with the errno that an application would see."""

    faults_hit_all: bool

    async def begin(self, contents: dict[int, bytes]) -> None:
        """Serve these, by the thing's number."""

    async def names(self) -> set[int] | None:
        """The names that are listed; None at a level that lists nothing."""

    async def stat(self, thing: int) -> int | None:
        """The size that stat shows; None at a level without."""

    async def open(self, thing: int) -> tuple[Any, int]:
        """A handle, and its exact size."""

    async def read(self, handle: Any, offset: int, nbytes: int) -> bytes:
        """Bytes, as pread returns them."""

    async def close(self, handle: Any) -> None:
        """Close the handle."""

    async def serve(self, thing: int, content: bytes | None) -> None:
        """The service has another version, or none any more."""

    async def serve_in_turn(self, thing: int, contents: list[bytes]) -> None:
        """The service's machines have these versions, and answer in turn."""

    async def fault(self, thing: int, name: str, options: dict[str, Any], times: int) -> None:
        """The next so many requests for it go wrong."""

    async def calm(self) -> None:
        """No request goes wrong any more."""

    async def later(self, seconds: float) -> None:
        """Let so much time go by."""

    async def restart(self, *, forget: bool) -> None:
        """End and begin again on these folders, or on an empty cache."""

    async def corrupt(self, seed: int) -> None:
        """Change bytes on disk."""

    async def evict(self) -> None:
        """Remove everything on disk."""


@dataclass
class Thing:
    """One file of the service: every version that it ever had."""

    versions: list[bytes]
    is_there: bool = True
    newest_seen: int = 0
    #: The machines of the service disagree: which versions they have.
    in_turn: set[int] = field(default_factory=set)

    @property
    def now(self) -> int:
        """The version that the service has."""
        return len(self.versions) - 1

    def of_size(self, nbytes: int) -> set[int]:
        """The versions of that size."""
        return {index for index, data in enumerate(self.versions) if len(data) == nbytes}

    def saw(self, version: int) -> None:
        """From now on no older version may be seen, but while the machines disagree."""
        self.newest_seen = max(self.newest_seen, min({version, *self.in_turn}))

    def add(self, nbytes: int) -> bytes:
        """A new version of that size, different from its first byte on."""
        first = len(self.versions) * 7919 % (96 * KIB)
        self.versions.append(_NOISE[first : first + max(1, min(nbytes, MOST_NBYTES))])
        return self.versions[-1]


@dataclass
class Held:
    """An open handle: of which thing, and of which version it may be by all that it showed: its size, and once a byte
    was read, its bytes. `is_shaken`: machines disagreed while it was open."""

    thing: int
    versions: set[int]
    handle: Any
    is_shaken: bool = False
    has_bytes: bool = False


@dataclass
class Play:
    """Plays steps on a side and compares."""

    side: Side
    things: list[Thing] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)
    troubled: set[int] = field(default_factory=set)

    async def run(self, steps: list[Step]) -> None:
        """Play everything: the steps, then peace, then an empty cache."""
        for number in range(THINGS):
            self.things.append(Thing([_NOISE[number : number + SIZES[number]]]))
        await self.side.begin({number: thing.versions[0] for number, thing in enumerate(self.things)})
        for name, first, second, third in steps:
            await getattr(self, f"_{name}")(first, second, third)
        await self._calm()
        for slot in list(self.held):
            await self._whole(slot)
            await self._close(slot)
        for number, thing in enumerate(self.things):
            if thing.is_there:
                await self._reads_whole(number)
        await self._restart(forget=True)
        for number, thing in enumerate(self.things):
            if thing.is_there:
                assert thing.now in await self._reads_whole(number), "an empty cache must bring the newest version"

    async def _reads_whole(self, number: int) -> set[int]:
        """Open and read all, again where the version changed meanwhile; the versions that have these bytes."""
        for _ in range(2):
            await self._open(number, 0)
            if 0 in self.held:
                held = self.held[0]
                if await self._whole(0):
                    await self._close(0)
                    return held.versions
        raise AssertionError(f"{number} cannot be read in peace")

    # -- steps --

    async def _open(self, number: int, slot: int, _third: int = 0) -> None:
        await self._close(slot)
        thing = self.things[number]
        try:
            handle, nbytes = await self.side.open(number)
        except OSError as error:
            self._may_fail(number, error, versions=None)
            return
        versions = {version for version in thing.of_size(nbytes) if version >= thing.newest_seen}
        assert versions, f"{number} has {nbytes} bytes, which no version has, or an older one than was seen"
        thing.saw(min(versions))
        self.held[slot] = Held(number, versions, handle, is_shaken=bool(thing.in_turn))

    async def _read(self, slot: int, offset: int, nbytes: int) -> bool:
        held = self.held.get(slot)
        if held is None:
            return False
        try:
            data = await self.side.read(held.handle, offset, nbytes)
        except OSError as error:
            self._may_fail(held.thing, error, versions=set() if held.is_shaken else held.versions)
            return False
        thing, may_be_cut = self.things[held.thing], self._may_be_cut(held)

        def fits(version: int) -> bool:
            expected = thing.versions[version][offset : offset + nbytes]
            if data and may_be_cut:
                expected = expected[: len(data)]  # where a page fails, the kernel returns those before it first
            return data == expected

        held.versions = set(filter(fits, held.versions))
        held.has_bytes |= bool(data)
        assert held.versions, f"{held.thing}: at {offset} are bytes of no version, or of another than before"
        thing.saw(min(held.versions))
        return True

    async def _whole(self, slot: int, _second: int = 0, _third: int = 0) -> bool:
        held = self.held.get(slot)
        if held is None:
            return False
        nbytes = len(self.things[held.thing].versions[min(held.versions)])
        for offset in range(0, nbytes, 128 * KIB):
            if not await self._read(slot, offset, 128 * KIB):
                return False
        return True

    async def _close(self, slot: int, _second: int = 0, _third: int = 0) -> None:
        held = self.held.pop(slot, None)
        if held is not None:
            await self.side.close(held.handle)

    async def _list(self, *_: int) -> None:
        try:
            names = await self.side.names()
        except OSError as error:
            if self.troubled and error.errno in TROUBLE:
                return
            raise
        if names is not None:
            assert names >= {number for number, thing in enumerate(self.things) if thing.is_there}
            assert names <= set(range(len(self.things)))

    async def _stat(self, number: int, *_: int) -> None:
        try:
            nbytes = await self.side.stat(number)
        except OSError as error:
            self._may_fail(number, error, versions=None)
            return
        assert nbytes is None or nbytes > 0

    async def _replace(self, number: int, *_: int) -> None:
        await self._changed(number, len(self.things[number].versions[-1]))

    async def _grow(self, number: int, *_: int) -> None:
        await self._changed(number, 2 * len(self.things[number].versions[-1]))

    async def _shrink(self, number: int, *_: int) -> None:
        await self._changed(number, len(self.things[number].versions[-1]) // 2)

    async def _changed(self, number: int, nbytes: int) -> None:
        if self.things[number].is_there:
            self.things[number].in_turn.clear()
            content = self._added(number, nbytes)
            await self.side.serve(number, content)

    def _added(self, number: int, nbytes: int) -> bytes:
        """A new version, of which a handle of its size may be that has shown no byte yet."""
        thing = self.things[number]
        content = thing.add(nbytes)
        for held in self.held.values():
            if held.thing == number and not held.has_bytes and len(thing.versions[min(held.versions)]) == len(content):
                held.versions.add(thing.now)
        return content

    async def _disagree(self, number: int, is_longer: int, _third: int) -> None:
        """Another version, which some machines of the service have and others do not, until all is calm."""
        thing = self.things[number]
        if not thing.is_there:
            return
        before = thing.versions[-1]
        self._added(number, len(before) + 977 * is_longer)
        thing.in_turn = {thing.now - 1, thing.now}
        for held in self.held.values():
            held.is_shaken |= held.thing == number
        await self.side.serve_in_turn(number, [before, thing.versions[-1]])

    async def _replace_under(self, number: int, offset: int, _third: int) -> None:
        """Steps that chance brings together too seldom: a change between two reads of one handle."""
        await self._open(number, 3)
        await self._read(3, 0, 4096)
        await self._replace(number)
        await self._read(3, offset, 4096)

    async def _corrupt_under(self, number: int, offset: int, _third: int) -> None:
        """Steps on the disk that chance brings together too seldom: what was read whole is read again, by another
        mount, from where it was damaged."""
        await self._open(number, 3)
        await self._whole(3)
        await self._restart()
        await self._corrupt(offset)
        await self._open(number, 3)
        await self._read(3, offset, 4096)

    async def _delete(self, number: int, *_: int) -> None:
        if sum(thing.is_there for thing in self.things) > 1:
            self.things[number].is_there = False
            self.things[number].in_turn.clear()
            await self.side.serve(number, None)

    async def _fault(self, number: int, fault: int, times: int) -> None:
        name, options = FAULTS[fault]
        if not self.things[number].is_there:
            return
        self.troubled |= set(range(THINGS)) if self.side.faults_hit_all or name in OF_ALL else {number}
        await self.side.fault(number, name, options, times)

    async def _calm(self, *_: int) -> None:
        await self.side.calm()
        for number, thing in enumerate(self.things):
            if thing.in_turn:
                thing.in_turn.clear()
                await self.side.serve(number, thing.versions[-1])
        await self.side.later(QUIET_SECONDS)
        self.troubled.clear()

    async def _later(self, seconds: int, *_: int) -> None:
        await self.side.later(seconds)

    async def _restart(self, *_: int, forget: bool = False) -> None:
        for slot in list(self.held):
            await self._close(slot)
        await self.side.restart(forget=forget)

    async def _corrupt(self, seed: int, *_: int) -> None:
        await self.side.corrupt(seed)

    async def _evict(self, *_: int) -> None:
        await self.side.evict()

    # -- what may be --

    def _may_be_cut(self, held: Held) -> bool:
        thing = self.things[held.thing]
        return held.thing in self.troubled or held.is_shaken or held.versions != {thing.now} or not thing.is_there

    def _may_fail(self, number: int, error: OSError, *, versions: set[int] | None) -> None:
        """`versions` are the handle's; None where a name is asked for."""
        thing, allowed = self.things[number], set[int | None]()
        if number in self.troubled:
            allowed |= TROUBLE
        if versions != {thing.now} if versions is not None else thing.now > 0:
            allowed.add(errno.ESTALE)
        if not thing.is_there:
            allowed |= {errno.ENOENT, errno.ESTALE, errno.EIO}
        assert error.errno in allowed, f"{number}: {error}, allowed are {allowed}"
