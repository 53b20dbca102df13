"""What the process supplies to the settings: whose home, config, cache and state folders, and which uid is shown.

It must not know options beyond `uid`. `cli/context` calls it.
"""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from cffs.core.settings_resolve import Places


def find_places(environment: Mapping[str, str], *, uid: int | None, config: str | None) -> Places:
    """The places of this user; or, when root names another `uid`, those of that user (contract section 2: the daemon
    becomes that user after mounting, with that user's config and cache)."""
    effective = os.geteuid()
    working_folder = Path.cwd()
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
    return Places(
        home=home,
        working_folder=working_folder,
        config_file=working_folder / Path(config).expanduser() if config else config_home / "cffs/config.toml",
        cache_dir=cache_dir,
        state_dir=state_home / "cffs",
        runtime_dir=Path(runtime) / "cffs" if runtime else cache_dir,
        uid=uid if uid is not None else effective,
        gid=gid,
    )


def _account(uid: int) -> tuple[Path, int]:
    """Home and primary group; a uid without an account has no home, which must not become root's."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return Path("/nonexistent"), uid
    return Path(account.pw_dir), account.pw_gid
