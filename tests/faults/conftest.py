"""Fixtures of the faults: a mount per module, or per test where an API is hit."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, TIMEOUT_SECONDS, Bench, make_account
from tests.mount.mounting import ROOT, Said, account_variables, mounted

MakeBench = Callable[..., AbstractContextManager[Bench]]


@pytest.fixture(scope="session")
def said() -> Said:
    """The output of the mounts. `tests/conftest` searches it, and every file they leave, for credentials."""
    return Said()


@pytest.fixture(scope="module")
def make_bench(said: Said) -> MakeBench:
    """`with make_bench(home)`: a mount of an account of its own; by its end no bug was met."""

    @contextmanager
    def make(
        home: Path,
        *options: str,
        account: Account | None = None,
        standin: StandinThread | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        lists: bool = True,
        **variables: str,
    ) -> Iterator[Bench]:
        served = standin or StandinThread(account or make_account(calls=20), credentials=CANARIES)
        try:
            told = {**account_variables(served), "CFFS_TIMEOUT": str(timeout_seconds), **variables}
            with mounted(said, home, told, *options) as mount:
                yield Bench(served, mount, timeout_seconds, lists)
        finally:
            if standin is None:
                served.close()

    return make


@pytest.fixture(scope="module")
def shared(make_bench: MakeBench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The module's mount."""
    with make_bench(tmp_path_factory.mktemp("shared"), account=make_account()) as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The module's mount for one test, which leaves it without faults, alive, and without a bug."""
    shared.standin.log.clear()
    yield shared
    shared.standin.faults.clear()
    shared.alive()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A user's home for one test; whatever a failing test left mounted below it is unmounted."""
    yield tmp_path
    below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in reversed([path for path in below if path.startswith(f"{tmp_path}/")]):
        subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        subprocess.run(["fusermount3", "-uz", path], check=False, capture_output=True)


def with_shim(home: Path) -> tuple[dict[str, str], Path]:
    """Variables that put the shim into the daemon, and the folder whose files say what goes wrong."""
    folder = home / "shim"
    folder.mkdir()
    path = f"{Path(__file__).parent / 'shim'}{os.pathsep}{ROOT}"
    return {"PYTHONPATH": path, "FAULT_SHIM": str(folder)}, folder
