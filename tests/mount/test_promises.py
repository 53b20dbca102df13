"""Unlisted names on a real mount: answered at once, and true for programs."""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, WATCHDOG_SECONDS, Mounted, account_variables, contention, mounted

#: So many that what waits for the service stands out from what does not.
LATENCY_SECONDS = 0.1


@contextmanager
def served(said, home, *options: str, **which: bool) -> Iterator[tuple[StandinThread, Mounted]]:
    """A stand-in and its mount."""
    with (
        StandinThread(Account(seed=11, calls=40, media=4, dynamic=4), credentials=CANARIES) as standin,
        mounted(said, home, account_variables(standin, owner=False, **which), *options) as mount,
    ):
        yield standin, mount


def told(*command: object) -> tuple[int, str]:
    """The exit status of a program, and its error."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, timeout=WATCHDOG_SECONDS, env={**os.environ, "LC_ALL": "C"}
    )
    return done.returncode, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("options", [(), ("--writable",)], ids=["modes checked", "modes not checked"])
@pytest.mark.parametrize("which", [{}, {"v2": False}, {"v1": False}], ids=["both", "v1", "v2"])
def test_programs_see_no_difference(said, home, which, options):
    """Programs report a name that the service denies as they do any missing file, in every position of a path."""
    with served(said, home, *options, **which) as (standin, mount):
        form = "wav" if which.get("v2", True) is False else "mp3"
        missing = [mount.path / f"recordings/99{number}.{form}" for number in range(8)]
        for command, status in (
            (("cat", missing[0]), 1),
            (("stat", missing[1]), 1),
            (("ls", missing[2]), 2),
            (("ls", "-l", missing[3]), 2),
            (("cp", missing[4], home / "copy"), 1),
            (("head", "-c", "1", missing[5]), 1),
        ):
            found, said_so = told(*command)
            assert (found, "No such file or directory" in said_so) == (status, True), (command, said_so)
        assert told("test", "-e", missing[6])[0] == 1
        assert not os.access(missing[7], os.R_OK)
        with pytest.raises(FileNotFoundError):
            os.open(mount.path / f"recordings/98.{form}", os.O_RDONLY)
        if which.get("v2", True):
            assert told("ls", mount.path / "campaigns/5/99")[0] == 2
            assert told("cat", mount.path / "campaigns/5/99/88.mp3")[0] == 1
            assert told("cat", mount.path / "calls/99/call.json")[0] == 1
        assert os.listdir(mount.path / "recordings") == [] or standin.requests


def test_a_missing_name_that_is_created_is_refused_as_ever(said, home):
    """A program that finds a file missing and then creates it gets a read-only file system."""
    with served(said, home) as (_standin, mount):
        status, said_so = told("cp", "/etc/hostname", mount.path / "recordings/990.mp3")
        assert (status, "Read-only file system" in said_so) == (1, True), said_so


@pytest.mark.parametrize("create", ["mkdir", "O_EXCL", "symlink", "link", "mknod"])
def test_exclusive_creation_of_an_unknown_name(said, home, create):
    """It is EEXIST as long as nothing is known of the name, and EROFS once the service has denied it. A name that is
    not well-formed is EROFS at once."""
    with served(said, home) as (_standin, mount):
        creations = {
            "mkdir": os.mkdir,
            "O_EXCL": lambda path: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY),
            "symlink": lambda path: os.symlink("elsewhere", path),
            "link": lambda path: os.link(mount.path / "README.txt", path),
            "mknod": os.mknod,
        }
        for name, seen in (("991.mp3", {errno.EEXIST, errno.EROFS}), ("nonsense", {errno.EROFS})):
            with pytest.raises(OSError) as refused:
                creations[create](mount.path / "recordings" / name)
            assert refused.value.errno in seen, name
        assert not os.path.lexists(mount.path / "recordings/991.mp3")
        with pytest.raises(OSError) as refused:
            creations[create](mount.path / "recordings/991.mp3")
        assert refused.value.errno == errno.EROFS


@pytest.mark.parametrize("kind", ["stat", "open"])
def test_names_of_one_folder_are_asked_side_by_side(said, home, kind):
    """Sixteen programs that ask forty names of one folder wait for some three answers, not for forty."""
    with served(said, home) as (standin, mount):
        account = standin.account
        ids = [number for call in account.call_ids() for number in account.recording_ids(call)][:40]
        paths = [mount.path / f"recordings/{number}.wav" for number in ids]
        standin.link.latency_seconds = LATENCY_SECONDS

        def ask(path) -> int:
            if kind == "stat":
                return path.stat().st_size
            with open(path, "rb") as file:
                return len(file.read(1))

        started = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, paths))
        assert time.monotonic() - started < 5 * 4 * LATENCY_SECONDS * contention()


@pytest.mark.parametrize("options", [(), ("--writable",)], ids=["modes checked", "modes not checked"])
@pytest.mark.parametrize("kind", ["files", "folders"])
def test_what_hangs_delays_no_other(said, home, kind, options):
    """While a hundred files, or a hundred folders of calls, hang beside it, another is looked up, proven and read."""
    with served(said, home, "--timeout", "16", *options) as (standin, mount):
        account = standin.account
        calls = [c for c in account.call_ids() if account.call_row(c)["campaignId"] and account.recording_ids(c)]
        row = account.call_row(calls[0])
        if kind == "files":
            healthy = mount.path / f"recordings/{account.recording_ids(calls[0])[0]}.mp3"
            hanging = [f"recordings/{number}.mp3" for number in range(700, 800)]
            standin.faults.add("hang", path=r"recordings/7\d\d([.]mp3)?$")
        else:
            healthy = mount.path / f"campaigns/{row['campaignId']}/{calls[0]}/{account.recording_ids(calls[0])[0]}.wav"
            hanging = [f"campaigns/{row['campaignId']}/{number}" for number in range(700, 800)]
            standin.faults.add("hang", path=r"/7\d\d$")
        asking = [subprocess.Popen(["stat", mount.path / path], stderr=subprocess.DEVNULL) for path in hanging]
        try:
            time.sleep(0.3)
            started = time.monotonic()
            assert healthy.read_bytes()
            # a second after which what hangs counts no longer, and its own requests
            assert time.monotonic() - started < 2 + 4 * contention()
            assert sum(one.poll() is None for one in asking) > len(asking) * 0.9
        finally:
            standin.faults.clear()
            for one in asking:
                one.kill()
            for one in asking:
                one.wait()


def test_tools_that_walk_meet_no_promise(said, home):
    """`find`, `ls -R` and `rsync` over folders of which names were looked up, denied or not, see what is listed."""
    with served(said, home) as (standin, mount):
        account = standin.account
        number = account.recording_ids(next(c for c in account.call_ids() if account.recording_ids(c)))[0]
        for name in ("88.mp3", "88.wav", "88.json", "88@0-1.wav", f"{number}.mp3"):
            told("stat", mount.path / "recordings" / name)
        told("ls", mount.path / "calls/88")
        done = subprocess.run(
            ["find", mount.path / "recordings", mount.path / "calls"], capture_output=True, timeout=WATCHDOG_SECONDS
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"/88" not in done.stdout
        assert f"/{number}.mp3".encode() in done.stdout
        copied = told("cp", "-r", mount.path / "recordings", home / "copied")
        assert copied == (0, "")
        assert not [name for name in os.listdir(home / "copied") if name.startswith("88")]
        if shutil.which("rsync"):
            assert told("rsync", "-a", f"{mount.path}/recordings/", home / "synced") == (0, "")
            assert sorted(os.listdir(home / "synced")) == sorted(os.listdir(home / "copied"))
