"""Whether an object is there, and how large, told by the head of its first piece; the body waits for who opens it.

It must not know paths or states. Owned by Objects. A program that opens a file nobody has listed asks for its
attributes, and opens it a moment later: one request serves both. Where no open follows, the answer is left after a
while, or as soon as somebody else needs its connection, and what of it has been received by then is at most
`WORTH_HAVING_NBYTES`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import trio

from cffs.core.source import Source
from cffs.reader.remote_file import OpenFile
from cffs.reader.remote_file_table import RemoteFileTable

#: How long the body waits: an open that follows comes within milliseconds.
GRACE_SECONDS = 1.0


class FirstLook(NamedTuple):
    """What the head told: the size, None where only the end will; when the object was last modified, and when that was
    told, as far as the service says."""

    nbytes: int | None
    last_modified_ns: int | None
    answered_ms: int | None


@dataclass(slots=True, eq=False)
class _Held:
    handle: OpenFile
    until: float

    @property
    def is_over(self) -> bool:
        """True once it need not be held for an open that may follow."""
        return trio.current_time() >= self.until


class FirstPieces:
    """The objects that were looked at and may not be opened."""

    def __init__(self, table: RemoteFileTable, start: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        """`start` runs something beside everything else."""
        self._table = table
        self._start = start
        self._held: dict[str, _Held] = {}

    async def look(self, key: str, sources: tuple[Source, ...], *, is_settled: bool) -> FirstLook:
        """Ask `sources` in order until one has the object. No request where it is open, or was looked at just now.

        With `is_settled` False, nothing of it is kept or told before `settle`. A checkpoint. Cancelled, the request is
        dropped unless others wait for it. Raises CffsError.
        """
        self._renew(key)
        handle = self._table.current(key, sources, None, is_settled=is_settled).attach()
        try:
            await handle.look()
        except BaseException:
            handle.close()
            raise
        key = handle.key  # it may have been renamed meanwhile
        earlier = self._held.get(key)
        if earlier is not None and not earlier.is_over and not earlier.handle.is_changed:
            handle.close()  # one is enough, and its time runs
            handle = earlier.handle
        else:
            held = self._held[key] = _Held(handle, trio.current_time() + GRACE_SECONDS)
            if earlier is not None:
                earlier.handle.close()
            self._start(partial(self._let_go_later, held))
        return FirstLook(handle.total_nbytes, handle.last_modified_ns, handle.answered_ms)

    def _renew(self, key: str) -> None:
        """What was told a second ago is not believed, unless somebody reads it, where it may have been of a part."""
        held = self._held.get(key)
        if held is not None and held.is_over and not held.handle.is_settled and not held.handle.is_shared:
            self._close(key, held)

    def unsettled(self, key: str) -> FirstLook | None:
        """What was told of an object of which it is not known whether it is still being made; else None."""
        file = self._table.find(key)
        if file is None or file.tracker.is_settled or file.tracker.source is None:
            return None
        return FirstLook(file.tracker.total_nbytes, file.tracker.last_modified_ns, file.tracker.answered_ms)

    def taken(self, key: str) -> None:
        """Somebody has opened it: it is held no longer than that, unless its state is still to be told."""
        held = self._held.get(key)
        if held is not None and held.handle.is_settled:
            self._close(key, held)

    def rename(self, key: str, new_key: str, candidates: tuple[Source, ...]) -> None:
        """What is, or is being, looked at as `key` proved to be the object `new_key`, that is asked of `candidates`."""
        self._table.rename(key, new_key, candidates)
        held = self._held.pop(key, None)
        if held is not None and (held.handle.is_changed or new_key in self._held):
            held.handle.close()
        elif held is not None:
            self._held[new_key] = held

    def settle(self, key: str) -> None:
        """It is not being made any more: what is here of it may be kept."""
        self._table.settle(key)
        held = self._held.get(key)
        if held is not None and held.is_over:
            self._close(key, held)

    def give_up(self, key: str) -> None:
        """Nothing tells whether it is: its bytes serve who has it open, and are dropped."""
        held = self._held.get(key)
        if held is not None and not held.handle.is_settled:
            self._close(key, held)

    async def _let_go_later(self, held: _Held) -> None:
        await trio.sleep_until(held.until)
        key = held.handle.key
        if self._held.get(key) is not held:
            return
        if held.handle.is_settled or held.handle.is_changed:
            self._close(key, held)
            return
        # a small file was read by now: what is here of it stays until `settle` or `give_up`
        held.handle.leave_first_piece()

    def _close(self, key: str, held: _Held) -> None:
        del self._held[key]
        held.handle.close()
