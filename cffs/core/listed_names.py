"""What recordings and calls are called in listings: when, which way, with whom, how long, then the id. Pure.

It must not know rows, folders or extensions; the zone is passed in.
The catalogue gives names with it. A name is given once and kept; a part that was not known then may still join it.
"""

import json
import re
from collections.abc import Callable
from datetime import tzinfo
from typing import NamedTuple

from cffs.core.ids import parse_id
from cffs.core.names import encode_name, file_name
from cffs.core.probe_names import is_junk
from cffs.core.times import file_stamp
from cffs.core.units import NS_PER_MS

#: Nothing was recorded before the second day of 1970, whatever the zone; the last is a day before 9999 in any zone.
FIRST_DATED_MS = 86_400_000
LAST_DATED_MS = 253_370_678_400_000
#: What the service calls a recording that nobody named: it would be in every file name, and tells nothing.
USUAL_NAMES = frozenset({"", "call_recording"})
UNKNOWN_NUMBER = "unknown"
#: What can stand behind a stem; the longest leaves every form of a name within 255 bytes.
LONGEST_EXTENSION = ".json"
_SECONDS_A_MINUTE = 60


class NameParts(NamedTuple):
    """What a name says of a recording or call; None where it is not known (yet)."""

    created_ms: int | None = None
    inbound: bool | None = None
    number: str | None = None
    seconds: int | None = None

    @property
    def is_whole(self) -> bool:
        """Nothing can join the name any more."""
        return None not in self

    def joined_by(self, now: "NameParts") -> "NameParts":
        """The parts once given, and of `now` those that were not known so far."""
        if self.is_whole:
            return self
        known = {part: given for part, given in self._asdict().items() if given is not None}
        return now._replace(**known)

    def to_text(self) -> str:
        """As it is kept."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> "NameParts":
        """What `to_text` wrote."""
        return cls(*json.loads(text))


def is_dated(created_ms: int | None) -> bool:
    """True for a time that can be a recording's; the others belong to no date."""
    return created_ms is not None and FIRST_DATED_MS <= created_ms < LAST_DATED_MS


def name_parts(*, created_ms: int | None, inbound: bool | None, number: str, seconds: int | None) -> NameParts:
    """The parts as the service tells them: a time that can be none, and an empty number, are not known."""
    return NameParts(created_ms if is_dated(created_ms) else None, inbound, number.strip() or None, seconds)


def other_side(*, inbound: bool | None, from_number: str, to_number: str, tried_number: str = "") -> str:
    """The number of the other party: the caller's if inbound, else the one that was tried in the recording's own
    attempt, else the call's."""
    return from_number if inbound else tried_number.strip() or to_number


def listed_stem(parts: NameParts, *, identity: int, zone: tzinfo, name: str = "") -> str:
    """The file name without its extension: `{YYYY-MM-DD}_{HH.MM.SS}_{in|out}_{number}_{M}m{SS}s_{name}_{id}`.

    What is not known is left out (the number is `unknown`), and a name that is the usual one. It ends with the id, so
    it is unique wherever ids are; with every extension of ours it is at most 255 bytes long.
    """
    said = []
    if parts.created_ms is not None:
        said.append(file_stamp(parts.created_ms * NS_PER_MS, zone=zone))
    if parts.inbound is not None:
        said.append("in" if parts.inbound else "out")
    said.append(UNKNOWN_NUMBER if parts.number is None else parts.number)
    if parts.seconds is not None:
        minutes, seconds = divmod(parts.seconds, _SECONDS_A_MINUTE)
        said.append(f"{minutes}m{seconds:02}s")
    if name not in USUAL_NAMES:
        said.append(name)
    said.append(str(identity))
    text = "_".join(said)
    return text if _PLAIN.fullmatch(text) else _as_stem(text, identity)


#: A name as nearly every recording has one: `encode_name` and `file_name` would give it back, at four times the cost.
_PLAIN = re.compile(r"[0-9]{4}-[0-9A-Za-z_.+-]{1,200}[0-9]", re.ASCII)


def _as_stem(text: str, identity: int) -> str:
    """Make any text a stem that is a file name with every extension, and that no file manager probes by habit."""
    stem = encode_name(text)
    if is_junk(stem):  # for how it begins: a number that cannot be dialled
        stem = f"_{stem}"
    named = file_name(stem, extension=LONGEST_EXTENSION, id=identity, taken=lambda _name: False)
    return named.removesuffix(LONGEST_EXTENSION)


#: What ends a name: a cut one has its id behind a mark.
_ENDS_WITH_ID = re.compile(r"(?:.*[_~])?([1-9][0-9]{0,18})", re.ASCII | re.DOTALL)


def id_in(stem: str) -> int | None:
    """The id of what is called so, or is spelt by its id alone; None where it can be no such name."""
    found = _ENDS_WITH_ID.fullmatch(stem)
    return parse_id(found[1]) if found else None


#: Whether a folder has a name already.
IsTaken = Callable[[str], bool]


def campaign_folder(name: str, *, identity: int, is_taken: IsTaken) -> str:
    """The name of a campaign's folder. What looks like an id is not one: ids open other campaigns."""

    def is_refused(folder: str) -> bool:
        return (folder.isascii() and folder.isdecimal()) or is_junk(folder) or is_taken(folder)

    return file_name(encode_name(name), extension="", id=identity, taken=is_refused)
