"""Names and keys of notes, and of files under temporary names. Pure.

It owns the list of suffixes. It must not know which recordings exist.
"""

import re
from dataclasses import dataclass

#: What recognisers, players, editors and annotation tools write and read beside a recording, in listing order.
EXTENSIONS = ("txt", "srt", "vtt", "tsv", "lrc", "md", "json", "TextGrid")
#: Names that programs give a file until it is whole, to rename it to a note's name then: `.name.ext.XXXXXX` of rsync,
#: `.goutputstream-XXXXXX` of GLib, `.name.swp` of vim, `~name` of office programs; `name.part` and its like of browsers
#: and recognisers, `name~` of editors; `name.ext.XXXXXX` of Qt's QSaveFile (Kate);
#: `sedXXXXXX` of `sed -i`.
_OF_QT = rf".+\.(?:{'|'.join(EXTENSIONS)})\.[A-Za-z0-9]{{6}}"
TEMPORARY_NAME = rf"[.~].+|.+(?:~|(?i:\.part|\.tmp|\.crdownload))|sed[A-Za-z0-9]{{6}}|{_OF_QT}"
_TEMPORARY = re.compile(TEMPORARY_NAME, re.DOTALL)


def split_note_name(name: str) -> tuple[str, str] | None:
    """The stem and the extension of a note's name; None where the name is not one of a note."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot and stem and extension in EXTENSIONS else None


def is_temporary(name: str) -> bool:
    """True for a name that a program gives a file until the file is whole, to rename it to a note's name then."""
    return _TEMPORARY.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class NoteKey:
    """One note: of which recording, and its extension, one of `EXTENSIONS`."""

    recording_id: int
    extension: str


@dataclass(frozen=True, slots=True)
class TemporaryKey:
    """A file under a temporary name; `folder` stands for the folder of the tree in which the name was given."""

    folder: int
    name: str


Key = NoteKey | TemporaryKey


@dataclass(frozen=True, slots=True)
class NoteStat:
    """What stat shows of a note: its length in bytes, and when it was last changed (unix nanoseconds)."""

    nbytes: int
    modified_ns: int
