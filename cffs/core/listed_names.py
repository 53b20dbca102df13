"""Names of recordings, calls and campaigns in listings; pure.

A name says when, which way, with whom and how long, and ends with the id: see cffs/docs/semantics.md#names. It is given
once and kept; a part that was not known at that time may still join it.

It owns the parts of a name and their order. It must not know rows, folders or extensions; the zone is passed in.
"""

import json
import re
from collections.abc import Callable
from datetime import tzinfo
from typing import NamedTuple

from cffs.core.ids import parse_id
from cffs.core.names import encode_name, file_name
from cffs.core.probe_names import is_probe_name
from cffs.core.times import file_stamp
from cffs.core.units import NS_PER_MS

#: No recording is older than the second day of 1970 in any zone, or newer than the day before 9999 in any zone.
FIRST_DATED_MS = 86_400_000
LAST_DATED_MS = 253_370_678_400_000
#: The service's name for a recording without one. It would be in every file name, and carries no information.
USUAL_NAMES = frozenset({"", "call_recording"})
UNKNOWN_NUMBER = "unknown"
#: The longest extension that a stem gets, so that every form of a name stays within 255 bytes.
LONGEST_EXTENSION = ".json"
_SECONDS_A_MINUTE = 60


class NameParts(NamedTuple):
    """The parts of the name of a recording or call; None where one is not known (yet)."""

    created_ms: int | None = None
    inbound: bool | None = None
    number: str | None = None
    seconds: int | None = None

    @property
    def is_whole(self) -> bool:
        """True where no part can join the name any more."""
        return None not in self

    def joined_by(self, now: "NameParts") -> "NameParts":
        """The parts given so far, and those of `now` that were not known before."""
        if self.is_whole:
            return self
        known = {part: given for part, given in self._asdict().items() if given is not None}
        return now._replace(**known)

    def to_text(self) -> str:
        """The form in which it is stored."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> "NameParts":
        """The parts that `to_text` wrote."""
        return cls(*json.loads(text))


def is_dated(created_ms: int | None) -> bool:
    """True for a time that a recording can have; any other belongs to no date."""
    return created_ms is not None and FIRST_DATED_MS <= created_ms < LAST_DATED_MS


def name_parts(*, created_ms: int | None, inbound: bool | None, number: str, seconds: int | None) -> NameParts:
    """The parts as the service gave them; an impossible time and an empty number count as not known."""
    return NameParts(created_ms if is_dated(created_ms) else None, inbound, number.strip() or None, seconds)


def other_side(*, inbound: bool | None, from_number: str, to_number: str, tried_number: str = "") -> str:
    """The number of the other party: the caller's if inbound, else the number tried in the recording's own attempt,
    else the number of the call."""
    return from_number if inbound else tried_number.strip() or to_number


def listed_stem(parts: NameParts, *, identity: int, zone: tzinfo, name: str = "") -> str:
    """The file name without its extension: `{YYYY-MM-DD}_{HH.MM.SS}_{in|out}_{number}_{M}m{SS}s_{name}_{id}`.

    Parts that are not known are left out (the number is `unknown`), and so is the usual name. The stem ends with the
    id, so it is unique wherever ids are. With every extension of ours it has at most 255 bytes.
    """
    known = []
    if parts.created_ms is not None:
        known.append(file_stamp(parts.created_ms * NS_PER_MS, zone=zone))
    if parts.inbound is not None:
        known.append("in" if parts.inbound else "out")
    known.append(UNKNOWN_NUMBER if parts.number is None else parts.number)
    if parts.seconds is not None:
        minutes, seconds = divmod(parts.seconds, _SECONDS_A_MINUTE)
        known.append(f"{minutes}m{seconds:02}s")
    if name not in USUAL_NAMES:
        known.append(name)
    known.append(str(identity))
    text = "_".join(known)
    return text if _PLAIN.fullmatch(text) else _as_stem(text, identity)


#: The form of nearly every name: `encode_name` and `file_name` would return it unchanged, at four times the cost.
_PLAIN = re.compile(r"[0-9]{4}-[0-9A-Za-z_.+-]{1,200}[0-9]", re.ASCII)


def _as_stem(text: str, identity: int) -> str:
    """A stem for any text: a valid file name with every extension, and none that a file manager probes for."""
    stem = encode_name(text)
    if is_probe_name(stem):  # by its beginning: a number that cannot be dialled
        stem = f"_{stem}"
    named = file_name(stem, extension=LONGEST_EXTENSION, id=identity, taken=lambda _name: False)
    return named.removesuffix(LONGEST_EXTENSION)


#: The end of a name; a cut one has a mark before its id.
_ENDS_WITH_ID = re.compile(r"(?:.*[_~])?([1-9][0-9]{0,18})", re.ASCII | re.DOTALL)


def id_in(stem: str) -> int | None:
    """The id at the end of a listed name, or of a name that is an id alone; None for any other name."""
    found = _ENDS_WITH_ID.fullmatch(stem)
    return parse_id(found[1]) if found else None


#: Whether a folder has a name already.
IsTaken = Callable[[str], bool]


def campaign_folder(name: str, *, identity: int, is_taken: IsTaken) -> str:
    """The name of a campaign's folder. A name that looks like an id is not used: ids open other campaigns."""

    def is_refused(folder: str) -> bool:
        return (folder.isascii() and folder.isdecimal()) or is_probe_name(folder) or is_taken(folder)

    return file_name(encode_name(name), extension="", id=identity, taken=is_refused)
