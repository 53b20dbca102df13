"""Checks of the installation: Python, libfuse, SQLite, the udev rule.

They own what an upgrade of the system breaks: a virtual environment stays as it was made while the interpreter and the
libraries below it are replaced. They must not know mounts or the service, and import nothing that may be broken.
"""

import ctypes
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from cffs.cli.checks import Check, fail, ok, warn

#: Where the Debian package of cffs lies.
_PACKAGE = Path("/usr/lib/cffs")
#: How a compiled module names the library that the linker is to load with it.
_LIBFUSE = re.compile(rb"libfuse3\.so\.\d+")
#: The names that libfuse3 has had: 3 up to libfuse 3.16, 4 since 3.17.
_SONAMES = ("libfuse3.so.4", "libfuse3.so.3")
_RULE = "60-cffs.rules"
#: Where udev looks for rules (udev(7)).
_RULE_FOLDERS = tuple(Path(name) for name in ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"))
#: It is there while udev runs.
_UDEV = Path("/run/udev/control")


def installation_checks() -> Iterator[Check]:
    """All of them but for the udev rule, which belongs to the read-ahead."""
    yield python(Path(sys.prefix))
    yield full_text_search()


def python(prefix: Path) -> Check:
    """Whether the interpreter is the one that the environment at `prefix` was made for, and pyfuse3 can be loaded."""
    version = ".".join(map(str, sys.version_info[:3]))
    made_for = _made_for(prefix)
    if made_for not in ("", ".".join(map(str, sys.version_info[:2]))):
        return fail("python", f"{version}, but {prefix} was made for Python {made_for}", _make_again(prefix))
    spec = find_spec("pyfuse3")
    if spec is None:
        return fail("python", f"{version}, without pyfuse3", "pip install pyfuse3 (it needs libfuse3-dev and gcc)")
    module = Path(spec.origin or "")
    if spec.origin is None or not spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
        return fail("python", f"{version}, but pyfuse3 was built for another Python", _make_again(prefix))
    return libfuse(module, version, prefix)


def libfuse(module: Path, version: str, prefix: Path) -> Check:
    """Whether the libfuse3 that the compiled module was built against is still there."""
    named = _LIBFUSE.search(module.read_bytes())
    soname = named[0].decode() if named is not None else _SONAMES[0]
    if _can_load(soname):
        return ok("python", f"{version}, pyfuse3 and {soname} are here")
    others = [name for name in _SONAMES if name != soname and _can_load(name)]
    if not others:
        return fail("python", f"{version}, but {soname} is missing", "apt install fuse3")
    found = f"{version}, but pyfuse3 was built against {soname}, which is not here any more; {others[0]} is"
    return fail("python", found, _make_again(prefix))


def full_text_search() -> Check:
    """Whether SQLite can search text."""
    version = sqlite3.sqlite_version
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE VIRTUAL TABLE probe USING fts5(words)")
    except sqlite3.Error:
        mend = "use a Python whose SQLite has it, such as Debian's python3"
        return warn("sqlite", f"{version}, without FTS5, which a search in notes needs", mend)
    finally:
        database.close()
    return ok("sqlite", f"{version}, with FTS5")


def udev_rule(folders: Sequence[Path] = _RULE_FOLDERS, udev: Path = _UDEV) -> tuple[str, str]:
    """Why udev does not raise it, and the mend; both are empty where it does, the mend where nothing can be done."""
    if not udev.exists():
        return "udev does not run here", ""
    if any((folder / _RULE).exists() for folder in folders):
        return "", ""
    return f"there is no udev rule {_RULE}", "install the Debian package of cffs, which has it (scripts/package)"


def _made_for(prefix: Path) -> str:
    """The minor version in the environment's own notes, as `3.11`; empty where it has none."""
    try:
        text = (prefix / "pyvenv.cfg").read_text()
    except OSError:
        return ""
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
    return found[1] if found is not None else ""


def _make_again(prefix: Path) -> str:
    if prefix == _PACKAGE:
        return "install the package that was made for this system (scripts/package)"
    return "install cffs again: pipx reinstall cffs, or scripts/setup in a checkout after rm -r .venv"


def _can_load(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True
