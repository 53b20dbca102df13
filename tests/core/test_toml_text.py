"""Texts in TOML: a TOML parser gives back what was written, whatever it was."""

import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cffs.core.toml_text import REPLACEMENT, is_writable, key, quoted, shown

#: Every character, lone surrogates among them; hypothesis prefers the odd ones.
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)


@given(texts)
@example("\x7f")
@example("\U0001f600")
@example('a"b\\c\n\r\t\x00\x1b\u2028\u202e')
@example("\ud83d\ude00")
@example("\udcff")
def test_a_string_is_read_back_as_it_was(text: str) -> None:
    """Every text that TOML can hold is read back as it was, from one line; every other one raises ValueError."""
    if not is_writable(text):
        with pytest.raises(ValueError, match="surrogate"):
            quoted(text)
        with pytest.raises(ValueError, match="surrogate"):
            key(text)
        return
    written = f"value = {quoted(text)}"
    assert written.isprintable()
    assert tomllib.loads(written) == {"value": text}
    assert tomllib.loads(f"{key(text)} = 1") == {text: 1}


@given(texts)
def test_what_is_shown_can_be_written(text: str) -> None:
    """A text that is only shown keeps every character but lone surrogates, one U+FFFD for each."""
    told = shown(text)
    assert is_writable(told)
    assert len(told) == len(text)
    assert all(was == now or now == REPLACEMENT for was, now in zip(text, told, strict=True))
    assert told == text or not is_writable(text)


@pytest.mark.parametrize(("name", "written"), [("work", "work"), ("a-b_1", "a-b_1"), ("a b", '"a b"'), ("", '""')])
def test_a_key_is_bare_where_it_can_be(name: str, written: str) -> None:
    """A plain name needs no quotes."""
    assert key(name) == written
