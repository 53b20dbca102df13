"""The current version of each object: the table of remote files.

At most one file of an object is current, and everything that readers, caches, catalogue and kernel have belongs to its
version; cffs/docs/reading.md#versions says why that holds whatever runs beside it.

It owns the files that are open or were a moment ago, and the memory of objects whose answers did not agree. It must not
know how bytes arrive. No method is a checkpoint.
"""

from itertools import takewhile

import trio
from cachetools import LRUCache, TTLCache

from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.source import Source
from cffs.reader.dependencies import ReaderDependencies
from cffs.reader.object_info import Known, Learned
from cffs.reader.read_ahead_policy import SMALL_FILE_NBYTES
from cffs.reader.remote_file import RemoteFile
from cffs.reader.version_proof import digest_of
from cffs.reader.version_tracker import VersionTracker

#: Objects whose answers did not agree: they are taken from one answer each time, for this long.
_MOST_DIFFERING = 10_000
_DIFFERING_SECONDS = 600.0
#: That an object has much less than was known must be stated for this long to be believed, and the same each time:
#: longer than a passing fault is remembered.
_SHORTER_SECONDS = 5.0
_MOST_SHORTER = 1_000
#: Digests of files that came in one answer, some 200 bytes each.
_MOST_DIGESTS = 20_000
#: What an object was is remembered for this long after its last close.
GRACE_SECONDS = 5.0
#: That an object has no bytes is believed for this long, even while it is open: it is most often a mishap.
EMPTY_SECONDS = 5.0


class RemoteFileTable:
    """The current remote file of each object that is open, or was a moment ago."""

    def __init__(self, dependencies: ReaderDependencies) -> None:
        self._dependencies = dependencies
        self._current: dict[str, RemoteFile] = {}
        self._closed: dict[RemoteFile, None] = {}  # the one closed longest ago first
        self._differing: TTLCache[str, None] = TTLCache(_MOST_DIFFERING, _DIFFERING_SECONDS, timer=trio.current_time)
        self._digests: LRUCache[str, tuple[tuple[str | None, int | None] | None, int | None]] = LRUCache(_MOST_DIGESTS)
        #: The total that was stated of each, and since when.
        self._shorter: LRUCache[str, tuple[int, float]] = LRUCache(_MOST_SHORTER)

    def find(self, key: str) -> RemoteFile | None:
        """The current file; None where the object was not open in the last seconds."""
        return self._current.get(key)

    def sized(self, key: str) -> RemoteFile | None:
        """The current file where its size is known, else None."""
        file = self._current.get(key)
        return file if file is not None and file.tracker.total_nbytes is not None else None

    def known(self, key: str) -> Known | None:
        """What is true of the object now: by the current file, else as the listener learned it last."""
        file = self.sized(key)
        if file is None:
            return self._dependencies.listener.known(key)
        if not file.tracker.is_settled:
            return None
        return file.tracker.learned(file.tracker.sources[0]).known

    def may_be_read_on(self, key: str, known: Known | None) -> bool:
        """False where a reader that has bytes of the object from an earlier open could be given no others: the next
        answer would not show that it is of their version, which is over then."""
        self._forget_expired()
        if known is None:
            return False
        if key not in self._differing or key in self._current or self._holds_all(key, known):
            return True
        self.supersede(key)
        return False

    def current(
        self, key: str, sources: tuple[Source, ...], known: Known | None, *, is_settled: bool = True
    ) -> RemoteFile:
        """Return the current file, made where there is none. `known` is what the listener learned last, asked in the
        same step.

        `is_settled` False says that the object may still be growing: until that is known, nothing of the file is kept
        or reported to the listener.
        """
        self._forget_expired()
        file = self._current.get(key)
        if file is not None and file.tracker.total_nbytes == 0 and trio.current_time() > file.began_at + EMPTY_SECONDS:
            self.supersede(key)  # though it is open
            file = None
        if file is not None:
            # a file without readers or size is better requested with the sources of now
            if file.is_open or file.tracker.total_nbytes is not None:
                self._report_again(file, known)
                return file
            self._closed.pop(file, None)
            file.end()
        name, digest = self._digests.get(key, (None, None))
        file = self._current[key] = RemoteFile(
            key,
            sources,
            known,
            self._dependencies,
            self,
            is_settled=is_settled,
            is_of_one_answer=key in self._differing,
            digest=digest if known is not None and name == (known.validator, known.total_nbytes) else None,
        )
        return file

    def rename(self, key: str, new_key: str, candidates: tuple[Source, ...]) -> None:
        """Let what was requested as `key`, and is not settled, be the object `new_key`. What is current of that already
        is kept instead."""
        file = self._current.get(key)
        if file is None or file.tracker.is_settled:
            return
        if new_key in self._current:
            self.supersede(key)
            return
        del self._current[key]
        file.rename(new_key, candidates)
        self._current[new_key] = file

    def settle(self, key: str) -> None:
        """Let what is here of the object be kept and reported: it is no longer being made."""
        file = self._current.get(key)
        if file is not None and not file.tracker.is_settled:
            file.settle()
            self._report_again(file, None)

    def _holds_all(self, key: str, known: Known) -> bool:
        version, whole = ObjectVersion(key, known.validator, known.total_nbytes), ByteRange(0, known.total_nbytes)
        return (
            self._dependencies.disk.holds_all(version)
            or self._dependencies.memory.first_missing(version, whole) is None
        )

    def _report_again(self, file: RemoteFile, known: Known | None) -> None:
        tracker = file.tracker
        if not tracker.is_settled:
            return
        if tracker.total_nbytes is not None and (known is None or not tracker.is_of(known)):
            self._dependencies.listener.learned(tracker.learned(tracker.sources[0]))

    def probed(self, learned: Learned) -> Learned:
        """Take over the answer to a request for the size alone; return what is true of the object now. Where a file is
        current, the validator of an answer of which no byte was kept names no version."""
        file = self.sized(learned.key)
        if file is not None and not file.tracker.is_settled:
            return learned
        if file is not None and learned.total_nbytes in (None, file.tracker.total_nbytes):
            return file.tracker.learned(file.tracker.sources[0])
        if file is not None:
            self.supersede(learned.key)
        self._dependencies.listener.learned(learned)
        return learned

    def supersede(self, key: str, *, only: Pinned | None = None, is_partial: bool = False) -> None:
        """End the version at hand: open handles are stale, no byte of it is kept, the listener is informed. With
        `only`, nothing where the version is another one already: then the change was noticed before. `is_partial`: see
        VersionTracker.end."""
        file = self.sized(key)
        if only is not None and file is not None and file.tracker.name != only:
            return
        file = self._current.pop(key, None)
        if file is not None:
            self._closed.pop(file, None)
            file.forget(is_partial=is_partial)
        self._dependencies.memory.drop_object(key)
        self._dependencies.disk.drop_object(key)
        self._dependencies.listener.changed(key)

    def found_another_version(self, file: RemoteFile) -> None:
        """See FileTable."""
        if self._current.get(file.tracker.key) is file:
            self.supersede(file.tracker.key)

    def found_unclear_version(self, file: RemoteFile) -> None:
        """See FileTable."""
        self._differing[file.tracker.key] = None

    def found_much_shorter(self, file: RemoteFile, total_nbytes: int) -> None:
        """See FileTable."""
        key, now = file.tracker.key, trio.current_time()
        stated_nbytes, since = self._shorter.get(key, (-1, now))
        if stated_nbytes != total_nbytes:
            self._shorter[key] = total_nbytes, now
        elif total_nbytes and now - since >= _SHORTER_SECONDS:
            del self._shorter[key]
            self.found_another_version(file)

    def closed(self, file: RemoteFile) -> None:
        """See FileTable."""
        if self._current.get(file.tracker.key) is not file:
            return
        if not file.tracker.is_settled:
            self.supersede(file.tracker.key)
            return
        if file.tracker.total_nbytes == 0:
            del self._current[file.tracker.key]
            file.end()
            return
        self._note_digest(file.tracker)
        self._closed.pop(file, None)
        self._closed[file] = None
        self._forget_expired()

    def _note_digest(self, tracker: VersionTracker) -> None:
        """Remember the digest of a file that came in one answer: a kernel that keeps a part of it can then be given the
        rest from another answer, whatever that is named."""
        total_nbytes, name = tracker.total_nbytes, (tracker.validator, tracker.total_nbytes)
        if total_nbytes is None or total_nbytes > SMALL_FILE_NBYTES:
            return
        if self._digests.get(tracker.key, (None, 0))[0] != name:
            whole = self._dependencies.memory.try_read(tracker.version, ByteRange(0, total_nbytes), touches=False)
            if whole is not None:
                self._digests[tracker.key] = name, digest_of(whole)

    def _forget_expired(self) -> None:
        now = trio.current_time()
        for file in list(takewhile(lambda file: now - file.closed_at > GRACE_SECONDS, self._closed)):
            if file.is_busy and not file.is_open:
                continue  # what is being fetched of it would be fetched a second time
            del self._closed[file]
            if not file.is_open:
                del self._current[file.tracker.key]
                file.end()
