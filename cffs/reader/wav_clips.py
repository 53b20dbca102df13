"""Clips of recordings as objects: a head made for them, and their samples alone.

A `RangeOpener` in front of another one answers for sources of its own, so that everything above it (sizes, caches,
read-ahead, sharing) holds for a clip as for any object. A recording's head is requested once, however many clips are
cut from it, and what it states of the recording is learned; samples that are here, in memory or on disk, are taken from
there. An answer's `validator` names the version of the recording, its length included: bytes that were kept of a clip
are never those of another version.

It owns the heads it has seen. It must not know paths or HTTP.
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
from cffs.core.units import KIB
from cffs.core.wait_reasons import waits_for
from cffs.core.wav import WavLayout, cut
from cffs.reader.object_info import Learned
from cffs.reader.range_opener import Answer, RangeOpener
from cffs.reader.wav_clip_heads import HeadQuestion, Held

#: Recordings whose head is remembered: some 500 bytes each.
_KEPT_HEADS = 10_000
_SCRATCH_NBYTES = 64 * KIB
_MARK = "@"


def clip_source(file_id: int, start: str, stop: str) -> Source:
    """The source of a clip; `start` and `stop` are seconds, each always spelt in one way."""
    whole = v1_recording(file_id)
    return Source(whole.api, (*whole.segments, f"{_MARK}{start}-{stop}"))


class WholeRecordings(Protocol):
    """What is known and held of whole recordings, and what hears of their answers. Never a checkpoint."""

    def held(self, key: str) -> Held | None:
        """The version that is known, and its bytes; None where the recording's length is not known."""
        ...

    def learned(self, learned: Learned) -> None:
        """Take over what an answer stated about a recording."""
        ...

    def found_another_version(self, key: str, pinned: Pinned) -> None:
        """Note that the recording is no longer of the version `pinned`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What one version of a recording is, and where its samples lie."""

    layout: WavLayout
    pinned: Pinned
    last_modified_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClipLocation:
    """Where a clip lies in a version of its recording."""

    head: bytes
    samples: ByteRange
    pinned: Pinned
    last_modified_ns: int | None

    @property
    def total_nbytes(self) -> int:
        """The size of the clip."""
        return len(self.head) + self.samples.nbytes

    @property
    def validator(self) -> str:
        """Differs between versions of the recording, also where the origin sends no validator."""
        return f"{self.pinned.validator or ''}/{self.pinned.total or ''}"


class WavClips:
    """Answers for clips, and passes every other source on."""

    def __init__(self, opener: RangeOpener, recordings: WholeRecordings, *, remembers: bool = True) -> None:
        """Without `remembers` the origin is asked each time: for a caller that wants to know whether something
        changed."""
        self._opener = opener
        self._recordings = recordings
        self._remembers = remembers
        self._heads: LRUCache[Source, _Head] = LRUCache(_KEPT_HEADS)
        self._coming: dict[Source, trio.Event] = {}

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """See RangeOpener. Raises RemoteObjectMissing for a clip that the recording does not have, MalformedAnswer for
        a recording that cannot be cut."""
        if not _is_clip(source):
            return self._opener.open_range(source, byte_range, pinned=pinned)
        return self._open_clip(source, byte_range, pinned)

    async def warm(self, api: Api, *, connections: int) -> None:
        """See RangeOpener."""
        await self._opener.warm(api, connections=connections)

    @asynccontextmanager
    async def _open_clip(
        self, source: Source, byte_range: ByteRange | None, pinned: Pinned | None
    ) -> AsyncIterator[Answer]:
        whole, clip = _whole(source), await self._locate(source)
        if pinned is not None and _differs(clip, pinned):
            raise RemoteObjectChanged("the recording is another one than the clip was cut from")
        wanted = byte_range or ByteRange(0, clip.total_nbytes)
        if wanted.start >= clip.total_nbytes:
            raise RangeNotSatisfiable(clip.total_nbytes)
        wanted = wanted.clamped(clip.total_nbytes)
        samples = _samples_in(clip, wanted)
        if not samples:
            yield _Spliced(clip, wanted, None, samples)
        elif (held := self._here(whole, clip, samples)) is not None:
            yield _Spliced(clip, wanted, _AnswerFromHere(held, samples), samples)
        else:
            try:
                async with self._opener.open_range(whole, samples, pinned=clip.pinned) as answer:
                    yield _Spliced(clip, wanted, answer, samples)
            except RemoteObjectChanged:
                self._changed(whole, clip.pinned)
                raise

    def _here(self, whole: Source, clip: _ClipLocation, samples: ByteRange) -> Held | None:
        """The bytes of the recording, where all of the samples are here in the clip's version."""
        held = self._recordings.held(_key(whole))
        return held if held is not None and _pinned(held) == clip.pinned and held.has(samples) else None

    def _changed(self, whole: Source, pinned: Pinned) -> None:
        self._heads.pop(whole, None)
        self._recordings.found_another_version(_key(whole), pinned)

    async def _locate(self, source: Source) -> _ClipLocation:
        """Find where the clip lies. A head that does not reach it is requested again, where the origin answers: the
        recording may have grown."""
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
                raise RemoteObjectMissing("the recording has no such clip, as far as is known") from unreachable
            found = cut(head.layout, Fraction(start), Fraction(stop))
        if found is None:
            raise RemoteObjectMissing("the recording has no such clip")
        return _ClipLocation(
            head=found[0], samples=found[1], pinned=head.pinned, last_modified_ns=head.last_modified_ns
        )

    def _known_head(self, whole: Source) -> _Head | None:
        """The head of the version that is known now: another answer may have stated another one since."""
        head, held = self._heads.get(whole), self._recordings.held(_key(whole))
        if head is None or (head.pinned == _pinned(held) if held is not None else head.pinned.total is None):
            return head
        del self._heads[whole]
        return None

    async def _newer_head(self, whole: Source, known: _Head | None) -> _Head:
        """A newer head than `known`, in single flight. Cancelled, the next waiter asks."""
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
        held = self._recordings.held(_key(whole))
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
            self._recordings.learned(
                Learned(
                    key=_key(whole),
                    source=whole,
                    total_nbytes=question.pinned.total,
                    validator=question.pinned.validator,
                    last_modified_ns=question.last_modified_ns,
                )
            )
        return _Head(layout=layout, pinned=question.pinned, last_modified_ns=question.last_modified_ns)


def _is_clip(source: Source) -> bool:
    """Decided by more than the mark: a name that the service gave may begin with it too."""
    whole, last = source.segments[:-1], source.segments[-1]
    return last.startswith(_MARK) and whole[-1].isdecimal() and _whole(source) == v1_recording(int(whole[-1]))


def _whole(source: Source) -> Source:
    return Source(source.api, source.segments[:-1])


def _key(whole: Source) -> str:
    return wav_key(int(whole.segments[-1]))


def _pinned(held: Held) -> Pinned:
    return Pinned(validator=held.known.validator, total=held.known.total_nbytes)


def _differs(clip: _ClipLocation, pinned: Pinned) -> bool:
    other_total = pinned.total is not None and pinned.total != clip.total_nbytes
    return other_total or (pinned.validator is not None and pinned.validator != clip.validator)


def _samples_in(clip: _ClipLocation, wanted: ByteRange) -> ByteRange:
    """Which bytes of the recording the wanted bytes of the clip are, without those of the head."""
    shift = clip.samples.start - len(clip.head)
    return ByteRange(max(wanted.start + shift, clip.samples.start), max(wanted.stop + shift, clip.samples.start))


class _AnswerFromHere:
    """An answer whose bytes are here. What is evicted meanwhile ends it early: the rest is requested again."""

    def __init__(self, held: Held, wanted: ByteRange) -> None:
        self._held = held
        self._offset = wanted.start
        self.start = wanted.start
        self.stop: int | None = wanted.stop
        self.total: int | None = held.known.total_nbytes
        self.validator = held.known.validator
        self.last_modified_ns = held.known.last_modified_ns
        self.answered_ms: int | None = None
        self.waited_seconds: float | None = None

    def publish(self) -> None:
        """See Answer: another answer brought it."""

    async def receive_into(self, buffer: memoryview) -> int:
        """See Answer."""
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
    """The made head, then what the recording's own answer holds. Owned by the caller that entered `open_range`."""

    def __init__(self, clip: _ClipLocation, wanted: ByteRange, answer: Answer | None, samples: ByteRange) -> None:
        self._head = memoryview(clip.head)[wanted.start : wanted.stop]
        self._answer = answer
        # an origin that ignores ranges gives the whole: what lies before the samples is discarded
        self._skip_nbytes = 0 if answer is None else samples.start - answer.start
        short = answer is not None and answer.stop is not None and answer.stop < samples.stop
        stop = answer.stop if answer is not None and answer.stop is not None and short else samples.stop
        self._left_nbytes = 0 if answer is None else stop - samples.start
        self._is_exact = answer is not None and answer.stop == stop
        self.start = wanted.start
        self.stop: int | None = wanted.start + len(self._head) + self._left_nbytes
        self.total: int | None = clip.total_nbytes
        self.validator: str | None = clip.validator
        self.last_modified_ns = clip.last_modified_ns
        self.answered_ms: int | None = None
        self.waited_seconds: float | None = 0.0 if answer is None else answer.waited_seconds

    def publish(self) -> None:
        """See Answer: what is kept of a clip may be kept of its recording."""
        if self._answer is not None:
            self._answer.publish()

    async def receive_into(self, buffer: memoryview) -> int:
        """See Answer."""
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
            # what was requested exactly also ends there
            return await self._answer.receive_into(buffer) if self._is_exact else 0
        nbytes = await self._some(self._answer, buffer[: self._left_nbytes])
        self._left_nbytes -= nbytes
        return nbytes

    @staticmethod
    async def _some(answer: Answer, buffer: memoryview) -> int:
        nbytes = await answer.receive_into(buffer)
        if not nbytes:
            raise TruncatedAnswer("the recording ended before the clip did")
        return nbytes
