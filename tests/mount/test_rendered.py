"""Rendered files through the kernel: mapped, each open a snapshot of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.mount.mounting import account_variables, mounted

#: A program that opens the file again at each line, maps it shared, and checks everything that it has open since the
#: start. It is a process of its own, because a page fault holds Python's lock.
HOLDER = """import mmap, os, sys
held = []
for _line in sys.stdin:
    file = os.open(sys.argv[1], os.O_RDONLY)
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    held.append((file, mapped, os.pread(file, 1 << 24, 0), os.fstat(file).st_ino))
    for file, mapped, body, inode in held:
        assert os.fstat(file).st_size == len(mapped) == len(body), (os.fstat(file).st_size, len(mapped), len(body))
        assert mapped[:] == body == os.pread(file, 1 << 24, 0)
        assert os.fstat(file).st_ino == inode
    shown = os.stat(sys.argv[1])
    assert (shown.st_size, shown.st_ino) == (len(body), inode), (shown, len(body), inode)
    print(len({body for _file, _mapped, body, _inode in held}), len({inode for *_rest, inode in held}), flush=True)
"""
#: A program that opens and maps it over and over; a snapshot is whole: it begins as it should and ends with a line.
LOOPER = """import mmap, os, sys, time
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    os.stat(sys.argv[1])
    with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        body = file.read()
        assert os.fstat(file.fileno()).st_size == len(body) == len(mapped)
        assert mapped[:] == body
        assert body.startswith(b"#") and body.endswith(b"\\n") and body.count(b"\\0") == 0
"""


def program(code: str, *arguments: object, **more: object) -> subprocess.Popen[str]:
    """Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)


def grow(standin, folder: Path, path: Path) -> None:
    """One recording more, once the playlist has it."""
    before = path.read_bytes()
    standin.account.add_call(recordings=1, seconds=7, created_ms=time.time_ns() // 10**6)
    deadline = time.monotonic() + 30
    while path.read_bytes() == before:
        assert time.monotonic() < deadline
        os.listdir(folder)
        time.sleep(0.05)


def test_each_open_is_a_snapshot(said, home, standin):
    """A playlist that is held open and mapped while the account grows stays as it was, to the byte and the size; each
    later open and stat has the present one, under an inode of its own; closed, it goes on under the last."""
    with mounted(said, home, account_variables(standin), "--dir-ttl", "0.1") as mount:
        folder = mount.path / "recordings"
        path = folder / "playlist.m3u8"
        os.listdir(folder)
        with program(HOLDER, path) as holder:
            for number in range(1, 5):
                grow(standin, folder, path)
                time.sleep(1.1)  # a name is believed for a second
                assert path.stat().st_size == len(path.read_bytes())
                print(file=holder.stdin, flush=True)
                assert holder.stdout.readline().split() == [str(number), str(number)]
            print(file=holder.stdin, flush=True)
            assert holder.stdout.readline().split() == ["4", "4"]  # the very same content is shared
            inode = path.stat().st_ino
            holder.stdin.close()
            assert holder.wait(30) == 0
        assert path.stat().st_ino == inode
        assert path.stat().st_size == len(path.read_bytes())


def test_many_openers_while_it_changes(said, home, standin):
    """Programs that stat, open, map and read a playlist and a manifest side by side while both change see whole
    snapshots only, and never an error."""
    with mounted(said, home, account_variables(standin), "--dir-ttl", "0.1") as mount:
        folder = mount.path / "recordings"
        os.listdir(folder)
        paths = [folder / "playlist.m3u8", folder / "MANIFEST.sha256"] * 3
        loopers = [program(LOOPER, path, 5, stderr=subprocess.PIPE) for path in paths]
        names = [name for name in os.listdir(folder) if name.endswith(".mp3")]
        while any(looper.poll() is None for looper in loopers):
            grow(standin, folder, folder / "playlist.m3u8")
            if names:
                (folder / names.pop()).read_bytes()  # one line more in the manifest
        for looper in loopers:
            _out, err = looper.communicate(timeout=60)
            assert (looper.returncode, err) == (0, "")
        assert "bug" not in mount.log()
