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
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio
from cachetools import LRUCache

from cffs.cache.disk_format import blocks_of
from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer, RemoteObjectChanged, RemoteObjectMissing
from cffs.core.source import Api, Source
from cffs.core.units import BLOCK_NBYTES
from cffs.core.wait_reasons import waits_for
from cffs.reader.range_opener import Answer, RangeOpener
from cffs.reader.shared_transfer import AnswerShare, BlockSharing, SharedAnswer, StatedAnswer, TeedAnswer
from cffs.shared.block_store import SharedFacts, VersionKeys, is_shareable
from cffs.shared.leases import FetchLease, Holder, Present, worth_waiting

#: All that is asked of the server before the origin is: see cffs/docs/sharing.md#the-server.
_LOOK_SECONDS: Final = 0.05
#: How many blocks are read at once: 1 MiB.
_MOST_AT_ONCE: Final = 8
#: How many blocks are looked at for the end of a gap; a request for more is seldom, and then for all there is.
_MOST_LOOKED_AT: Final = 128
#: How often another machine's fetch is looked at, at first and at most.
_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 0.05
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
        if isinstance(found, _Here):
            try:
                yield found.answer
            except RemoteObjectChanged:  # it does not fit what the reader has, and is not given again
                self._refute(found.version)
                raise
            return
        if found is not None and byte_range is not None and found.stop * BLOCK_NBYTES < byte_range.stop:
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
        pause, began_at, trusts_marks = _FIRST_PAUSE_SECONDS, trio.current_time(), True
        counts, is_waiting = self._sharing.counts, False
        while True:
            found: _Here | FetchLease | Present | Holder | None = None
            with trio.move_on_after(_LOOK_SECONDS):
                found = await self._look(source, wanted, pinned, trusts_marks=trusts_marks)
            if isinstance(found, Present):
                trusts_marks = False  # what bears a mark and is still not found is damaged
                continue
            if not isinstance(found, Holder):
                if not isinstance(found, _Here):
                    counts.missed += len(blocks_of(wanted))
                    counts.taken_over += is_waiting and found is not None
                return found
            waited_seconds = trio.current_time() - began_at
            if not worth_waiting(
                found,
                len(blocks_of(wanted)),
                waited_seconds=waited_seconds,
                patience_seconds=self._patience_seconds,
            ):
                counts.missed += len(blocks_of(wanted))
                counts.taken_over += 1
                return None
            counts.followed += not is_waiting
            is_waiting = trusts_marks = True
            with waits_for("another machine that is fetching this"):
                await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look(
        self, source: Source, wanted: ByteRange, pinned: Pinned, *, trusts_marks: bool
    ) -> _Here | FetchLease | Present | Holder | None:
        """Look once for the wanted bytes, and take the lease of them where they are not there."""
        store, key = self._sharing.store, source.key
        named = await self._named(key, pinned)
        is_statement = wanted == _FIRST_BYTE and (named is None or named.keys.layout.blocks > 1)
        if named is not None:
            here = self._stated(named, source) if is_statement else await self._here(named, wanted)
            if here is not None or not store.is_up:
                return here
        units = whole_blocks(wanted, None if named is None else named.keys.layout.total_nbytes)
        if is_statement:
            kind, units = "facts", range(1)
        else:
            kind = "blocks"
        if not units:
            return None
        present: list[bytes] = []
        if trusts_marks and named is not None:
            present = [named.keys.block(index) for index in units[:_MOST_LOOKED_AT]]
        elif trusts_marks:
            present = [store.facts_key(key)]
        return await self._sharing.leases.take(store.leases_key(key, kind), units.start, units.stop, present=present)

    async def _named(self, key: str, pinned: Pinned) -> _Named | None:
        """The version to look for; None where nothing names one that may be believed."""
        store = self._sharing.store
        if pinned.validator is not None:
            facts = SharedFacts(total_nbytes=pinned.total or 0, validator=pinned.validator)
        else:
            found = await store.facts(key)
            if found is None or (self._revalidate_seconds and found[1] >= self._revalidate_seconds):
                return None
            facts = found[0]
        version = ObjectVersion(key, facts.validator, facts.total_nbytes)
        is_another = pinned.total not in (None, facts.total_nbytes)
        if (
            is_another
            or version in self._refuted
            or (pinned.validator is None and self._seen.get(key, version) != version)
        ):
            return None
        if not is_shareable(
            validator=facts.validator,
            total_nbytes=facts.total_nbytes,
            last_modified_ns=facts.last_modified_ns,
            answered_ms=facts.answered_ms,
        ):
            return None
        return _Named(store.keys_of(version), facts)

    def _stated(self, named: _Named, source: Source) -> _Here:
        pinned = Pinned(validator=named.facts.validator, total=named.facts.total_nbytes)

        async def bring(buffer: memoryview) -> int:
            async with self._asked(source, _FIRST_BYTE, pinned) as answer:
                return await answer.receive_into(buffer)

        return _Here(StatedAnswer(named.facts, bring), named.keys.version)

    async def _here(self, named: _Named, wanted: ByteRange) -> _Here | None:
        wanted = wanted.clamped(named.facts.total_nbytes)
        if not wanted:
            return None  # the origin says what that means
        blocks = await self._sharing.store.read(named.keys, blocks_of(wanted)[:_MOST_AT_ONCE])
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
                    self._give_back(lease)
                    lease = None
                yield TeedAnswer(answer, share, waited_seconds=waited_seconds)
        except RemoteObjectChanged:
            is_right = False
            if pinned is not None and pinned.validator is not None:
                self._refute(ObjectVersion(source.key, pinned.validator, pinned.total))
            raise
        except RemoteObjectMissing:
            self._sharing.queue.add(partial(self._sharing.store.drop_facts, source.key))
            raise
        except MalformedAnswer:
            is_right = False
            raise
        finally:
            if share is not None:
                share.close(is_right=is_right)
            elif lease is not None:
                self._give_back(lease)

    def _give_back(self, lease: FetchLease) -> None:
        self._sharing.queue.add(partial(self._sharing.leases.give_back, lease))

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
        if version in self._refuted or not is_shareable(
            validator=answer.validator,
            total_nbytes=answer.total,
            last_modified_ns=answer.last_modified_ns,
            answered_ms=answer.answered_ms,
        ):
            return None
        facts = SharedFacts(
            total_nbytes=answer.total,
            validator=answer.validator,
            last_modified_ns=answer.last_modified_ns,
            answered_ms=answer.answered_ms,
        )
        return AnswerShare(self._sharing, self._sharing.store.keys_of(version), facts, start=answer.start, lease=lease)

    def _refute(self, version: ObjectVersion) -> None:
        """Never use the version again, and take its facts from the other machines."""
        self._refuted[version] = True
        self._sharing.queue.add(partial(self._drop_facts_of, version))

    async def _drop_facts_of(self, version: ObjectVersion) -> None:
        found = await self._sharing.store.facts(version.key)
        if found is not None and (found[0].validator, found[0].total_nbytes) == version[1:3]:
            await self._sharing.store.drop_facts(version.key)


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


def whole_blocks(wanted: ByteRange, total_nbytes: int | None) -> range:
    """The blocks that an answer of `wanted` brings whole; the last block of an object may be short. Pure."""
    first = -(-wanted.start // BLOCK_NBYTES)
    if total_nbytes is not None and wanted.stop >= total_nbytes:
        return range(first, -(-total_nbytes // BLOCK_NBYTES))
    return range(first, max(first, wanted.stop // BLOCK_NBYTES))
