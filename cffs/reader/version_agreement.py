"""Whether reading goes on after an answer that does not show its version.

Bytes that no reader was given are dropped, and the next answer decides which version this is. Where readers were given
some, they get no more until one answer of the whole object has shown the same bytes there: then all that they have is
of that answer's version too (cffs/docs/reading.md#versions).

It owns the proof that is under way. It must not know requests, or which readers wait; the file that owns it ends the
fetches of the earlier beginning. No method is a checkpoint.
"""

from collections.abc import Hashable

from cffs.cache.memory import MemoryCache
from cffs.core.byte_range import ByteRange
from cffs.core.errors import RemoteObjectChanged
from cffs.reader.cursor import DeliveredRanges
from cffs.reader.fetch import Fetch
from cffs.reader.tiered_cache import TieredCache
from cffs.reader.version_proof import Proof, ProofByDigest, proof_of
from cffs.reader.version_tracker import VersionTracker

#: How often a file may begin again because its answers do not agree, before that counts as a change of the object.
_MOST_BEGINNINGS = 3


class Agreement:
    """The agreement of an object's answers with the bytes that its readers were given."""

    def __init__(
        self,
        tracker: VersionTracker,
        cache: TieredCache,
        memory: MemoryCache,
        delivered: DeliveredRanges,
        digest: int | None,
    ) -> None:
        """`digest` is that of the version at hand, where an earlier file had all of it from one answer."""
        self._digest = digest
        self._tracker = tracker
        self._cache = cache
        self._memory = memory
        self._delivered = delivered
        self._readers: set[Hashable] = set()
        #: The proof under way; while there is one, no byte may be given to a reader.
        self.proof: Proof | None = None

    def joined(self, reader: Hashable, *, has_pages: bool) -> None:
        """Note a new handle of `reader`. With `has_pages`, the reader may have bytes of this version that an earlier
        file gave it."""
        if has_pages and reader not in self._readers:
            self._delivered.is_unsure = self._tracker.is_pinned = True
        if reader is not None:
            self._readers.add(reader)

    def arrived(self, fetch: Fetch) -> None:
        """Compare what a fetch has brought. Raises RemoteObjectChanged where it differs from what readers have."""
        if self.proof is None or not fetch.is_whole:
            return
        if not self.proof.compare(fetch.position, self._here):
            raise RemoteObjectChanged(f"{self._tracker.key} has other bytes than before")
        if self.proof.is_complete:
            self.proof = None

    def may_begin_again(self) -> bool:
        """False where agreement cannot be shown: what readers have is unknown, no longer in memory, or too much."""
        if self._tracker.beginnings == _MOST_BEGINNINGS:
            return False
        if self.proof is not None:
            self.proof.restart()
        elif self._delivered:
            total_nbytes = self._tracker.total_nbytes
            if total_nbytes is not None and total_nbytes <= self._memory.limit_nbytes // 2:
                self.proof = proof_of(self._delivered, self._here)
                if self.proof is None and self._digest is not None:
                    self.proof = ProofByDigest(self._digest, total_nbytes)
            return self.proof is not None
        return True

    def begin_again(self) -> None:
        """Drop the bytes that are here. The caller has ended every fetch."""
        self._cache.drop()
        self._tracker.begin_again(is_of_one_answer=self.proof is not None or self._tracker.beginnings > 0)

    def _here(self, piece: ByteRange) -> memoryview | None:
        return self._memory.try_read(self._tracker.version, piece, touches=False)
