"""`cffs mount`, and `mount.cffs` for mount(8).

It owns the order: settings, a check of the mount point, then the daemon. It must not know what the daemon does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cffs.cli.control import ask
from cffs.cli.fstab import parse_mount_options, remounts
from cffs.cli.launch import run_in_foreground, start_in_background
from cffs.cli.messages import Failed, tell
from cffs.cli.mountpoint import is_dead, prepare
from cffs.cli.mounts import absolute
from cffs.cli.options import complete_folder, given_options, load, settings_options_showing
from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.daemon.adoption import descriptor_in, place_of
from cffs.daemon.mount_table import mount_at
from cffs.daemon.mounting import set_flags, source_of


@click.command(short_help="Mount an account's recordings and media.")
@settings_options_showing("profile", "cache_size", "writable", "offline", "allow_other")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@click.argument("mountpoint", type=Path, shell_complete=complete_folder)
def mount(mountpoint: Path, foreground: bool, **parameters: Any) -> int:
    """Mount an account on MOUNTPOINT; returns once it answers. Credentials come
    from the config file, or CFFS_APIKEY (v1), CFFS_LOGIN + CFFS_PASSWORD (v2).

    /dev/fd/N is a mount that the caller made, through that descriptor of /dev/fuse.
    """
    return mount_with(given_options(parameters), mountpoint, foreground=foreground)


def mount_with(options: Mapping[str, object], mountpoint: Path, *, foreground: bool) -> int:
    """Mount with this option layer and return the exit status. Raises Failed or UsageError with one line."""
    settings = load(options, foreground=foreground).settings
    settings.require_credentials()
    if settings.allow_other:
        tell("--allow-other: every user of this machine can read this account's recordings")
    adopted = descriptor_in(mountpoint)
    if adopted is not None:
        ready = place_of(adopted)
    else:
        ready = prepare(mountpoint, private=(settings.cache_dir, settings.state_dir))
    if foreground:
        return run_in_foreground(settings, ready, options=options, adopted=adopted)
    start_in_background(settings, ready, options=options, adopted=adopted)
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
    is_remount, wants_read_only = False, False
    try:
        for text in option_lists:
            is_remount, wants_read_only = remounts(text, before=(is_remount, wants_read_only))
            options.update(parse_mount_options(text, sloppy=sloppy))
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    if is_remount and not fake:
        remount(mountpoint, is_read_only=wants_read_only)
        return 0
    profile = source.removeprefix("callfire:")
    if profile not in ("", "none"):
        options.setdefault("profile", profile)
    if fake:
        load(options)
        return 0
    try:
        return mount_with(options, mountpoint, foreground=False)
    except (Failed, UsageError):
        if is_mounted_so(load(options).settings, mountpoint):
            return 0  # `mount -a` ran before, or runs at this moment
        raise


def is_mounted_so(settings: Settings, mountpoint: Path) -> bool:
    """True where a living mount of that source, for that user, is there already."""
    where = absolute(mountpoint)
    existing = mount_at(where)
    if existing is None or (existing.source, existing.user_id) != (source_of(settings), settings.uid):
        return False
    return existing.is_cffs and not is_dead(where)


def remount(mountpoint: Path, *, is_read_only: bool) -> None:
    """Set the kernel's flags of a mount, which is what mount(8) means by -o remount. Raises Failed, one line."""
    where = absolute(mountpoint)
    existing = mount_at(where)
    if existing is None or not existing.is_cffs:
        raise Failed(f"{where} is not a cffs mount; nothing to remount")
    try:
        answer = ask(existing, "hello")
    except Failed:
        answer = None
    # mount(8) passes "rw" where neither was asked for; a mount made without --writable stays read-only
    is_writable = isinstance(answer, dict) and answer.get("writable") is True
    set_flags(where, is_read_only=is_read_only or not is_writable)
