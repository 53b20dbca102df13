"""A mount that cannot be made ends in one exception of ours."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, Settings
from cffs.daemon import main
from cffs.daemon.mounting import mount
from cffs.daemon.report import Report
from cffs.standin.thread import StandinThread


def settings(folder: Path, **changes) -> Settings:
    fields = {
        "credentials": Credentials(apikey="wrong", login="wrong", password="wrong"),
        "cache_dir": folder / "cache",
        "state_dir": folder / "state",
        "runtime_dir": folder / "run",
        "uid": 0,
        "gid": 0,
        "v1_url": "http://127.0.0.1:1",
        "v2_url": "http://127.0.0.1:1",
        "log_file": folder / "log",
    }
    return Settings(**{**fields, **changes})


@pytest.fixture(autouse=True)
def _logging_restored():
    """`run` configures the root logger and warnings, on which other tests must not depend."""
    import logging
    import warnings

    root = logging.getLogger()
    handlers, level, show = root.handlers[:], root.level, warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "h11", "trio", "asyncio")}
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def stopped(settings: Settings, mountpoint: Path) -> str:
    """The line of the UsageError that `run` raises; nothing may have been reported before."""
    reports: list[Report] = []
    with pytest.raises(UsageError) as raised:
        main.run(settings, mountpoint, report=reports.append, make_mount=partial(mount, settings, mountpoint))
    assert type(raised.value) is UsageError
    assert reports == []
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_refusal_below_the_nursery_is_one_exception(tmp_path):
    """What is raised within the mount's nursery comes out unwrapped, whatever groups were around it."""
    with StandinThread() as standin:
        line = stopped(settings(tmp_path, v1_url=standin.v1_url, v2_url=standin.v2_url), tmp_path / "mnt")
    assert "v1 refuses the key and v2 refuses the login" in line


def test_a_refusal_before_the_nursery_is_one_exception(tmp_path):
    """What is raised outside of the nursery comes out unwrapped as well."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache/key").write_bytes(b"short")
    assert "damaged" in stopped(settings(tmp_path), tmp_path / "mnt")


def test_a_mount_point_that_cannot_be_mounted_on(tmp_path):
    """A mount point that the kernel refuses is one line, and the account is free again."""
    line = stopped(settings(tmp_path, offline=True), tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in line
    assert "cannot mount" in stopped(settings(tmp_path, offline=True), tmp_path / "nowhere")


def test_a_state_folder_that_cannot_be_used(tmp_path):
    """A folder in the place of the catalogue is one line."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    stopped(settings(tmp_path, offline=True), tmp_path / "nowhere")
    (account,) = state.iterdir()
    for file in account.iterdir():
        file.unlink()
    (account / "catalog.sqlite").mkdir()
    assert "cannot use the folder" in stopped(settings(tmp_path, offline=True), tmp_path / "nowhere")


def test_the_first_of_a_group():
    """However deep the groups are nested, the first of our exceptions is the one that is raised."""
    inner = ExceptionGroup("b", [ExceptionGroup("c", [UsageError("one"), UsageError("two")]), UsageError("three")])
    assert str(main._first(ExceptionGroup("a", [inner]))) == "one"


def test_roots_helper_holds_no_network_code():
    """What root's helper imports, to start a daemon as another user, speaks to no network and to no kernel."""
    program = "import sys; import cffs.daemon.main, cffs.daemon.root_helper; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"trio", "httpx", "h11", "pyfuse3", "sqlite3", "cffs.callfire", "cffs.daemon.mount"} & set(
        done.stdout.split()
    )
