"""Strings and keys in TOML 1.0, which `tomllib` reads back as they were.

It owns the escapes. It must not know files, settings or secrets.

TOML's basic strings look like JSON's and differ in three places: DEL must be escaped, a character beyond U+FFFF has an
escape of its own (`\\U0001F600`; a pair of surrogates is an error), and a lone surrogate cannot be written at all.
Python has lone surrogates for the bytes of an argument, of a path or of a line that are not UTF-8 (PEP 383).
"""

import re
from typing import Final

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: What is written for a lone surrogate where a value is only shown.
REPLACEMENT: Final = "\ufffd"


def is_writable(text: str) -> bool:
    """True where TOML can hold the text."""
    return _SURROGATE.search(text) is None


def shown(text: str) -> str:
    """The text with U+FFFD for each lone surrogate."""
    return _SURROGATE.sub(REPLACEMENT, text)


def quoted(text: str) -> str:
    """A basic string of one line, with its quotes. Raises ValueError for a lone surrogate."""
    if not is_writable(text):
        raise ValueError("TOML cannot hold a lone surrogate")
    return '"' + "".join(map(_escaped, text)) + '"'


def key(name: str) -> str:
    """A key, quoted where it must be. Raises ValueError for a lone surrogate."""
    return name if _BARE_KEY.fullmatch(name) else quoted(name)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
