"""A file's descriptors in /proc, of this process and of its children."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cffs.writer.open_descriptors import find_writers, process_of


def asked(path: Path, inode: int, *writers: int, proc: Path = Path("/proc")):
    """The state of the file at that path."""
    return find_writers(os.fsencode(path.name), inode, writers, proc=proc)


def test_a_descriptor_that_writes_is_seen(tmp_path):
    """A file is open while any process can write it, and no longer once the last descriptor is closed. A process that
    only reads does not count, nor does a file of the same name elsewhere."""
    path = tmp_path / "a very own name.wav"
    first = os.open(path, os.O_WRONLY | os.O_CREAT)
    inode = os.fstat(first).st_ino
    second = os.dup(first)
    assert asked(path, inode).is_open
    assert not asked(path, inode + 1).is_open
    os.close(first)
    assert asked(path, inode).is_open
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=second)
    os.close(second)
    assert asked(path, inode).is_open
    child.communicate(b"\n")
    with open(path, "rb"):
        assert not asked(path, inode).is_open


def test_a_name_that_is_no_text(tmp_path):
    """Names are bytes; a file that was removed meanwhile is still that file."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff (deleted) \n.wav"))
    with open(path, "wb") as file:
        inode = os.fstat(file.fileno()).st_ino
        assert asked(path, inode).is_open
        os.unlink(path)
        assert asked(path, inode).is_open


def test_what_cannot_be_seen_is_not_there(tmp_path):
    """Processes that end while they are looked at, or are another user's, count as not having the file."""
    for name in ("1", "2", "self", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "1/fd").mkdir()
    (tmp_path / "1/fd/0").symlink_to("/x/tune.wav")
    (tmp_path / "2/stat").write_text("2 (a) b) Z\n")
    seen = find_writers(b"tune.wav", 7, [1, 2, 3], proc=tmp_path)
    assert (seen.is_open, seen.was_killed) == (False, False)


def made_up(proc: Path, pid: int, *, state: str = "D", parent: int = 1, flags: int) -> None:
    """A process as /proc/PID/stat shows it, with a name that is a trap."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} (x) Z 1 (y) {state} {parent} 1 1 0 -1 {flags} 0 0\n")


def test_who_was_killed(tmp_path):
    """A writer that a signal ends was killed, whatever its state; so was one whose child a signal ends, unless that
    child ended earlier. An ordinary end is no kill, and other processes do not count."""
    killed, ending = 0x400 | 0x4 | 0x400000, 0x4
    made_up(tmp_path, 10, flags=killed, state="Z")
    made_up(tmp_path, 20, flags=ending)
    made_up(tmp_path, 31, flags=killed, parent=30)
    made_up(tmp_path, 41, flags=killed, parent=40, state="Z")
    for writer, expected in ((10, True), (20, False), (30, True), (40, False), (50, False)):
        assert find_writers(b"x", 1, [writer], proc=tmp_path).was_killed is expected, writer


def test_a_kill_in_the_real_proc():
    """A process that a signal ended keeps the marks until it is waited for."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not find_writers(b"x", 1, [child.pid]).was_killed
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert find_writers(b"x", 1, [child.pid]).was_killed
    child.communicate()


def test_the_process_of_a_thread():
    """A thread's number leads to its process; the number of a thread that is gone stays as it is."""
    assert process_of(os.getpid()) == os.getpid()
    assert process_of(2**22 + 1) == 2**22 + 1
