"""Messages of commands: one line each on stderr, and the exception Failed.

It must not know commands.
"""

import sys

from cffs.core.one_line import visible, visible_json


class Failed(Exception):
    """The command cannot do what it was asked for. The message is one line: what happened and what to do."""


def tell(line: str) -> None:
    """Print one line to stderr, whatever the text holds."""
    try:
        sys.stderr.write(f"cffs: {one_line(line)}\n")
        sys.stderr.flush()
    except (OSError, UnicodeError):
        return  # stderr is closed; the exit status still reports the failure


def one_line(text: str) -> str:
    """The text as a single line without characters that control a terminal."""
    return visible(" ".join(text.split()))


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON for stdout, without characters that control a terminal.

    A stdout that is not UTF-8 gets JSON's own escapes.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return visible_json(value, indent=indent, is_ascii=encoding != "utf8")
