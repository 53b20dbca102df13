"""Set and remove credentials in the config file, leaving the rest of it as it is.

It owns the edit of the text and the replacement of the file. It must not know where the file lies, nor what a secret is
for. The file is replaced whole: a new one of mode 0600 beside it, flushed to disk, then renamed over it, so that a
crash leaves the old or the new one.
"""

import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.core.toml_text import is_writable, key, quoted
from cffs.daemon.hardening import make_folders

_TABLE = re.compile(r"\s*\[")
_BY_HAND = "the config file is written in a way that cannot be edited here; edit it by hand"


def with_values(text: str, values: Mapping[str, str | None], *, profile: str | None) -> str:
    """Return the text with these keys set (None: removed) at its top or in `[profile.NAME]`, made where missing.

    Lines of other keys, comments and their order stay. Raises Failed where the keys are written in a form that cannot
    be edited line by line, and where a value or the profile's name is not text that TOML can hold.
    """
    for name, value in values.items():
        if not is_writable(value or ""):
            raise Failed(f"{name} has bytes that are not UTF-8 text; a config file cannot hold it")
    if not is_writable(profile or ""):
        raise Failed("the profile's name has bytes that are not UTF-8 text; a config file cannot hold it")
    # not splitlines(): a string or comment of TOML may hold U+0085, U+2028 and others at which that splits
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n") if text.strip() else []
    start, stop = _section(lines, profile)
    wanted = {name: value for name, value in values.items() if value is not None}
    if start is None:
        if not wanted:
            return text
        lines += [*([""] if lines else []), f"[profile.{key(profile or '')}]"]
        start = stop = len(lines)
    kept = [line for line in lines[start:stop] if _name_of(line) not in values]
    while wanted and kept and not kept[-1].strip():
        kept.pop()
    kept += [f"{name} = {quoted(value)}" for name, value in wanted.items()]
    after = lines[stop:]
    if after and kept and kept[-1].strip() and wanted:
        kept.append("")
    changed = "\n".join([*lines[:start], *kept, *after]).strip("\n")
    changed = changed + "\n" if changed else ""
    _require(text, changed, values, profile)
    return changed


def _section(lines: list[str], profile: str | None) -> tuple[int | None, int]:
    """Return the lines [start, stop) that hold the keys of the profile, or of the top; start is None where there is no
    such table."""
    tables = [index for index, line in enumerate(lines) if _TABLE.match(line)]
    if profile is None:
        return 0, tables[0] if tables else len(lines)
    for number, index in enumerate(tables):
        try:
            named = tomllib.loads(lines[index]).get("profile", {})
        except tomllib.TOMLDecodeError:
            continue
        if isinstance(named, dict) and list(named) == [profile]:
            return index + 1, tables[number + 1] if number + 1 < len(tables) else len(lines)
    return None, 0


def _name_of(line: str) -> str | None:
    name, equals, _ = line.partition("=")
    return name.strip().strip("\"'") if equals else None


def _require(before: str, after: str, values: Mapping[str, str | None], profile: str | None) -> None:
    """Raise Failed unless a TOML parser finds that the edit set these values and changed nothing else."""
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise Failed(_BY_HAND) from error
    for document in (old, new):
        table = document if profile is None else document.setdefault("profile", {}).setdefault(profile, {})
        for name in values:
            found = table.pop(name, None)
            if document is new and found != values[name]:
                raise Failed(_BY_HAND)
    if old != new:
        raise Failed(_BY_HAND)


def replace_file(path: Path, text: str) -> None:
    """Replace the file by one with this text, of mode 0600 and our own. The target of a symbolic link is replaced, the
    link stays. Raises Failed with one line."""
    target = Path(os.path.realpath(path))
    try:
        make_folders(target.parent)
        if target.exists() and (not stat.S_ISREG(target.stat().st_mode) or target.stat().st_uid != os.geteuid()):
            raise Failed(f"{target} is not a plain file of your own; it was not changed")
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".config-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                os.fchmod(descriptor, 0o600)
                stream.write(text)
                stream.flush()
                os.fsync(descriptor)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Failed(f"cannot write {target}: {error.strerror}") from error


def remove_leftovers(path: Path) -> None:
    """Remove what a crash in the middle of `replace_file` may have left beside the file."""
    for leftover in Path(os.path.realpath(path)).parent.glob(".config-*"):
        if leftover.is_file() and leftover.stat().st_uid == os.geteuid():
            leftover.unlink()


def credentials_in(config: Mapping[str, object], profile: str | None, names: Iterable[str]) -> list[str]:
    """Return those of these keys that the table holds."""
    table: object = config
    if profile is not None:
        tables = config.get("profile", {})
        table = tables.get(profile, {}) if isinstance(tables, Mapping) else {}
    return [name for name in names if isinstance(table, Mapping) and name in table]
