"""One check of `cffs doctor`: its subject, state, finding and remedy.

It owns how a check is shown, in one line. It must not know what is checked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cffs.cli.messages import one_line


class State(StrEnum):
    """FAIL: a mount cannot work. WARN: it works, and something could be better. SKIP: it could not be checked."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


#: Colours on a terminal; they never carry the meaning alone.
COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red", State.SKIP: "bright_black"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `mend` is empty where there is nothing to mend."""

    name: str
    state: State
    found: str
    mend: str = ""

    def line(self) -> str:
        """The line, such as `FAIL  /dev/fuse         missing; mend: modprobe fuse`."""
        mend = f"; mend: {self.mend}" if self.mend else ""
        return f"{self.name:<18} {one_line(self.found + mend)}"

    def plain(self) -> dict[str, str]:
        """The check as JSON can carry it."""
        return {"check": self.name, "state": self.state.value, "found": self.found, "mend": self.mend}


def ok(name: str, found: str) -> Check:
    """A check that found nothing to mend."""
    return Check(name, State.OK, found)


def warn(name: str, found: str, mend: str = "") -> Check:
    """A check that found something to improve; a mount works all the same."""
    return Check(name, State.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Check:
    """A check that found why a mount cannot work."""
    return Check(name, State.FAIL, found, mend)


def skip(name: str, found: str) -> Check:
    """A check that could not be made."""
    return Check(name, State.SKIP, found)


def has_failed(checks: Iterable[Check]) -> bool:
    """True where a mount would not work."""
    return any(check.state is State.FAIL for check in checks)
