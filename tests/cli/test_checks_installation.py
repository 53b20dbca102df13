"""What an upgrade of the system breaks is named by doctor.

A Python of another minor version, a libfuse that is gone, SQLite without FTS5, a missing udev rule; each with its mend.
"""

import sqlite3
import sys
from pathlib import Path

import pytest

from cffs.cli import checks_installation
from cffs.cli.checks import State
from cffs.cli.checks_installation import full_text_search, libfuse, python, udev_rule
from cffs.cli.fstab import parse_mount_options
from cffs.core.errors import UsageError

HERE = ".".join(map(str, sys.version_info[:2]))


def environment(folder: Path, line: str) -> Path:
    """A virtual environment as far as its notes go."""
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\n{line}\n")
    return folder


@pytest.mark.parametrize(
    "line", [f"version = {HERE}.1", f"version_info = {HERE}.1.final.0", "implementation = CPython"]
)
def test_the_right_python(tmp_path, line):
    """An environment of this minor version, or one that does not say, is well."""
    assert python(environment(tmp_path, line)).state is State.OK


def test_another_minor_version(tmp_path):
    """An environment that was made for another minor version is named with both, and how to make it again."""
    check = python(environment(tmp_path, "version = 3.9.2"))
    assert (check.state, "3.9" in check.found, HERE in check.found) == (State.FAIL, True, True)
    assert "pipx reinstall cffs" in check.mend


def test_pyfuse3_of_another_python(tmp_path, monkeypatch):
    """A pyfuse3 whose compiled module is another Python's is no module that can be loaded, and is named so."""
    module = tmp_path / "packages/pyfuse3/__init__.cpython-39-x86_64-linux-gnu.so"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if "__editable__" not in repr(one)])
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    monkeypatch.delitem(sys.modules, "pyfuse3", raising=False)  # another test may have loaded the true one
    check = python(environment(tmp_path, f"version = {HERE}.1"))
    assert (check.state, "another Python" in check.found) == (State.FAIL, True)


def test_libfuse_that_is_gone(tmp_path, monkeypatch):
    """A libfuse that pyfuse3 names and that is not here any more is named, with the one that is, and the mend."""
    module = tmp_path / "module.so"
    module.write_bytes(b"\x7fELF\0libc.so.6\0libfuse3.so.3\0")
    present = {"libfuse3.so.4"}
    monkeypatch.setattr(checks_installation, "_can_load", present.__contains__)
    check = libfuse(module, "3.13.5", tmp_path)
    assert check.state is State.FAIL
    assert "built against libfuse3.so.3, which is not here any more; libfuse3.so.4 is" in check.found
    assert "again" in check.mend
    assert "scripts/package" in libfuse(module, "3.13.5", Path("/usr/lib/cffs")).mend
    present.clear()
    assert libfuse(module, "3.13.5", tmp_path).mend == "apt install fuse3"
    present.add("libfuse3.so.3")
    assert libfuse(module, "3.13.5", tmp_path).state is State.OK


def test_full_text_search(monkeypatch):
    """FTS5 is tried, not assumed."""
    assert full_text_search().state is State.OK

    class Without:
        def execute(self, _sql: str) -> None:
            raise sqlite3.OperationalError("no such module: fts5")

        def close(self) -> None:
            return

    monkeypatch.setattr(sqlite3, "connect", lambda _name: Without())
    check = full_text_search()
    assert (check.state, "FTS5" in check.found, bool(check.mend)) == (State.WARN, True, True)


def test_udev_rule(tmp_path):
    """A missing rule is named where udev runs, with its mend; where udev does not run there is none."""
    udev = tmp_path / "control"
    assert udev_rule([tmp_path], udev) == ("udev does not run here", "")
    udev.touch()
    why, mend = udev_rule([tmp_path], udev)
    assert "60-cffs.rules" in why
    assert "scripts/package" in mend
    (tmp_path / "60-cffs.rules").touch()
    assert udev_rule([tmp_path], udev) == ("", "")


@pytest.mark.parametrize("option", ["io_uring", "clone_fd", "clone_fd=1", "allow_root"])
def test_options_of_other_file_systems_are_refused(option):
    """Each in one line that says what is so instead; mount -s passes over what it can."""
    with pytest.raises(UsageError, match="not offered") as refused:
        parse_mount_options(f"ro,{option}")
    assert "\n" not in str(refused.value)
    if option != "allow_root":
        assert parse_mount_options(f"ro,{option}", sloppy=True) == {"writable": "no"}
