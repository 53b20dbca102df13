"""Writes credentials into the config file and takes them out again, leaving everything else of it as it stands.

It must not know where the file lies nor what a secret is for. `cli/login` calls it. The file is replaced whole: a new
one of mode 0600 beside it, flushed to disk, then renamed over it, so that a crash leaves the old or the new one.
"""

import json
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.daemon.hardening import make_folders

_TABLE = re.compile(r"\s*\[")


def with_values(text: str, values: Mapping[str, str | None], *, profile: str | None) -> str:
    """The text with these keys set (None: taken out) at its top or in `[profile.NAME]`, made where missing.

    Lines of other keys, comments and order stay. Raises Failed where the keys are written in a form that cannot be
    edited line by line.
    """
    lines = text.splitlines()
    start, stop = _section(lines, profile)
    wanted = {name: value for name, value in values.items() if value is not None}
    if start is None:
        if not wanted:
            return text
        lines += [*([""] if lines else []), f"[profile.{_key(profile or '')}]"]
        start = stop = len(lines)
    kept = [line for line in lines[start:stop] if _name_of(line) not in values]
    while wanted and kept and not kept[-1].strip():
        kept.pop()
    kept += [f"{name} = {json.dumps(value, ensure_ascii=True)}" for name, value in wanted.items()]
    after = lines[stop:]
    if after and kept and kept[-1].strip() and wanted:
        kept.append("")
    changed = "\n".join([*lines[:start], *kept, *after]).strip("\n")
    changed = changed + "\n" if changed else ""
    _require(text, changed, values, profile)
    return changed


def _section(lines: list[str], profile: str | None) -> tuple[int | None, int]:
    """Where the keys of the profile (or of the top) stand: [start, stop) of lines."""
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


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _require(before: str, after: str, values: Mapping[str, str | None], profile: str | None) -> None:
    """The edit did what it should and nothing else, told by a TOML parser and not by our lines."""
    old, new = tomllib.loads(before), tomllib.loads(after)
    for document in (old, new):
        table = document if profile is None else document.setdefault("profile", {}).setdefault(profile, {})
        for name in values:
            found = table.pop(name, None)
            if document is new and found != values[name]:
                raise Failed("the config file is written in a way that cannot be edited here; edit it by hand")
    if old != new:
        raise Failed("the config file is written in a way that cannot be edited here; edit it by hand")


def replace_file(path: Path, text: str) -> None:
    """The file with this text, 0600 and ours; raises Failed with one line. A symbolic link stays one: its target is
    replaced."""
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
    """What a crash in the middle of `replace_file` may have left beside the file."""
    for leftover in Path(os.path.realpath(path)).parent.glob(".config-*"):
        if leftover.is_file() and leftover.stat().st_uid == os.geteuid():
            leftover.unlink()


def credentials_in(config: Mapping[str, object], profile: str | None, names: Iterable[str]) -> list[str]:
    """Which of these keys the table holds."""
    table: object = config
    if profile is not None:
        tables = config.get("profile", {})
        table = tables.get(profile, {}) if isinstance(tables, Mapping) else {}
    return [name for name in names if isinstance(table, Mapping) and name in table]
