"""Hardening: no core dump, no tracing, private folders; the daemon's own process."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, Settings
from cffs.daemon.hardening import private_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("debug", "dumpable"), [(False, 0), (True, 1)])
def test_process_is_closed(debug, dumpable):
    """After `harden` no core dump can be written, and the process cannot be traced, except when debugging."""
    program = f"""
import ctypes, resource
from cffs.daemon.hardening import harden
harden(debug={debug})
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"(0, 0) {dumpable}\n"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o177, 0o777], ids=oct)
def test_private_folder(tmp_path, umask):
    """A folder that was made, and those above it that were missing, are 0700 whatever the umask, and are accepted the
    second time."""
    before = os.umask(umask)
    try:
        folder = private_folder(tmp_path / "a/b/c")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    for made in (folder, *folder.parents[:2]):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert private_folder(folder) == folder


def test_folders_that_are_refused(tmp_path):
    """A symbolic link, a file, and a folder that is open to others and has something in it, or is writable, are
    refused."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open/x").mkdir()
    (tmp_path / "open").chmod(0o750)
    (tmp_path / "writable").mkdir()
    (tmp_path / "writable").chmod(0o770)
    for name, says in (
        ("link", "symbolic link"),
        ("file", "not a folder"),
        ("open", "chmod 700"),
        ("writable", "chmod 700"),
    ):
        with pytest.raises(UsageError, match=says):
            private_folder(tmp_path / name)


def test_an_empty_folder_is_closed(tmp_path):
    """A folder as `mkdir` makes it, readable and empty, becomes 0700 instead of being refused."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made").chmod(0o755)
    assert stat.S_IMODE(private_folder(tmp_path / "made").stat().st_mode) == 0o700


@pytest.mark.parametrize("depth", [1, 2])
def test_a_folder_where_anybody_may_plant_another_is_refused(tmp_path, depth):
    """A folder below one that every user may write to is refused in one line that names that one, unless it has /tmp's
    sticky bit."""
    above = tmp_path / "above"
    path = above.joinpath(*"ab"[:depth])
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(UsageError, match=f"{above} can be written by everybody"):
        private_folder(path)
    above.chmod(0o1777)
    assert private_folder(path) == path


def test_daemon_process(tmp_path):
    """The daemon's process takes its settings from stdin, reports through the pipe, and then holds no stream of its
    starter."""
    program = f"""
import sys
def run(settings, mountpoint, *, report, make_mount, reread):
    from cffs.daemon.report import Report
    import os
    report(Report.ready())
    open({str(tmp_path / "out")!r}, "w").write(" ".join([settings.credentials.apikey, str(mountpoint), os.getcwd(),
        *(os.readlink(f"/proc/self/fd/{{n}}") for n in (0, 1, 2, int(sys.argv[1])))]))
    return 7
from cffs.daemon import main as entry_point
entry_point.run = run
from cffs.daemon.__main__ import main
sys.exit(main())
"""
    settings = Settings(
        credentials=Credentials(apikey="k"),
        cache_dir=tmp_path,
        state_dir=tmp_path,
        runtime_dir=tmp_path,
        uid=0,
        gid=0,
        v1_url="https://h/1",
        v2_url="https://h/2",
        debug=True,
    )
    task = json.dumps({"settings": settings.to_plain(), "mountpoint": "/mnt/x"})
    reader, writer = os.pipe()
    with os.fdopen(reader) as reports:
        done = subprocess.run(
            [sys.executable, "-c", program, str(writer)], input=task, text=True, cwd=ROOT, pass_fds=(writer,)
        )
        os.close(writer)
        assert reports.read() == '{"ready": true}\n'
    assert done.returncode == 7
    assert (tmp_path / "out").read_text() == "k /mnt/x / " + " ".join(["/dev/null"] * 4)
