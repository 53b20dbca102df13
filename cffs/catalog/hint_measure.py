"""What the sizes that listings tell (`lengthInBytes`) measure: learned from exact sizes as they become known. Pure.

It must not know rows or requests; it is told pairs of hint and truth.
`catalog/store` notes every exact size here, the tree asks before it shows a hint (contract section 4).
"""

from collections import Counter

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
