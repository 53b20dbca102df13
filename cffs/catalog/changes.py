"""A bounded, coalescing set of the object keys that changed in the catalogue.

It owns the changes that no listener has taken yet. It must not know who listens.
"""

import trio

#: Past this many keys the listener learns only that anything may have changed, so that the set stays small whatever
#: arrives.
MAX_PENDING = 10_000


class Changes:
    """The keys that changed since the last `drain`. Owned by the catalogue; it has one listener."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._overflowed = False
        self._arrived = trio.Event()

    def add(self, key: str) -> None:
        """Note that `key` changed; never blocks. Past `MAX_PENDING` keys only the fact that much changed is kept."""
        if len(self._keys) >= MAX_PENDING:
            self._overflowed = True
            self._keys.clear()
        self._keys.add(key)
        self._arrived.set()

    async def drain(self) -> tuple[frozenset[str], bool]:
        """Wait for a change; return the keys so far, and whether more changed than were kept. Always a checkpoint;
        cancelled while it waits, nothing is lost."""
        await self._arrived.wait()
        keys, overflowed = frozenset(self._keys), self._overflowed
        self._keys.clear()
        self._overflowed = False
        self._arrived = trio.Event()
        return keys, overflowed
