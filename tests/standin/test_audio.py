"""The sounds: real, random access, no two pages alike, fast."""

import io
import itertools
import json
import subprocess
import time
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.standin.account import Account
from cffs.standin.audio import Content, Mp3Content, WavContent, mp3_nbytes, wav_nbytes
from cffs.standin.media_files import EXTENSIONS, media_content

PAGE_NBYTES = 4096
SAMPLES: list[Content] = [
    WavContent(seed="s", total_nbytes=wav_nbytes(21.3)),
    WavContent(seed="s", total_nbytes=wav_nbytes(9, mulaw=True), mulaw=True),
    Mp3Content(seed="s", total_nbytes=mp3_nbytes(40)),
    Mp3Content(seed="s", total_nbytes=mp3_nbytes(40, id3_nbytes=211)),
    Mp3Content(seed="s", total_nbytes=100_000),
]


@given(st.sampled_from(SAMPLES), st.integers(0, 400_000), st.integers(0, 150_000))
def test_any_slice_is_a_slice_of_the_whole(content: Content, offset: int, nbytes: int) -> None:
    """Random access equals slicing the whole."""
    assert content.read(offset, nbytes) == content.read(0, content.total_nbytes)[offset : offset + nbytes]


@pytest.mark.parametrize("content", SAMPLES, ids=repr)
def test_ffmpeg_decodes_in_silence(content: Content, tmp_path: Path) -> None:
    """A strict decoder reports nothing about any form."""
    assert decode(content.read(0, content.total_nbytes), tmp_path) == ""


def decode(data: bytes, folder: Path) -> str:
    """The messages of ffmpeg while it decodes everything."""
    path = folder / "sound"
    path.write_bytes(data)
    command = ["ffmpeg", "-xerror", "-v", "error", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_recordings_of_an_account_decode_in_silence(tmp_path: Path) -> None:
    """Both forms of several recordings and dynamic files are what they claim to be."""
    account = Account(seed=3, calls=12, dynamic=2)
    for path in account.paths():
        if "/media/" in path:
            continue
        found = account.object_for(path)
        assert found is not None
        assert decode(found.read(), tmp_path) == "", path


def test_python_reads_the_wav() -> None:
    """The reader of the standard library sees 8 kHz, mono, 16 bit and the duration."""
    with wave.open(io.BytesIO(SAMPLES[0].read(0, 1 << 30))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 1, 2)
        assert sound.getnframes() == round(21.3 * 8000)


def test_no_two_pages_are_alike() -> None:
    """Every page of every object of an account, of every version, differs from every other page."""
    account = Account(seed=5, calls=12, recordings_per_call=2)
    seen: dict[bytes, tuple[str, int]] = {}
    for version in range(2):
        for path in account.paths():
            found = account.object_for(path)
            assert found is not None
            body = found.read()
            for at in range(0, len(body), PAGE_NBYTES):
                page = body[at : at + PAGE_NBYTES]
                assert page not in seen, (path, version, at, seen[page])
                seen[page] = path, at
        for key in {path for path in account.paths() if "/files/recording/" not in path or "/dynamic/" in path}:
            if not key.endswith("/mp3"):
                account.replace_object(key)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_each_media_type_is_recognised(extension: str, tmp_path: Path) -> None:
    """ffprobe finds a stream in each of the eight types, and ffmpeg decodes it in silence."""
    content = media_content(extension, seed="m", filler_nbytes=70_000)
    body = content.read(0, content.total_nbytes)
    assert len(body) >= 70_000
    assert decode(body, tmp_path) == ""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(tmp_path / "sound")]
    streams = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["streams"]
    assert streams[0]["codec_type"] == ("audio" if extension in ("m4a", "mp3", "wav") else "video")


def test_wav_is_computed_fast() -> None:
    """100 MB of WAV take well under a second (measured: 600 MB/s; a fifth of that is required)."""
    content = WavContent(seed="fast", total_nbytes=100_000_000)
    started_at = time.process_time()
    for offset in itertools.count(0, 1 << 18):
        if not content.read(offset, 1 << 18):
            break
    assert time.process_time() - started_at < 1.0
