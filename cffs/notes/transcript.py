"""The words of a note and the times that stand beside them. Pure.

It owns the formats: SubRip (`srt`), WebVTT (`vtt`), Whisper's tab-separated form (`tsv`); everything else is text
without times. It must not know files. Whatever a note holds, reading it never raises: what is no cue is text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cffs.core.units import MIB, MS_PER_SECOND

#: Words beyond so many bytes of a note are not looked at: a transcript of a day is shorter.
MAX_TEXT_NBYTES = 4 * MIB
#: `00:01:02,500 --> 00:01:04,000` of SubRip; WebVTT writes a point, and may leave out the hours.
_TIMES = re.compile(
    r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})\s*-->\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})",
    re.ASCII,
)
#: What WebVTT writes inside a text: `<v Speaker>`, `<00:00:01.000>`; and what SubRip does, `<i>`.
_TAG = re.compile(r"</?[a-z0-9][^<>\n]{0,80}>", re.IGNORECASE | re.ASCII)
#: Byte-order marks and the codecs that they announce; the longer first.
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Cue:
    """Some words, and from when to when they were said (seconds from the recording's start); None where the note has
    no times."""

    start_seconds: float | None
    stop_seconds: float | None
    text: str


def text_of(content: bytes) -> str:
    """The characters of a note; "" where it is no text (it holds a NUL). What is no UTF-8 is read as Latin-1."""
    content = content[:MAX_TEXT_NBYTES]
    for mark, codec in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(codec, "replace")
    if b"\0" in content:
        return ""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:  # the limit may have cut a character
        return content[:-3].decode("utf-8") if len(content) == MAX_TEXT_NBYTES else content.decode("latin-1")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def cues(extension: str, content: bytes) -> Iterator[Cue]:
    """The words of a note, in their order."""
    text = text_of(content)
    if extension in ("srt", "vtt"):
        yield from _subtitles(text)
    elif extension == "tsv":
        yield from _rows(text)
    elif extension == "json":
        yield from _strings(text)
    elif text:
        yield Cue(None, None, text)


def words(extension: str, content: bytes) -> str:
    """All the words of a note, without times and markup."""
    return "\n".join(cue.text for cue in cues(extension, content))


def _subtitles(text: str) -> Iterator[Cue]:
    start = stop = None
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        times = _TIMES.search(line)
        if times is not None:
            if lines and lines[-1].strip().isdecimal():
                lines.pop()  # the number of the cue that begins
            yield from _cue(start, stop, lines)
            lines = []
            start, stop = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        elif not line.strip():
            yield from _cue(start, stop, lines)
            lines = []
        elif start is not None or not line.startswith(("WEBVTT", "NOTE", "STYLE", "Kind:", "Language:")):
            lines.append(_TAG.sub("", line))
    yield from _cue(start, stop, lines)


def _cue(start: float | None, stop: float | None, lines: list[str]) -> Iterator[Cue]:
    text = "\n".join(lines).strip()
    if text and not text.isdecimal():
        yield Cue(start, stop, text)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((fraction or "0").ljust(3, "0")) / MS_PER_SECOND


def _rows(text: str) -> Iterator[Cue]:
    """Whisper writes `start`, `end` in milliseconds and `text`."""
    for line in text.splitlines():
        start, _, rest = line.partition("\t")
        stop, tab, said = rest.partition("\t")
        if tab and _is_number(start) and _is_number(stop):
            yield Cue(int(start) / MS_PER_SECOND, int(stop) / MS_PER_SECOND, said)
        elif line.strip() and line.split("\t") != ["start", "end", "text"]:
            yield Cue(None, None, line.replace("\t", " "))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def _strings(text: str) -> Iterator[Cue]:
    """Every string of a JSON document, keys left out; the text itself where it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if text:
            yield Cue(None, None, text)
        return
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield Cue(None, None, value)
        elif isinstance(value, dict):
            left.extend(reversed(value.values()))
        elif isinstance(value, list):
            left.extend(reversed(value))
