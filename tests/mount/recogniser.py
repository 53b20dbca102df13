"""A speech recogniser as people run one: an SRT file beside a recording.

Usage: `recogniser.py RECORDING`.

It is pocketsphinx with the acoustic model of its package, and a grammar of what callers of a small shop say. ffmpeg
decodes. It must not know of cffs.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pocketsphinx import Decoder

RATE = 16_000
FRAMES_A_SECOND = 100
GRAMMAR = """#JSGF V1.0;
grammar calls;
public <call> = ( <phrase> )+;
<phrase> = hello | goodbye | thank you | please | i want a refund | call me back | tomorrow | the order is late;
"""
#: Wider than pocketsphinx's own: synthetic speech is far from what the model learned.
BEAMS = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}


def samples(path: Path) -> bytes:
    """16 bits, one channel."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def words(path: Path) -> Iterator[tuple[str, float, float]]:
    """Each word that was said, and from when to when."""
    with tempfile.NamedTemporaryFile("w", suffix=".gram") as grammar:
        grammar.write(GRAMMAR)
        grammar.flush()
        decoder = Decoder(lm=None, jsgf=grammar.name, samprate=RATE, loglevel="FATAL", **BEAMS)
    decoder.start_utt()
    decoder.process_raw(samples(path), full_utt=True)
    decoder.end_utt()
    for segment in decoder.seg() or ():
        if not segment.word.startswith("<"):
            start, stop = segment.start_frame / FRAMES_A_SECOND, (segment.end_frame + 1) / FRAMES_A_SECOND
            yield segment.word.partition("(")[0], start, stop


def srt(said: list[tuple[str, float, float]]) -> str:
    """A cue for each word."""
    return "".join(
        f"{number}\n{_time(start)} --> {_time(stop)}\n{word}\n\n" for number, (word, start, stop) in enumerate(said, 1)
    )


def _time(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


if __name__ == "__main__":
    recording = Path(sys.argv[1])
    recording.with_suffix(".srt").write_text(srt(list(words(recording))))
