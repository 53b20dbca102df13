"""Lines for people, on stderr, one each; and the one exception that ends a command with exit status 1.

It must not know commands. Every command calls it.
"""

import sys

#: As the service's text or a path may hold them: a terminal would obey them.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))}


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
    return " ".join(text.split()).translate(_CONTROLS)
