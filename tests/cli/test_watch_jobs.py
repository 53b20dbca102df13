"""Commands of `cffs watch --exec`: each once, and failed ones again."""

import sys
from pathlib import Path

import click
import pytest

from cffs.cli.watch_jobs import Jobs, parse_command
from cffs.cli.watch_place import Place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("whisper {}", ("whisper", "{}")),
        ("whisper", ("whisper", "{}")),
        ("cp {} 'my folder/{}.x'", ("cp", "{}", "my folder/{}.x")),
    ],
)
def test_commands(text: str, expected: tuple[str, ...]) -> None:
    """A command is words; the path is the last where no word has it."""
    assert parse_command(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "'open"])
def test_no_command(text: str) -> None:
    """What is no command is wrong usage."""
    with pytest.raises(click.UsageError):
        parse_command(text)


def test_each_once_and_failures_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The place kept names what is not done after each step; a path with any characters is one word."""
    kept: list[str] = []
    log = tmp_path / "log"
    script = f"import sys; open({str(log)!r}, 'a').write(sys.argv[1] + '\\n'); sys.exit('bad' in sys.argv[1])"
    place = Place()
    jobs = Jobs((sys.executable, "-c", script, "{}"), at_once=2, place=place, keep=lambda now: kept.append(now.text()))
    for cursor, path in enumerate(("a b;$(x)", "bad", "c"), 1):
        jobs.run(cursor, path)
    jobs.wait()
    assert sorted(log.read_text().splitlines()) == ["a b;$(x)", "bad", "c"]
    assert (place.text(), kept[-1], jobs.failed) == ("3\n2\n", "3\n2\n", 1)
    assert kept[0] == "1\n1\n"
    assert "bad: " in capsys.readouterr().err


def test_a_command_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in one line, and the recording is not done."""
    place = Place()
    jobs = Jobs(("/nowhere/whisper", "{}"), at_once=1, place=place, keep=lambda now: None)
    jobs.run(5, "a")
    jobs.wait()
    assert (place.text(), capsys.readouterr().err.count("\n")) == ("5\n5\n", 1)
