"""Opening ranges where machines share: the shared server first, then the origin.

A `RangeOpener` in front of another one. Where other machines have put the first wanted block, it answers with the run
of blocks that are there, and the reader asks for the rest again from its end. Where it is missing, one machine takes
the lease of it and asks the origin; the others wait for its blocks as long as that is quicker than asking themselves
(`shared/leases`).

The server is only an accelerator. What it takes to ask it is bounded, whatever it does not answer is asked of the
origin, and a block is taken for nothing but the bytes that its checksum names. Which version is wanted is decided here:

* A reader that has bytes of a version is given that version alone; its blocks have the version in their key.
* Otherwise the shared facts name the version, unless they contradict what this machine knows: another size, another
  version in an answer of the origin since the mount, or one that a reader found not to fit.
* A question about all of an object without a range is for one answer of the origin, and is never answered from here.

It owns what this machine saw of versions. It must not know HTTP, and who reads.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from cffs.cache.disk_format import blocks_of
from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core import demand
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer, RemoteObjectChanged, RemoteObjectMissing
from cffs.core.source import Api, Source
from cffs.core.units import BLOCK_NBYTES
from cffs.core.wait_reasons import waits_for
from cffs.reader.range_opener import Answer, RangeOpener
from cffs.reader.shared_transfer import AnswerShare, BlockSharing, SharedAnswer, StatedAnswer, TeedAnswer
from cffs.shared.block_store import SharedFacts, VersionKeys, is_shareable
from cffs.shared.leases import FetchLease, Holder, Present, worth_waiting
from cffs.shared.loop_time import Look

#: How many blocks are read at once: 1 MiB.
_MOST_AT_ONCE: Final = 8
#: How many blocks are looked at for the end of a gap; a request for more is seldom, and then for all there is.
_MOST_LOOKED_AT: Final = 128
#: How often another machine's fetch is looked at, at first and at most.
_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 0.05
#: How many looks in a row may come to nothing on a busy machine where the server is there: for a reader that waits, and
#: ahead of readers.
_MOST_LATE: Final = 1
_MOST_LATE_AHEAD: Final = 10
#: How long a fetch waits for another machine's at most, as a share of the timeout: as long as a READ is made to wait
#: for what is on its way (`ReaderDependencies.patience_seconds`).
_PATIENCE_SHARE: Final = 1 / 6
#: Objects of which it is remembered which version the origin stated last, or which was found not to fit.
_REMEMBERED: Final = 50_000
#: The question for the size alone.
_FIRST_BYTE: Final = ByteRange(0, 1)


@dataclass(frozen=True, slots=True)
class _Named:
    """A version that is looked for, and what is known of it."""

    keys: VersionKeys
    facts: SharedFacts


@dataclass(frozen=True, slots=True)
class _Here:
    """An answer from the server, and the version that it is of."""

    answer: SharedAnswer | StatedAnswer
    version: ObjectVersion


class SharedOpener:
    """Opens ranges by what machines share, else by `opener`."""

    def __init__(
        self, opener: RangeOpener, sharing: BlockSharing, *, timeout_seconds: float, revalidate_seconds: float
    ) -> None:
        """With `revalidate_seconds`, facts that were not confirmed for so long are not believed; 0 believes them as
        long as they last."""
        self._opener = opener
        self._sharing = sharing
        self._patience_seconds = timeout_seconds * _PATIENCE_SHARE
        self._revalidate_seconds = revalidate_seconds
        self._seen: LRUCache[str, ObjectVersion] = LRUCache(_REMEMBERED)
        self._refuted: LRUCache[ObjectVersion, bool] = LRUCache(_REMEMBERED)

    @asynccontextmanager
    async def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AsyncIterator[Answer]:
        """See RangeOpener. Always a checkpoint; what the server does raises nothing."""
        found, began_at = None, trio.current_time()
        if byte_range and self._sharing.store.is_up:
            found = await self._found(source, byte_range, pinned or Pinned())
        elif byte_range:
            self._sharing.counts.alone += len(blocks_of(byte_range))
        if isinstance(found, _Here):
            try:
                yield found.answer
            except RemoteObjectChanged:  # it does not fit what the reader has, and is not given again
                self._refute(found.version)
                raise
            return
        if found is not None and byte_range is not None and found.is_cut:
            byte_range = ByteRange(byte_range.start, found.stop * BLOCK_NBYTES)
        waited_seconds = trio.current_time() - began_at
        async with self._asked(source, byte_range, pinned, found, waited_seconds=waited_seconds) as answer:
            yield answer

    @property
    def origin(self) -> RangeOpener:
        """An opener that asks the origin itself each time, as for an object that is still being made, or may have
        changed. What it is answered counts here as well."""
        return _AlwaysAsked(self._asked, self._opener)

    async def warm(self, api: Api, *, connections: int) -> None:
        """See RangeOpener."""
        await self._opener.warm(api, connections=connections)

    # -- the server --

    async def _found(self, source: Source, wanted: ByteRange, pinned: Pinned) -> _Here | FetchLease | None:
        """An answer from the server; else the lease to fetch with, or None for a fetch without one.

        A checkpoint, of 50 ms at most unless another machine is fetching what is wanted. It raises nothing.
        """
        pause, began_at, counts = _FIRST_PAUSE_SECONDS, trio.current_time(), self._sharing.counts
        search = _Search(source, wanted, pinned, self._sharing.store.look())
        late_in_a_row, is_awaited = 0, demand.current()
        while True:
            found = await self._look(search)
            if found is None and search.look.is_late and self._sharing.store.is_up:  # it is there, and all is busy
                late_in_a_row += 1
                if late_in_a_row <= (_MOST_LATE if is_awaited() else _MOST_LATE_AHEAD):
                    await trio.sleep(_FIRST_PAUSE_SECONDS * late_in_a_row)
                    continue
            if not isinstance(found, Holder):
                if isinstance(found, FetchLease):
                    counts.missed += found.stop - search.units.start
                    counts.taken_over += search.is_waiting
                elif found is None:
                    counts.alone += len(blocks_of(wanted))
                return found
            waits = worth_waiting(
                found,
                len(blocks_of(wanted)),
                waited_seconds=trio.current_time() - began_at,
                patience_seconds=self._patience_seconds,
            )
            if not waits:
                counts.alone += len(blocks_of(wanted))
                return None
            counts.followed += not search.is_waiting
            search.is_waiting, late_in_a_row = True, 0
            with waits_for("another machine that is fetching this"):
                await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look(self, search: "_Search") -> _Here | FetchLease | Holder | None:
        """Look for the wanted bytes, and take the lease of them where they are not there: in one step for a version
        that no facts name yet and while another machine is waited for, in two or three else. It takes 50 ms at most."""
        store, key = self._sharing.store, search.source.key
        search.look = store.look()
        if search.named is None and search.pinned.validator is not None:
            search.named = self._named(key, search.pinned, _facts_of(search.pinned))
            if search.named is None:
                return None
        if search.named is None and search.believes_facts:
            taken = await self._take(search, [store.facts_key(key)])
            if not isinstance(taken, Present):
                return taken
            found = None if taken.value is None else store.facts_in(key, taken.value, taken.left_ms)
            search.named = self._believed(key, search.pinned, found)
            search.believes_facts = False
        named, is_polling = search.named, search.is_waiting
        while named is not None:
            if search.is_statement:
                return self._stated(named, search.source)
            if not is_polling:
                here = await self._here(named, search)
                if here is not None or not store.is_up:
                    return here
            keys = [named.keys.block(index) for index in search.units[:_MOST_LOOKED_AT]] if search.trusts_marks else []
            taken = await self._take(search, keys)
            if not isinstance(taken, Present):
                return taken
            # it came meanwhile; what bears a mark and is still not found is damaged
            search.trusts_marks, is_polling = is_polling, False
        taken = await self._take(search, [])
        return None if isinstance(taken, Present) else taken

    async def _take(self, search: "_Search", present: list[bytes]) -> FetchLease | Present | Holder | None:
        """Take the lease, unless the first of `present` is there. A piece that brings no whole block takes none."""
        store, key, units = self._sharing.store, search.source.key, search.units
        if units:
            kind = "facts" if search.is_statement else "blocks"
            leases_key = store.leases_key(key, kind)
            return await search.look.within(
                self._sharing.leases.take(leases_key, units.start, units.stop, present=present)
            )
        if present and search.named is None:
            found = await search.look.within(self._sharing.store.read_small(present[0]))
            return None if found is None else Present(*found)
        return None

    def _believed(self, key: str, pinned: Pinned, found: tuple[SharedFacts, float] | None) -> _Named | None:
        """The version that shared facts name, where they do not contradict what this machine knows."""
        if found is None or (self._revalidate_seconds and found[1] >= self._revalidate_seconds):
            return None
        named = self._named(key, pinned, found[0])
        if named is None or self._seen.get(key, named.keys.version) != named.keys.version:
            return None
        return named

    def _named(self, key: str, pinned: Pinned, facts: SharedFacts) -> _Named | None:
        version = ObjectVersion(key, facts.validator, facts.total_nbytes)
        is_another = pinned.total not in (None, facts.total_nbytes)
        if is_another or version in self._refuted or not is_shareable(**asdict(facts)):
            return None
        return _Named(self._sharing.store.keys_of(version), facts)

    def _stated(self, named: _Named, source: Source) -> _Here:
        pinned = Pinned(validator=named.facts.validator, total=named.facts.total_nbytes)

        async def bring(buffer: memoryview) -> int:
            async with self._asked(source, _FIRST_BYTE, pinned) as answer:
                return await answer.receive_into(buffer)

        return _Here(StatedAnswer(named.facts, bring), named.keys.version)

    async def _here(self, named: _Named, search: "_Search") -> _Here | None:
        wanted = search.wanted.clamped(named.facts.total_nbytes)
        if not wanted:
            return None  # the origin says what that means
        blocks = await search.look.within(self._sharing.store.read(named.keys, blocks_of(wanted)[:_MOST_AT_ONCE]))
        if not blocks:
            return None
        self._sharing.counts.hit += len(blocks)
        return _Here(SharedAnswer(named.facts, wanted, blocks), named.keys.version)

    # -- the origin --

    @asynccontextmanager
    async def _asked(
        self,
        source: Source,
        byte_range: ByteRange | None,
        pinned: Pinned | None,
        lease: FetchLease | None = None,
        *,
        waited_seconds: float = 0.0,
    ) -> AsyncIterator[Answer]:
        share: AnswerShare | None = None
        is_right = True
        try:
            async with self._opener.open_range(source, byte_range, pinned=pinned) as answer:
                share = self._share_of(source.key, answer, pinned, lease)
                if share is None and lease is not None:  # machines that wait for it wait for nothing
                    self._give_back(source.key, lease)
                    lease = None
                yield TeedAnswer(answer, share, waited_seconds=waited_seconds)
        except RemoteObjectChanged:
            is_right = False
            if pinned is not None and pinned.validator is not None:
                self._refute(ObjectVersion(source.key, pinned.validator, pinned.total))
            raise
        except RemoteObjectMissing:
            self._sharing.queue.add(source.key, partial(self._sharing.store.drop_facts, source.key))
            raise
        except MalformedAnswer:
            is_right = False
            raise
        finally:
            if share is not None:
                share.close(is_right=is_right)
            elif lease is not None:
                self._give_back(source.key, lease)

    def _give_back(self, key: str, lease: FetchLease) -> None:
        self._sharing.queue.add(key, partial(self._sharing.leases.give_back, lease))

    def _share_of(
        self, key: str, answer: Answer, pinned: Pinned | None, lease: FetchLease | None
    ) -> AnswerShare | None:
        """What is passed on of an answer; None where it does not name its version beyond doubt."""
        if answer.validator is None or answer.total is None:
            self._seen.pop(key, None)
            return None
        version = self._seen[key] = ObjectVersion(key, answer.validator, answer.total)
        if pinned is not None and pinned.validator not in (None, answer.validator):
            return None  # of another kind, so that it could not be compared
        facts = SharedFacts(
            total_nbytes=answer.total,
            validator=answer.validator,
            last_modified_ns=answer.last_modified_ns,
            answered_ms=answer.answered_ms,
        )
        if version in self._refuted or not is_shareable(**asdict(facts)):
            return None
        keys = self._sharing.store.keys_of(version)
        return AnswerShare(self._sharing, keys, facts, start=answer.start, lease=lease)

    def _refute(self, version: ObjectVersion) -> None:
        """Never use the version again, and take its facts from the other machines."""
        self._refuted[version] = True
        self._sharing.queue.add(version.key, partial(self._drop_facts_of, version))

    async def _drop_facts_of(self, version: ObjectVersion) -> None:
        found = await self._sharing.store.facts(version.key)
        if found is not None and (found[0].validator, found[0].total_nbytes) == version[1:3]:
            await self._sharing.store.drop_facts(version.key)


@dataclass(slots=True)
class _Search:
    """What is known of one search so far. One `open_range` owns it."""

    source: Source
    wanted: ByteRange
    pinned: Pinned
    #: The time of the look that is under way.
    look: Look
    named: _Named | None = None
    #: Whether shared facts may still name the version.
    believes_facts: bool = True
    #: Whether a block that bears the mark is believed to be there.
    trusts_marks: bool = True
    #: Whether another machine is waited for.
    is_waiting: bool = False

    @property
    def is_statement(self) -> bool:
        """True where the size alone is wanted, as far as is known."""
        return self.wanted == _FIRST_BYTE and (self.named is None or self.named.keys.layout.blocks > 1)

    @property
    def units(self) -> range:
        """The units of its lease."""
        if self.is_statement:
            return range(1)
        return whole_blocks(self.wanted, None if self.named is None else self.named.keys.layout.total_nbytes)


class _AlwaysAsked:
    """See SharedOpener.origin."""

    def __init__(self, asked: Callable[..., AbstractAsyncContextManager[Answer]], opener: RangeOpener) -> None:
        self._asked = asked
        self._opener = opener

    def open_range(
        self, source: Source, byte_range: ByteRange | None, *, pinned: Pinned | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """See RangeOpener."""
        return self._asked(source, byte_range, pinned)

    async def warm(self, api: Api, *, connections: int) -> None:
        """See RangeOpener."""
        await self._opener.warm(api, connections=connections)


def _facts_of(pinned: Pinned) -> SharedFacts:
    return SharedFacts(total_nbytes=pinned.total or 0, validator=pinned.validator or "")


def whole_blocks(wanted: ByteRange, total_nbytes: int | None) -> range:
    """The blocks that an answer of `wanted` brings whole; the last block of an object may be short. Pure."""
    first = -(-wanted.start // BLOCK_NBYTES)
    if total_nbytes is not None and wanted.stop >= total_nbytes:
        return range(first, -(-total_nbytes // BLOCK_NBYTES))
    return range(first, max(first, wanted.stop // BLOCK_NBYTES))
