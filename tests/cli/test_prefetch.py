"""The lines about files that could not be brought to disk."""

from cffs.cli.prefetch import Problem, lines_of


def test_what_could_not_be_brought():
    """One file is a line of its own; many that fail alike are one line with their number and the first of them."""
    problems = [Problem("/m/a", "gone"), *(Problem(f"/m/{n}", "No route to host") for n in range(40))]
    one, many = lines_of(problems)
    assert one == "/m/a: gone"
    assert many.startswith("40 files: No route to host; the first is /m/0 ")
    assert list(lines_of([])) == []
