"""Thumbnailers and indexers: known by name, held to the head."""

import errno
import os
from pathlib import Path

import pytest

from cffs.core.errors import AccessRefused
from cffs.daemon import thumbnailers
from cffs.daemon.thumbnailers import HEAD_NBYTES, HeadForThumbnailers, is_thumbnailer
from cffs.fuse.errnos import errno_of
from cffs.standin.account import Account
from cffs.standin.server import Standin
from tests.fuse.kernel import CONTEXT
from tests.fuse.kernelless_mount import built, settings_of


def fake_proc(folder: Path, thread: str, process: str) -> Path:
    """A /proc with one thread, 12, of process 10."""
    for number, name in ((12, thread), (10, process)):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "comm").write_text(f"{name}\n")
        (folder / str(number) / "status").write_text(f"Name:\t{name}\nTgid:\t10\nPid:\t{number}\n")
    return folder


@pytest.mark.parametrize(
    ("thread", "process", "expected"),
    [
        ("pool-tumblerd", "tumblerd", True),
        ("pool-5", "tumblerd", True),
        ("ffmpegthumbnail", "ffmpegthumbnail", True),
        ("loader", "pcmanfm", True),
        ("pcmanfm", "pcmanfm", False),
        ("loader", "mpv", False),
        ("thunar", "thunar", False),
        ("cat", "cat", False),
    ],
)
def test_callers_are_known_by_name(tmp_path, thread, process, expected):
    """The name of the thread or of its process marks a thumbnailer; a process that cannot be seen is none."""
    assert is_thumbnailer(12, proc=fake_proc(tmp_path, thread, process)) is expected
    assert not is_thumbnailer(13, proc=tmp_path)


async def test_the_head_and_no_more(tmp_path: Path, monkeypatch):
    """A thumbnailer's reads end with the head, and beyond it they are EACCES, from memory or not. Its handle is direct,
    and another program's reads of the file are whole."""
    account = Account(seed=5, calls=4)
    number = account.recording_ids(account.call_ids()[0])[0]
    account.resize_recording(number, form="wav", total_nbytes=3 * HEAD_NBYTES)
    async with Standin(account) as standin, built(standin, settings_of(standin, tmp_path), tmp_path, 10.0) as mount:
        operations = HeadForThumbnailers(mount.handlers, mount.handles)
        inode = await mount.kernel.inode(f"recordings/{number}.wav")
        monkeypatch.setattr(thumbnailers, "is_thumbnailer", lambda _thread: True)
        drawing = await operations.open(inode, os.O_RDONLY, CONTEXT)
        monkeypatch.setattr(thumbnailers, "is_thumbnailer", lambda _thread: False)
        playing = await operations.open(inode, os.O_RDONLY, CONTEXT)
        assert (drawing.direct_io, playing.direct_io) == (True, False)
        for _ in range(2):  # the second time from memory
            assert len(await operations.read(drawing.fh, HEAD_NBYTES - 10, 4096)) == 10
            assert len(await operations.read(playing.fh, HEAD_NBYTES - 10, 4096)) == 4096
        found = operations.try_read(drawing.fh, HEAD_NBYTES - 10, 4096)
        assert found is not None
        assert len(found) == 10
        with pytest.raises(AccessRefused) as refused:
            await operations.read(drawing.fh, HEAD_NBYTES, 1)
        assert errno_of(refused.value) == errno.EACCES
        with pytest.raises(AccessRefused):
            operations.try_read(drawing.fh, HEAD_NBYTES, 1)
        await operations.release(drawing.fh)
        assert not operations._head_only
        await operations.release(playing.fh)
