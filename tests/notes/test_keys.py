"""Which names are notes, and which are temporary."""

import pytest

from cffs.notes.keys import is_temporary, split_note_name


@pytest.mark.parametrize(
    "name",
    [
        ".a.txt.AbC123",
        ".goutputstream-4XYZ01",
        ".a.srt.swp",
        "~$a.md",
        "a.srt~",
        "a.srt.part",
        "a.TMP",
        "a.json.crdownload",
        "a.TextGrid.x1Y2z3",
        "sedAbC123",
    ],
)
def test_temporary(name: str) -> None:
    """The names that rsync, GLib, vim, office programs, browsers, Qt and sed give a file until it is whole."""
    assert is_temporary(name)


@pytest.mark.parametrize("name", ["a.srt", "a.mp3", "4913", "a.srt.backups", "sed", "a", "a.partial"])
def test_lasting(name: str) -> None:
    """Any other name is meant to stay."""
    assert not is_temporary(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.srt", ("a", "srt")),
        ("a.b.TextGrid", ("a.b", "TextGrid")),
        ("a.textgrid", None),
        (".srt", None),
        ("srt", None),
        ("a.mp3", None),
    ],
)
def test_note_names(name: str, expected: tuple[str, str] | None) -> None:
    """A stem and one of the suffixes, as they are spelt."""
    assert split_note_name(name) == expected
