"""`cffs login` and `cffs logout`: credentials in the config file.

It owns where credentials come from (the terminal or stdin, never the command line) and which are stored. It must not
know how they are used beyond one question to the service.
"""

import getpass
import os
import sys
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from cffs.cli.config_file import read_config
from cffs.cli.config_write import credentials_in, remove_leftovers, replace_file, with_values
from cffs.cli.messages import Failed, tell
from cffs.cli.options import given_options, load, settings_options_showing
from cffs.cli.paths import find_user_paths
from cffs.core.errors import UsageError
from cffs.core.settings_options import BY_NAME, CREDENTIALS
from cffs.core.settings_resolve import MAX_SECRET_CHARACTERS

_QUESTIONS = {
    "apikey": ("v1 API key (empty: leave it as it is)", True),
    "login": ("v2 API login (empty: leave it as it is)", False),
    "password": ("v2 API password", True),
    "account_login": ("account login, only to manage API credentials (empty: leave it)", False),
    "account_password": ("account password", True),
}
#: Credentials that are tried, and stored, together.
_NAMES = {"v1": ("apikey",), "v2": ("login", "password"), "account": ("account_login", "account_password")}
_KEYS = (*CREDENTIALS, *(f"{name}_file" for name in CREDENTIALS))
_NEEDS = {"password": "login", "account_password": "account_login"}


@click.command(short_help="Store credentials in the config file.")
@click.option("--no-check", is_flag=True, help="Do not ask the service whether it accepts them.")
@settings_options_showing("profile", "config", "v1_url", "v2_url", "ca_bundle")
def login(no_check: bool, **parameters: Any) -> int:
    """Store credentials in the config file (0600), for --profile where one is given.

    Asks on the terminal; without one reads `name = value` lines (apikey, login, password, account_login,
    account_password) from stdin. Never takes a secret as an argument.
    """
    options = given_options(parameters)
    path, profile = _place(options)
    given = _from_terminal() if sys.stdin.isatty() else _from_stdin()
    if not any(given.values()):
        raise Failed("no credentials given; nothing was changed")
    for password, name in _NEEDS.items():
        if bool(given.get(password)) != bool(given.get(name)):
            raise Failed(f"{name} and {password} work only together; nothing was changed")
    if ":" in (given.get("login") or "") + (given.get("account_login") or ""):
        raise Failed("a login holds no colon; nothing was changed")
    given = {name: value for name, value in given.items() if value}
    words, refusals = ("", {}) if no_check else _verdicts(options, given)
    kept = [login for login, names in _NAMES.items() if names[0] in given and login not in refusals]
    if not kept:
        raise Failed(f"{'; '.join(refusals.values())}; nothing was changed (--no-check stores them all the same)")
    values: dict[str, str | None] = {name: given[name] for login in kept for name in _NAMES[login]}
    # a file named earlier would contradict what is stored now
    values |= {f"{name}_file": None for name in list(values)}
    values |= _addresses(options, kept, held=_held(path, profile), refused=refusals)
    _edit(path, values, profile)
    stored = f"stored in {path}{f', [profile.{profile}]' if profile else ''}{words}"
    if refusals:
        raise Failed(f"{'; '.join(refusals.values())}, so that was not stored; {stored}")
    tell(f"{stored}; cffs mount MOUNTPOINT uses it")
    return 0


@click.command(short_help="Take the credentials out of the config file.")
@settings_options_showing("profile", "config", "v1_url", "v2_url", "ca_bundle")
def logout(**parameters: Any) -> int:
    """Take the credentials of --profile, or those outside any profile, out of the config file."""
    path, profile = _place(given_options(parameters))
    held = _held(path, profile)
    remove_leftovers(path)
    if not held:
        tell(f"{path} holds no credentials{f' for {profile}' if profile else ''}; nothing was changed")
    else:
        _edit(path, dict.fromkeys(_KEYS), profile)
        tell(f"removed {', '.join(held)} from {path}; running mounts keep theirs until they end")
    left = [f"CFFS_{name.upper()}" for name in _KEYS if os.environ.get(f"CFFS_{name.upper()}")]
    if left:
        tell(f"still set in the environment: {', '.join(left)}")
    return 0


def _place(options: Mapping[str, object]) -> tuple[Path, str | None]:
    """The config file and the profile that the options, or the environment, name."""
    config = str(options.get("config") or os.environ.get("CFFS_CONFIG") or "") or None
    profile = str(options.get("profile") or os.environ.get("CFFS_PROFILE") or "") or None
    return find_user_paths(dict(os.environ), uid=None, config=config).config_file, profile


def _edit(path: Path, values: Mapping[str, str | None], profile: str | None) -> None:
    read_config(path, owners={os.geteuid()}, must_exist=False)  # raises Failed where others could have written it
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    changed = with_values(text, values, profile=profile)
    if not changed.strip() and path.exists() and not path.is_symlink():
        path.unlink()
    elif changed != text:
        replace_file(path, changed)


def _held(path: Path, profile: str | None) -> list[str]:
    """The keys of credentials, and of files with credentials, that the config file holds now."""
    return credentials_in(read_config(path, owners={os.geteuid()}, must_exist=False), profile, _KEYS)


def _addresses(
    options: Mapping[str, object], kept: Collection[str], *, held: Collection[str], refused: Collection[str]
) -> dict[str, str]:
    """The base URLs given here, to be stored with the credentials that are meant for them.

    Credentials stored without them would be sent to the default address. Raises Failed where credentials that stay in
    the file would be sent to the new one.
    """
    found = {}
    for option, logins in (("v1_url", ("v1",)), ("v2_url", ("v2", "account"))):
        if option not in options:
            continue
        replaced = [name for login in logins if login in kept for name in _NAMES[login]]
        names = [name for login in logins for name in _NAMES[login] if name not in replaced]
        stay = sorted({plain for name in held if (plain := name.removesuffix("_file")) in names})
        if replaced and stay:
            url, others = BY_NAME[option].flag, " and ".join(stay)
            raise Failed(f"{url} would be sent the {others} stored before; give them too, or use --profile NAME")
        if replaced or not (stay or any(login in refused for login in logins)):
            found[option] = str(options[option])
    return found


def _from_terminal() -> dict[str, str]:
    given: dict[str, str] = {}
    for name, (question, is_secret) in _QUESTIONS.items():
        if name in _NEEDS and not given.get(_NEEDS[name]):
            continue
        try:
            # getpass asks on /dev/tty and does not show what is typed
            text = (
                getpass.getpass(f"{question}: ")
                if is_secret
                else click.prompt(question, default="", err=True, show_default=False)
            )
        except (EOFError, click.Abort):
            raise KeyboardInterrupt from None
        given[name] = _checked(name, text)
    return given


def _from_stdin() -> dict[str, str]:
    """Credentials from `name = value` lines, quoted as in TOML or plain; blank lines and comments are skipped."""
    text = sys.stdin.read(len(CREDENTIALS) * 2 * MAX_SECRET_CHARACTERS)
    given: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        name = name.removeprefix("CFFS_").lower()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or name not in CREDENTIALS:
            raise Failed(f"stdin: a line is not NAME = VALUE with a name of {', '.join(CREDENTIALS)}")
        if value[:1] in ('"', "'"):
            try:
                value = str(tomllib.loads(f"v = {value}")["v"])
            except tomllib.TOMLDecodeError:
                # the error would show it
                raise Failed(f"stdin: the value of {name} is not quoted as in TOML") from None
        given[name] = _checked(name, value)
    return given


def _checked(name: str, text: str) -> str:
    text = text.strip()
    if len(text) > MAX_SECRET_CHARACTERS or not text.isprintable():
        raise Failed(f"{name} must be one line of at most {MAX_SECRET_CHARACTERS} characters")
    return text


def _verdicts(options: Mapping[str, object], given: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A few words on what may be stored, and the reason for each login that may not, from the service's answers."""
    try:
        settings = load(options, credentials=given).settings
    except (Failed, UsageError):
        # the profile does not exist yet, so its other settings are the defaults
        if options.get("profile") is None:
            raise
        without = {name: value for name, value in options.items() if name != "profile"}
        settings = load(without, credentials=given).settings
    if settings.offline:
        return " (not checked: offline)", {}
    from cffs.callfire.credential_check import Outcome
    from cffs.cli.check_credentials import ask_all

    words = {
        Outcome.ACCEPTED: "accepted",
        Outcome.UNREACHABLE: "cannot be reached, so not checked",
        Outcome.SILENT: "did not answer, so not checked",
        Outcome.UNDECIDED: "does not say whether it accepts it",
    }
    verdicts = ask_all(settings)
    accepted = "".join(f", {one.login} {words[one.outcome]}" for one in verdicts if one.outcome in words)
    return accepted, {str(one.login): one.why for one in verdicts if one.outcome not in words}
