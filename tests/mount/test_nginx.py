"""A foreign server: Debian's nginx with recorded speech below v1's paths."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mount.mounting import RIGHT_ORIGIN, WATCHDOG_SECONDS, mounted
from tests.mount.nginx import free_port, serving

SENTENCES = ("Thank you for calling, all our agents are busy.", "Please leave a message after the tone. " * 12)
DYNAMIC = "0123456789abcdef0123456789abcdef/2026/8/4490010003"


@dataclass(frozen=True)
class Site:
    """nginx on a loopback port, and the folder that it serves as v1's base."""

    url: str
    root: Path
    requests: Path


def speak(text: str, wav: Path) -> None:
    """A recording as a phone platform makes it: espeak-ng's voice through ffmpeg, 8 kHz mono, its usual header."""
    raw = wav.with_suffix(".raw.wav")
    subprocess.run(["espeak-ng", "-w", str(raw), text], check=True, timeout=WATCHDOG_SECONDS)
    convert = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(raw), "-ar", "8000", "-ac", "1", str(wav)]
    subprocess.run(convert, check=True, timeout=WATCHDOG_SECONDS)
    raw.unlink()


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    """nginx serving two spoken recordings, a dynamic one and its MP3, and one call's list."""
    tmp_path = home / RIGHT_ORIGIN
    root = tmp_path / "site"
    recording = root / "files/recording"
    (recording / "list/5").mkdir(parents=True)
    (recording / "dynamic" / DYNAMIC).mkdir(parents=True)
    for number, text in enumerate(SENTENCES, start=88):
        speak(text, tmp_path / "spoken.wav")
        (tmp_path / "spoken.wav").rename(recording / str(number))
    speak("This was made during the call.", tmp_path / "made.wav")
    as_mp3 = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(tmp_path / "made.wav"), str(tmp_path / "made.mp3")]
    subprocess.run(as_mp3, check=True, timeout=WATCHDOG_SECONDS)
    (tmp_path / "made.wav").rename(recording / "dynamic" / DYNAMIC / "cid_5551234567_1.wav")
    port = free_port()
    url = f"http://127.0.0.1:{port}/cloud/1"
    listed = "".join(f"<recording>{url}/files/recording/{number}</recording>" for number in (88, 89))
    (recording / "list/5/7").write_text(
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<fileResponse><description>Recordings Fetched'
        f"</description><successful>true</successful><callid>7</callid><campaignid>5</campaignid>{listed}</fileResponse>"
    )
    locations = f"""
        location ~ ^/cloud/1/files/recording/dynamic/(.*)/mp3$ {{
            default_type audio/mp3; alias {tmp_path}/made.mp3;
        }}
        location ~ ^/cloud/1/files/recording/list/(.*)$ {{
            default_type application/xml; alias {recording}/list/$1;
        }}
        location /cloud/1/ {{ default_type audio/x-wav; alias {root}/; }}"""
    with serving(tmp_path, port, locations):
        yield Site(url, root, tmp_path / "access.log")


def test_real_speech_from_nginx(said, home, site):
    """Recordings of speech served by nginx list, read byte for byte, and decode silently: by call, by id, dynamic."""
    variables = {"CFFS_V1_URL": site.url, "CFFS_APIKEY": "CANARYKEYv1+/=&%"}
    recording = site.root / "files/recording"
    with mounted(said, home, variables) as mount:
        assert sorted(os.listdir(mount.path / "campaigns/5/7")) == ["88.wav", "89.wav", "call.json"]
        made = mount.path / "dynamic" / DYNAMIC / "cid_5551234567_1.wav"
        pairs = {
            mount.path / "campaigns/5/7/88.wav": recording / "88",
            mount.path / "recordings/89.wav": recording / "89",
            made: recording / "dynamic" / DYNAMIC / "cid_5551234567_1.wav",
            made.with_suffix(".mp3"): home / RIGHT_ORIGIN / "made.mp3",
        }
        for shown, served in pairs.items():
            assert shown.read_bytes() == served.read_bytes()
            assert shown.stat().st_size == served.stat().st_size
            done = subprocess.run(
                ["ffmpeg", "-nostdin", "-xerror", "-v", "error", "-i", str(shown), "-f", "null", "-"],
                capture_output=True,
                text=True,
                timeout=WATCHDOG_SECONDS,
            )
            assert (done.returncode, done.stderr) == (0, ""), shown
        assert not (mount.path / "recordings/90.wav").exists()
