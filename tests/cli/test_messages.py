"""Messages as single lines that no terminal obeys."""

from cffs.cli.messages import one_line


def test_one_line_is_one_line():
    """Text from elsewhere cannot break a line or talk to the terminal."""
    assert one_line("a\nb\x1b[31m\x9bc") == "a b\\x1b[31m\\x9bc"
