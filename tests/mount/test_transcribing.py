"""The walk from recordings to words: transcribed, found, played, exported."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import bagit
import pytest
import soundfile

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES
from tests.mount.mounting import account_variables, environment, mounted, run
from tests.mount.recogniser import words

RECOGNISER = Path(__file__).with_name("recogniser.py")
SAID = ("hello. i want a refund please.", "hello. call me back tomorrow. thank you.")


def spoken(text: str, form: str) -> bytes:
    """Speech of a synthesizer, as an MP3 or a WAV file."""
    made = subprocess.run(["espeak-ng", "--stdout", "-v", "en-us+f3", "-s", "150", text], capture_output=True)
    command = ["ffmpeg", "-v", "error", "-i", "-", "-ar", "16000", "-f", form, "-"]
    return subprocess.run(command, input=made.stdout, capture_output=True, check=True).stdout


@pytest.fixture
def shop():
    """An account of calls of just now in which something is said."""
    account = Account(seed=11, calls=0)
    for text in SAID:
        call = account.add_call(recordings=1, seconds=3, created_ms=time.time_ns() // 10**6)
        (ident,) = account.recording_ids(call)
        account.set_audio(ident, mp3=spoken(text, "mp3"), wav=spoken(text, "wav"))
    with StandinThread(account, credentials=CANARIES) as running:
        yield running


def test_transcribe_find_play_export(said, home, shop):
    """A loop over what has no note yet writes subtitles beside the recordings, a search finds a word and plays its
    place, an export is a valid bag, and the service is asked for nothing but the audio, each file once."""
    variables = account_variables(shop)
    with mounted(said, home, variables, "--notes", str(home / "notes")) as mount:
        idents = [name.removesuffix(".mp3") for name in os.listdir(mount.path / "recordings") if name.endswith(".mp3")]
        assert len(idents) == len(SAID)
        day = time.strftime("%Y-01-01")
        folder = f"search/note=none&after={day}"
        shop.log.clear()
        loop = f'for f in "$1"/*.mp3; do {sys.executable} -P {RECOGNISER} "$f"; done'
        done = subprocess.run(
            ["sh", "-ec", loop, "sh", mount.path / folder], env=environment(home, {}), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert [name for name in os.listdir(mount.path / folder) if not name.startswith("index.")] == []
        found = run(
            said, home, "search", '"want a refund"', "--after", day, "--mount", mount.path, "--json", **variables
        )
        (hit,) = map(json.loads, found.stdout.splitlines())
        assert (hit["note"].rpartition(".")[2], hit["text"]) == ("srt", "want a refund")
        assert 0 < hit["start"] < hit["stop"] < soundfile.info(hit["recording"]).duration
        assert [word for word, _start, _stop in words(Path(hit["play"]))][-3:] == ["want", "a", "refund"]
        bag = home / "bag"
        done = run(said, home, "export", "note=srt", bag, "--mount", mount.path, **variables)
        assert done.returncode == 0, done.stderr
        assert bagit.Bag(str(bag)).validate()
        assert len(list(bag.glob("data/*.srt"))) == len(list(bag.glob("data/*.mp3"))) == len(SAID)
        asked = Counter(record.path.rpartition("/")[2] for record in shop.log.snapshot())
        clipped = str(hit["id"])
        assert asked.keys() == {clipped, *(f"{ident}.mp3" for ident in idents)}
        assert {asked.pop(clipped) <= 2, *(count == 1 for count in asked.values())} == {True}
