"""The head of a WAV: what Python's own reader and writer say of it, what is none, what a cut of it is."""

import io
import struct
import wave
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.wav import cut, parse_head


def pcm(frames: int, *, rate: int = 8000, channels: int = 1, width: int = 2) -> bytes:
    """A WAV as the standard library writes it; every frame is another."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(i * 37 % 256 for i in range(frames * channels * width)))
    return file.getvalue()


SECONDS = st.decimals(0, 3, places=3).map(Fraction)


@given(
    frames=st.integers(0, 3000),
    rate=st.sampled_from([8000, 11025, 1000]),
    channels=st.integers(1, 2),
    width=st.integers(1, 3),
    start=SECONDS,
    stop=SECONDS,
)
def test_cut_is_the_librarys(
    frames: int, rate: int, channels: int, width: int, start: Fraction, stop: Fraction
) -> None:
    """A cut is a WAV of the same form that holds exactly the frames of the whole from start to stop; none where it
    would hold none."""
    whole = pcm(frames, rate=rate, channels=channels, width=width)
    layout = parse_head(whole[:4096], total_nbytes=len(whole))
    assert layout is not None
    found = cut(layout, start, stop)
    first, last = int(start * rate), min(int(stop * rate), frames)
    if first >= last:
        assert found is None
        return
    assert found is not None
    head, samples = found
    moment = head + whole[samples.start : samples.stop]
    with wave.open(io.BytesIO(moment)) as made, wave.open(io.BytesIO(whole)) as original:
        assert made.getparams()[:3] == original.getparams()[:3]
        original.setpos(first)
        assert made.readframes(made.getnframes()) == original.readframes(last - first)
    assert int.from_bytes(moment[4:8], "little") == len(moment) - 8
    assert parse_head(moment[:4096], total_nbytes=len(moment)) is not None


def test_mulaw() -> None:
    """Mu-law keeps its tag, tells the length of its extension and how many frames there are."""
    form = struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0)
    whole = (
        b"RIFF\0\0\0\0WAVELIST\4\0\0\0INFOfmt " + struct.pack("<I", 18) + form + b"data\xff\xff\xff\xff" + b"x" * 100
    )
    layout = parse_head(whole, total_nbytes=len(whole))
    assert layout is not None
    assert layout.samples.stop == len(whole)
    found = cut(layout, Fraction(0), Fraction(10, 8000))
    assert found is not None
    assert found[0][20:22] == b"\7\0"
    assert b"fact\4\0\0\0\x0a\0\0\0data\x0a\0\0\0" in found[0]
    assert found[1].nbytes == 10


@pytest.mark.parametrize(
    "head",
    [b"", b"ID3", b"RIFF", b"RIFF\0\0\0\0WAVE", pcm(10)[:20], pcm(10).replace(b"\1\0\1\0", b"\2\0\1\0", 1),
     pcm(10).replace(b"data", b"tada"), pcm(10)[:20] + b"\0" * 16 + pcm(10)[36:]],
)  # fmt: skip
def test_no_wav(head: bytes) -> None:
    """MP3s, broken heads, other codecs, and forms that make no sense are none."""
    assert parse_head(head, total_nbytes=1000) is None


@given(st.binary(max_size=200), st.integers(0, 2**40))
def test_total(raw: bytes, total: int) -> None:
    """Any bytes are a layout within the file, or none."""
    for head in (raw, b"RIFF\0\0\0\0WAVE" + raw, pcm(1)[:36] + raw):
        layout = parse_head(head, total_nbytes=total)
        assert layout is None or layout.samples.stop <= max(total, layout.samples.start)
