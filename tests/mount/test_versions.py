"""Versions of an object through the kernel, while two machines disagree."""

import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.objects import StandinObject
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, Mounted, account_variables, mounted

FILES = 14
NBYTES = 1_500_001
CHANGING = 6


@dataclass
class Service:
    """A folder of recordings of one size, of which one has several versions."""

    standin: StandinThread
    mount: Mounted
    numbers: list[int]

    @property
    def folder(self) -> Path:
        return self.mount.path / "recordings"

    def path(self, index: int) -> Path:
        return self.folder / f"{self.numbers[index]}.mp3"

    def served(self, index: int) -> StandinObject:
        found = self.standin.account.object_for(f"/v2/calls/recordings/{self.numbers[index]}.mp3")
        assert found is not None
        return found

    def serve(self, found: StandinObject) -> None:
        """Give every machine that version of the file that changes."""
        self.standin.faults.clear()
        path = f"recordings/{self.numbers[CHANGING]}\\.mp3"
        self.standin.faults.add("other_machine", path=path, objects=itertools.repeat(found))

    def version(self, data: bytes) -> StandinObject:
        """Another version of it."""
        self.standin.account.replace_object(f"/v2/calls/recordings/{self.numbers[CHANGING]}.mp3", data=data)
        return self.served(CHANGING)

    def walk(self, count: int) -> None:
        """Read the first files of the folder in order, with none of them in the kernel's cache."""
        for index in range(count):
            assert read(self.path(index), drop=True) == (NBYTES, self.served(index).read()), index


@pytest.fixture
def service(said, home) -> Iterator[Service]:
    account = Account(seed=9, calls=FILES, media=0, dynamic=0)
    numbers = sorted(number for call_id in account.call_ids() for number in account.recording_ids(call_id))
    for number in numbers:
        account.resize_recording(number, form="mp3", total_nbytes=NBYTES)
    with (
        StandinThread(account, credentials=CANARIES) as standin,
        mounted(said, home, account_variables(standin), "--cache-size", "0", "--memory-size", "8M") as mount,
    ):
        found = Service(standin, mount, numbers)
        os.listdir(found.folder)
        for _ in range(2):  # in order, twice: sizes and validators are known, and the next files are prefetched
            found.walk(FILES)
        yield found


def read(path: Path, *, drop: bool) -> tuple[int, bytes]:
    """The size by fstat after open, and the bytes; `drop`: not from pages that the kernel has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if drop:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        nbytes, body = os.fstat(descriptor).st_size, bytearray()
        while piece := os.read(descriptor, 1 << 20):
            body += piece
        return nbytes, bytes(body)
    finally:
        os.close(descriptor)


@contextmanager
def looked_at(path: Path) -> Iterator[None]:
    """Other programs ask for the file's attributes all the time, and one has it open."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            os.stat(path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    descriptor = os.open(path, os.O_RDONLY)
    for looker in lookers:
        looker.start()
    try:
        yield
    finally:
        is_over.set()
        for looker in lookers:
            looker.join()
        os.close(descriptor)


def test_a_machine_that_disagrees_once(service: Service, home: Path):
    """One answer of a machine with another version, then the folder in order: fstat after open, every read and a copy
    are of the version that is served, while others look at the file."""
    path, true = service.path(CHANGING), service.served(CHANGING)
    service.serve(service.version(true.read()[:-977]))
    with pytest.raises(OSError, match="Stale"):
        read(path, drop=True)
    service.serve(true)
    service.walk(CHANGING)
    assert read(path, drop=False) == (NBYTES, true.read())
    with looked_at(path):
        for _ in range(15):
            assert read(path, drop=True) == (NBYTES, true.read())
        shutil.copyfile(path, home / "copy")
    assert (home / "copy").read_bytes() == true.read()


def test_a_change_that_was_noticed(service: Service):
    """After a change was noticed the folder is read in order, from a service that takes its time: the new version is
    fetched, opened and read without another error."""
    path, new = service.path(CHANGING), service.version(service.served(CHANGING).read()[977:])
    with pytest.raises(OSError, match="Stale"):
        read(path, drop=True)
    service.standin.link.latency_seconds = 0.3
    for _ in range(2):
        service.walk(CHANGING)
        assert read(path, drop=False) == (NBYTES - 977, new.read())
    assert service.mount.log().count("object changed at the origin") == 1


def test_answers_that_do_not_agree(said, home):
    """Machines that give equal bytes another validator with each answer: files of one request and of more are read by
    the first open, copied whole, and read again from pages; a service without bytes for a while is EIO, and nothing of
    that is left for the next mount."""
    account = Account(seed=9, calls=3, media=0, dynamic=0)
    numbers = sorted(number for call_id in account.call_ids() for number in account.recording_ids(call_id))
    account.resize_recording(numbers[1], form="wav", total_nbytes=NBYTES)
    account.resize_recording(numbers[2], form="wav", total_nbytes=12 * NBYTES)
    with StandinThread(account, credentials=CANARIES) as standin:
        for has_bytes in (False, True):
            with mounted(said, home, account_variables(standin)) as mount:
                paths = [mount.path / "recordings" / f"{number}.wav" for number in numbers]
                if not has_bytes:
                    standin.faults.add("body", path="files/recording", data=b"", content_type="audio/x-wav")
                    for path in paths:
                        with pytest.raises(OSError, match="Input/output"):
                            path.read_bytes()
                    standin.faults.clear()
                    continue
                standin.faults.add("new_validators")
                for number, path in zip(numbers, paths, strict=True):
                    true = account.object_for(f"/cloud/1/files/recording/{number}").read()
                    shutil.copyfile(path, home / "copy")
                    assert (home / "copy").read_bytes() == true
                    for drop in (True, False):
                        assert read(path, drop=drop) == (len(true), true)
                assert "object changed" not in mount.log()
