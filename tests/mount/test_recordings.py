"""A recording costs a handful of requests through the kernel, however it is read."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, WATCHDOG_SECONDS, Mounted, account_variables, mounted

KIB, MIB = 1024, 1024 * 1024
LATENCY_SECONDS = 0.05
#: How long a request that no reader waits for needs to end.
SETTLE_SECONDS = 0.5
NBYTES = 5_000_000

#: In a process of its own: one that waits for a page holds Python's lock, and the service runs in this one.
DRAW = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    sys.stdout.buffer.write(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[::-10_000])
"""

Pattern = Callable[[Path, bytes, random.Random], None]


def check(fd: int, content: bytes, offset: int, nbytes: int) -> None:
    assert os.pread(fd, nbytes, offset) == content[offset : offset + nbytes]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def anywhere(path: Path, content: bytes, dice: random.Random) -> None:
    """Sixty reads of 16 KiB."""
    with opened(path) as fd:
        for _ in range(60):
            check(fd, content, dice.randrange(len(content) - 16 * KIB), 16 * KIB)


def seeking_player(path: Path, content: bytes, dice: random.Random) -> None:
    """Plays a little from the start, looks for tags, then plays a little here and there."""
    with opened(path) as fd:
        for offset in [0, len(content) - 128, *(dice.randrange(len(content)) for _ in range(12))]:
            for step in range(6):
                check(fd, content, offset + step * 64 * KIB, 64 * KIB)


def one_program_after_another(path: Path, content: bytes, dice: random.Random) -> None:
    """Each program opens the file, reads something, and closes it."""
    for _ in range(30):
        with opened(path) as fd:
            check(fd, content, dice.randrange(len(content)), dice.choice([1, 4 * KIB, 128 * KIB]))


def many_at_once(path: Path, content: bytes, dice: random.Random) -> None:
    """Eight threads with a descriptor each."""
    failures: list[BaseException] = []

    def read(seed: int) -> None:
        try:
            anywhere(path, content, random.Random(seed))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read, args=(dice.random(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG_SECONDS)
    assert not failures


def mapped(path: Path, content: bytes, dice: random.Random) -> None:
    """An editor that maps the file and draws its waveform from a byte in ten thousand, backwards."""
    done = subprocess.run([sys.executable, "-c", DRAW, path], capture_output=True, timeout=WATCHDOG_SECONDS)
    assert done.stdout == content[::-10_000]


def in_order_and_the_end(path: Path, content: bytes, dice: random.Random) -> None:
    """A MiB, then the tags at the end, then on."""
    with opened(path) as fd:
        for offset in range(0, MIB, 64 * KIB):
            check(fd, content, offset, 64 * KIB)
        check(fd, content, len(content) - 4 * KIB, 4 * KIB)
        for offset in range(MIB, len(content), 128 * KIB):
            check(fd, content, offset, 128 * KIB)


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[StandinThread, dict[str, bytes]]]:
    """A service with latency, and recordings by the name of their WAV."""
    with StandinThread(Account(seed=3, calls=1), credentials=CANARIES) as standin:
        contents = {}
        for _ in range(20):
            number = standin.account.add_recording(standin.account.call_ids()[0], wav_nbytes=NBYTES)
            found = standin.account.object_for(f"/cloud/1/files/recording/{number}")
            assert found is not None
            contents[f"{number}.wav"] = found.read()
        standin.link.latency_seconds = LATENCY_SECONDS
        yield standin, contents


def costs_of(standin: StandinThread, name: str) -> tuple[int, int]:
    """How often its bytes were requested, and how many were given to the network."""
    time.sleep(SETTLE_SECONDS)
    asked = [record for record in standin.requests if record.path.endswith(f"/files/recording/{name[:-4]}")]
    return len(asked), sum(record.body_nbytes for record in asked)


PATTERNS = [anywhere, seeking_player, one_program_after_another, many_at_once, mapped, in_order_and_the_end]


@pytest.mark.parametrize("options", [(), ("--cache-size", "0"), ("--memory-size", "8M")], ids=["", "no disk", "8M"])
def test_a_handful_of_requests(said, home, service, options):
    """Whatever programs do with a recording of 5 MB: at most five requests and half a MiB more than its bytes; with the
    disk cache off, or with memory for less than twice its size and the disk, too."""
    standin, contents = service
    with mounted(said, home, account_variables(standin), "--formats", "wav", *options) as mount:
        found = {}
        for number, pattern in enumerate(PATTERNS):
            name = list(contents)[number]
            standin.log.clear()
            pattern(mount.path / "recordings" / name, contents[name], random.Random(number))
            found[pattern.__name__] = costs_of(standin, name)
    assert {what: cost for what, cost in found.items() if cost[0] > 5 or cost[1] > NBYTES + 512 * KIB} == {}


def test_head_and_tail_cost_their_pieces(said, home, service):
    """A head costs half a MiB at most, and a tail 64 KiB more; a piece elsewhere costs itself."""
    standin, contents = service
    name = list(contents)[10]
    with mounted(said, home, account_variables(standin), "--formats", "wav") as mount:
        for offset, nbytes, most_nbytes in (
            (0, 64 * KIB, 512 * KIB),
            (NBYTES - 4 * KIB, 4 * KIB, 72 * KIB),
            (2_500_000, 16 * KIB, 24 * KIB),
        ):
            standin.log.clear()
            with opened(mount.path / "recordings" / name) as fd:
                check(fd, contents[name], offset, nbytes)
            requests, given_nbytes = costs_of(standin, name)
            assert requests == 1
            assert given_nbytes <= most_nbytes


def read_whole(mount: Mounted, name: str) -> bytes:
    return (mount.path / "recordings" / name).read_bytes()


def test_what_was_read_here_and_there_is_read_again_for_nothing(said, home, service):
    """Once a recording was completed, reading it in order costs no request, also after a remount without network."""
    standin, contents = service
    name = list(contents)[11]
    with mounted(said, home, account_variables(standin), "--formats", "wav") as mount:
        anywhere(mount.path / "recordings" / name, contents[name], random.Random(1))
        costs_of(standin, name)
        standin.log.clear()
        assert read_whole(mount, name) == contents[name]
        assert costs_of(standin, name)[0] == 0
    with mounted(said, home, account_variables(standin), "--formats", "wav", "--offline") as mount:
        assert read_whole(mount, name) == contents[name]
