"""Words and times of a note."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.notes.transcript import Cue, cues, text_of, words

SRT = """1
00:00:01,500 --> 00:00:03,000
I want a <i>refund</i>

2
00:01:00,000 --> 00:01:02,250 X1:40
now
at once
"""
VTT = "WEBVTT\n\nNOTE hello\n\n00:01.500 --> 00:03.000\n<v Anna>I want\n\n01:00:00.000 --> 01:00:01.000\nnow\n"


@pytest.mark.parametrize(
    ("extension", "text", "expected"),
    [
        ("srt", SRT, [Cue(1.5, 3.0, "I want a refund"), Cue(60.0, 62.25, "now\nat once")]),
        ("srt", SRT.replace("\n", "\r\n"), [Cue(1.5, 3.0, "I want a refund"), Cue(60.0, 62.25, "now\nat once")]),
        ("vtt", VTT, [Cue(1.5, 3.0, "I want"), Cue(3600.0, 3601.0, "now")]),
        (
            "tsv",
            "start\tend\ttext\n0\t1500\thello\n1500\t1x\tthere\n",
            [Cue(0.0, 1.5, "hello"), Cue(None, None, "1500 1x there")],
        ),
        (
            "json",
            '{"text": "a b", "segments": [{"id": 1, "text": "a"}]}',
            [Cue(None, None, "a b"), Cue(None, None, "a")],
        ),
        ("json", "{no json", [Cue(None, None, "{no json")]),
        ("txt", "as it is\n", [Cue(None, None, "as it is\n")]),
        ("txt", "", []),
        ("srt", "no cue\n\n00:00 -> 1\nat all\n", [Cue(None, None, "no cue"), Cue(None, None, "00:00 -> 1\nat all")]),
    ],
)
def test_formats(extension: str, text: str, expected: list[Cue]) -> None:
    """Each format gives its words in order, with the times that it has."""
    assert list(cues(extension, text.encode())) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ä".encode("latin-1"), "ä"),
        ("ä".encode(), "ä"),
        (b"\xef\xbb\xbfa", "a"),
        ("ä".encode("utf-16"), "ä"),
        (b"RIFF\0\0\0\0WAVE", ""),
    ],
)
def test_codecs(content: bytes, expected: str) -> None:
    """Text is read in the codec that it is in; what is no text has no words."""
    assert text_of(content) == expected


@given(st.text(max_size=200), st.sampled_from(["srt", "vtt", "tsv", "json", "txt"]))
def test_reading_never_fails(text: str, extension: str) -> None:
    """Whatever a note holds has words, perhaps none."""
    assert isinstance(words(extension, text.encode("utf-8", "surrogatepass")), str)
