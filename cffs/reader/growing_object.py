"""Bytes of objects that are still being made: requested each time, not kept.

What was true of an object while it grew must not be believed once it is whole, so nothing here is reported to a
listener. It owns what the origin said within the last second, no longer. It must not know states, paths or errnos.
"""

import copy
from dataclasses import dataclass

import trio
from cachetools import LRUCache

from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    NOT_FROM_HERE,
    CffsError,
    OriginUnreachable,
    RangeNotSatisfiable,
    RemoteObjectChanged,
    TruncatedAnswer,
)
from cffs.core.source import Source
from cffs.core.units import KIB
from cffs.reader.first_source import first_of
from cffs.reader.range_opener import Answer, RangeOpener
from cffs.reader.read_history import ReadHistories

#: How long what the origin said is believed: `stat` of a growing file asks again every second.
LOOK_SECONDS = 1.0
#: Requested at once, so that a copy costs a request for two READs of the kernel and not one for each.
PIECE_NBYTES = 256 * KIB
#: This much before the place where a reader goes on is requested again: it must be what was read there before.
_OVERLAP_NBYTES = 1024
#: The heads of WAVs and MP3s state a length, and change while the object grows.
HEAD_NBYTES = 4096
_TRIES = 3
#: Objects of which the last size is remembered.
_KEPT = 10_000


class _Look:
    """A request for the size, on its way or answered."""

    __slots__ = ("answered", "asked_at", "error")

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.answered = trio.Event()
        self.error: CffsError | None = None


class GrowingObjects:
    """The objects of a mount that are being made, by key."""

    def __init__(self, opener: RangeOpener, histories: ReadHistories) -> None:
        self.histories = histories
        self._opener = opener
        self._looks: LRUCache[str, _Look] = LRUCache(_KEPT)
        self._nbytes: LRUCache[str, int] = LRUCache(_KEPT)

    def last_nbytes(self, key: str) -> int | None:
        """How far the object was last known to reach; None before any look."""
        return self._nbytes.get(key)

    async def look(self, key: str, sources: tuple[Source, ...]) -> None:
        """Ask how far the object reaches now, at most once a second however many callers look (single flight). An
        object that no source has yet reaches nowhere.

        A checkpoint unless it was asked within the second. Raises CffsError, the same one for that second.
        """
        look = self._looks.get(key)
        if look is None or (look.answered.is_set() and trio.current_time() - look.asked_at >= LOOK_SECONDS):
            look = self._looks[key] = _Look(trio.current_time())
            try:
                self.note(key, await self._ask(key, sources))
            except CffsError as error:
                look.error = error
                self.histories.note_failure(key, error)
                raise
            finally:
                look.answered.set()
        else:
            await look.answered.wait()
            if look.error is not None:
                raise copy.copy(look.error) from look.error

    def open(
        self, key: str, sources: tuple[Source, ...], *, read_before: tuple[int, bytes] = (0, b"")
    ) -> "GrowingObject":
        """Return a handle. `read_before` is what its reader has read last, and where. Never a checkpoint."""
        return GrowingObject(self, self._opener, key, sources, read_before)

    def note(self, key: str, nbytes: int) -> None:
        """Note how far the object reaches."""
        self._nbytes[key] = nbytes

    def forget(self, key: str) -> None:
        """Forget the object: it is whole now, or broken."""
        self._looks.pop(key, None)
        self._nbytes.pop(key, None)

    async def _ask(self, key: str, sources: tuple[Source, ...]) -> int:
        async def ask(source: Source) -> int:
            try:
                async with self._opener.open_range(source, ByteRange(0, 1)) as answer:
                    return await _counted(answer) if answer.total is None else answer.total
            except RangeNotSatisfiable:
                return 0

        try:
            return await first_of(key, sources, ask)
        except NOT_FROM_HERE:
            return 0


async def _counted(answer: Answer) -> int:
    """How many bytes there are, where only the end of the answer shows it."""
    scratch = memoryview(bytearray(PIECE_NBYTES))
    offset = answer.start
    while nbytes := await answer.receive_into(scratch):
        offset += nbytes
    return offset


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one answer brought: the bytes from `start` on; `is_end` where there were no more at the time."""

    start: int
    data: bytes
    is_end: bool
    asked_at: float

    @property
    def stop(self) -> int:
        return self.start + len(self.data)

    def before(self, offset: int) -> bytes:
        """What lies right before `offset`, as far as it is to be compared."""
        if not self.start <= offset <= self.stop:
            return b""
        start = max(offset - _OVERLAP_NBYTES, self.start, HEAD_NBYTES)
        return self.data[start - self.start : offset - self.start] if start < offset else b""


class GrowingObject:
    """An open handle on an object that was being made when it was opened; it reads on to the true end after that."""

    def __init__(
        self,
        objects: GrowingObjects,
        opener: RangeOpener,
        key: str,
        sources: tuple[Source, ...],
        read_before: tuple[int, bytes],
    ) -> None:
        self._objects = objects
        self._opener = opener
        self._key = key
        self._sources = sources
        self._piece = _Piece(*read_before, is_end=False, asked_at=float("-inf"))
        self._is_changed = False

    async def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes there now; fewer only at the end of now.

        A reader that goes on where it stopped gets bytes of the same object: raises RemoteObjectChanged, from then on,
        where what it read before is not there any more. A checkpoint unless the bytes came within the last second.
        Raises CffsError; cancelled, nothing is held.
        """
        if self._is_changed:
            raise RemoteObjectChanged(f"{self._key} is not the recording that was read before")
        found = bytearray()
        while len(found) < nbytes:
            piece = await self._piece_at(offset + len(found), nbytes - len(found))
            begin = offset + len(found) - piece.start
            found += piece.data[begin : begin + nbytes - len(found)]
            if piece.is_end and offset + len(found) >= piece.stop:
                break
        return bytes(found)

    async def _piece_at(self, offset: int, nbytes: int) -> _Piece:
        """A piece that holds the byte at `offset`, or ends there."""
        piece = self._piece
        is_new = trio.current_time() - piece.asked_at < LOOK_SECONDS
        if is_new and piece.start <= offset and (offset < piece.stop or (piece.is_end and offset == piece.stop)):
            return piece
        before = piece.before(offset)
        asked = ByteRange(offset - len(before), offset + max(nbytes, PIECE_NBYTES))
        asked_at = trio.current_time()
        data, is_end = await self._received(asked)
        if data[: len(before)] != before:
            self._is_changed = True
            raise RemoteObjectChanged(f"{self._key} is not the recording that was read before")
        self._piece = _Piece(asked.start, data, is_end=is_end, asked_at=asked_at)
        if not is_end and self._piece.stop <= offset:
            raise TruncatedAnswer(f"an answer for {self._key} brought nothing")
        return self._piece

    async def _received(self, asked: ByteRange) -> tuple[bytes, bool]:
        """The bytes of `asked` that there are, and whether they end where the object does now."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._received_once(asked)
            except (TruncatedAnswer, OriginUnreachable):
                if not tries_left:
                    raise
        raise AssertionError  # the last attempt returned or raised

    async def _received_once(self, asked: ByteRange) -> tuple[bytes, bool]:
        async def ask(source: Source) -> tuple[bytes, bool]:
            try:
                async with self._opener.open_range(source, asked) as answer:
                    found = await _drained(answer, asked)
            except RangeNotSatisfiable as beyond:
                if beyond.total is not None and beyond.total > asked.start:
                    raise
                return b"", True
            stop = asked.start + len(found)
            is_end = stop < asked.stop if answer.total is None else stop >= answer.total
            self._objects.note(self._key, max(stop, answer.total or 0))
            self._objects.histories.note_fetch(self._key, ByteRange(asked.start, stop), source.key)
            self._objects.histories.note_tier(self._key, "service")
            return found, is_end

        try:
            return await first_of(self._key, self._sources, ask)
        except NOT_FROM_HERE:
            if self._objects.last_nbytes(self._key):
                raise
            return b"", True  # the object is being made, and the service serves none of it yet

    def close(self) -> None:
        """Nothing was held."""


async def _drained(answer: Answer, asked: ByteRange) -> bytes:
    """The bytes of `asked` in an answer that may begin before it and end within it. Raises CffsError."""
    offset, found = answer.start, bytearray()
    buffer = memoryview(bytearray(PIECE_NBYTES))
    while offset < asked.stop:
        nbytes = await answer.receive_into(buffer[: asked.stop - offset])
        if not nbytes:
            break
        found += buffer[max(0, asked.start - offset) : nbytes] if offset + nbytes > asked.start else b""
        offset += nbytes
        await trio.lowlevel.checkpoint()
    return bytes(found)
