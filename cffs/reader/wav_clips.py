"""Moments of recordings as objects of their own: a head made for them, and the bytes of those samples alone.

It must not know paths or HTTP: it is a `RangeOpener` in front of another one and answers for sources of its own, so
that everything above (sizes, caches, read-ahead, sharing) holds for a moment as for any object.
A recording's head is asked once, however many moments are cut from it, and what it tells of the recording is learned;
samples that are here, in memory or on disk, are taken from there. An answer's `validator` names the version of the
recording, its length included: bytes that were kept of a moment are never those of another version.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import trio
from cachetools import LRUCache

from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    OriginUnreachable,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    TruncatedAnswer,
)
from cffs.core.source import Api, Source, v1_recording, wav_key
from cffs.core.wait_reasons import waits_for
from cffs.core.wav import WavLayout, cut
from cffs.reader.object_info import Learned
from cffs.reader.range_opener import Answer, RangeOpener
from cffs.reader.wav_clip_heads import HeadQuestion, Held

#: Recordings whose head is remembered: some 500 bytes each.
_KEPT_HEADS = 10_000
_SCRATCH_NBYTES = 64 * 1024
_MARK = "@"


def moment_source(file_id: int, start: str, stop: str) -> Source:
    """The source of a moment; `start` and `stop` are seconds, each always spelt in one way."""
    whole = v1_recording(file_id)
    return Source(whole.api, (*whole.segments, f"{_MARK}{start}-{stop}"))


class Wholes(Protocol):
    """What is known and here of whole recordings, and who hears what their answers tell. Never a checkpoint."""

    def held(self, key: str) -> Held | None:
        """The version that is known, and its bytes; None where the recording's length is not known."""
        ...

    def learned(self, learned: Learned) -> None:
        """An answer told what a recording is."""
        ...

    def is_another(self, key: str, pinned: Pinned) -> None:
        """The recording is not of the version `pinned` any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What one version of a recording is, and where its samples lie."""

    layout: WavLayout
    pinned: Pinned
    last_modified_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a moment lies in a version of its recording."""

    head: bytes
    samples: ByteRange
    pinned: Pinned
    last_modified_ns: int | None

    @property
    def total_nbytes(self) -> int:
        """The size of the moment."""
        return len(self.head) + self.samples.nbytes

    @property
    def validator(self) -> str:
        """Another one for another version of the recording, also where the origin tells no validator."""
        return f"{self.pinned.validator or ''}/{self.pinned.total or ''}"


class WavClips:
    """Answers for moments, and hands every other source on."""

    def __init__(self, opener: RangeOpener, wholes: Wholes, *, remembers: bool = True) -> None:
        """Without `remembers` the origin is asked each time, for who wants to know whether something changed."""
        self._opener = opener
        self._wholes = wholes
        self._remembers = remembers
        self._heads: LRUCache[Source, _Head] = LRUCache(_KEPT_HEADS)
        self._coming: dict[Source, trio.Event] = {}

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """As the opener behind it. RemoteObjectMissing for a moment that the recording does not have, MalformedAnswer
        for a recording that cannot be cut."""
        if not _is_moment(source):
            return self._opener.open_range(source, byte_range, pinned=pinned)
        return self._open_moment(source, byte_range, pinned)

    async def warm(self, api: Api, *, connections: int) -> None:
        """As the opener behind it."""
        await self._opener.warm(api, connections=connections)

    @asynccontextmanager
    async def _open_moment(
        self, source: Source, byte_range: ByteRange | None, pinned: Pinned | None
    ) -> AsyncIterator[Answer]:
        whole, place = _whole(source), await self._place(source)
        if pinned is not None and _differs(place, pinned):
            raise RemoteObjectChanged("the recording is another one than the moment was cut from")
        wanted = byte_range or ByteRange(0, place.total_nbytes)
        if wanted.start >= place.total_nbytes:
            raise RangeNotSatisfiable(place.total_nbytes)
        wanted = wanted.clamped(place.total_nbytes)
        samples = _samples_in(place, wanted)
        if not samples:
            yield _Spliced(place, wanted, None, samples)
        elif (held := self._here(whole, place, samples)) is not None:
            yield _Spliced(place, wanted, _AnswerFromHere(held, samples), samples)
        else:
            try:
                async with self._opener.open_range(whole, samples, pinned=place.pinned) as answer:
                    yield _Spliced(place, wanted, answer, samples)
            except RemoteObjectChanged:
                self._changed(whole, place.pinned)
                raise

    def _here(self, whole: Source, place: _Place, samples: ByteRange) -> Held | None:
        """Where all of the samples are here, in the version that the moment is of."""
        held = self._wholes.held(_key(whole))
        return held if held is not None and _pinned(held) == place.pinned and held.has(samples) else None

    def _changed(self, whole: Source, pinned: Pinned) -> None:
        self._heads.pop(whole, None)
        self._wholes.is_another(_key(whole), pinned)

    async def _place(self, source: Source) -> _Place:
        """Where the moment lies. A head that does not reach it is asked anew, where somebody answers: the recording may
        have grown."""
        whole = _whole(source)
        start, _dash, stop = source.segments[-1].removeprefix(_MARK).partition("-")
        head = self._known_head(whole)
        found = cut(head.layout, Fraction(start), Fraction(stop)) if head is not None else None
        if head is None or found is None:
            try:
                head = await self._newer_head(whole, head)
            except OriginUnreachable as unreachable:
                if head is None:
                    raise
                raise RemoteObjectMissing("the recording has no such moment, as far as is known") from unreachable
            found = cut(head.layout, Fraction(start), Fraction(stop))
        if found is None:
            raise RemoteObjectMissing("the recording has no such moment")
        return _Place(head=found[0], samples=found[1], pinned=head.pinned, last_modified_ns=head.last_modified_ns)

    def _known_head(self, whole: Source) -> _Head | None:
        """The head of the version that is known now: another answer may have told of another one since."""
        head, held = self._heads.get(whole), self._wholes.held(_key(whole))
        if head is None or (head.pinned == _pinned(held) if held is not None else head.pinned.total is None):
            return head
        del self._heads[whole]
        return None

    async def _newer_head(self, whole: Source, known: _Head | None) -> _Head:
        """Another head than `known`; one question, however many ask. Cancelled, the next of them asks."""
        while (coming := self._coming.get(whole)) is not None:
            with waits_for("the recording's head"):
                await coming.wait()
        head = self._known_head(whole)
        if head is not None and head is not known:
            return head
        coming = self._coming[whole] = trio.Event()
        try:
            head = await self._head(whole, is_known=known is not None)
        finally:
            del self._coming[whole]
            coming.set()
        if self._remembers:
            self._heads[whole] = head
        return head

    async def _head(self, whole: Source, *, is_known: bool) -> _Head:
        held = self._wholes.held(_key(whole))
        if held is not None and self._remembers and not is_known:
            layout = await held.layout()
            if layout is not None:
                return _Head(layout=layout, pinned=_pinned(held), last_modified_ns=held.known.last_modified_ns)
        with waits_for("the recording's head"):
            pinned = Pinned() if held is None else _pinned(held)
            try:
                return await self._asked(whole, pinned)
            except RemoteObjectChanged:
                self._changed(whole, pinned)
                return await self._asked(whole, Pinned())

    async def _asked(self, whole: Source, pinned: Pinned) -> _Head:
        async with HeadQuestion(self._opener, whole, pinned) as question:
            layout = await question.layout()
        if question.pinned.total is not None:
            self._wholes.learned(
                Learned(
                    key=_key(whole),
                    source=whole,
                    total_nbytes=question.pinned.total,
                    validator=question.pinned.validator,
                    last_modified_ns=question.last_modified_ns,
                )
            )
        return _Head(layout=layout, pinned=question.pinned, last_modified_ns=question.last_modified_ns)


def _is_moment(source: Source) -> bool:
    """Told by more than the mark: a name that the service gave may begin with it too."""
    whole, last = source.segments[:-1], source.segments[-1]
    return last.startswith(_MARK) and whole[-1].isdecimal() and _whole(source) == v1_recording(int(whole[-1]))


def _whole(source: Source) -> Source:
    return Source(source.api, source.segments[:-1])


def _key(whole: Source) -> str:
    return wav_key(int(whole.segments[-1]))


def _pinned(held: Held) -> Pinned:
    return Pinned(validator=held.known.validator, total=held.known.total_nbytes)


def _differs(place: _Place, pinned: Pinned) -> bool:
    other_total = pinned.total is not None and pinned.total != place.total_nbytes
    return other_total or (pinned.validator is not None and pinned.validator != place.validator)


def _samples_in(place: _Place, wanted: ByteRange) -> ByteRange:
    """Which bytes of the recording the wanted bytes of the moment are, without those of the head."""
    shift = place.samples.start - len(place.head)
    return ByteRange(max(wanted.start + shift, place.samples.start), max(wanted.stop + shift, place.samples.start))


class _AnswerFromHere:
    """An answer whose bytes are here. What is evicted meanwhile ends it early: the rest is asked for anew."""

    def __init__(self, held: Held, wanted: ByteRange) -> None:
        self._held = held
        self._offset = wanted.start
        self.start = wanted.start
        self.stop: int | None = wanted.stop
        self.total: int | None = held.known.total_nbytes
        self.validator = held.known.validator
        self.last_modified_ns = held.known.last_modified_ns
        self.answered_ms: int | None = None

    async def receive_into(self, buffer: memoryview) -> int:
        """As any answer."""
        wanted = ByteRange(self._offset, min(self.stop or 0, self._offset + len(buffer)))
        if not wanted:
            return 0
        piece = await self._held.read(wanted)
        if not piece:
            raise TruncatedAnswer("what was here of the recording was evicted meanwhile")
        buffer[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)


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
        self.validator: str | None = place.validator
        self.last_modified_ns = place.last_modified_ns
        self.answered_ms: int | None = None

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
            scratch = memoryview(bytearray(min(self._skip_nbytes, _SCRATCH_NBYTES)))
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
