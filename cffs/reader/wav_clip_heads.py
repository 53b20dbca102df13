"""The heads of recordings that clips are cut from.

`core/wav` says which bytes of a head it needs next; this module brings them with as few and as small requests as the
chunks before the samples allow. It owns one request at a time. It must not know what a clip is.
"""

from contextlib import AsyncExitStack
from typing import Self

from cffs.cache.memory import MemoryCache
from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer, RangeNotSatisfiable
from cffs.core.source import Source
from cffs.core.units import KIB
from cffs.core.wav import WavLayout, read_head
from cffs.reader.disk_tier import DiskTier
from cffs.reader.object_info import Known
from cffs.reader.range_opener import Answer, RangeOpener

#: A first request brings the chunks before the samples, unless there is a picture among them.
_HEAD_NBYTES = 4096
#: Each long chunk before the samples costs one more.
_MAX_QUESTIONS = 16
_SCRATCH_NBYTES = 64 * KIB


class Held:
    """The bytes of one version of an object that are here, for a reader without an open file. Reading them moves no
    byte between memory and disk, and counts as no hit."""

    def __init__(self, key: str, known: Known, memory: MemoryCache, disk: DiskTier) -> None:
        self.known = known
        self._version = ObjectVersion(key, known.validator, known.total_nbytes)
        self._memory = memory
        self._disk = disk

    def has(self, wanted: ByteRange) -> bool:
        """True where all of `wanted` is here. Never a checkpoint."""
        position = wanted.start
        while position < wanted.stop:
            gap = self._memory.first_missing(self._version, ByteRange(position, wanted.stop))
            if gap is None:
                return True
            if self._disk.first_missing(self._version, gap) is not None:
                return False
            position = gap.stop
        return True

    async def read(self, wanted: ByteRange) -> memoryview | None:
        """The bytes of `wanted` from its start, as far as memory or disk has them; None where the first is gone
        meanwhile. A checkpoint only where the disk has to be waited for."""
        missing = self._memory.first_missing(self._version, wanted)
        if missing is not None and missing.start == wanted.start:
            return await self._disk.read(self._version, wanted)
        return self._memory.try_read(
            self._version, wanted if missing is None else ByteRange(wanted.start, missing.start), touches=False
        )

    async def layout(self) -> WavLayout | None:
        """The layout of its samples; None where a byte of the head is not here. Raises MalformedAnswer. A checkpoint as
        `read` is."""
        total_nbytes, walk = self.known.total_nbytes, read_head()
        wanted = next(walk).clamped(total_nbytes)
        try:
            while self.has(wanted):
                found = b""
                while len(found) < wanted.nbytes:
                    piece = await self.read(ByteRange(wanted.start + len(found), wanted.stop))
                    if not piece:
                        return None
                    found += piece
                wanted = walk.send(found).clamped(total_nbytes)
        except StopIteration as done:
            layout: WavLayout = done.value
            return layout.within(total_nbytes)
        return None


class HeadQuestion:
    """Requests a recording's head from the origin, and notes which version answered. An async context manager: the
    answer that is being read is closed with it."""

    def __init__(self, opener: RangeOpener, whole: Source, pinned: Pinned) -> None:
        """Every answer must be of the version `pinned`, as far as that says which."""
        self._opener = opener
        self._whole = whole
        self.pinned = pinned
        self.last_modified_ns: int | None = None
        self._questions = 0
        #: Where the answer before ended: one that ends there again has shown the end of the file.
        self._ended_at = -1
        self._stack = AsyncExitStack()
        self._answer: Answer | None = None
        #: The bytes from `_start` on, as far as they have come and are still of use.
        self._start = 0
        self._bytes = bytearray()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def layout(self) -> WavLayout:
        """Where the samples lie and end, by what shows it: the origin, the head, or at last the end of all bytes.

        Raises MalformedAnswer for what cannot be cut, RemoteObjectChanged for another version than `pinned`, and what
        stops an answer. Always a checkpoint; cancelled, the request is dropped.
        """
        walk = read_head()
        wanted = next(walk)
        try:
            while True:
                wanted = walk.send(await self._bring(wanted))
        except StopIteration as done:
            layout: WavLayout = done.value
        if self.pinned.total is None and layout.nbytes is None:
            await self._measure()
        return layout if self.pinned.total is None else layout.within(self.pinned.total)

    async def _bring(self, wanted: ByteRange) -> bytes:
        """The bytes of `wanted`; fewer only where the file ends."""
        while True:
            total_nbytes, stop = self.pinned.total, self._start + len(self._bytes)
            clamped = wanted if total_nbytes is None else wanted.clamped(total_nbytes)
            if not clamped or (self._start <= clamped.start and clamped.stop <= stop):
                return bytes(self._bytes[clamped.start - self._start : clamped.stop - self._start]) if clamped else b""
            if self._answer is None or (self._answer.stop is not None and self._answer.stop <= wanted.start):
                await self._ask(wanted.start)
            else:
                await self._receive(self._answer, wanted.start)

    async def _ask(self, offset: int | None) -> None:
        """Open one more answer: about a head's worth from `offset` on, or, with None, all there is."""
        self._answer = None
        await self._stack.aclose()
        self._questions += 1
        if self._questions > _MAX_QUESTIONS:
            raise MalformedAnswer("no clip can be cut from a WAV file of so many chunks before its samples")
        asked = None if offset is None else ByteRange(offset, offset + _HEAD_NBYTES)
        try:
            answer = await self._stack.enter_async_context(
                self._opener.open_range(self._whole, asked, pinned=self.pinned)
            )
        except RangeNotSatisfiable as beyond:
            raise MalformedAnswer("no clip can be cut from a WAV file that ends before its samples") from beyond
        total_nbytes = answer.total if self.pinned.total is None else self.pinned.total
        self.pinned = Pinned(validator=self.pinned.validator or answer.validator, total=total_nbytes)
        if self.last_modified_ns is None:
            self.last_modified_ns = answer.last_modified_ns
        self._answer, self._start, self._bytes = answer, answer.start, bytearray()

    async def _receive(self, answer: Answer, offset: int) -> None:
        """Receive some more bytes of the answer; those before `offset` are of no more use."""
        buffer = memoryview(bytearray(_SCRATCH_NBYTES))
        nbytes = await answer.receive_into(buffer)
        if not nbytes:
            self._answer, stop = None, self._start + len(self._bytes)
            if answer.stop is None:
                self.pinned = Pinned(validator=self.pinned.validator, total=stop)
            elif stop == self._ended_at:
                raise MalformedAnswer("no clip can be cut from a WAV file that ends before its samples")
            self._ended_at = stop
            return
        self._bytes += buffer[:nbytes]
        passed = min(len(self._bytes), max(0, offset - self._start))
        del self._bytes[:passed]
        self._start += passed

    async def _measure(self) -> None:
        """Find out where the recording ends from all of it: neither the origin nor the head states it."""
        await self._ask(None)
        while self._answer is not None and self.pinned.total is None:
            await self._receive(self._answer, self._start + len(self._bytes))
