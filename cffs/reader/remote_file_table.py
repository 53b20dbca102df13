"""Which version of each object is the current one: the table of remote files, and the end of those that are over.

It must not know how bytes arrive or who opens. Owned by Objects. No method is a checkpoint.

One version, always. The size that a reader is shown, the pages that the kernel keeps, blocks in memory and on disk,
learned facts and what was brought early belong to one version of an object. Why that holds, whatever runs beside it:

* A version is one RemoteFile. Its tracker names it (validator and total) by the first answer of which a byte is kept,
  and memory and disk keep bytes by that name. Every later answer is compared with it before its first byte is taken, so
  a fetch can only bring bytes of its own file's version. One of another total ends the file.
* One that only fails to show that it is of the same version (another validator, none, or a date of this moment) makes
  the file begin anew, in one step without a checkpoint: its fetches end, its bytes leave memory and disk, and a READ
  that was putting some together throws them away (`VersionTracker.beginnings`). If readers, or the kernel for them,
  have
  bytes of it by then, they get no more before one answer of the whole has shown the same ones there
  (`reader/version_agreement`); where that cannot be shown, the file ends.
* At most one file of an object is current. Only the current file is opened, brought early, or told of: whatever leaves
  the table has ended (`RemoteFile.end`), so that none of its fetches is on its way any more. A fetch that has ended
  looks at that after each of its checkpoints and then neither keeps nor tells anything.
* Noticing another version is one step without a checkpoint: the file leaves the table, its fetches end, its name
  becomes one that nothing is ever kept under, every byte of the object leaves memory and disk, and the listener takes
  back what it was told. So a READ that waited meanwhile finds nothing of another version under its own name, also where
  two versions have the same validator and total; what it had put together is thrown away, and it raises.
* The catalogue's facts are what the current file told last. Whoever opens hands in what the catalogue says in the same
  step, so that a remembered copy cannot bring an earlier version back. Where the file knows more than the catalogue
  (what was learned had been forgotten there), opening tells it again before the open is answered.
* The kernel keeps one size and one set of pages an inode. `fuse/inode_versions` ties an inode to the version that was
  opened under it first: from then on it is shown that version's size alone, and another version gets another inode.
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
from cffs.reader.planner import SMALL_FILE_NBYTES
from cffs.reader.remote_file import RemoteFile
from cffs.reader.version_proof import digest_of
from cffs.reader.version_tracker import VersionTracker

#: Objects whose answers did not agree: they are taken from one answer each time, for so long.
_MOST_DIFFERING = 10_000
_DIFFERING_SECONDS = 600.0
#: That an object has much less than was known must be said for so long to be believed, and the same each time: longer
#: than a passing fault is remembered.
_SHORTER_SECONDS = 5.0
_MOST_SHORTER = 1_000
#: Digests of files that came in one answer, some 200 bytes each.
_MOST_DIGESTS = 20_000
#: What an object was is remembered for so long after its last close.
GRACE_SECONDS = 5.0
#: That it has no bytes is believed for so long, whoever has it open: it is most often a mishap.
EMPTY_SECONDS = 5.0


class RemoteFileTable:
    """The current remote file of each object that is open, or was a moment ago."""

    def __init__(self, dependencies: ReaderDependencies) -> None:
        self._dependencies = dependencies
        self._current: dict[str, RemoteFile] = {}
        self._closed: dict[RemoteFile, None] = {}  # the longest closed first
        self._differing: TTLCache[str, None] = TTLCache(_MOST_DIFFERING, _DIFFERING_SECONDS, timer=trio.current_time)
        self._digests: LRUCache[str, tuple[tuple[str | None, int | None] | None, int | None]] = LRUCache(_MOST_DIGESTS)
        #: The total that was said of each, and since when.
        self._shorter: LRUCache[str, tuple[int, float]] = LRUCache(_MOST_SHORTER)

    def find(self, key: str) -> RemoteFile | None:
        """The current file; None where the object was not open lately."""
        return self._current.get(key)

    def sized(self, key: str) -> RemoteFile | None:
        """The same where its size is known."""
        file = self._current.get(key)
        return file if file is not None and file.tracker.total_nbytes is not None else None

    def known(self, key: str) -> Known | None:
        """What is true of the object now: by the current file, else as the listener was told last."""
        file = self.sized(key)
        if file is None:
            return self._dependencies.listener.known(key)
        if not file.tracker.is_settled:
            return None
        return file.tracker.learned(file.tracker.sources[0]).known

    def may_be_read_on(self, key: str, known: Known | None) -> bool:
        """False where who has bytes of the object from an earlier time could be given no other: the next answer would
        not show that it is of their version, which is over then."""
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
        """The current file, made where there is none; `known` is what the listener was told last, asked just now.

        `is_settled` False says that it is not known whether the object is still being made: until it is, nothing of
        what is made then is kept or told to the listener.
        """
        self._forget_expired()
        file = self._current.get(key)
        if file is not None and file.tracker.total_nbytes == 0 and trio.current_time() > file.began_at + EMPTY_SECONDS:
            self.supersede(key)  # though somebody has it open
            file = None
        if file is not None:
            # what nobody waits for and is not known is better asked with the sources of now
            if file.is_open or file.tracker.total_nbytes is not None:
                self._tell_again(file, known)
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
        """What was asked for as `key`, and is not settled, is the object `new_key`; what somebody has of that by now is
        kept instead."""
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
        """The object is not being made any more: what is here of it may be kept, and is told."""
        file = self._current.get(key)
        if file is not None and not file.tracker.is_settled:
            file.settle()
            self._tell_again(file, None)

    def _holds_all(self, key: str, known: Known) -> bool:
        version, whole = ObjectVersion(key, known.validator, known.total_nbytes), ByteRange(0, known.total_nbytes)
        return (
            self._dependencies.disk.holds_all(version)
            or self._dependencies.memory.first_missing(version, whole) is None
        )

    def _tell_again(self, file: RemoteFile, known: Known | None) -> None:
        tracker = file.tracker
        if not tracker.is_settled:
            return
        if tracker.total_nbytes is not None and (known is None or not tracker.is_of(known)):
            self._dependencies.listener.learned(tracker.learned(tracker.sources[0]))

    def probed(self, learned: Learned) -> Learned:
        """A question for the size alone was answered so: what is true of the object now. The validator of an answer
        that nobody has a byte of names no version where a file is current."""
        file = self.sized(learned.key)
        if file is not None and not file.tracker.is_settled:
            return learned
        if file is not None and learned.total_nbytes in (None, file.tracker.total_nbytes):
            return file.tracker.learned(file.tracker.sources[0])
        if file is not None:
            self.supersede(learned.key)
        self._dependencies.listener.learned(learned)
        return learned

    def supersede(self, key: str, *, only: Pinned | None = None) -> None:
        """The object is another one now: open handles are stale, no byte of it is kept, the listener is told. Where it
        is not the version `only` any more: unless that was noticed before."""
        file = self.sized(key)
        if only is not None and file is not None and file.tracker.name != only:
            return
        file = self._current.pop(key, None)
        if file is not None:
            self._closed.pop(file, None)
            file.forget()
        self._dependencies.memory.drop_object(key)
        self._dependencies.disk.drop_object(key)
        self._dependencies.listener.changed(key)

    def is_another(self, file: RemoteFile) -> None:
        """See FileTable."""
        if self._current.get(file.tracker.key) is file:
            self.supersede(file.tracker.key)

    def answers_differ(self, file: RemoteFile) -> None:
        """See FileTable."""
        self._differing[file.tracker.key] = None

    def is_shorter(self, file: RemoteFile, total_nbytes: int) -> None:
        """See FileTable."""
        key, now = file.tracker.key, trio.current_time()
        told_nbytes, since = self._shorter.get(key, (-1, now))
        if told_nbytes != total_nbytes:
            self._shorter[key] = total_nbytes, now
        elif total_nbytes and now - since >= _SHORTER_SECONDS:
            del self._shorter[key]
            self.is_another(file)

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
        """Of a file that comes in one answer: whoever keeps a part of it in the kernel can then be given the rest from
        another answer, whatever that is named."""
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
                continue  # what is being brought of it would be brought a second time
            del self._closed[file]
            if not file.is_open:
                del self._current[file.tracker.key]
                file.end()
