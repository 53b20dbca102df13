"""The names of notes: which ones there are beside a recording, and which are temporary. Pure.

It owns the list of suffixes. It must not know which recordings exist.
"""

import re

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
