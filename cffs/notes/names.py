"""The names of notes: which ones there are beside a recording, and which are temporary. Pure.

It owns the list of suffixes. It must not know which recordings exist.
"""

import re

#: What recognisers, players, editors and annotation tools write and read beside a recording, in listing order.
EXTENSIONS = ("txt", "srt", "vtt", "tsv", "lrc", "md", "json", "TextGrid")
#: `.name.ext.XXXXXX` of rsync, `.goutputstream-XXXXXX` of GLib, `.name.swp` of vim; `~name` of office programs.
_TEMPORARY_PREFIXES = (".", "~")
#: Browsers, recognisers and editors. Compared in lower case.
_TEMPORARY_SUFFIXES = (".part", ".tmp", ".crdownload", "~")
#: `name.ext.XXXXXX` of Qt's QSaveFile (Kate, KWrite).
_QT_TEMPORARY = re.compile(rf".+\.(?:{'|'.join(EXTENSIONS)})\.[A-Za-z0-9]{{6}}", re.DOTALL)


def split_note_name(name: str) -> tuple[str, str] | None:
    """The stem and the extension of a note's name; None where the name is not one of a note."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot and stem and extension in EXTENSIONS else None


def is_temporary(name: str) -> bool:
    """True for a name that a program gives a file until the file is whole, to rename it to a note's name then."""
    lowered = name.lower()
    if lowered.startswith(_TEMPORARY_PREFIXES) or lowered.endswith(_TEMPORARY_SUFFIXES):
        return True
    return _QT_TEMPORARY.fullmatch(name) is not None
