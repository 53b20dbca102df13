"""Which version of an object one remote file is, as its answers told: source, total, validator.

It must not know fetches or caches. Owned by one RemoteFile; `reader/receiving` lets each answer's head confirm it.
"""

from itertools import count

from cffs.cache.version import ObjectVersion
from cffs.callfire.checks import Pinned
from cffs.core.errors import RemoteObjectChanged
from cffs.core.source import Source
from cffs.reader.facts import Known, Learned
from cffs.reader.seam import Answer

_instances = count(1)


class Identity:
    """What is known of one version of object `key`; grows with each answer, never contradicts an earlier one."""

    def __init__(
        self, key: str, candidates: tuple[Source, ...], known: Known | None, *, is_settled: bool = True
    ) -> None:
        self.key = key
        #: False as long as it is not known whether the object is still being made: its bytes are served and not kept.
        self.is_settled = is_settled
        #: When the first answer was given, by the service's own clock.
        self.answered_ms: int | None = None
        self._instance = next(_instances)
        self.candidates = candidates
        self.source = known.source if known is not None else None
        self.total_nbytes = known.total_nbytes if known is not None else None
        self.validator = known.validator if known is not None else None
        self.last_modified_ns = known.last_modified_ns if known is not None else None
        #: The origin answers every range with the whole, or does not tell the total of a part.
        self.ignores_ranges = False
        #: Another version was seen at the origin: no byte of this one can be had any more.
        self.is_changed = False
        #: What its bytes are cached under. May change at a checkpoint: ask again, never keep it.
        self.version = self._version()

    @property
    def pinned(self) -> Pinned | None:
        """What the next answer must agree with."""
        if self.validator is None and self.total_nbytes is None:
            return None
        return Pinned(validator=self.validator, total=self.total_nbytes)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where to ask, in order: the source that answered, else all candidates."""
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

    def adopt(self, answer: Answer, source: Source, asked_with: Pinned | None) -> bool:
        """Takes over what the head of `answer`, asked for with `asked_with`, adds; True when anything was new.

        Raises RemoteObjectChanged when it contradicts what another answer told meanwhile.
        """
        if asked_with != self.pinned:
            for ours, theirs in ((self.total_nbytes, answer.total), (self.validator, answer.validator)):
                if ours is not None and theirs is not None and ours != theirs:
                    raise RemoteObjectChanged(f"two answers for {self.key} are of different versions")
        before = (self.source, self.total_nbytes, self.validator, self.last_modified_ns)
        self.source = source
        if self.total_nbytes is None:
            self.total_nbytes = answer.total
        if self.validator is None:
            self.validator = answer.validator
        if self.last_modified_ns is None:
            self.last_modified_ns = answer.last_modified_ns
        if self.answered_ms is None:
            self.answered_ms = answer.answered_ms
        self.version = self._version()
        return before != (self.source, self.total_nbytes, self.validator, self.last_modified_ns)

    def found_end(self, total_nbytes: int) -> None:
        """The verified end of an answer that told no total. Raises RemoteObjectChanged when another was known."""
        if self.total_nbytes is not None and self.total_nbytes != total_nbytes:
            raise RemoteObjectChanged(f"{self.key} ended elsewhere than before")
        self.total_nbytes = total_nbytes
        self.version = self._version()

    def end(self) -> None:
        """Another version was seen: from now on it has a name that nothing is ever kept under."""
        self.is_changed = True
        self.version = ObjectVersion(self.key, self.validator, self.total_nbytes, self._instance)

    def rename(self, key: str, candidates: tuple[Source, ...]) -> None:
        """It is known by now which object it is."""
        self.key, self.candidates = key, candidates
        self.version = self._version()

    def settle(self) -> None:
        """It is not being made any more: its bytes may be kept."""
        self.is_settled = True
        self.version = self._version()

    def _version(self) -> ObjectVersion:
        if self.total_nbytes is None or not self.is_settled:
            return ObjectVersion(self.key, self.validator, self.total_nbytes, self._instance)
        return ObjectVersion(self.key, self.validator, self.total_nbytes)
