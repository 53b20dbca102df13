"""Lines for people, on stderr, one each; and the one exception that ends a command with exit status 1.

It must not know commands. Every command calls it.
"""

import sys

from cffs.core.one_line import visible, visible_json


class Failed(Exception):
    """The command cannot do what it was asked for; the message is one line: what happened and what to do."""


def tell(line: str) -> None:
    """One line to stderr, whatever the text holds."""
    try:
        sys.stderr.write(f"cffs: {one_line(line)}\n")
        sys.stderr.flush()
    except (OSError, UnicodeError):
        return  # nobody reads stderr any more; the exit status still tells


def one_line(text: str) -> str:
    """The text as a single line that no terminal obeys."""
    return visible(" ".join(text.split()))


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON for stdout: no terminal obeys it, and a stdout that cannot say every letter gets escapes that
    JSON knows."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return visible_json(value, indent=indent, is_ascii=encoding != "utf8")
