"""Text of strangers made fit for a log line or a terminal: one line, short, printable, without secrets.

It must not know where the text came from. Wire formats use it for what an error body or a description says.
"""

import re

#: What fits a log line beside its own words.
MAX_LINE_CHARACTERS = 200
_TAG = re.compile(r"<[^<>]{0,200}>")
#: An error page may echo the request: a URL loses its query and userinfo, a named secret its value.
_URL_SECRETS = re.compile(r"(?i)\b(https?://)(?:[^\s/?#@\"'<>]*@)?([^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?")
_NAMED_SECRET = re.compile(
    r"(?i)\b(api[ _-]?key|password|passwd|token|secret|authorization)(\"?\s*[:=]\s*)(?:(?:basic|bearer)\s+)?[^\s&,;<>]+"
)


def printable_line(text: str, *, max_characters: int = MAX_LINE_CHARACTERS) -> str:
    """One line of at most `max_characters` printable characters: no tags, no control, bidi or surrogate characters,
    blanks run together, URL queries and the values of named secrets left out. Never raises; "" where nothing is left.
    """
    # Cut first, generously: what follows takes time with the length of the text.
    text = text[: 4 * max_characters]
    text = _URL_SECRETS.sub(r"\1\2", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    text = _TAG.sub(" ", text)
    text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"
