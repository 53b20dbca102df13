# ruff: noqa: S603  # a script runs fixed commands
"""The picture of a search in a terminal, cffs/docs/search.svg, from a real run.

A stand-in's account is mounted with notes, two transcripts are written beside recordings, and `cffs search` runs in a
terminal of its own; what it printed becomes the picture. Only the temporary folder is spelt as a home would be.

Run it by hand after a change of what `cffs search` prints: .venv/bin/python scripts/tools/search_picture.py
"""

import html
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from cffs.cli.demo import demo_settings, temporary_folder
from cffs.cli.launch import start_in_background
from cffs.cli.mountpoint import prepare
from cffs.cli.standin import running_standin
from cffs.cli.umount import umount

PICTURE = Path(__file__).resolve().parents[2] / "cffs/docs/search.svg"
HOME = "/home/anna"
COLUMNS = 84
#: What was said, and from when to when.
TRANSCRIPTS = (
    (("00:00:03,200", "00:00:06,900", "Good morning. I returned the lamp and I would like a refund, please."),),
    (
        ("00:00:09,000", "00:00:12,400", "The refund was promised for Monday,"),
        ("00:00:12,400", "00:00:15,100", "could you call me back about it?"),
    ),
)
COMMANDS = (("refund",), ('"call me back"',))
#: A font that a viewer would fetch from elsewhere; the viewer's own monospaced one is used.
_FOREIGN_FONT = re.compile(r"@font-face\s*{[^}]*}\s*")
#: A span of rich's picture, with its place and its width.
_TEXT = re.compile(r'(<text class="[^"]*" x=")([\d.]+)(" y="[^"]*" textLength=")([\d.]+)("[^>]*>)([^<]*)')
_BLANK = "&#160;"


def main() -> None:
    """Make the picture."""
    console = Console(width=COLUMNS, record=True, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    with running_standin() as standin, temporary_folder() as folder:
        mountpoint = prepare(folder / "calls", create=True)
        settings = replace(demo_settings(standin, folder, foreground=False), notes=folder / "notes")
        start_in_background(settings, mountpoint)
        try:
            recordings = sorted((mountpoint / "search/min-seconds=20&order=newest").glob("*.mp3"), reverse=True)
            for recording, cues in zip(recordings, TRANSCRIPTS, strict=False):
                recording.with_suffix(".srt").write_text(subtitles(cues))
            for words in COMMANDS:
                console.print(Text.assemble(("$ ", "bold green"), f"cffs search {' '.join(map(shown, words))}"))
                console.print(Text.from_ansi(printed([*words, "--mount", str(mountpoint)]).replace(str(folder), HOME)))
        finally:
            umount(mountpoint, lazy=True)
    svg = console.export_svg(title="~/calls", theme=MONOKAI)
    PICTURE.write_text(_TEXT.sub(placed, _FOREIGN_FONT.sub("", svg)))


def placed(match: re.Match[str]) -> str:
    """The text without the blanks at its ends, which some viewers leave out: it begins further right instead."""
    head, x, rest, length, tail, text = match.groups()
    words = re.sub(f"^(?:{_BLANK})+|(?:{_BLANK})+$", "", text)
    if not words:
        return ""
    before = text.index(words) // len(_BLANK)
    after = (len(text) - text.index(words) - len(words)) // len(_BLANK)
    width = float(length) / len(html.unescape(text))
    return f"{head}{float(x) + before * width:g}{rest}{float(length) - (before + after) * width:g}{tail}{words}"


def shown(word: str) -> str:
    """As it is typed."""
    return word if word.isalnum() else f"'{word}'"


def subtitles(cues: tuple[tuple[str, str, str], ...]) -> str:
    """A SubRip file."""
    return "".join(f"{number}\n{start} --> {stop}\n{text}\n\n" for number, (start, stop, text) in enumerate(cues, 1))


def printed(arguments: list[str]) -> str:
    """What `cffs search` prints on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "cffs.cli", "search", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=theirs) as process:
        os.close(theirs)
        text = b""
        while piece := _read(ours):
            text += piece
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"cffs search ended with status {process.returncode}")
    return text.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end was closed
        return b""


if __name__ == "__main__":
    main()
