"""A sweep of crash points: killed at any write, the next mount reads right.

The daemon is killed at its n-th write, rename, sync, chmod, unlink or mkdir below its folders, whatever file that is of
(blocks, pins, facts, the catalogue and its log). A shim in C counts the calls, SQLite's own included; a first run
without a crash shows how many there are.
"""

import errno
import json
import os
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, is_gone, make_account, recordings, until
from tests.faults.conftest import MakeBench
from tests.mount.mounting import Said, account_variables, run

SOURCE = Path(__file__).parent / "shim/crash.c"
#: Few, in every run: a mount made, killed and looked at again takes two seconds on an idle machine.
FEW, MANY = 3, 45
READ, CALLS = 3, 16


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim; the compiler is one that `scripts/setup` needs too."""
    library = tmp_path_factory.mktemp("crash") / "crash.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


@dataclass
class Lives:
    """One account, one home, and the mounts that live and die in it."""

    said: Said
    home: Path
    standin: StandinThread
    shim: Path
    make_bench: MakeBench

    @property
    def path(self) -> Path:
        """The mount point."""
        return self.home / "mnt"

    @property
    def numbers(self) -> list[int]:
        """The recordings that are read, then the one that changes meanwhile: far away, so that nothing prefetches it,
        because a file that is here whole is not asked about again."""
        found = recordings(self.standin.account)
        return [*found[:READ], found[-1]]

    def live(self, **told: object) -> int | None:
        """A mount that lists, reads, pins, meets a new version, and ends by itself or by the crash; its process."""
        variables = {
            **account_variables(self.standin),
            "CFFS_TIMEOUT": "30",
            "LD_PRELOAD": str(self.shim),
            "CRASH_BELOW": f"{self.home}/",
            **{name: str(value) for name, value in told.items()},
        }
        self.path.mkdir(exist_ok=True)
        run(self.said, self.home, "mount", "--log-file", self.home.with_suffix(".log"), self.path, **variables)
        pid = None
        with suppress(OSError, ValueError):  # of a mount that is dead already
            pid = json.loads((self.path / ".cffs/status.json").read_bytes())["pid"]
            for folder in ("recordings", "campaigns", "media"):
                os.listdir(self.path / folder)
            *numbers, changing_number = self.numbers
            for number in numbers:
                (self.path / f"recordings/{number}.mp3").read_bytes()
            run(self.said, self.home, "prefetch", "--pin", self.path / f"recordings/{numbers[0]}.mp3", **variables)
            changing = self.path / f"recordings/{changing_number}.wav"
            with changing.open("rb") as file, suppress(OSError):
                file.read(1000)
                self.standin.account.replace_object(f"/cloud/1/files/recording/{changing_number}")
                file.read()  # ESTALE
            changing.read_bytes()
        run(self.said, self.home, "umount", self.path)
        return pid

    def look(self, names: set[str]) -> None:
        """A new mount: every name is listed, every byte is right, the catalogue is whole."""
        with self.make_bench(self.home, standin=self.standin, timeout_seconds=30) as bench:
            assert set(os.listdir(bench.mount.path / "recordings")) == names
            for number in self.numbers:
                for form in ("mp3", "wav"):
                    target = bench.target(number, form)
                    seen = bench.read(target)
                    if seen.errno == errno.ESTALE:  # the file that was replaced was in part here, of the old version
                        seen = bench.read(target)
                    assert (seen.errno, seen.data) == (None, bench.truth(target)), str(seen)
            bench.alive()
        for catalog in self.home.glob("state/cffs/**/catalog.sqlite"):
            with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def sweep(said: Said, top: Path, shim: Path, make_bench: MakeBench, *, most: int) -> Counter[str]:
    """Crash at up to `most` calls, evenly spread over all that a life makes; how many of which kind there are."""
    account: Account = make_account(calls=CALLS)
    with StandinThread(account, credentials=CANARIES) as standin:

        def lives(name: str) -> Lives:
            home = top / name
            home.mkdir()
            return Lives(said, home, standin, shim, make_bench)

        first, tally = lives("whole"), top / "tally"
        first.live(CRASH_TALLY=tally)
        with make_bench(first.home, standin=standin) as bench:
            names = set(os.listdir(bench.mount.path / "recordings"))
        calls = tally.read_text()
        assert len(calls) > 20, "nothing was counted"
        points = sorted({1 + index * (len(calls) - 1) // max(1, most - 1) for index in range(most)})
        crashed = 0
        for point in points:
            life = lives(str(point))
            dead_letters = life.home / "tally"
            pid = life.live(CRASH_AT=point, CRASH_TALLY=dead_letters)
            if pid is not None:
                until(lambda pid=pid: is_gone(pid), seconds=30)
            crashed += len(dead_letters.read_text()) == point
            life.look(names)
        # the calls of two lives differ a little: the last points may lie past its end
        assert crashed >= len(points) - max(1, len(points) // 10)
    return Counter(calls)


def test_a_few_crash_points(said: Said, home: Path, shim: Path, make_bench: MakeBench):
    """Killed at the first call, in the middle and at the end: the next mount lists and reads right."""
    sweep(said, home, shim, make_bench, most=FEW)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_crash_points(said: Said, home: Path, shim: Path, make_bench: MakeBench):
    """Killed at many calls all over a life, among them writes, syncs and changes of mode: the next mount reads
    right."""
    kinds = sweep(said, home, shim, make_bench, most=MANY)
    assert {"w", "s", "m"} <= set(kinds), kinds
