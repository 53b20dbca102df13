"""Peak memory of a mount with default settings: its cache and 60 MiB."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.mounting import RIGHT_ORIGIN, Mounted, mounted
from tests.mount.nginx import free_port, serving

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="what a daemon takes that nobody may trace is told to root only; runs in mount-root"
)

MIB = 1024 * 1024
#: The default of `--memory-size`, and what everything else may take.
MOST_NBYTES = (64 + 60) * MIB
BIG, MANY, READERS = 1000, 2000, 64
LOOK_SECONDS = 0.01


@pytest.fixture
def big_mount(said, home: Path) -> Iterator[tuple[Mounted, Path]]:
    """A mount of an nginx with one file of 256 MiB and 64 of 4 MiB, and the folder that holds them."""
    folder = home / RIGHT_ORIGIN
    recording = folder / "site/files/recording"
    recording.mkdir(parents=True)
    dice = random.Random(5)
    noise = dice.randbytes(4 * MIB)
    with (recording / str(BIG)).open("wb") as file:
        for number in range(64):
            file.write(noise[number:] + noise[:number])
    for number in range(READERS):
        (recording / str(MANY + number)).write_bytes(noise[number:] + noise[:number])
    port = free_port()
    locations = f"location /cloud/1/ {{ default_type audio/x-wav; alias {folder}/site/; }}"
    variables = {"CFFS_V1_URL": f"http://127.0.0.1:{port}/cloud/1", "CFFS_APIKEY": "CANARYKEYv1+/=&%"}
    with serving(folder, port, locations), mounted(said, home, variables) as mount:
        yield mount, recording


def pss_nbytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


@contextmanager
def watched(pid: int, what: str) -> Iterator[None]:
    """During the block the daemon is never larger than it may be."""
    peak_nbytes, is_over = 0, threading.Event()

    def look() -> None:
        nonlocal peak_nbytes
        while not is_over.wait(LOOK_SECONDS):
            peak_nbytes = max(peak_nbytes, pss_nbytes(pid))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        is_over.set()
        looking.join()
    print(f"{what}: peak {peak_nbytes / MIB:.0f} MiB")
    assert 0 < peak_nbytes <= MOST_NBYTES, what


def same(shown: Path, true: Path) -> bool:
    with shown.open("rb", buffering=0) as file, true.open("rb", buffering=0) as other:
        while piece := file.read(MIB):
            if piece != other.read(len(piece)):
                return False
        return not other.read(1)


def test_peak_memory(big_mount: tuple[Mounted, Path]):
    """A stream of 256 MiB, 64 readers of 64 files, 64 of one file, and random reads by eight threads, with the disk
    cache written: Pss stays under `--memory-size` and 60 MiB, and every byte is right."""
    mount, truth = big_mount
    folder = mount.path / "recordings"
    wrong: list[str] = []

    def compare(number: int) -> None:
        if not same(folder / f"{number}.wav", truth / str(number)):
            wrong.append(str(number))

    def compare_part(part: int) -> None:
        shown, true = os.open(folder / f"{BIG}.wav", os.O_RDONLY), os.open(truth / str(BIG), os.O_RDONLY)
        for offset in range(part * 2 * MIB, part * 2 * MIB + MIB, 128 * 1024):
            os.posix_fadvise(shown, offset, 128 * 1024, os.POSIX_FADV_DONTNEED)
            if os.pread(shown, 128 * 1024, offset) != os.pread(true, 128 * 1024, offset):
                wrong.append(f"{part}")
        os.close(shown)
        os.close(true)

    def compare_at_random(seed: int) -> None:
        dice = random.Random(seed)
        shown, true = os.open(folder / f"{BIG}.wav", os.O_RDONLY), os.open(truth / str(BIG), os.O_RDONLY)
        for _ in range(60):
            offset = dice.randrange(255 * MIB)
            os.posix_fadvise(shown, 0, 0, os.POSIX_FADV_DONTNEED)
            if os.pread(shown, 65536, offset) != os.pread(true, 65536, offset):
                wrong.append(f"at random {offset}")
        os.close(shown)
        os.close(true)

    def together(act, arguments) -> None:
        threads = [threading.Thread(target=act, args=(argument,)) for argument in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with watched(mount.pid, "random reads"):
        together(compare_at_random, range(8))
    with watched(mount.pid, "64 readers of one file"):
        together(compare_part, range(READERS))
    with watched(mount.pid, "64 readers of 64 files"):
        together(compare, range(MANY, MANY + READERS))
    with watched(mount.pid, "a stream of 256 MiB"):
        compare(BIG)
    assert wrong == []
