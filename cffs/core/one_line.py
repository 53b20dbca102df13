"""Foreign text made safe to print: one line without control characters.

File names, answers of the service and names of processes may hold line ends, escape sequences and marks that reverse
the direction of writing. Printed as they are, they forge log lines and control a terminal.

It owns the printable form of everything that leaves for a log, a terminal or a playlist. It must not know where the
text came from, or where it goes.
"""

import json
import re

#: What fits into a log line beside its own words.
MAX_LINE_CHARACTERS = 200
#: Everything but printable ASCII: each of these is looked at by itself.
_UNPRINTABLE = re.compile(r"[^ -~]+")
_TAG = re.compile(r"<[^<>]{0,200}>")
#: An error page may echo the request: a URL loses its query and userinfo, a named secret its value.
_URL_SECRETS = re.compile(r"(?i)\b(https?://)(?:[^\s/?#@\"'<>]*@)?([^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?")
_NAMED_SECRET = re.compile(
    r"(?i)\b(api[ _-]?key|password|passwd|token|secret|authorization)(\"?\s*[:=]\s*)(?:(?:basic|bearer)\s+)?[^\s&,;<>]+"
)


def visible(text: str) -> str:
    """The text with every character that is not printable (control, format, bidi and separator characters, lone
    surrogates) written as Python's escape: `\\n`, `\\x1b`, `\\u202e`. Always one line; nothing is left out."""
    return text if text.isprintable() else "".join(map(_spelt, text))


def _spelt(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def visible_json(value: object, *, indent: int | None = None, is_ascii: bool = False) -> str:
    """The value as JSON of printable characters alone (and line ends, with `indent`).

    Everything else is escaped as JSON does it, so that it reads back as it was. `is_ascii` also escapes every letter
    that is not ASCII.
    """
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    return _UNPRINTABLE.sub(lambda match: "".join(map(_json_spelt, match[0])), text)


def _json_spelt(character: str) -> str:
    if character.isprintable() or character == "\n":  # a line end inside a text is escaped already
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def printable_line(text: str, *, max_characters: int = MAX_LINE_CHARACTERS) -> str:
    """One line of at most `max_characters` printable characters: no tags, no control, bidi or surrogate characters,
    blanks run together, URL queries and the values of named secrets left out. Never raises; "" where nothing is left.
    """
    # Cut first, generously: the time of what follows grows with the length of the text.
    text = text[: 4 * max_characters]
    text = _URL_SECRETS.sub(r"\1\2", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    text = _TAG.sub(" ", text)
    text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
