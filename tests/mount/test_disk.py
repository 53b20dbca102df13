"""The disk cache under a real mount: remounts, no network, damage."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from cffs.standin.thread import StandinThread
from tests.mount.mounting import account_variables, mounted
from tests.mount.test_reading import AUDIO, true_bytes


def cache_files(home: Path) -> list[Path]:
    """The files in the account's folder of blocks."""
    return [path for path in (home / "cache/cffs").glob("*/blocks/*/*") if path.is_file()]


def some_files(standin: StandinThread, mount: Path) -> list[Path]:
    """Recordings of both forms, one of them of several MiB."""
    listed = sorted(name for name in os.listdir(mount / "recordings") if name.endswith(AUDIO))
    names = [*listed[:6], *(f"{Path(name).stem}.wav" for name in listed[:3])]
    return [mount / "recordings" / name for name in names]


def add_large(standin: StandinThread, nbytes: int) -> int:
    """The id of a recording whose WAV has so many bytes."""
    return standin.account.add_recording(standin.account.add_call(), wav_nbytes=nbytes)


def audio_requests(standin: StandinThread) -> list[str]:
    """The requests for bytes of recordings."""
    return [line.path for line in standin.requests if "/recording" in line.path]


def read_all(files: list[Path]) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files}


def test_remount_without_the_network(said, home, standin):
    """Everything read before reads after a remount with no request, and with the service gone as well."""
    variables = account_variables(standin)
    large = add_large(standin, 5 * 2**20 + 3)
    with mounted(said, home, variables) as mount:
        files = [*some_files(standin, mount.path), mount.path / f"recordings/{large}.wav"]
        before = read_all(files)
        for file in files:
            assert before[file.name] == true_bytes(standin, mount.path, file)
        told = mount.status()["cache"]
        assert told["disk_limit_bytes"] == 2 * 2**30
        assert told["disk_bytes"] >= sum(map(len, before.values()))
    with mounted(said, home, variables) as mount:
        standin.log.clear()
        assert read_all(files) == before
        assert audio_requests(standin) == []
        told = mount.status()["cache"]
        assert told["hits_disk"] > 0
        assert told["corrupt_blocks"] == 0
        for file in files:
            found = os.stat(file)
            assert found.st_blocks * 512 >= found.st_size
    standin.close()
    with mounted(said, home, variables) as mount:
        assert read_all(files) == before
        assert mount.status()["origin"]["bytes_fetched"] == 0


def test_flips_in_the_cache_cost_only_requests(said, home, standin):
    """Bytes flipped, files cut and removed in the cache are never served: every read is right, and repairs it."""
    variables = account_variables(standin)
    large = add_large(standin, 6 * 2**20)
    with mounted(said, home, variables) as mount:
        # backwards, so that nothing is prefetched: what is cached is what was read
        files = [*reversed(some_files(standin, mount.path)), mount.path / f"recordings/{large}.wav"]
        before = read_all(files)
    dice = random.Random(4)
    paths = sorted(cache_files(home))
    assert len(paths) == len(files)
    for number, path in enumerate(paths):
        data = bytearray(path.read_bytes())
        if number % 4 == 3:
            path.unlink()
        elif number % 4 == 2:
            path.write_bytes(data[: dice.randrange(len(data))])
        else:
            for _ in range(5):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            path.write_bytes(data)
    with mounted(said, home, variables) as mount:
        assert read_all(files) == before
    with mounted(said, home, variables) as mount:
        standin.log.clear()
        assert read_all(files) == before
        assert audio_requests(standin) == []
        assert mount.status()["cache"]["corrupt_blocks"] == 0


def test_cache_size_zero_keeps_nothing(said, home, standin):
    """`--cache-size 0` reads right, keeps no block, and removes what an earlier mount kept."""
    variables = account_variables(standin)
    with mounted(said, home, variables) as mount:
        read_all(some_files(standin, mount.path))
        assert cache_files(home)
    with mounted(said, home, variables, "--cache-size", "0") as mount:
        files = some_files(standin, mount.path)
        for file in files:
            assert file.read_bytes() == true_bytes(standin, mount.path, file)
        assert cache_files(home) == []
        assert mount.status()["cache"]["disk_bytes"] == 0


@pytest.mark.skipif(os.environ.get("CFFS_TEST_IDENTITY") == "user" or os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_small_disk(said, home, standin):
    """On a file system of 16 MiB that others fill, every read is right, and the mount logs a pause, no bug."""
    variables = account_variables(standin)
    ids = [add_large(standin, 4 * 2**20 + number) for number in range(6)]
    cache = home / "small"
    cache.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(cache)], check=True)
    try:
        with mounted(said, home, variables, "--cache-dir", str(cache)) as mount:
            for recording_id in ids:
                file = mount.path / f"recordings/{recording_id}.wav"
                assert file.read_bytes() == true_bytes(standin, mount.path, file)
            (cache / "filler").write_bytes(bytes(os.statvfs(cache).f_bavail * 4096))
            for recording_id in ids[:2]:
                file = mount.path / f"recordings/{recording_id}.wav"
                with file.open("rb") as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                assert file.read_bytes() == true_bytes(standin, mount.path, file)
            assert 0 < mount.status()["cache"]["disk_bytes"] < 16 * 2**20
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True)
