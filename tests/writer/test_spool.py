"""The spool: private files, found again by the next mount."""

import os
import stat

import pytest

from cffs.core.errors import SpoolFailed
from cffs.writer.spool import SENDING, SENT, Spool


def test_files_are_private_whatever_the_umask(tmp_path):
    """A spool file is 0600 in a folder of 0700, under the name that was written."""
    before = os.umask(0)
    try:
        file = Spool(tmp_path).make("tune.wav")
    finally:
        os.umask(before)
    (path,) = tmp_path.glob("*/tune.wav")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_bytes_in_any_order(tmp_path):
    """What is written at an offset is read there, holes are zeros, and the length is that of the farthest byte."""
    file = Spool(tmp_path).make("tune.wav")
    assert file.write(10, b"later") == 5
    assert file.write(0, b"first") == 5
    assert (file.nbytes, file.read(0, 100)) == (15, b"first" + bytes(5) + b"later")
    file.truncate(3)
    assert (file.nbytes, file.read(0, 100)) == (3, b"fir")
    file.sync()
    file.discard()


def test_what_a_dead_mount_left(tmp_path):
    """The next spool reports what was not sent, by its last name, and whether it may have arrived. What arrived, and
    what is empty, is removed; new files do not meet old ones."""
    first = Spool(tmp_path)
    files = {name: first.make(name) for name in ("unsent.part", "cut.wav", "arrived.wav", "empty.wav")}
    for name, file in files.items():
        if name != "empty.wav":
            file.write(0, b"bytes")
    files["unsent.part"].rename("unsent.wav")
    files["cut.wav"].mark(SENDING)
    files["arrived.wav"].mark(SENDING)
    files["arrived.wav"].mark(SENT)
    (tmp_path / "a stranger").write_bytes(b"")
    again = Spool(tmp_path)
    found = {left.path.name: (left.nbytes, left.may_have_arrived) for left in again.leftovers()}
    assert found == {"unsent.wav": (5, False), "cut.wav": (5, True)}
    again.make("unsent.wav")
    assert len(list(tmp_path.glob("*/unsent.wav"))) == 2


def test_the_disk_refuses(tmp_path):
    """What the disk refuses to make is SpoolFailed, and leaves nothing behind."""
    spool = Spool(tmp_path)
    with pytest.raises(SpoolFailed):
        spool.make("n" * 300)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SpoolFailed):
        Spool(tmp_path / "nowhere").make("tune.wav")
