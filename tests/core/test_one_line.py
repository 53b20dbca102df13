import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.one_line import MAX_LINE_CHARACTERS, printable_line, visible, visible_json

#: Characters of every kind that a terminal obeys, or a reader mistakes.
ODD = st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn"])))


@given(ODD)
def test_visible_text_is_one_printable_line(text: str) -> None:
    """Any text becomes one printable line, and nothing of it is left out."""
    line = visible(text)
    assert line.isprintable()
    assert len(line) >= len(text)
    assert visible(line) == line
    if "\\" not in text:
        assert line.encode("latin-1", "backslashreplace").decode("unicode_escape") == text


@given(st.text(st.characters().filter(str.isprintable)))
def test_printable_text_stays_as_it_is(text: str) -> None:
    """Letters of every script, and blanks, are not escaped."""
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n2026 ERROR b", "a\\n2026 ERROR b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("wav.\u202e3pm", "wav.\\u202e3pm"),
        ("a\u2028b\u200bc", "a\\u2028b\\u200bc"),
        ("\udcff\U000e0041", "\\udcff\\U000e0041"),
    ],
)
def test_what_is_spelt_out(text: str, line: str) -> None:
    """Line ends, escape sequences, C1, DEL, bidi overrides, separators, lone surrogates and tags are escaped."""
    assert visible(text) == line


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ODD,
        lambda inner: st.lists(inner) | st.dictionaries(ODD, inner),
        max_leaves=8,
    ),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_visible_json_reads_back(value: object, indent: int | None, is_ascii: bool) -> None:
    """It is the same value for a program, and printable on a terminal."""
    text = visible_json(value, indent=indent, is_ascii=is_ascii)
    assert json.loads(text) == value
    assert text.replace("\n", "" if indent else "\n").isprintable()
    assert text.isascii() or not is_ascii


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from("<>/:@?&= "))))
def test_any_text_is_one_printable_line(text: str) -> None:
    """The result is short, printable, without outer blanks, and can be written as UTF-8."""
    line = printable_line(text)
    assert len(line) <= MAX_LINE_CHARACTERS
    assert line.isprintable()
    assert line == line.strip()
    line.encode()


@pytest.mark.parametrize(
    "text",
    [
        "bad request: /files/recording/5?apikey=S3CRET",
        "see https://user:S3CRET@host/path?apikey=S3CRET&x=1 now",
        "Invalid API key: S3CRET",
        '{"password": "S3CRET"}',
        "Authorization: Basic S3CRET",
        "https://host/x#S3CRET",
    ],
)
def test_echoed_secrets_are_left_out(text: str) -> None:
    """Whatever part of the request an error page echoes, its key does not come through."""
    assert "S3CRET" not in printable_line(text)


def test_what_is_harmless_stays() -> None:
    """Tags are removed, words and a URL's path stay, and a long text ends in an ellipsis."""
    assert printable_line("<h1>Not\n found</h1> at https://host/a/b?c") == "Not found at https://host/a/b"
    assert printable_line("x" * 300) == "x" * 199 + "…"
