"""The check that only root can change what an installation executes.

A unit of the machine and /sbin/mount.cffs run as root. Where their files, or a folder above them, belong to a user,
that user can become root. It must not decide what follows from a finding.
"""

import os
import pwd
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

#: How to make an installation of root's, for messages.
INSTALL_FOR_THE_MACHINE = (
    "as root, from a checkout of root's own: python3 -m venv /opt/cffs && /opt/cffs/bin/pip install ."
)
#: More links than this form a circle; the kernel stops there too.
_MOST_LINKS = 40
#: Root, and Debian's group for /usr/local, whose members are as good as root (Debian policy 9.1.2).
_ROOTS_GROUPS = frozenset({0, 50})
_SHEBANG = re.compile(rb"#!\s*(/[^\s]+)")
_LARGEST_SCRIPT_NBYTES = 2**20
#: Where an editable installation names the folders of its packages.
_PATHS = re.compile(r"['\"](/[^'\"\n]+)['\"]")

Look = Callable[[Path], os.stat_result]


def changeable(path: Path, *, look: Look = os.lstat) -> str | None:
    """Why others than root could change what lies at `path`, as `FOLDER belongs to ada`; None where they could not.

    Every folder on the way and every symbolic link's target counts. Raises OSError where something cannot be asked.
    """
    waiting = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    here, links = Path("/"), 0
    if (why := _weakness(here, look(here))) is not None:
        return why
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = here.parent
            continue
        there = here / part
        found = look(there)
        if (why := _weakness(there, found)) is not None:
            return why
        if not stat.S_ISLNK(found.st_mode):
            here = there
            continue
        links += 1
        if links > _MOST_LINKS:
            return f"{there} leads in a circle"
        target = Path(os.readlink(there))
        if target.is_absolute():
            here = Path("/")
        waiting += reversed([part for part in target.parts if part != "/"])
    return None


def _weakness(path: Path, found: os.stat_result) -> str | None:
    if found.st_uid != 0:
        return f"{path} belongs to {_name(found.st_uid)}"
    mode = found.st_mode
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return None  # in a sticky folder only root replaces root's files
    if mode & stat.S_IWOTH:
        return f"{path} can be changed by everybody"
    if mode & stat.S_IWGRP and found.st_gid not in _ROOTS_GROUPS:
        return f"{path} can be changed by its group"
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def weakness_of(command: Path) -> str | None:
    """Why root must not run the installed `command`; None where root may, or where there is nothing to check."""
    for path in executed_by(command):
        try:
            why = changeable(path)
        except OSError:
            continue  # absent, so not executed
        if why is not None:
            return why
    return None


def executed_by(command: Path) -> Iterator[Path]:
    """The files that a command installed by pip executes: its script, the interpreter, the packages beside that."""
    yield command
    try:
        with command.open("rb") as file:
            named = _SHEBANG.match(file.readline(4096))
    except OSError:
        return
    if named is None:
        return
    interpreter = Path(os.fsdecode(named[1]))
    yield interpreter
    for packages in sorted(interpreter.parent.parent.glob("lib/python*/site-packages")):
        yield packages
        for item in sorted(packages.iterdir()):
            if item.name == "cffs":
                yield from _all_below(item)
            elif item.name.startswith("__editable__") and item.suffix in (".pth", ".py"):
                yield item
                yield from _elsewhere(item)


def _all_below(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (path for path in folder.rglob("*") if path.is_dir() or path.suffix in (".py", ".pyc", ".so"))


def _elsewhere(item: Path) -> Iterator[Path]:
    """The folders of an editable installation."""
    text = item.read_bytes()[:_LARGEST_SCRIPT_NBYTES].decode(errors="surrogateescape")
    lines = [line.strip() for line in text.splitlines() if line.startswith("/")] if item.suffix == ".pth" else []
    for name in (*lines, *_PATHS.findall(text)):
        folder = Path(name)
        yield from _all_below(folder if folder.name == "cffs" else folder / "cffs")
