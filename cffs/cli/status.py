"""`cffs status`: what is mounted and how it is doing.

It owns where a status comes from: the control socket, else the mount's own file. It must not know how the daemon
counts.
"""

import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from cffs.cli.control import NoAnswer, NoSocket, ask
from cffs.cli.format_status import lines_of
from cffs.cli.messages import Failed, json_text
from cffs.cli.mounts import absolute, cffs_mounts, read_status
from cffs.cli.options import complete_folder
from cffs.core.procfs import Mount
from cffs.daemon.mount_table import mount_at

_WATCH_SECONDS = 1.0

#: A function that gives the status to be shown.
Look = Callable[[], list[dict[str, object]] | dict[str, object]]


@click.command(short_help="What is mounted and how it is doing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: an object for one MOUNTPOINT, else a list.")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C; with --json one line each.")
@click.option("--all", "of_everyone", is_flag=True, help="Also the mounts of other users.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder, required=False)
def status(mountpoint: Path | None, as_json: bool, watch: bool, of_everyone: bool) -> int:
    """What you have mounted (or the one at MOUNTPOINT) and how it is doing."""
    look = partial(collect, mountpoint, of_everyone=of_everyone)
    if watch:
        return _watch(look, as_json=as_json)
    click.echo(json_text(look(), indent=2) if as_json else "\n".join(_rendered(look)))
    return 0


def _watch(look: Look, *, as_json: bool) -> int:
    """Show the status again and again until Ctrl-C. Where a mount was named, its end ends this too."""
    pause = threading.Event()
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                click.echo(json_text(look()) if as_json else "\n".join(_rendered(look)))
                sys.stdout.flush()
                pause.wait(_WATCH_SECONDS)
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False, screen=False) as live:
            while True:
                live.update(Text("\n".join(_rendered(look))), refresh=True)
                pause.wait(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def collect(mountpoint: Path | None, *, of_everyone: bool) -> list[dict[str, object]] | dict[str, object]:
    """The status of one mount, or a list of those of the user's own mounts or everyone's.

    Raises Failed where the one named is none, or does not answer.
    """
    if mountpoint is None:
        return [_status_of(mount) or _silent(mount) for mount in cffs_mounts(of_everyone=of_everyone)]
    mount = cffs_mount(mountpoint)
    found = _status_of(mount)
    if found is None:
        where = mount.mountpoint
        raise Failed(f"the mount at {where} does not answer; its daemon is gone or stuck: cffs umount --lazy {where}")
    return found


def cffs_mount(mountpoint: Path) -> Mount:
    """The cffs mount exactly there. Raises Failed where there is none."""
    where = absolute(mountpoint)
    mount = mount_at(where)
    if mount is None or not mount.is_cffs:
        raise Failed(f"{where} is not a cffs mount; cffs status lists what is mounted")
    return mount


def _status_of(mount: Mount) -> dict[str, object] | None:
    try:
        found = ask(mount, "status")
    except NoAnswer:
        return None  # it would not answer through the kernel either
    except (NoSocket, Failed):
        try:
            found = json.loads(read_status(mount.mountpoint) or b"null")
        except ValueError:
            return None
    return found if isinstance(found, dict) else None


def _silent(mount: Mount) -> dict[str, object]:
    return {"mountpoint": str(mount.mountpoint), "origin": {"state": "no answer"}}


def _rendered(look: Look) -> list[str]:
    found = look()
    shown = [line for one in (found if isinstance(found, list) else [found]) for line in lines_of(one)]
    return shown or [_nothing(len(cffs_mounts(of_everyone=True)))]


def _nothing(others: int) -> str:
    if not others:
        return "nothing is mounted"
    return f"nothing of yours is mounted; `cffs status --all` shows the {others} of other users"
