"""Which version of an object one remote file is: source, total, validator.

It owns the name of the version, and the rule by which an answer agrees with it. It must not know fetches or caches.
"""

from itertools import count

from cffs.cache.types import ObjectVersion
from cffs.callfire.response_checks import Pinned
from cffs.core.byte_range import ByteRange
from cffs.core.errors import PossiblyPartial, RemoteObjectChanged, VersionUnclear
from cffs.core.source import Source
from cffs.core.units import NS_PER_MS
from cffs.reader.object_info import Known, Learned
from cffs.reader.range_opener import Answer

_instances = count(1)
#: Dates of HTTP have seconds: a change within that time of the answer, or of a clock beside it, need not show.
_JUST_MS = 2_000


class VersionTracker:
    """What is known of one version of object `key`; it grows with each answer, and never contradicts an earlier one.

    A version is pinned by its first byte that is kept or given to a reader, whether an answer brought it or a cache had
    it. Until then only the total must be what was known: the validator of an earlier answer names bytes that no one
    has. Afterwards every answer must agree with it, by the same validator or at least the same date. One that states
    neither, or is dated at the moment it was sent, proves nothing (VersionUnclear). Where an object's answers do not
    agree, it is taken from one answer (`is_of_one_answer`).
    """

    def __init__(
        self,
        key: str,
        candidates: tuple[Source, ...],
        known: Known | None,
        *,
        is_settled: bool = True,
        is_of_one_answer: bool = False,
    ) -> None:
        self.key = key
        #: False as long as it is not known whether the object is still being made: its bytes are served and not kept.
        self.is_settled = is_settled
        #: When the first answer was sent, by the service's own clock.
        self.answered_ms: int | None = None
        self._instance = next(_instances)
        self.candidates = candidates
        self.source = known.source if known is not None else None
        self.total_nbytes = known.total_nbytes if known is not None else None
        self.validator = known.validator if known is not None else None
        self.last_modified_ns = known.last_modified_ns if known is not None else None
        #: The validator of the version that the size is known of; kept where the file begins again, as the size is.
        self._sized_validator = self.validator
        #: Bytes of it are here, or in the kernel: no other validator will do.
        self.is_pinned = False
        #: The validator that pinned it is a date of the moment it was sent.
        self._is_just_modified = False
        #: All of it comes from one answer, and whatever another answer brings must have the same bytes.
        self.is_of_one_answer = is_of_one_answer
        #: The origin answers every range with the whole, or does not state the total of a part, or the whole is wanted.
        self.ignores_ranges = is_of_one_answer
        #: Another version was seen at the origin: no byte of this one can be had any more.
        self.is_changed = False
        self._is_partial = False
        #: How often it has begun again: what was put together before that is worthless.
        self.beginnings = 0
        #: What its bytes are cached under. May change at a checkpoint: ask again, never keep it.
        self.version = self._version()

    @property
    def name(self) -> Pinned:
        """Which version it is, as far as that is known."""
        return Pinned(validator=self.validator, total=self.total_nbytes)

    @property
    def asked_with(self) -> Pinned:
        """What the next answer must agree with. Raises VersionUnclear where no answer could."""
        if self.is_of_one_answer or not self.is_pinned:
            return Pinned(total=self.total_nbytes)
        if self._is_just_modified:
            raise VersionUnclear(f"{self.key} is dated at the moment it was sent")
        return self.name

    @property
    def shows_version(self) -> bool:
        """True where its validator shows whether the next whole answer is of this version."""
        return self.validator is not None and not self.is_of_one_answer

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources to ask, in order: the one that answered, else all candidates."""
        return self.candidates if self.source is None else (self.source,)

    def is_of(self, known: Known) -> bool:
        """True where `known` names this version."""
        return (known.total_nbytes, known.validator) == (self.total_nbytes, self.validator)

    def learned(self, source: Source) -> Learned:
        """What is known now, as something to tell."""
        return Learned(
            key=self.key,
            source=source,
            total_nbytes=self.total_nbytes,
            validator=self.validator,
            last_modified_ns=self.last_modified_ns,
        )

    def adopt(self, answer: Answer, source: Source, *, is_first_of_whole: bool) -> bool:
        """Take over what the head of `answer` adds; True when any of it was new. `is_first_of_whole`: the answer is to
        bring everything from the first byte on, and continues no other.

        Raises RemoteObjectChanged when it contradicts another answer, VersionUnclear when it does not show that it is
        of this version.
        """
        if None not in (self.total_nbytes, answer.total) and self.total_nbytes != answer.total:
            raise RemoteObjectChanged(f"two answers for {self.key} are of different lengths")
        if self.is_pinned and (is_first_of_whole or not self.is_of_one_answer):
            self._require_same(answer)
        if not self.is_pinned and self.total_nbytes is not None and answer.total is None:
            self._require_size_of(answer)
        before = (self.source, self.total_nbytes, self.validator, self.last_modified_ns)
        self.source = source
        if answer.total is not None:
            self.total_nbytes, self._sized_validator = answer.total, answer.validator
        if not self.is_pinned:
            self.validator, self._is_just_modified = answer.validator, _is_just_modified(answer)
        if not self.is_pinned or self.last_modified_ns is None:
            self.last_modified_ns = answer.last_modified_ns
        if self.answered_ms is None:
            self.answered_ms = answer.answered_ms
        self.is_pinned = True
        self.version = self._version()
        return before != (self.source, self.total_nbytes, self.validator, self.last_modified_ns)

    def _require_same(self, answer: Answer) -> None:
        is_same_date = self.last_modified_ns is not None and self.last_modified_ns == answer.last_modified_ns
        if self._is_just_modified or _is_just_modified(answer):
            raise VersionUnclear(f"an answer for {self.key} is dated at the moment it was sent")
        if answer.validator != self.validator and not (
            is_same_date and _kinds_differ(answer.validator, self.validator)
        ):
            raise VersionUnclear(f"an answer for {self.key} does not show that it is of the same version")

    def _require_size_of(self, answer: Answer) -> None:
        """Raise where the size that readers were shown cannot be that of an answer that states none: it names another
        version than the one whose size is known."""
        validators = (self._sized_validator, answer.validator)
        if None in validators or answer.validator == self._sized_validator or _kinds_differ(*validators):
            return
        raise RemoteObjectChanged(f"an answer for {self.key} is of another version, and does not state its size")

    def begin_again(self, *, is_of_one_answer: bool) -> None:
        """Let the next answer state which version this is: no reader has a byte of it, or what readers have will be
        compared."""
        self.beginnings += 1
        self.validator, self.last_modified_ns = None, None
        self.is_pinned = self._is_just_modified = False
        self.is_of_one_answer = is_of_one_answer
        self.ignores_ranges |= is_of_one_answer
        self.version = self._version()

    def found_end(self, total_nbytes: int) -> None:
        """Take over the verified end of an answer of unstated total. Raises RemoteObjectChanged when another total was
        known."""
        if self.total_nbytes is not None and self.total_nbytes != total_nbytes:
            raise RemoteObjectChanged(f"{self.key} ended elsewhere than before")
        self.total_nbytes, self._sized_validator = total_nbytes, self.validator
        self.version = self._version()

    def clamped(self, wanted: ByteRange) -> ByteRange:
        """What of `wanted` lies in the object, as far as its size is known."""
        return wanted if self.total_nbytes is None else wanted.clamped(self.total_nbytes)

    def require_current(self) -> None:
        """Raise RemoteObjectChanged once another version was seen, PossiblyPartial where this one may be a part."""
        if self._is_partial:
            raise PossiblyPartial(f"{self.key} may have been a part of what it is now")
        if self.is_changed:
            raise RemoteObjectChanged(f"{self.key} is not the version that was opened")

    def end(self, *, is_partial: bool = False) -> None:
        """End it, because another version was seen, or because it may be a part of what the object is now
        (`is_partial`): from now on it has a name that nothing is ever kept under."""
        self.is_changed, self._is_partial = True, is_partial
        self.version = ObjectVersion(self.key, self.validator, self.total_nbytes, self._instance)

    def rename(self, key: str, candidates: tuple[Source, ...]) -> None:
        """Take another key: it has become known which object this is."""
        self.key, self.candidates = key, candidates
        self.version = self._version()

    def settle(self) -> None:
        """Let its bytes be kept: the object is no longer being made."""
        self.is_settled = True
        self.version = self._version()

    def _version(self) -> ObjectVersion:
        if self.total_nbytes is None or not self.is_settled:
            return ObjectVersion(self.key, self.validator, self.total_nbytes, self._instance)
        return ObjectVersion(self.key, self.validator, self.total_nbytes)


def _is_date(validator: str | None) -> bool:
    return validator is not None and not validator.startswith(('"', "W/"))


def _is_just_modified(answer: Answer) -> bool:
    if answer.last_modified_ns is None or answer.answered_ms is None:
        return False
    return _is_date(answer.validator) and answer.last_modified_ns // NS_PER_MS > answer.answered_ms - _JUST_MS


def _kinds_differ(one: str | None, other: str | None) -> bool:
    """One machine sends an ETag, another does not: their dates may still be the same."""
    return one is None or other is None or _is_date(one) != _is_date(other)
