"""Faults of our folders: full, failing, gone, damaged, or another mount's.

The answer never changes, only the time.
"""

import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, Bench, is_gone, make_account, recordings, until
from tests.faults.conftest import MakeBench, with_shim
from tests.mount.mounting import Mounted, Said, account_variables, run

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs, which only root may; runs as root")


@pytest.fixture
def standin() -> Iterator[StandinThread]:
    """A service that outlives its mounts: an account's folders are named by its address."""
    with StandinThread(make_account(calls=20), credentials=CANARIES) as running:
        yield running


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    folder.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def block_files(home: Path) -> list[Path]:
    """The cache files of a mount with the default folders."""
    return [path for path in home.glob("cache/cffs/*/blocks/*/*") if path.is_file()]


def cold(path: Path) -> None:
    """Drop the file from the kernel's page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_killed_while_writing_the_cache(home: Path, make_bench: MakeBench, said: Said, standin: StandinThread):
    """Killed in the middle of the n-th write to a cache file, for several n: the next mount clears up, serves no torn
    block, and reads right, of the cache and of the service."""
    variables, shim = with_shim(home)
    told = {**account_variables(standin), "CFFS_TIMEOUT": "4", **variables}
    path, numbers = home / "mnt", recordings(standin.account)[:12]
    path.mkdir()
    for point in (1, 3, 8):
        shutil.rmtree(home / "cache/cffs", ignore_errors=True)
        assert run(said, home, "mount", path, **told).returncode == 0
        mount = Mounted(path, home, json.loads((path / ".cffs/status.json").read_bytes())["pid"])
        bench = Bench(standin, mount)
        (shim / "kill").write_text(f"pwrite {point}")
        seen = [bench.read(bench.target(number)) for number in numbers]
        assert any(one.errno is not None for one in seen)
        until(lambda pid=mount.pid: is_gone(pid))
        (shim / "kill").unlink()
        with pytest.raises(OSError) as raised:
            os.listdir(path)
        assert raised.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        with make_bench(home, standin=standin) as bench:
            for number in numbers:
                bench.succeeds(bench.target(number))
            bench.alive()


def fill(folder: Path, *, nbytes: int) -> None:
    """Write files of so many bytes until the file system takes no more."""
    with pytest.raises(OSError) as raised:
        folder.mkdir(exist_ok=True)  # where the cache has taken the last inode, this fails
        for number in range(100_000):
            (folder / f"{time.monotonic_ns()}-{number}").write_bytes(bytes(nbytes))
    assert raised.value.errno == errno.ENOSPC


@as_root
def test_cache_folder_full(home: Path, make_bench: MakeBench, said: Said):
    """With no byte left, and with no inode left, every read is right, and what was cached before is still served or
    gives way to what is read now; where nothing is left to give way, the mount says that the disk is full."""
    for number, options in enumerate(("size=6m", "size=64m,nr_inodes=24")):
        with (
            tmpfs(home / f"full{number}", options) as cache,
            make_bench(home, "--cache-dir", str(cache), "--memory-size", "8M") as bench,
        ):
            targets = [bench.fresh() for _ in range(14)]
            for target in targets:
                bench.succeeds(target)
            filler, nbytes = cache / "filler", 65_536 if number == 0 else 0
            fill(filler, nbytes=nbytes)
            for target in (*targets[:4], bench.fresh(), bench.fresh()):
                cold(target.path)
                bench.succeeds(target)
            assert bench.mount.status()["cache"]["disk_bytes"] > 0
            assert bench.mount.status()["notes"] == [], "what was unused for longest gave way"
            told = account_variables(bench.standin)
            assert run(said, home, "cache", "clear", "--cache-dir", cache, **told).returncode == 0
            fill(filler, nbytes=nbytes)
            bench.succeeds(bench.fresh())
            assert any(note.startswith("cache: disk full; ") for note in bench.mount.status()["notes"])
            bench.alive()


def test_cache_folder_fails(home: Path, make_bench: MakeBench):
    """EIO of every write, and of every read, of a cache file costs requests only; the log says so once or so."""
    variables, shim = with_shim(home)
    with make_bench(home, "--memory-size", "8M", **variables) as bench:
        targets = [bench.fresh() for _ in range(10)]
        (shim / "disk").write_text(f"pwrite {errno.EIO}")
        for target in targets[:5]:
            bench.succeeds(target)
        (shim / "disk").unlink()
        for target in targets[5:]:
            bench.succeeds(target)
        for function in ("preadv", "pread"):
            (shim / "disk").write_text(f"{function} {errno.EIO}")
            for target in targets:
                cold(target.path)
                bench.succeeds(target)
        (shim / "disk").unlink()
        bench.alive()
        warnings = [line for line in bench.mount.log().splitlines() if "WARNING" in line]
        assert 1 <= len(warnings) <= 20, warnings


def test_cache_folder_read_only(home: Path, make_bench: MakeBench):
    """A cache folder that turns read-only under the mount (EROFS of every open for writing and every write): cached
    bytes are served, all others are read."""
    variables, shim = with_shim(home)
    with make_bench(home, "--memory-size", "8M", **variables) as bench:
        targets = [bench.fresh() for _ in range(8)]
        for target in targets[:4]:
            bench.succeeds(target)
        (shim / "disk").write_text(f"open,pwrite,mkdir,unlink,rename {errno.EROFS}")
        for target in targets:
            cold(target.path)
            bench.succeeds(target)
        bench.alive()
        (shim / "disk").unlink()
        bench.succeeds(bench.fresh())


def test_cache_folder_vanished(home: Path, make_bench: MakeBench, standin: StandinThread):
    """Cache and state folder removed under the mount: names and bytes as before, and the next mount works."""
    with make_bench(home, "--memory-size", "8M", standin=standin) as bench:
        targets = [bench.fresh() for _ in range(8)]
        for target in targets[:4]:
            bench.succeeds(target)
        names = set(os.listdir(bench.mount.path / "recordings"))
        shutil.rmtree(home / "cache/cffs")
        shutil.rmtree(home / "state/cffs")
        for target in targets:
            cold(target.path)
            bench.succeeds(target)
        assert set(os.listdir(bench.mount.path / "recordings")) == names
        bench.alive()
        pid = bench.mount.pid
    until(lambda: is_gone(pid))
    with make_bench(home, standin=standin) as bench:
        bench.succeeds(bench.fresh())


@as_root
def test_state_folder_full(home: Path, make_bench: MakeBench):
    """With no byte left for the catalogue, listings, lookups and reads go on, and no bug is met."""
    with tmpfs(home / "state", "size=2m") as state, make_bench(home) as bench:
        filler = state / "filler"
        with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        account = bench.standin.account
        for _ in range(3):
            bench.succeeds(bench.fresh())
        number = account.add_recording(account.add_call(), mp3_nbytes=300_000)
        bench.succeeds(bench.target(number))
        assert os.listdir(bench.mount.path / "campaigns")
        assert os.listdir(bench.mount.path / "media")
        bench.alive()
        filler.unlink()
        bench.succeeds(bench.fresh())


def test_damaged_cache(home: Path, make_bench: MakeBench, standin: StandinThread):
    """Every 4096th byte flipped, files cut, zeroed, swapped with one another and replaced by foreign ones, and a
    catalogue that is none: every read is right, and the counter shows it."""
    with make_bench(home, standin=standin) as bench:
        numbers = [bench.fresh().number for _ in range(12)]
        for number in numbers:
            bench.succeeds(bench.target(number))
    files = sorted(block_files(home))
    assert len(files) >= len(numbers)
    dice = random.Random(6)
    for index, path in enumerate(files):
        data = bytearray(path.read_bytes())
        match index % 6:
            case 0:
                for position in range(0, len(data), 4096):
                    data[position] ^= 0x40
                path.write_bytes(data)
            case 1:
                path.write_bytes(data[: dice.randrange(len(data))])
            case 2:
                path.write_bytes(bytes(len(data)))
            case 3:
                other = files[(index + 6) % len(files)]
                path.write_bytes(other.read_bytes())
            case 4:
                path.write_bytes(dice.randbytes(len(data)))
            case 5:
                path.unlink()
                path.mkdir()
    with make_bench(home, standin=standin) as bench:
        for number in numbers:
            bench.succeeds(bench.target(number))
        bench.alive()
    (catalog,) = home.glob("state/cffs/**/catalog.sqlite")
    catalog.write_bytes(b"not a database" * 1000)
    with make_bench(home, standin=standin) as bench:
        for number in numbers[:3]:
            bench.succeeds(bench.target(number))
        bench.alive()
    with closing(sqlite3.connect(catalog)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_mounts_one_cache(home: Path, make_bench: MakeBench, said: Said):
    """A second mount of one cache folder exits 1 with one line that names pid, mount point and --cache-dir; the first
    goes on."""
    with make_bench(home) as bench:
        other = home / "other"
        other.mkdir()
        done = run(said, home, "mount", other, **account_variables(bench.standin))
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert all(part in line for part in (str(bench.mount.pid), str(bench.mount.path), "--cache-dir"))
        assert not os.path.ismount(other)
        bench.succeeds(bench.fresh())
        bench.alive()
