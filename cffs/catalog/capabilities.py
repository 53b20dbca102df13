"""Which operations this origin does not have at all, for the life of the mount.

It must not know how that was found out.
`catalog/account_sync` asks it before and tells it after every question (contract section 3: an origin that answers only
the two documents; a listing that answers 404, 405 or 501 marks its by-id forms missing too, until the next mount).
"""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum

#: So many files of a form whose hint was not their size, and none whose was: the hint is not of that form.
ENOUGH = 3


class HintMeasure:
    """Votes of exact sizes, by audio form ("mp3", "wav"). An origin decides per form, so one witness of equality is
    enough, and a few differences without any are enough for the opposite."""

    def __init__(self) -> None:
        self._equal: Counter[str] = Counter()
        self._different: Counter[str] = Counter()
        #: What the votes say, told afresh at each: a listing asks it of every file.
        self._measured: str | None = None
        self._not: frozenset[str] = frozenset()

    def note(self, form: str, *, hint_nbytes: int, exact_nbytes: int) -> None:
        """A file of that form has this size, and its listing said that."""
        (self._equal if hint_nbytes == exact_nbytes else self._different)[form] += 1
        ((leading, witnesses),) = self._equal.most_common(1) or [("", 0)]
        self._measured = leading if witnesses > self._different[leading] else None
        enough = {other for other, count in self._different.items() if count >= ENOUGH}
        self._not = frozenset(enough - self._equal.keys())

    def measured_form(self) -> str | None:
        """The form that hints were seen to measure, None before any witness."""
        return self._measured

    def is_not(self, form: str) -> bool:
        """True where hints were seen not to measure that form."""
        return form in self._not


#: So many calls in a row settle it, one way or the other (contract section 3).
IN_A_ROW = 20


class Verdict(StrEnum):
    """What is known of v1's files beside v2's recordings."""

    OPEN = "open"  #: v1's list is asked, call by call
    SAME = "same"  #: {recording id}.wav exists: it is listed unasked
    NONE = "none"  #: v1 has no files for this account: none is listed


class FileIds:
    """The verdict and the run that leads to it. Calls without recordings say nothing and are not told."""

    def __init__(self, verdict: Verdict = Verdict.OPEN) -> None:
        self.verdict = verdict
        self._same = self._none = 0

    def note(self, file_ids: Collection[int], recording_ids: Collection[int]) -> bool:
        """v1 listed these files for a call of which v2 listed these recordings; True where that settled it."""
        if self.verdict is not Verdict.OPEN or not recording_ids:
            return False
        self._same = self._same + 1 if set(file_ids) == set(recording_ids) else 0
        self._none = self._none + 1 if not file_ids else 0
        if self._same >= IN_A_ROW:
            self.verdict = Verdict.SAME
        elif self._none >= IN_A_ROW:
            self.verdict = Verdict.NONE
        return self.verdict is not Verdict.OPEN


class Family(StrEnum):
    """A listing with the by-id forms that stand and fall with it; those of the seed documents are in none."""

    CALLS = "calls"  # /calls, /calls/{id}, /calls/{id}/recordings, /calls/recordings/{id}[.mp3]
    BROADCASTS = "broadcasts"  # /calls/broadcasts, /calls/broadcasts/{id}
    MEDIA = "media"  # the listing /media alone: /media/{id} and its files are in the documents


class Offered:
    """What was found out so far: yes, no, or not known (None)."""

    def __init__(self) -> None:
        self._known: dict[Family, bool] = {}

    def get(self, family: Family) -> bool | None:
        """True or False once an answer of the listing told; None before."""
        return self._known.get(family)

    def set(self, family: Family, *, offered: bool) -> None:
        """Take what an answer of the listing told."""
        self._known[family] = offered
