"""Moments of recordings as objects of their own: a head made for them, and the bytes of those samples alone.

It must not know paths or HTTP: it is a `RangeOpener` in front of another one and answers for sources of its own.
`daemon/mount` puts it before the transport, so that everything above (sizes, caches, read-ahead, sharing) holds for a
moment as for any object. A recording's head is asked once; a moment of a minute costs its samples and that.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

from cachetools import LRUCache

from cffs.callfire.checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    MalformedAnswer,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    TruncatedAnswer,
)
from cffs.core.source import Api, Source, v1_recording
from cffs.core.wav import HEAD_NBYTES, cut, parse_head
from cffs.reader.seam import Answer, RangeOpener

#: Moments whose place in their recording is remembered.
_KEPT = 10_000
_MARK = "@"


def moment_source(file_id: int, start: str, stop: str) -> Source:
    """The source of a moment; `start` and `stop` are seconds as they were spelt."""
    whole = v1_recording(file_id)
    return Source(whole.api, (*whole.segments, f"{_MARK}{start}-{stop}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a moment lies in a version of its recording."""

    head: bytes
    samples: ByteRange
    pinned: Pinned
    last_modified_ns: int | None

    @property
    def total_nbytes(self) -> int:
        return len(self.head) + self.samples.nbytes


class Moments:
    """Answers for moments, and hands every other source on."""

    def __init__(self, opener: RangeOpener) -> None:
        self._opener = opener
        self._places: LRUCache[Source, _Place] = LRUCache(_KEPT)

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """As the opener behind it. RemoteObjectMissing for a moment that the recording does not have."""
        if not _is_moment(source):
            return self._opener.open_range(source, byte_range, pinned=pinned)
        return self._open_moment(source, byte_range, pinned)

    @asynccontextmanager
    async def _open_moment(
        self, source: Source, byte_range: ByteRange | None, pinned: Pinned | None
    ) -> AsyncIterator[Answer]:
        place = self._places.get(source)
        if place is None:
            place = self._places[source] = await self._place(source)
        if pinned is not None and _differs(place, pinned):
            raise RemoteObjectChanged("the recording is another one than the moment was cut from")
        wanted = byte_range or ByteRange(0, place.total_nbytes)
        if wanted.start >= place.total_nbytes:
            raise RangeNotSatisfiable(place.total_nbytes)
        wanted = ByteRange(wanted.start, min(wanted.stop, place.total_nbytes))
        samples = _samples_in(place, wanted)
        if not samples:
            yield _Spliced(place, wanted, None, samples)
            return
        try:
            async with self._opener.open_range(_whole(source), samples, pinned=place.pinned) as answer:
                yield _Spliced(place, wanted, answer, samples)
        except RemoteObjectChanged:
            self._places.pop(source, None)
            raise

    async def warm(self, api: Api, *, connections: int) -> None:
        """As the opener behind it."""
        await self._opener.warm(api, connections=connections)

    async def _place(self, source: Source) -> _Place:
        async with self._opener.open_range(_whole(source), ByteRange(0, HEAD_NBYTES)) as answer:
            if answer.total is None:
                raise MalformedAnswer("no moment can be cut from what tells no total")
            head, nbytes = memoryview(bytearray(min(HEAD_NBYTES, answer.total))), 0
            while nbytes < len(head) and (received := await answer.receive_into(head[nbytes:])):
                nbytes += received
            layout = parse_head(bytes(head[:nbytes]), total_nbytes=answer.total)
            start, _dash, stop = source.segments[-1].removeprefix(_MARK).partition("-")
            found = None if layout is None else cut(layout, Fraction(start), Fraction(stop))
            if found is None:
                raise RemoteObjectMissing("the recording has no such moment")
            return _Place(
                head=found[0],
                samples=found[1],
                pinned=Pinned(validator=answer.validator, total=answer.total),
                last_modified_ns=answer.last_modified_ns,
            )


def _is_moment(source: Source) -> bool:
    """Told by more than the mark: a name that the service gave may begin with it too."""
    whole, last = source.segments[:-1], source.segments[-1]
    return last.startswith(_MARK) and whole[-1].isdecimal() and _whole(source) == v1_recording(int(whole[-1]))


def _whole(source: Source) -> Source:
    return Source(source.api, source.segments[:-1])


def _differs(place: _Place, pinned: Pinned) -> bool:
    other_total = pinned.total is not None and pinned.total != place.total_nbytes
    told = pinned.validator is not None and place.pinned.validator is not None
    return other_total or (told and pinned.validator != place.pinned.validator)


def _samples_in(place: _Place, wanted: ByteRange) -> ByteRange:
    """Which bytes of the recording the wanted bytes of the moment are, without those of the head."""
    shift = place.samples.start - len(place.head)
    return ByteRange(max(wanted.start + shift, place.samples.start), max(wanted.stop + shift, place.samples.start))


class _Spliced:
    """The made head, then what the recording's own answer holds. One owner: who entered `open_range`."""

    def __init__(self, place: _Place, wanted: ByteRange, answer: Answer | None, samples: ByteRange) -> None:
        self._head = memoryview(place.head)[wanted.start : wanted.stop]
        self._answer = answer
        # an origin that ignores ranges gives the whole: what lies before the samples is let go
        self._skip_nbytes = 0 if answer is None else samples.start - answer.start
        short = answer is not None and answer.stop is not None and answer.stop < samples.stop
        stop = answer.stop if answer is not None and answer.stop is not None and short else samples.stop
        self._left_nbytes = 0 if answer is None else stop - samples.start
        self._is_exact = answer is not None and answer.stop == stop
        self.start = wanted.start
        self.stop: int | None = wanted.start + len(self._head) + self._left_nbytes
        self.total: int | None = place.total_nbytes
        self.validator = place.pinned.validator
        self.last_modified_ns = place.last_modified_ns

    async def receive_into(self, buffer: memoryview) -> int:
        """As the answer behind it."""
        if self._head:
            nbytes = min(len(buffer), len(self._head))
            buffer[:nbytes] = self._head[:nbytes]
            self._head = self._head[nbytes:]
            return nbytes
        if self._answer is None or not len(buffer):
            return 0
        while self._skip_nbytes:
            scratch = memoryview(bytearray(min(self._skip_nbytes, 1 << 16)))
            self._skip_nbytes -= await self._some(self._answer, scratch)
        if not self._left_nbytes:
            # what was asked for exactly also ends there
            return await self._answer.receive_into(buffer) if self._is_exact else 0
        nbytes = await self._some(self._answer, buffer[: self._left_nbytes])
        self._left_nbytes -= nbytes
        return nbytes

    @staticmethod
    async def _some(answer: Answer, buffer: memoryview) -> int:
        nbytes = await answer.receive_into(buffer)
        if not nbytes:
            raise TruncatedAnswer("the recording ended before the moment did")
        return nbytes
