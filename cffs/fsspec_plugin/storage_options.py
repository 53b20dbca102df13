"""Storage options: the options of a mount, without its credentials.

Storage options end in pickles, in task graphs and in logs of schedulers. So credentials come from the environment or
the config file of the process that reads, and are refused here.

Owns which options mean something without a mount. It must not know how a tree is made.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

from fsspec import available_protocols

from cffs.cli.messages import Failed
from cffs.cli.options import load
from cffs.core.errors import UsageError
from cffs.core.server_url import secret_in
from cffs.core.settings import Settings
from cffs.core.settings_options import BY_NAME, CREDENTIALS, Option, Value, parse

#: fsspec's own; it takes them itself, or they mean nothing here.
_OF_FSSPEC = frozenset(
    {"use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "asynchronous", "loop"}
)
_SECRETS = frozenset(CREDENTIALS) | frozenset(f"{name}_file" for name in CREDENTIALS)
#: The option whose value is an address, which may hold a password.
_ADDRESS = "shared"
#: An option that these floors alone use means nothing without a mount, except for two that choose the account.
_OF_MOUNTS = frozenset({"cli", "daemon", "fuse", "writer", "notes"})
_CHOOSE_THE_ACCOUNT = frozenset({"profile", "config"})


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """The options given, checked, by name; equal ones share a tree."""

    given: tuple[tuple[str, Value], ...]

    def settings(self) -> Settings:
        """The settings of this process: these options, its environment, its config file. Raises ValueError, one line.

        Whatever the environment or the file says, nothing can be written, and of the disk only that much is used which
        the options themselves name: what they say is meant for mounts, of which there is one on a machine.
        """
        options = {name: value for name, value in self.given if value is not None}
        # whom a mount is for must not make this process another user's for a moment, in all of its threads
        options |= {"uid": os.geteuid(), "gid": os.getegid()}
        try:
            settings = load(options).settings
            settings.require_credentials()
        except (UsageError, Failed) as error:
            raise ValueError(str(error)) from error
        cache_nbytes = settings.cache_nbytes if "cache_size" in options else 0
        return replace(settings, writable=False, notes=None, cache_nbytes=cache_nbytes)

    def folder_parent(self, settings: Settings) -> Path:
        """Where the private folder of this process lies: in `cache_dir` where that was given, else among the temporary
        files."""
        return settings.cache_dir if any(name == "cache_dir" for name, _value in self.given) else Path(gettempdir())


def checked(storage_options: Mapping[str, object]) -> StorageOptions:
    """The options of a mount among these. Raises ValueError or TypeError, one line, which shows no value of a
    credential."""
    ours = {name: raw for name, raw in storage_options.items() if name not in _OF_FSSPEC and not _is_for(name, raw)}
    values = {name: _value(name, raw) for name, raw in ours.items()}
    return StorageOptions(tuple(sorted(values.items())))


def has_meaning(option: Option) -> bool:
    """Whether the option changes anything without a mount."""
    return option.name in _CHOOSE_THE_ACCOUNT or not set(option.floors) <= _OF_MOUNTS


def _is_for(protocol: str, raw: object) -> bool:
    """Whether it is a table of options of another protocol: Hugging Face datasets hands each protocol those of all."""
    return isinstance(raw, Mapping) and protocol in available_protocols()


def _value(name: str, raw: object) -> Value:
    if name in _SECRETS or (name == _ADDRESS and secret_in(str(raw))):
        raise ValueError(
            f"{name}: storage options end in pickles and task graphs, so no credential may be one; "
            f"set CFFS_{name.upper()} where the files are read, or write it to the config file there"
        )
    option = BY_NAME.get(name)
    if option is None:
        near = difflib.get_close_matches(name, [known.name for known in BY_NAME.values() if has_meaning(known)], 1)
        raise TypeError(f"callfire has no storage option {name!r}" + (f"; did you mean {near[0]}" if near else ""))
    if not has_meaning(option):
        raise ValueError(f"{name}: only a mount has this option; callfire:// reads without one")
    try:
        parse(option, raw)
    except UsageError as error:
        raise ValueError(f"{name}: {error}") from error
    return tuple(raw) if isinstance(raw, list) else raw  # type: ignore[return-value]  # parsed above
