"""Reading a folder in order on a real mount: the next files come early, each once."""

import collections
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, Mounted, account_variables, mounted
from tests.mount.test_reading import true_bytes

FILES = 200
#: As many files as show, read in no order, what one costs that was not prefetched.
ALONE = 10
#: Far more than a busy machine's work for a file.
LATENCY_SECONDS = 0.2


def seconds_of(said, home: Path, act: Callable[[Mounted, Path], None], check: Callable[[StandinThread, Mounted], None]):
    """How long `act` takes on a folder that was listed, with the latency of a distant service."""
    home.mkdir()
    with (
        StandinThread(Account(seed=5, calls=FILES), credentials=CANARIES) as standin,
        mounted(said, home, account_variables(standin)) as mount,
    ):
        folder = mount.path / "recordings"
        os.listdir(folder)
        standin.link.latency_seconds = LATENCY_SECONDS
        standin.log.clear()
        began_at = time.monotonic()
        act(mount, folder)
        seconds = time.monotonic() - began_at
        standin.link.latency_seconds = 0
        check(standin, mount)
        return seconds


def test_copying_a_folder(said, home):
    """`cp -r` of 200 files at 200 ms takes less than a fifth of one after another, requests each file once, and every
    byte is right; files read in no order cause no prefetch."""
    copy = home / "ordered/copy"

    def copying(_mount: Mounted, folder: Path) -> None:
        subprocess.run(["cp", "-r", folder, copy], check=True)

    def copied_right(standin: StandinThread, mount: Mounted) -> None:
        files = sorted(path for path in copy.iterdir() if path.suffix != ".json")
        assert len(files) == FILES
        for path in files:
            assert path.read_bytes() == true_bytes(standin, mount.path, mount.path / "recordings" / path.name)
        asked = collections.Counter(line.path for line in standin.requests if "/recordings/" in line.path)
        assert (len(asked), max(asked.values())) == (FILES, 1)

    def alone(_mount: Mounted, folder: Path) -> None:
        names = sorted(name for name in os.listdir(folder) if not name.endswith(".json"))
        for number in range(ALONE):
            (folder / names[number * 37 % FILES]).read_bytes()

    def nothing_brought(standin: StandinThread, _mount: Mounted) -> None:
        assert len([line for line in standin.requests if "/recordings/" in line.path]) == ALONE

    seconds = seconds_of(said, home / "ordered", copying, copied_right)
    alone_seconds = seconds_of(said, home / "alone", alone, nothing_brought)
    assert seconds < alone_seconds * FILES / ALONE / 5, (seconds, alone_seconds)
