"""Click options made from the option table, and the settings they lead to.

It owns how the layers (options, environment, config file) are read and put together. It must not know single commands.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from cffs.cli.config_file import read_config, read_secret
from cffs.cli.fstab import parse_mount_options
from cffs.cli.hidden_arguments import hide_in_arguments
from cffs.cli.messages import Failed, tell
from cffs.cli.paths import find_user_paths
from cffs.core.errors import UsageError
from cffs.core.server_url import secret_in
from cffs.core.settings_options import CREDENTIALS, OPTIONS, Option, OptionKind, parse
from cffs.core.settings_resolve import Layers, Resolved, UserPaths, resolve
from cffs.daemon.inherited_environment import spoken
from cffs.daemon.user import acting_as

#: The label of a mount without a profile in the mount table.
_DEFAULT = "default"

Command = TypeVar("Command", bound=Callable[..., Any])


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic at run time before click 8.4


class _Checked(_ParamType):
    """The type of one option: a wrong value is wrong usage (exit 2), and a right one is passed on as it was given."""

    def __init__(self, option: Option) -> None:
        self.name = option.kind.value
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text, unchanged."""
        try:
            parse(self._option, value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value


def complete_folder(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Let the shell complete a folder. click.Path would ask the file system, where a mount may hang."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


class QuietOption(click.Option):
    """An option that is accepted and completed, and not shown in the help: `cffs help options` lists all."""

    def get_help_record(self, ctx: click.Context) -> None:
        """None keeps it out of the list."""
        return


def settings_options(command: Command) -> Command:
    """Give a command every option of the table, and `-o`. Its help shows those that say which account is meant."""
    return settings_options_showing("profile", "config", "cache_dir", "v1_url", "v2_url")(command)


def settings_options_showing(*names: str) -> Callable[[Command], Command]:
    """Give a command every option of the table, and `-o`, with these in its help, so that it fits a screen."""

    def decorate(command: Command) -> Command:
        all_of_them = "More options, as in fstab; `cffs help options` lists all."
        command = click.option("-o", "option_lists", multiple=True, metavar="OPT,OPT", help=all_of_them)(command)
        for option in reversed(OPTIONS):
            shown: dict[str, Any] = {"help": option.help, "default": None}
            if option.name not in names:
                shown["cls"] = QuietOption
            if option.kind is OptionKind.FLAG:
                command = click.option(option.flag, option.name, is_flag=True, **shown)(command)
            else:
                shown |= {"type": _Checked(option), "metavar": option.metavar}
                command = click.option(option.flag, option.name, **shown)(command)
        return command

    return decorate


def given_options(parameters: Mapping[str, Any]) -> dict[str, object]:
    """The option layer: what the command line gave, `-o` lists first, so that a long option overrides them."""
    options: dict[str, object] = {}
    for text in parameters.get("option_lists") or ():
        try:
            options.update(parse_mount_options(text))
        except UsageError as error:
            raise click.UsageError(str(error)) from error
    for option in OPTIONS:
        value = parameters.get(option.name)
        if value is not None and value is not False:
            options[option.name] = value
    hide_in_arguments(secret_in(str(options.get("shared") or "")))
    return options


def load(
    options: Mapping[str, object], *, foreground: bool = False, credentials: Mapping[str, str] | None = None
) -> Resolved:
    """The settings of this process. Raises Failed or UsageError, one line each. Prints the notices.

    With `credentials`, these are the only ones: those of the environment and the config file are not read.
    """
    environment = {
        name: spoken(value) if _is_secret(name) and not name.endswith("_FILE") else value
        for name, value in os.environ.items()
    }
    if credentials is not None:
        environment = {name: value for name, value in environment.items() if not _is_secret(name)}
        environment |= {f"CFFS_{name.upper()}": value for name, value in credentials.items()}
    config = str(options.get("config") or environment.get("CFFS_CONFIG") or "") or None
    uid = options.get("uid", environment.get("CFFS_UID") or None)
    shown_uid = int(str(uid)) if uid is not None and str(uid).isdecimal() else None
    given = credentials is not None
    resolved, user_paths = _resolved(
        options, environment, config=config, uid=shown_uid, foreground=foreground, secrets_given=given
    )
    if os.geteuid() == 0 and shown_uid is None and resolved.settings.uid != 0:
        # root's own config names the user: the folders are that user's, and the config stays the one that named the
        # user
        resolved, user_paths = _resolved(
            options,
            environment,
            config=config or str(user_paths.config_file),
            uid=resolved.settings.uid,
            foreground=foreground,
            secrets_given=given,
        )
    for notice in resolved.notices:
        tell(notice)
    if user_paths.runtime_dir == user_paths.cache_dir and resolved.settings.cache_dir != user_paths.cache_dir:
        # without a runtime folder the control socket lies in the cache folder, wherever that is
        resolved = replace(resolved, settings=replace(resolved.settings, runtime_dir=resolved.settings.cache_dir))
    if not user_paths.home.is_dir():
        # the account of a service has no home: what it learns lies beside its cache
        resolved = replace(
            resolved, settings=replace(resolved.settings, state_dir=resolved.settings.cache_dir / "state")
        )
    _check_zone(resolved.settings.timezone)
    _check_readable(resolved.settings.ca_bundle)
    return resolved


def _resolved(
    options: Mapping[str, object],
    environment: Mapping[str, str],
    *,
    config: str | None,
    uid: int | None,
    foreground: bool,
    secrets_given: bool,
) -> tuple[Resolved, UserPaths]:
    """One pass through the layers for the user `uid`.

    Root reads with that user's rights what that user could have written, so that no config makes root read a file for
    its owner.
    """
    user_paths = find_user_paths(environment, uid=uid, config=config)
    owners = {os.geteuid()} | ({uid} if os.geteuid() == 0 and uid is not None else set())
    with acting_as(None if config is not None else uid, user_paths.gid):
        read = read_config(user_paths.config_file, owners=owners, must_exist=config is not None)
    is_roots = config is not None and user_paths.config_file.exists() and user_paths.config_file.stat().st_uid == 0
    by_environment = {
        value for name, value in environment.items() if name.startswith("CFFS_") and name.endswith("_FILE")
    }

    def read_as_owner(path: Path) -> str:
        trusted = is_roots or str(path) in by_environment
        with acting_as(None if trusted else uid, user_paths.gid):
            return read_secret(path, owners=owners)

    if secrets_given:
        read = _without_secrets(read)
    options, environment = _without_default_profile(options, environment, read)
    layers = Layers(
        options=options, environment=environment, config=read, user_paths=user_paths, read_secret=read_as_owner
    )
    return resolve(layers, foreground=foreground), user_paths


def _is_secret(variable: str) -> bool:
    return variable.startswith("CFFS_") and _names_secret(variable.removeprefix("CFFS_").lower())


def _names_secret(key: str) -> bool:
    return key.removesuffix("_file") in CREDENTIALS


def _without_secrets(config: Mapping[str, object]) -> dict[str, object]:
    """The config without its credentials and the names of their files, at its top and in every profile."""
    kept = {name: value for name, value in config.items() if not _names_secret(name)}
    tables = kept.get("profile")
    if isinstance(tables, Mapping):
        kept["profile"] = {
            name: _without_secrets(table) if isinstance(table, Mapping) else table for name, table in tables.items()
        }
    return kept


def _without_default_profile(
    options: Mapping[str, object], environment: Mapping[str, str], config: Mapping[str, object]
) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Take `--profile default` for none where no profile has that name, because fstab and units must name something."""
    profiles = config.get("profile")
    if isinstance(profiles, Mapping) and _DEFAULT in profiles:
        return options, environment
    return (
        {name: value for name, value in options.items() if (name, value) != ("profile", _DEFAULT)},
        {name: value for name, value in environment.items() if (name, value) != ("CFFS_PROFILE", _DEFAULT)},
    )


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Failed(f"--timezone: {name} is not known here; see timedatectl list-timezones") from error


def _check_readable(path: Path | None) -> None:
    if path is not None and not os.access(path, os.R_OK):
        raise Failed(f"--ca-bundle: cannot read {path}")
