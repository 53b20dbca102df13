"""Whether v1's file ids are v2's recording ids: learned from calls that both APIs listed. Pure.

It must not know rows or requests; it is told two sets of ids a call.
`catalog/account_sync` notes what v1 answered, the tree asks before it lists WAVs beside v2 (contract section 3).
"""

from collections.abc import Collection
from enum import StrEnum

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
