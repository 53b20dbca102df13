"""One request for the look at an unlisted file and the open that may follow.

A program that opens a file that no listing has shown asks for its attributes first, and opens it a moment later. The
head of an answer says whether the object is there, and how large; its body waits for the open. Where none follows, the
answer is left after a while, or as soon as another request needs its connection. At most `WORTH_HAVING_NBYTES` of it
were received then.

It owns the open files that hold such answers. It must not know paths or states.
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
    """What the head of the answer said: the size, None where only the end will show it; when the object was last
    modified, and when the answer was sent, as far as the service says."""

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
    """The objects that were looked at, held for a while for an open that may never come."""

    def __init__(self, table: RemoteFileTable, start: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        """`start` runs a function in the background."""
        self._table = table
        self._start = start
        self._held: dict[str, _Held] = {}

    async def look(self, key: str, sources: tuple[Source, ...], *, is_settled: bool) -> FirstLook:
        """Ask `sources` in order until one has the object. No request is made where it is open, or was looked at just
        now.

        With `is_settled` False, nothing of it is kept or reported before `settle`. A checkpoint. Cancelled, the request
        is dropped unless others wait for it. Raises CffsError.
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
        """Drop a look of a second ago that may have been of a part, unless it is being read."""
        held = self._held.get(key)
        if held is not None and held.is_over and not held.handle.is_settled and not held.handle.is_shared:
            self._close(key, held)

    def unsettled(self, key: str) -> FirstLook | None:
        """The look at an object that may still be growing; else None."""
        file = self._table.find(key)
        if file is None or file.tracker.is_settled or file.tracker.source is None:
            return None
        return FirstLook(file.tracker.total_nbytes, file.tracker.last_modified_ns, file.tracker.answered_ms)

    def taken(self, key: str) -> None:
        """Let go of an object that was opened, unless it is still unknown whether it is growing."""
        held = self._held.get(key)
        if held is not None and held.handle.is_settled:
            self._close(key, held)

    def rename(self, key: str, new_key: str, candidates: tuple[Source, ...]) -> None:
        """Let what is, or is being, looked at as `key` be the object `new_key`, which `candidates` may have."""
        self._table.rename(key, new_key, candidates)
        held = self._held.pop(key, None)
        if held is not None and (held.handle.is_changed or new_key in self._held):
            held.handle.close()
        elif held is not None:
            self._held[new_key] = held

    def settle(self, key: str) -> None:
        """Let what is here of the object be kept: it is no longer being made."""
        self._table.settle(key)
        held = self._held.get(key)
        if held is not None and held.is_over:
            self._close(key, held)

    def give_up(self, key: str) -> None:
        """Let go of an object of which nothing says whether it is growing: its bytes serve those that have it open, and
        are dropped."""
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
        # a small file was received already: what is here of it stays until `settle` or `give_up`
        held.handle.leave_first_piece()

    def _close(self, key: str, held: _Held) -> None:
        del self._held[key]
        held.handle.close()
