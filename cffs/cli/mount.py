"""`cffs mount`, and `mount.cffs` as mount(8) calls it: settings, a check of the mount point, then the daemon.

It must not know what the daemon does. `cli/main` registers it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cffs.cli.context import complete_folder, given_options, load, settings_options_showing
from cffs.cli.fstab import parse_mount_options
from cffs.cli.launch import run_in_foreground, start_in_background
from cffs.cli.messages import tell
from cffs.cli.mountpoint import prepare
from cffs.core.errors import UsageError


@click.command(short_help="Mount an account's recordings and media.")
@settings_options_showing("profile", "cache_size", "writable", "offline", "allow_other")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder)
def mount(mountpoint: Path, foreground: bool, **parameters: Any) -> int:
    """Mount an account on MOUNTPOINT; returns once it answers. Credentials come
    from the config file, or CFFS_APIKEY (v1), CFFS_LOGIN + CFFS_PASSWORD (v2).
    """
    return mount_with(given_options(parameters), mountpoint, foreground=foreground)


def mount_with(options: Mapping[str, object], mountpoint: Path, *, foreground: bool) -> int:
    """Mounts with this option layer; the exit status. Raises Failed or UsageError with one line."""
    settings = load(options, foreground=foreground).settings
    settings.require_credentials()
    if settings.allow_other:
        tell("--allow-other: every user of this machine can read this account's recordings")
    ready = prepare(mountpoint, private=(settings.cache_dir, settings.state_dir))
    if foreground:
        return run_in_foreground(settings, ready, options=options)
    start_in_background(settings, ready, options=options)
    return 0


@click.command("mount.cffs", context_settings={"ignore_unknown_options": False})
@click.argument("source")
@click.argument("mountpoint", type=Path)
@click.option("-o", "option_lists", multiple=True, metavar="OPT,OPT", help="Options, as in /etc/fstab.")
@click.option("-s", "sloppy", is_flag=True, help="Pass over unknown options.")
@click.option("-f", "fake", is_flag=True, help="Check the options, mount nothing.")
@click.option("-v", "verbose", is_flag=True, help="Accepted; changes nothing.")
@click.option("-n", "no_mtab", is_flag=True, help="Accepted; changes nothing.")
@click.option("-t", "filesystem", metavar="TYPE", help="Accepted; changes nothing.")
def mount_helper(
    source: str, mountpoint: Path, option_lists: tuple[str, ...], sloppy: bool, fake: bool, **_: Any
) -> int:
    """What mount(8) and /etc/fstab call; SOURCE is callfire:PROFILE, PROFILE, or `default`."""
    options: dict[str, object] = {}
    try:
        for text in option_lists:
            options.update(parse_mount_options(text, sloppy=sloppy))
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    profile = source.removeprefix("callfire:")
    if profile not in ("", "none"):
        options.setdefault("profile", profile)
    if fake:
        load(options)
        return 0
    return mount_with(options, mountpoint, foreground=False)
