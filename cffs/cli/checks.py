"""A check of `cffs doctor`: what was looked at, how it stands, what was found, and how to mend it; one line each.

It must not know what is checked. `cli/checks_*` make them, `cli/doctor` prints them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cffs.cli.messages import one_line


class State(StrEnum):
    """FAIL: a mount cannot work so. WARN: it works, and something could be better. SKIP: could not be looked at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


#: As terminals show them; never the only carrier of the meaning.
COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red", State.SKIP: "bright_black"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `mend` is empty where nothing is to be mended."""

    name: str
    state: State
    found: str
    mend: str = ""

    def line(self) -> str:
        """`FAIL  /dev/fuse         missing; mend: modprobe fuse`."""
        mend = f"; mend: {self.mend}" if self.mend else ""
        return f"{self.name:<18} {one_line(self.found + mend)}"

    def plain(self) -> dict[str, str]:
        """For --json."""
        return {"check": self.name, "state": self.state.value, "found": self.found, "mend": self.mend}


def ok(name: str, found: str) -> Check:
    """Nothing to mend."""
    return Check(name, State.OK, found)


def warn(name: str, found: str, mend: str = "") -> Check:
    """It works all the same."""
    return Check(name, State.WARN, found, mend)


def fail(name: str, found: str, mend: str) -> Check:
    """A mount cannot work so."""
    return Check(name, State.FAIL, found, mend)


def skip(name: str, found: str) -> Check:
    """Could not be looked at."""
    return Check(name, State.SKIP, found)


def has_failed(checks: Iterable[Check]) -> bool:
    """True where a mount would not work."""
    return any(check.state is State.FAIL for check in checks)
