"""The place where `cffs watch` continues, and the file of `--state` that keeps it.

It owns that file's format. It must not know what is done with a recording.

A place has two parts: the newest recording that was taken, and those up to it that are not done.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cffs.cli.messages import Failed

#: As much of a state file as is read: a cursor, and 50,000 recordings that are not done.
_MAX_STATE_NBYTES = 2**20
_MAX_CURSOR_DIGITS = 19


@dataclass(slots=True)
class Place:
    """How far a watch has come: `cursor` is the newest recording that was taken, `undone` are those up to there whose
    command has not succeeded."""

    cursor: int = 0
    undone: set[int] = field(default_factory=set)

    def text(self) -> str:
        """As it is kept in a file: the cursor, and a line for each that is not done."""
        return "".join(f"{number}\n" for number in (self.cursor, *sorted(self.undone)))


def cursor_in(text: str) -> int | None:
    """A sequence number of the catalogue, which has 64 bits; None for any other text."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_CURSOR_DIGITS
    return int(text) if is_number and int(text) < 2**63 else None


def kept_in(state: Path | None) -> Place | None:
    """The place that the file keeps; None where there is none yet. Raises Failed."""
    try:
        text = "" if state is None else _read(state).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failed(f"cannot read {state}: {error.strerror}") from error
    numbers = [cursor_in(line) for line in text.split("\n")] if text else []
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers):
        raise Failed(f"{state} is no place that cffs watch kept; name another file")
    return Place(known[0], set(known[1:])) if known else None


def _read(state: Path) -> bytes:
    """As much as a place may have; a pipe is not waited for."""
    descriptor = os.open(state, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MAX_STATE_NBYTES)
    finally:
        os.close(descriptor)


def keep(state: Path | None, place: Place) -> None:
    """Store the place, after the recording was taken: a crash in between repeats one and loses none. Raises Failed."""
    if state is None:
        return
    new = state.with_name(f"{state.name}.new")
    try:
        # a new file each time: a link that was planted there, or a file that a crash left, is not written to
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(place.text())
        new.replace(state)
    except OSError as error:
        raise Failed(f"cannot write {state}: {error.strerror}") from error
