"""Thumbnailers and indexers: known by name, held to the head where asked."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cffs.daemon.thumbnailers import HEAD_NBYTES
from tests.mount.mounting import account_variables, mounted

#: A program that reads as a thumbnailer would, under a thumbnailer's name, and prints what it got.
PROGRAM = """
import ctypes, errno, os, sys
ctypes.CDLL(None).prctl(15, b"tumblerd", 0, 0, 0)
file = os.open(sys.argv[1], os.O_RDONLY)
head = os.pread(file, 1 << 20, 0)
try:
    beyond = os.pread(file, 10, 131072)
except OSError as error:
    beyond = errno.errorcode[error.errno]
print(len(head), beyond if isinstance(beyond, str) else len(beyond))
"""


def as_thumbnailer(file: Path) -> list[str]:
    """What the program above prints about a file."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def longest(folder: Path) -> Path:
    """The largest WAV in a folder of recordings."""
    found = [folder / name for name in os.listdir(folder) if name.endswith((".wav", ".mp3"))]
    return max(found, key=lambda file: file.stat().st_size)


def test_head_holds_thumbnailers_and_nobody_else(said, home, standin):
    """With `head`, one named tumblerd reads 128 KiB and gets EACCES beyond; a player reads all, before and after."""
    with mounted(said, home, account_variables(standin), "--thumbnailers", "head") as mount:
        file = longest(mount.path / "recordings")
        total = file.stat().st_size
        assert total > HEAD_NBYTES + 10
        assert as_thumbnailer(file) == [str(HEAD_NBYTES), errno.errorcode[errno.EACCES]]
        assert len(file.read_bytes()) == total
        assert as_thumbnailer(file) == [str(HEAD_NBYTES), errno.errorcode[errno.EACCES]]
        assert len(file.read_bytes()) == total


def test_allow_is_the_default(said, home, standin):
    """Without the option a thumbnailer reads as any program does."""
    with mounted(said, home, account_variables(standin)) as mount:
        file = longest(mount.path / "recordings")
        assert as_thumbnailer(file)[1] == "10"


@pytest.mark.skipif(shutil.which("gio") is None, reason="no gio on this machine")
def test_gio_lists_for_nothing(said, home, standin):
    """`gio list` with sizes and types of a folder of recordings reads not one byte of audio."""
    with mounted(said, home, account_variables(standin)) as mount:
        os.listdir(mount.path / "recordings")
        standin.log.clear()
        done = subprocess.run(
            ["gio", "list", "-l", "-a", "standard::size,standard::fast-content-type", str(mount.path / "recordings")],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) == len(os.listdir(mount.path / "recordings"))
        assert [request for request in standin.requests if request.range is not None] == []
