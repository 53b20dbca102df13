"""What this origin offers, and what its answers mean, as its answers have shown.

Owns three findings, each learned from answers and kept for the life of the mount:

* `Capabilities`: which families of operations the origin has at all;
* `FileIds`: whether v1's file ids are v2's recording ids (the catalogue remembers a verdict for later mounts);
* `HintMeasure`: which audio form the size in a listing measures.

It must not know how a finding was made, nor what is shown because of it.
"""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum

# -- which operations there are --


class Family(StrEnum):
    """A listing with the by-id forms that stand and fall with it. The operations of the two public documents, which
    every origin has, are in no family (`cffs/docs/service.md#the-two-apis`)."""

    CALLS = "calls"  # /calls, /calls/{id}, /calls/{id}/recordings, /calls/recordings/{id}[.mp3]
    BROADCASTS = "broadcasts"  # /calls/broadcasts, /calls/broadcasts/{id}
    MEDIA = "media"  # the listing /media alone: /media/{id} and its files are in the documents


class Capabilities:
    """Which families the origin has: yes, no, or not known yet (None).

    A listing that answers 404, 405 or 501 marks its by-id forms missing too, until the next mount.
    """

    def __init__(self) -> None:
        self._offered: dict[Family, bool] = {}

    def offers(self, family: Family) -> bool | None:
        """True or False once the family's listing has answered; None before."""
        return self._offered.get(family)

    def note(self, family: Family, *, is_offered: bool) -> None:
        """Take what an answer of the family's listing has shown."""
        self._offered[family] = is_offered


# -- what v1's file ids are --

#: So many calls in a row settle the question, one way or the other.
IN_A_ROW = 20


class Verdict(StrEnum):
    """How v1's files relate to v2's recordings."""

    OPEN = "open"  #: not known: v1's list is asked, call by call
    SAME = "same"  #: {recording id}.wav exists: it is listed without asking
    NONE = "none"  #: v1 has no files for this account: none is listed


class FileIds:
    """The verdict, and the run of calls that leads to it. A call without recordings says nothing about either."""

    def __init__(self, verdict: Verdict = Verdict.OPEN) -> None:
        self.verdict = verdict
        self._same = self._none = 0

    def note(self, file_ids: Collection[int], recording_ids: Collection[int]) -> bool:
        """v1 listed these files for a call of which v2 listed these recordings; True where that settled the verdict."""
        if self.verdict is not Verdict.OPEN or not recording_ids:
            return False
        self._same = self._same + 1 if set(file_ids) == set(recording_ids) else 0
        self._none = self._none + 1 if not file_ids else 0
        if self._same >= IN_A_ROW:
            self.verdict = Verdict.SAME
        elif self._none >= IN_A_ROW:
            self.verdict = Verdict.NONE
        return self.verdict is not Verdict.OPEN


# -- what a listed size measures --

#: So many files of a form whose hint was not their size, and none whose was: the hint is not of that form.
ENOUGH = 3


class HintMeasure:
    """Votes of exact sizes, by audio form ("mp3", "wav"). An origin decides per form, so one witness of equality is
    enough, and a few differences without any are enough for the opposite."""

    def __init__(self) -> None:
        self._equal: Counter[str] = Counter()
        self._different: Counter[str] = Counter()
        #: What the votes say, worked out at each vote: a listing asks for every file.
        self._measured: str | None = None
        self._not: frozenset[str] = frozenset()

    def note(self, form: str, *, hint_nbytes: int, exact_nbytes: int) -> None:
        """A file of that form has the size `exact_nbytes`, and its listing said `hint_nbytes`."""
        (self._equal if hint_nbytes == exact_nbytes else self._different)[form] += 1
        ((leading, witnesses),) = self._equal.most_common(1) or [("", 0)]
        self._measured = leading if witnesses > self._different[leading] else None
        enough = {other for other, count in self._different.items() if count >= ENOUGH}
        self._not = frozenset(enough - self._equal.keys())

    def measured_form(self) -> str | None:
        """The form whose size hints were seen to be; None before any witness."""
        return self._measured

    def is_not(self, form: str) -> bool:
        """True where hints were seen not to be the size of that form."""
        return form in self._not
