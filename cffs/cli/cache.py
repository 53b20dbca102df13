"""`cffs cache stats|verify|prune|clear`: the disk cache, with or without a mount.

It owns what these commands do without a mount. A cache that a mount uses is changed through that mount's control socket
alone. Reading the files is safe at any time, because they describe themselves and have checksums.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cffs.cli.control import NoSocket, ask, unseen
from cffs.cli.durations import parse_age
from cffs.cli.format_status import size as shown_size
from cffs.cli.groups import SuggestingGroup
from cffs.cli.messages import Failed, json_text, tell
from cffs.cli.options import given_options, load, settings_options
from cffs.core.errors import UsageError
from cffs.core.one_line import visible
from cffs.core.settings_options import parse_size
from cffs.daemon.mount_table import mount_at

#: Removing many files takes a while. This bounds each wait for a line of the daemon.
_LIMIT_SECONDS = 120.0
_LOCK_NBYTES = 4096
_BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Account:
    """One account's folder in the cache folder; `mountpoint` is where a mount uses it now, or None."""

    folder: Path
    mountpoint: Path | None

    @property
    def blocks(self) -> Path:
        """The folder that holds its audio."""
        return self.folder / _BLOCKS


@click.group(cls=SuggestingGroup, short_help="Look after the disk cache.", invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """The audio kept on disk, of all accounts in the cache folder; with or without a mount."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@cache.command(short_help="What it holds.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@settings_options
def stats(as_json: bool, **parameters: Any) -> int:
    """What the cache holds of each account, and which mount uses it."""
    from cffs.cache.disk_index import DiskIndex

    rows = []
    for account in _accounts(parameters):
        index = DiskIndex(account.blocks)
        index.scan()
        used = [entry.used_at for entry in index]
        rows.append(
            {
                "account": account.folder.name,
                "mountpoint": None if account.mountpoint is None else str(account.mountpoint),
                "files": len(index),
                "bytes": index.used_nbytes,
                "pinned_files": sum(entry.is_pinned for entry in index),
                "pinned_bytes": sum(entry.disk_nbytes for entry in index if entry.is_pinned),
                "oldest_use": _time(min(used, default=None)),
                "newest_use": _time(max(used, default=None)),
            }
        )
    if as_json:
        click.echo(json_text(rows, indent=2))
        return 0
    for row in rows:
        where = visible(f", mounted at {row['mountpoint']}") if row["mountpoint"] else ""
        click.echo(
            f"{row['account']}: {shown_size(row['bytes'])} in {row['files']} files, {row['pinned_files']} pinned "
            f"({shown_size(row['pinned_bytes'])}){where}"
        )
    if not rows:
        click.echo("no account has a cache here")
    return 0


@cache.command(short_help="Check every block; changes nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@settings_options
def verify(as_json: bool, **parameters: Any) -> int:
    """Read and check every block. Damaged ones are never served, but fetched again; exit 1 where there are some."""
    from cffs.cache.disk_check import verify_file
    from cffs.cache.disk_index import files_below

    right = damaged = foreign = 0
    for account in _accounts(parameters):
        for path in files_below(account.blocks):
            try:
                found = verify_file(path)
            except FileNotFoundError:
                continue  # evicted meanwhile
            except OSError as problem:
                tell(f"cannot read {path}: {problem.strerror}")
                found = (0, 1)
            if found is None:
                foreign += 1
            else:
                right, damaged = right + found[0], damaged + found[1]
    if as_json:
        click.echo(json_text({"right_blocks": right, "damaged_blocks": damaged, "foreign_files": foreign}))
    else:
        click.echo(f"{right} blocks right, {damaged} damaged, {foreign} files that are none of the cache's")
    return 1 if damaged else 0


@cache.command(short_help="Remove what was not used for long.")
@click.option("--to", "size", metavar="SIZE", help="Down to this size, the longest unused first.")
@click.option("--unused", "age", metavar="AGE", help="What was not used for so long: 12h, 30d, 8w.")
@settings_options
def prune(size: str | None, age: str | None, **parameters: Any) -> int:
    """Remove what was not used for long; what is pinned stays."""
    if size is None and age is None:
        raise click.UsageError("say what goes: --to SIZE, --unused AGE, or both")
    try:
        arguments: dict[str, object] = {
            "limit_bytes": None if size is None else parse_size(size),
            "unused_seconds": None if age is None else parse_age(age),
        }
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    return _shrink(parameters, "cache-prune", arguments)


@cache.command(short_help="Remove everything.")
@click.option("--pinned", is_flag=True, help="What is pinned too.")
@settings_options
def clear(pinned: bool, **parameters: Any) -> int:
    """Remove all audio kept on disk, but for what is pinned."""
    return _shrink(parameters, "cache-clear", {"pinned": pinned})


def _shrink(parameters: dict[str, Any], command: str, arguments: dict[str, object]) -> int:
    freed_nbytes = 0
    for account in _accounts(parameters):
        if account.mountpoint is not None:
            freed_nbytes += _ask(account.mountpoint, command, arguments)
            continue
        with _locked(account):
            freed_nbytes += _shrunk(account.blocks, command, arguments)
    click.echo(f"{shown_size(freed_nbytes)} came free")
    return 0


def _shrunk(folder: Path, command: str, arguments: dict[str, object]) -> int:
    from cffs.cache.disk_index import DiskIndex
    from cffs.daemon.disk_cache_setup import shrink

    index = DiskIndex(folder)
    index.scan()
    return shrink(index, command, arguments)


def _ask(mountpoint: Path, command: str, arguments: dict[str, object]) -> int:
    mount = mount_at(mountpoint)
    try:
        # the mount may have been moved: the daemon knows itself by the path at which it was mounted
        answer = ask(mount or unseen(mountpoint), command, arguments, limit_seconds=_LIMIT_SECONDS)
    except NoSocket as error:
        raise Failed(
            f"a mount at {mountpoint} uses this cache and cannot be reached from here; run this where it is"
        ) from error
    freed = answer.get("freed_bytes") if isinstance(answer, dict) else None
    return freed if isinstance(freed, int) else 0


def _accounts(parameters: dict[str, Any]) -> list[Account]:
    folder = load(given_options(parameters)).settings.cache_dir
    try:
        found = sorted(path for path in folder.iterdir() if (path / _BLOCKS).is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failed(f"cannot look into {folder}: {error.strerror}") from error
    return [Account(path, _user_of(path)) for path in found]


def _user_of(folder: Path) -> Path | None:
    """The mount point of the mount that holds the account's lock; None where no mount does."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        try:
            return Path(json.loads(os.pread(descriptor, _LOCK_NBYTES, 0))["mountpoint"])
        except (ValueError, KeyError, TypeError):
            raise Failed(f"a mount uses {folder} and does not say where it is; try again") from None
    finally:
        os.close(descriptor)


@contextmanager
def _locked(account: Account) -> Iterator[None]:
    """Hold the account's lock, so that no mount begins to use its cache meanwhile. Raises Failed where one has it."""
    descriptor = os.open(account.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(f"a mount has just begun to use {account.folder}; try again") from error
        yield
    finally:
        os.close(descriptor)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()
