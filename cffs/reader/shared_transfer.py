"""Answers where machines share: made of shared blocks, or passed on as blocks.

What an answer of the origin brings is cut into blocks while it is received, and put on the shared server in the
background. Nothing is put before the reader said that the bytes may be kept (`publish`), and nothing can be found there
before the answer has ended without proving wrong. So another machine is given what this one would find on its disk.
Where the answer ended before its blocks were put, as most of one recording do, they are put with all else in one call.

It owns one answer at a time. It must not know how a machine decides whom to ask, and it never waits for the server.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cffs.cache.disk_format import SLOT_NBYTES, Layout
from cffs.core.byte_range import ByteRange
from cffs.core.units import BLOCK_NBYTES
from cffs.reader.range_opener import Answer
from cffs.shared.block_store import BlockStore, SharedFacts, VersionKeys
from cffs.shared.lease_keeper import LeaseKeeper
from cffs.shared.leases import FetchLease, Leases
from cffs.shared.sealed_values import hide, seal
from cffs.shared.server import VALUES_AT_ONCE
from cffs.shared.write_queue import WriteQueue

#: Blocks that wait until it is known whether they may be kept: a first piece is no larger.
_MOST_WAITING: Final = 4
#: A write that is not answered in time is tried again: without it others would fetch the whole object once more. No
#: reader waits for it, and where the server is gone, it costs nothing.
_TRIES: Final = 4


@dataclass(slots=True)
class BlockCounts:
    """What machines shared of objects since the mount, for the status. `alone` counts the blocks that were asked of
    the origin whatever another machine fetches: the server did not answer in time, or that machine was too slow."""

    hit: int = 0
    missed: int = 0
    put: int = 0
    followed: int = 0
    taken_over: int = 0
    alone: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSharing:
    """The parts that all answers of a mount share."""

    store: BlockStore
    leases: Leases
    keeper: LeaseKeeper
    queue: WriteQueue
    counts: BlockCounts = field(default_factory=BlockCounts)


class SharedAnswer:
    """An answer made of what other machines have put: the bytes of `wanted`, as far as they are there."""

    def __init__(self, facts: SharedFacts, wanted: ByteRange, blocks: Sequence[memoryview]) -> None:
        """`blocks` are those from the one with the first wanted byte on, at least that one."""
        self._pieces = [blocks[0][wanted.start % BLOCK_NBYTES :], *blocks[1:]]
        self.start = self._position = wanted.start
        self.stop: int | None = min(wanted.stop, wanted.start + sum(map(len, self._pieces)))
        self.total: int | None = facts.total_nbytes
        self.validator: str | None = facts.validator
        self.last_modified_ns = facts.last_modified_ns
        self.answered_ms = facts.answered_ms
        self.waited_seconds: float | None = None

    async def receive_into(self, buffer: memoryview) -> int:
        """See Answer. Never a checkpoint."""
        left_nbytes = (self.stop or 0) - self._position
        if not left_nbytes or not len(buffer):
            return 0
        piece = self._pieces[0]
        nbytes = min(len(buffer), len(piece), left_nbytes)
        buffer[:nbytes] = piece[:nbytes]
        self._position += nbytes
        if nbytes == len(piece):
            del self._pieces[0]
        else:
            self._pieces[0] = piece[nbytes:]
        return nbytes

    def publish(self) -> None:
        """See Answer: it is shared already."""


class StatedAnswer:
    """An answer to a question for the size: what the shared facts state. Its one byte is asked of the origin, where
    anyone wants it."""

    def __init__(self, facts: SharedFacts, bring: Callable[[memoryview], Awaitable[int]]) -> None:
        """`bring` receives the byte from the origin, in the version that is stated."""
        self._bring = bring
        self._is_over = False
        self.start = 0
        self.stop: int | None = 1
        self.total: int | None = facts.total_nbytes
        self.validator: str | None = facts.validator
        self.last_modified_ns = facts.last_modified_ns
        self.answered_ms = facts.answered_ms
        self.waited_seconds: float | None = None

    async def receive_into(self, buffer: memoryview) -> int:
        """See Answer."""
        if self._is_over:
            return 0
        nbytes = await self._bring(buffer[:1])
        self._is_over = nbytes > 0
        return nbytes

    def publish(self) -> None:
        """See Answer: it is shared already."""


class BlockCutter:
    """Cuts the bytes of an answer into whole blocks, each behind the room for its slot. Pure."""

    def __init__(self, layout: Layout, start: int) -> None:
        """`start` is the object's offset of the answer's first byte."""
        self._layout = layout
        self._position = start
        self._value: bytearray | None = None

    def cut(self, data: memoryview) -> Iterator[tuple[int, bytearray]]:
        """The blocks that are whole with the next bytes, each with its index. What lies before the first beginning of a
        block, or beyond the end of the object, is in none."""
        while data and self._position < self._layout.total_nbytes:
            index, offset = divmod(self._position, BLOCK_NBYTES)
            block = self._layout.block_range(index)
            piece = data[: block.stop - self._position]
            if not offset:
                self._value = bytearray(SLOT_NBYTES + block.nbytes)
            if self._value is not None:
                begin = SLOT_NBYTES + offset
                self._value[begin : begin + len(piece)] = piece
            self._position += len(piece)
            data = data[len(piece) :]
            if self._position == block.stop and self._value is not None:
                yield index, self._value
                self._value = None


class AnswerShare:
    """What of one answer is passed on. The opener that made it calls `close` when the answer is over. No public method
    is a checkpoint."""

    def __init__(
        self, sharing: BlockSharing, keys: VersionKeys, facts: SharedFacts, *, start: int, lease: FetchLease | None
    ) -> None:
        """`start` is the offset of the answer's first byte; `lease` is given back at its end."""
        self._sharing = sharing
        self._keys = keys
        self._facts = facts
        self._cutter = BlockCutter(keys.layout, start)
        self._kept = None if lease is None else sharing.keeper.keep(lease)
        self._is_public = False
        #: Whether the answer was right; None until it is over.
        self._is_right: bool | None = None
        #: Whole blocks, until it is known whether they may be kept.
        self._waiting: dict[int, bytearray] = {}
        #: What is still to be shown: what the slot of each block says that was put hidden, and values of others.
        self._unshown: dict[int, bytes | bytearray] = {}
        self._unput = 0

    def received(self, data: memoryview) -> None:
        """Take the next bytes of the answer."""
        for index, value in self._cutter.cut(data):
            if self._kept is not None:
                self._kept.moved(index + 1)
            if self._is_public:
                self._enqueue(index, value)
            elif len(self._waiting) < _MOST_WAITING:
                self._waiting[index] = value

    def publish(self) -> None:
        """Let what has come, and what comes, be shared once the answer has ended well."""
        if self._is_public:
            return
        self._is_public = True
        waiting, self._waiting = self._waiting, {}
        for index, value in waiting.items():
            self._enqueue(index, value)

    def close(self, *, is_right: bool) -> None:
        """Show the blocks to others, unless the answer proved wrong, and give the lease back."""
        self._is_right = is_right
        queue, key, kept = self._sharing.queue, self._keys.version.key, self._kept
        if is_right and self._is_public and queue.add(key, self._finish):
            if kept is not None:
                kept.came()
        elif kept is not None:
            kept.release()
            queue.add(key, partial(self._sharing.leases.give_back, kept.lease))

    def _enqueue(self, index: int, value: bytearray) -> None:
        self._sharing.queue.add(self._keys.version.key, partial(self._put, index, value), nbytes=len(value))

    async def _put(self, index: int, value: bytearray) -> None:
        """Put a block: hidden while its answer may still prove wrong, and else together with others."""
        if self._is_right is not None:
            if self._is_right:
                await self._put_later(index, value)
            return
        slot = hide(value, seed=self._keys.seed, index=index)
        for _ in range(_TRIES):
            if await self._sharing.store.put_hidden(self._keys, index, value):
                self._unshown[index] = slot
                return

    async def _put_later(self, index: int, value: bytearray) -> None:
        if self._unput == VALUES_AT_ONCE:
            await self._show(None)
        seal(value, seed=self._keys.seed, index=index)
        self._unshown[index] = value
        self._unput += 1

    async def _finish(self) -> None:
        if self._kept is None:
            await self._show(None)
            return
        if not await self._show(self._kept.lease):  # others would wait for nothing
            await self._sharing.leases.give_back(self._kept.lease)
        self._kept.release()

    async def _show(self, lease: FetchLease | None) -> bool:
        """Show what was put, and put what was not, with the end of the lease; whether the server took it."""
        unshown, self._unshown, self._unput = self._unshown, {}, 0
        for _ in range(_TRIES):
            shown = await self._sharing.store.finish(self._keys, self._facts, unshown, lease)
            if shown is not None:
                self._sharing.counts.put += shown
                return True
        return False


class TeedAnswer:
    """An answer of the origin, with its bytes passed on as they are received."""

    def __init__(self, answer: Answer, share: AnswerShare | None, *, waited_seconds: float) -> None:
        """Without `share` nothing is passed on: the origin does not name the version beyond doubt."""
        self._answer = answer
        self._share = share
        self.start = answer.start
        self.stop = answer.stop
        self.total = answer.total
        self.validator = answer.validator
        self.last_modified_ns = answer.last_modified_ns
        self.answered_ms = answer.answered_ms
        self.waited_seconds: float | None = waited_seconds

    async def receive_into(self, buffer: memoryview) -> int:
        """See Answer."""
        nbytes = await self._answer.receive_into(buffer)
        if self._share is not None:
            self._share.received(buffer[:nbytes])
        return nbytes

    def publish(self) -> None:
        """See Answer."""
        if self._share is not None:
            self._share.publish()
