"""Reading a folder in order on a real mount: the next files come early, each once."""

import collections
import os
import subprocess
import time

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, account_variables, mounted
from tests.mount.test_reading import true_bytes

FILES = 200
LATENCY_SECONDS = 0.05


def test_copying_a_folder(said, home):
    """`cp -r` of 200 files at 50 ms takes less than a fifth of one after another, asks for each file once, and every
    byte is right."""
    with StandinThread(Account(seed=5, calls=FILES), credentials=CANARIES) as standin:
        with mounted(said, home, account_variables(standin)) as mount:
            folder = mount.path / "recordings"
            os.listdir(folder)
            standin.link.latency_seconds = LATENCY_SECONDS
            standin.log.clear()
            began_at = time.monotonic()
            subprocess.run(["cp", "-r", folder, home / "copy"], check=True)
            seconds = time.monotonic() - began_at
            standin.link.latency_seconds = 0
            copied = sorted(path for path in (home / "copy").iterdir() if path.suffix != ".json")
            assert len(copied) >= FILES
            for path in copied:
                assert path.read_bytes() == true_bytes(standin, mount.path, folder / path.name)
            asked = collections.Counter(line.path for line in standin.requests if "/recordings/" in line.path)
            assert max(asked.values()) == 1
            assert len(asked) == len(copied)
            assert seconds < len(copied) * LATENCY_SECONDS / 5, seconds
            assert mount.status()["prefetch"]["wasted_bytes"] == 0
