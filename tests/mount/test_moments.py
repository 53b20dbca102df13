"""Clips on a real mount, as Python's reader and ffmpeg decode them."""

import errno
import os
import shutil
import subprocess
import wave
from pathlib import Path

import pytest

from cffs.standin.generated_rows import is_mulaw
from tests.core.test_wav import chunks_of, form, wav
from tests.mount.mounting import account_variables, mounted

FFMPEG = shutil.which("ffmpeg")
TONE = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(440*2*PI*t)+0.2*sin(1234*t*t):s=8000:d=6")
#: Codecs that ffmpeg writes, and whether a cut decodes to the very samples (GSM 6.10 depends on those before).
CODECS = {
    "pcm_s16le": True,
    "pcm_s24le": True,
    "pcm_f32le": True,
    "pcm_alaw": True,
    "pcm_mulaw -ac 2": True,
    "pcm_s16le -ac 6": True,
    "pcm_s16le -rf64 always": True,
    "adpcm_ima_wav": True,
    "adpcm_ima_wav -ac 2": True,
    "adpcm_ms": True,
    "libgsm_ms": False,
}


def decoded(path: Path) -> bytes:
    """The samples of the first channel."""
    command = [FFMPEG, "-v", "error", "-i", path, "-af", "pan=mono|c0=c0", "-f", "s16le", "-c:a", "pcm_s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_moments_play(said, home, standin):
    """A clip equals that cut of the whole file, sample for sample: by Python's reader, and through ffmpeg where it is
    installed, for PCM and mu-law."""
    call = standin.account.call_ids()[0]
    idents = {}
    while len(idents) < 2:
        ident = standin.account.add_recording(call, seconds=90, name=f"n{len(idents)}")
        idents.setdefault(is_mulaw(ident), ident)
    with mounted(said, home, account_variables(standin)) as mount:
        folder = mount.path / "recordings"
        with wave.open(str(folder / f"{idents[False]}.wav")) as whole:
            with wave.open(str(folder / f"{idents[False]}@60.5-62.wav")) as part:
                whole.setpos(int(60.5 * whole.getframerate()))
                frames = part.getnframes()
                assert frames == int(1.5 * part.getframerate())
                assert part.readframes(frames) == whole.readframes(frames)
        ffmpeg = shutil.which("ffmpeg")
        for ident in idents.values() if ffmpeg else ():
            decoded = [
                subprocess.run(
                    [ffmpeg, "-v", "error", "-i", folder / name, "-f", "s16le", "-"], capture_output=True, check=True
                ).stdout
                for name in (f"{ident}.wav", f"{ident}@60.5-62.wav")
            ]
            assert decoded[0][int(60.5 * 8000) * 2 : 62 * 8000 * 2] == decoded[1]
        assert (folder / f"{idents[False]}@1-2.wav").stat().st_size == 16_044
        assert not (folder / f"{idents[False]}@100-200.wav").exists()


def test_codecs(said, home, standin):
    """A clip of each codec that telephone systems use has the samples of those seconds, as far as its blocks allow
    (ffmpeg, where it is installed, makes and decodes them); one that cannot be cut is EIO, and the log names its
    codec."""
    call, files = standin.account.call_ids()[0], {}
    made = {
        "A-law": wav(form(6, block=1, bits=8), bytes(i * 37 % 251 for i in range(48_000))),
        "G.729": wav(form(0x83, block=10, bits=0), bytes(range(250)) * 10),
    }
    for codec in CODECS if FFMPEG else ():
        subprocess.run([FFMPEG, "-v", "error", "-y", *TONE, "-c:a", *codec.split(), home / "made.wav"], check=True)
        made[codec] = (home / "made.wav").read_bytes()
    for name, data in made.items():
        ident = standin.account.add_recording(call, seconds=6, name=name)
        files[name] = f"recordings/{standin.account.v1_file_id(ident)}"
        standin.account.replace_object(f"/cloud/1/files/{files[name].replace('recordings', 'recording')}", data=data)
    with mounted(said, home, account_variables(standin)) as mount:
        part = (mount.path / f"{files['A-law']}@1.5-3.wav").read_bytes()
        assert chunks_of(part)[b"data"] == chunks_of(made["A-law"])[b"data"][12_000:24_000]
        for codec, is_exact in CODECS.items() if FFMPEG else ():
            name = mount.path / files[codec]
            part, whole = decoded(Path(f"{name}@1.5-3.wav")), decoded(Path(f"{name}.wav"))
            assert 24_000 <= len(part) <= 24_000 + 2 * 2 * 2041, codec
            if is_exact:
                assert part in whole, codec
                assert whole[24_000:48_000] in part, codec
        for operation in (os.stat, Path.read_bytes):
            with pytest.raises(OSError) as raised:
                operation(mount.path / f"{files['G.729']}@1-2.wav")
            assert raised.value.errno == errno.EIO
        assert "G.729" in mount.log()
