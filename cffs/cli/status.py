"""`cffs status`: what is mounted and how it is doing, from each mount's `.cffs/status.json`.

It must not know how the daemon counts. `cli/main` registers it.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from cffs.cli.messages import Failed, one_line
from cffs.cli.mounts import Mount, absolute, mount_at, mounts_now, read_status

_WATCH_SECONDS = 1.0
_LAST_ERRORS = 10


@click.command(short_help="What is mounted and how it is doing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: an object for one MOUNTPOINT, else a list.")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C.")
@click.argument("mountpoint", type=Path, required=False)
def status(mountpoint: Path | None, as_json: bool, watch: bool) -> int:
    """What is mounted (or the one at MOUNTPOINT) and how it is doing."""
    if not watch:
        click.echo("\n".join(_render(mountpoint, as_json=as_json)))
        return 0
    try:
        _watch(mountpoint, as_json=as_json)
    except KeyboardInterrupt:
        return 0
    return 0


def _watch(mountpoint: Path | None, *, as_json: bool) -> None:
    pause = threading.Event()
    if as_json or not sys.stdout.isatty():
        while True:
            found = collect(mountpoint)
            click.echo(json.dumps(found) if as_json else "\n".join(_render(mountpoint, as_json=False)))
            pause.wait(_WATCH_SECONDS)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, screen=False) as live:
        while True:
            live.update(Text("\n".join(_render(mountpoint, as_json=False))), refresh=True)
            pause.wait(_WATCH_SECONDS)


def collect(mountpoint: Path | None) -> list[dict[str, object]] | dict[str, object]:
    """The status of one mount, or of all as a list; raises Failed where the one named is none or does not answer."""
    if mountpoint is None:
        return [_status_of(mount) or _silent(mount) for mount in mounts_now() if mount.is_cffs]
    where = absolute(mountpoint)
    mount = mount_at(where)
    if mount is None or not mount.is_cffs:
        raise Failed(f"{where} is not a cffs mount")
    found = _status_of(mount)
    if found is None:
        raise Failed(f"the mount at {where} does not answer; its daemon is gone or stuck: cffs umount --lazy {where}")
    return found


def _status_of(mount: Mount) -> dict[str, object] | None:
    try:
        found = json.loads(read_status(mount.mountpoint) or b"null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _silent(mount: Mount) -> dict[str, object]:
    return {"mountpoint": str(mount.mountpoint), "origin": {"state": "no answer"}}


def _render(mountpoint: Path | None, *, as_json: bool) -> Iterator[str]:
    found = collect(mountpoint)
    if as_json:
        yield json.dumps(found, indent=2)
        return
    all_of_them = found if isinstance(found, list) else [found]
    if not all_of_them:
        yield "nothing is mounted"
    for one in all_of_them:
        yield from _lines(one)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    """One mount for people; whatever is absent is left out: the daemon may be older or newer than this command."""
    origin = _table(told, "origin")
    yield f"{one_line(str(told.get('mountpoint', '?')))}  {one_line(str(origin.get('state', '?')))}"
    yield from _pairs("  daemon", told, ("pid", "version", "uptime_seconds", "open_files", "bugs"))
    yield from _pairs("  origin", origin, ("v1", "v2", "requests", "bytes_fetched", "retries", "held_until"))
    for name in ("reads", "cache", "prefetch", "catalog"):
        table = _table(told, name)
        yield from _pairs(f"  {name}", table, tuple(table))
    errors = _table(origin, "errors")
    yield from _pairs("  errors", errors, tuple(errors))
    last = told.get("last_errors")
    for line in (last if isinstance(last, list) else [])[-_LAST_ERRORS:]:
        yield f"    {one_line(line if isinstance(line, str) else json.dumps(line))}"


def _table(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def _pairs(title: str, table: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    shown = [f"{name} {table[name]}" for name in names if name in table and table[name] is not None]
    if shown:
        yield f"{title:<11} {one_line(', '.join(shown))}"
