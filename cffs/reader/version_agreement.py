"""What becomes of a file when an answer does not show that it is of the version at hand: whether reading can go on.

It must not know requests or who waits. Owned by one RemoteFile, which tells it what was given out and what came, and
ends the fetches of a beginning. No method is a checkpoint.

What nobody was given is let go, and the next answer decides. Where readers were given some, they get no more before
one answer of the whole has shown the same bytes there: then all that they have is that answer's as well.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from cffs.cache.memory import MemoryCache
from cffs.core.byte_range import ByteRange
from cffs.core.errors import RemoteObjectChanged
from cffs.reader.delivered_ranges import DeliveredRanges, Proof, ProofByDigest
from cffs.reader.fetch import Fetch
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_tracker import VersionTracker

if TYPE_CHECKING:
    from cffs.reader.remote_file import RemoteFile

#: How often a file may begin anew because its answers do not agree, before that is a change.
_MOST_BEGINNINGS = 3


class Owner(Protocol):
    """Who keeps the table of files. No method is a checkpoint."""

    def closed(self, file: "RemoteFile") -> None:
        """Its last handle was closed."""

    def is_another(self, file: "RemoteFile") -> None:
        """An answer was of another version."""

    def answers_differ(self, file: "RemoteFile") -> None:
        """An answer did not show that it is of the same version."""

    def is_shorter(self, file: "RemoteFile", total_nbytes: int) -> None:
        """A whole answer had hardly anything, and was not believed."""


class Agreement:
    """Of the answers for one object with what was given out of it."""

    def __init__(
        self, identity: VersionTracker, holdings: TieredCache, memory: MemoryCache, digest: int | None
    ) -> None:
        """`digest` is that of the version at hand, where an earlier file had all of it in one answer."""
        self._digest = digest
        self._identity = identity
        self._holdings = holdings
        self._memory = memory
        self._readers: set[Hashable] = set()
        self._given = DeliveredRanges()
        self._proof: Proof | None = None

    @property
    def is_shown(self) -> bool:
        """False while nothing may be given out."""
        return self._proof is None

    @property
    def stop(self) -> int:
        """So far the answer of the whole must come, to show it."""
        return self._proof.stop if self._proof is not None else 0

    def joined(self, reader: Hashable, *, has_pages: bool) -> None:
        """Somebody reads; with `has_pages` there may be bytes of this version with `reader` that were given by an
        earlier file."""
        if has_pages and reader not in self._readers:
            self._given.is_unsure = self._identity.is_pinned = True
        if reader is not None:
            self._readers.add(reader)

    def gave(self, run: ByteRange) -> None:
        """Somebody was given these."""
        self._given.add(run)

    def arrived(self, fetch: Fetch) -> None:
        """More of it came. Raises RemoteObjectChanged where that differs from what was given out."""
        if self._proof is None or not fetch.is_whole:
            return
        if not self._proof.compare(fetch.position, self._here):
            raise RemoteObjectChanged(f"{self._identity.key} has other bytes than before")
        if self._proof.is_complete:
            self._proof = None

    def may_begin_anew(self) -> bool:
        """False where agreement cannot be shown any more: what was given out is not known, not here, or too much."""
        if self._identity.beginnings == _MOST_BEGINNINGS:
            return False
        if self._proof is not None:
            self._proof.restart()
        elif self._given:
            total_nbytes = self._identity.total_nbytes
            if total_nbytes is not None and total_nbytes <= self._memory.limit_nbytes // 2:
                self._proof = self._given.proof(self._here)
                if self._proof is None and self._digest is not None:
                    self._proof = ProofByDigest(self._digest, total_nbytes)
            return self._proof is not None
        return True

    def begin_anew(self) -> None:
        """What is here is let go. The caller has ended every fetch."""
        self._holdings.drop()
        self._identity.begin_anew(is_of_one_answer=self._proof is not None or self._identity.beginnings > 0)

    def _here(self, piece: ByteRange) -> memoryview | None:
        return self._memory.peek(self._identity.version, piece)
