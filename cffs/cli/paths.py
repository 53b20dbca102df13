"""Facts of the process for the settings: home and XDG folders, uid, time zone.

It must not know options beyond `uid`.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import platformdirs

from cffs.cli.messages import Failed
from cffs.core.settings_resolve import UserPaths
from cffs.daemon.inherited_environment import NO_HOME

#: Where the zones' files lie, in the path that /etc/localtime leads to.
_ZONES = "/zoneinfo/"
_UTC = "UTC"


def find_user_paths(environment: Mapping[str, str], *, uid: int | None, config: str | None) -> UserPaths:
    """The folders of this user, or of `uid` where root names another.

    The daemon becomes that user after mounting, with that user's config and cache.
    """
    effective = os.geteuid()
    working_folder = current_folder()
    if effective == 0 and uid not in (None, 0):
        home, gid = _account(uid or 0)
        config_home, cache_home, state_home = home / ".config", home / ".cache", home / ".local/state"
        runtime = None
    else:
        home, gid = Path.home(), os.getegid()
        config_home = platformdirs.user_config_path()
        cache_home = platformdirs.user_cache_path()
        state_home = platformdirs.user_state_path()
        runtime = environment.get("XDG_RUNTIME_DIR")
        uid = effective if uid is None else uid
    cache_dir = cache_home / "cffs"
    return UserPaths(
        home=home,
        working_folder=working_folder,
        config_file=_config_file(config, working_folder) if config else config_home / "cffs/config.toml",
        cache_dir=cache_dir,
        state_dir=state_home / "cffs",
        runtime_dir=Path(runtime) / "cffs" if runtime else cache_dir,
        uid=uid if uid is not None else effective,
        gid=gid,
        timezone=machine_timezone(environment),
    )


def current_folder() -> Path | None:
    """Where relative paths start; None where that folder is gone, or was in a mount that is gone."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _config_file(given: str, working_folder: Path | None) -> Path:
    try:
        path = Path(given).expanduser()
    except RuntimeError:
        raise Failed(f"--config: {given} names the home of a user that is not known here") from None
    if working_folder is None and not path.is_absolute():
        raise Failed(f"--config: {given} is relative, and the current folder is gone; write it from /")
    return path if working_folder is None else working_folder / path


def machine_timezone(environment: Mapping[str, str], *, etc: Path = Path("/etc")) -> str:
    """The name of the zone that this machine's clock is read in: `TZ`, else the system's; UTC where neither names one
    that is known."""
    return next(filter(_is_zone, _zones(environment, etc)), _UTC)


def _zones(environment: Mapping[str, str], etc: Path) -> Iterator[str]:
    given = environment.get("TZ", "").removeprefix(":")
    yield given.rpartition(_ZONES)[2]
    yield os.path.realpath(etc / "localtime").rpartition(_ZONES)[2]
    try:
        yield (etc / "timezone").read_text("ascii", "replace").strip()
    except OSError:
        return


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)


def _account(uid: int) -> tuple[Path, int]:
    """Home and primary group of a uid. A uid without an account has no home, and must not get root's."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return Path(NO_HOME), uid
    return Path(account.pw_dir), account.pw_gid
